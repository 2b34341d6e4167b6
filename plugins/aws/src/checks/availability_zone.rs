use kfcheck::{Check, Cx, FactError, Findings, Named, Risk, async_trait, check};

use crate::{
    Nodegroup, NodegroupIssue, OurStacks, Scope, Shortage, Stack, shortage,
    stacks::{our_nodegroups, why},
};

check! {
    /// ## What it checks
    /// That no stack and no node group of the cluster failed because a zone has no room: EKS for a
    /// control plane, EC2 for machines of the kind asked for.
    ///
    /// ## Why it matters
    /// Everything else in the stack is then given up, and its events are full of "Resource creation
    /// cancelled", which says nothing.
    ///
    /// ## How to fix it
    /// Create it again in zones that the error offers. A stack that was rolled back is to be deleted
    /// first.
    pub struct AvailabilityZone;
    id: "aws-availability-zone",
    title: "The zones have room for the cluster and its nodes",
}

#[async_trait]
impl Check for AvailabilityZone {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let scope = cx.get(Scope).await?;
        let stacks = cx.get(OurStacks).await?;
        for stack in stacks.iter() {
            if !stack.has_failed() {
                out.ok(stack);
                continue;
            }
            let Some(failed) = out.known(stack, why(cx, stack).await) else { continue };
            let Some((first, short)) = failed.first.as_ref().zip(failed.shortage()) else {
                continue;
            };
            let finding = out.fail(stack, message(&short));
            finding.evidence("says", &first.resource_status_reason);
            if !short.offered.is_empty() {
                finding.evidence("offered", short.offered.join(", "));
            }
            if failed.cancelled > 0 {
                finding.evidence("cancelled", failed.follow());
            }
            for (risk, why, command) in again(stack, &short, &scope.region) {
                finding.fix(risk, why, command);
            }
        }
        for group in &our_nodegroups(cx).await? {
            let Some((issue, short)) = short_of(group) else {
                out.ok(group);
                continue;
            };
            if let Some(stack) = stacks.iter().find(|stack| is_of(stack, group)) {
                out.built_from(group, stack);
            }
            let finding = out.fail(group, message(&short));
            finding.evidence("says", &issue.message);
            if !short.offered.is_empty() {
                finding.evidence("offered", short.offered.join(", "));
            }
        }
        Ok(())
    }
}

/// Whether eksctl made a stack for a node group.
pub(super) fn is_of(stack: &Stack, group: &Nodegroup) -> bool {
    stack.nodegroup() == Some(&group.nodegroup_name)
}

/// The issue of a node group that there are no machines to be had.
pub(super) fn short_of(group: &Nodegroup) -> Option<(&NodegroupIssue, Shortage)> {
    let mut issues = group.health.iter().flat_map(|health| &health.issues);
    issues.find_map(|issue| Some((issue, shortage(&issue.message)?)))
}

fn message(short: &Shortage) -> String {
    let what = match &short.machine {
        Some(machine) => format!("no {machine} to be had"),
        None => "no room".to_owned(),
    };
    match &short.lacking[..] {
        [] => format!("failed because there was {what}"),
        zones => format!("failed because there was {what} in {}", zones.join(" and ")),
    }
}

/// How to create it elsewhere.
fn again(stack: &Stack, short: &Shortage, region: &str) -> Vec<(Risk, &'static str, String)> {
    let Some(cluster) = stack.eksctl_cluster() else { return Vec::new() };
    let zones = short.offered.join(",");
    let mut fixes = Vec::new();
    let is_clusters = stack.is_clusters();
    if stack.stack_status == "ROLLBACK_COMPLETE" {
        let name = stack.resource().name;
        let command =
            format!("aws cloudformation delete-stack --stack-name {name} --region {region}");
        fixes.push((Risk::Deletes, "deletes what was rolled back and has nothing in it", command));
    }
    let create = match stack.nodegroup() {
        _ if zones.is_empty() => return fixes,
        None if is_clusters => {
            format!("eksctl create cluster --name {cluster} --region {region} --zones {zones}")
        }
        None => return fixes,
        Some(group) => format!(
            "eksctl create nodegroup --cluster {cluster} --region {region} --name {group} \
             --node-zones {zones}"
        ),
    };
    let why = "creates it in the zones offered; with the other flags, or the file, that it was \
               created with";
    fixes.push((Risk::None, why, create));
    fixes
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::AvailabilityZone;
    use crate::testing::Deployment;

    #[tokio::test]
    async fn the_zones_that_eks_offers_are_named() {
        let mut deployment = Deployment::healthy();
        deployment.file("aws/cloudformation/describe-stacks")["Stacks"][0]["StackStatus"] =
            "ROLLBACK_COMPLETE".into();
        let id = "arn:aws:cloudformation:us-west-2:111122223333:stack/eksctl-kf-cluster/1";
        *deployment.file("aws/cloudformation/describe-stack-events") = json!({ "StackEvents": [
            { "StackId": id, "StackName": "eksctl-kf-cluster", "LogicalResourceId": "NATGateway",
                "ResourceStatus": "CREATE_FAILED", "Timestamp": "2026-11-21T11:00:01Z",
                "ResourceStatusReason": "Resource creation cancelled" },
            { "StackId": id, "StackName": "eksctl-kf-cluster", "LogicalResourceId": "ControlPlane",
                "ResourceStatus": "CREATE_FAILED", "Timestamp": "2026-11-21T11:00:01Z",
                "ResourceType": "AWS::EKS::Cluster", "ResourceStatusReason":
                "Cannot create cluster 'kf' because us-west-2d, the targeted availability zone, does \
                 not currently have sufficient capacity to support the cluster. Retry and choose from \
                 these availability zones: us-west-2a, us-west-2b (Service: AmazonEKS)" }] });
        expect![[r#"
            kf.example.com: nothing broken on the way; something beside it is. 1 root cause,
            0 symptoms; 0 checks passed, 0 not seen.

            BROKEN  aws-availability-zone
              stack eksctl-kf-cluster failed because there was no room in us-west-2d
                says      Cannot create cluster 'kf' because us-west-2d, the targeted
                          availability zone, does not currently have sufficient capacity to
                          support the cluster. Retry and choose from these availability
                          zones: us-west-2a, us-west-2b (Service: AmazonEKS)
                offered   us-west-2a, us-west-2b
                cancelled 1 other part, which only follows
                fix       deletes what was rolled back and has nothing in it
                          aws cloudformation delete-stack --stack-name eksctl-kf-cluster \
                            --region us-west-2
                fix       creates it in the zones offered; with the other flags, or the
                          file, that it was created with
                          eksctl create cluster --name kf --region us-west-2 \
                            --zones us-west-2a,us-west-2b
              kubectl kfcheck explain aws-availability-zone

            FAIL     aws-availability-zone
                     The zones have room for the cluster and its nodes
        "#]]
        .assert_eq(&deployment.report(&AvailabilityZone).await);
    }

    #[tokio::test]
    async fn machines_that_a_zone_has_no_more_of_are_named() {
        let mut deployment = Deployment::healthy();
        deployment.file("aws/eks/describe-nodegroup")["nodegroups"][0]["health"] = json!({ "issues": [
            { "code": "AsgInstanceLaunchFailures", "message": "Could not launch On-Demand Instances. \
                InsufficientInstanceCapacity - We currently do not have sufficient p3.2xlarge capacity \
                in the Availability Zone you requested (us-west-2c). You can currently get p3.2xlarge \
                capacity by not specifying an Availability Zone in your request or choosing \
                us-west-2a. Launching EC2 instance failed." }] });
        expect![[r#"
            kf.example.com: nothing broken on the way; something beside it is. 1 root cause,
            0 symptoms; 0 checks passed, 0 not seen.

            BROKEN  aws-availability-zone
              nodegroup kf/cpu failed because there was no p3.2xlarge to be had in
                us-west-2c
                says      Could not launch On-Demand Instances. InsufficientInstanceCapacity
                          - We currently do not have sufficient p3.2xlarge capacity in the
                          Availability Zone you requested (us-west-2c). You can currently
                          get p3.2xlarge capacity by not specifying an Availability Zone in
                          your request or choosing us-west-2a. Launching EC2 instance
                          failed.
                offered   us-west-2a
              kubectl kfcheck explain aws-availability-zone

            FAIL     aws-availability-zone
                     The zones have room for the cluster and its nodes
        "#]]
        .assert_eq(&deployment.report(&AvailabilityZone).await);
    }

    #[tokio::test]
    async fn zones_with_room_are_fine() {
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-availability-zone
                     The zones have room for the cluster and its nodes
        "#]]
        .assert_eq(&Deployment::healthy().report(&AvailabilityZone).await);
    }

    #[tokio::test]
    async fn without_the_events_the_reason_is_not_known() {
        let mut deployment = Deployment::healthy();
        deployment.file("aws/cloudformation/describe-stacks")["Stacks"][0]["StackStatus"] =
            "ROLLBACK_COMPLETE".into();
        deployment.without("aws/cloudformation/describe-stack-events");
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 1 not seen.

            NOT SEEN, so a cause may hide there
              aws-availability-zone
                not collected:
                  arn:aws:cloudformation:us-west-2:111122223333:stack/eksctl-kf-cluster/1 in
                  aws/cloudformation/describe-stack-events.json
                  aws cloudformation describe-stack-events \
                    --stack-name arn:aws:cloudformation:us-west-2:111122223333:stack/eksctl-kf-cluster/1

            unknown  aws-availability-zone
                     The zones have room for the cluster and its nodes
                     (not collected:
                     arn:aws:cloudformation:us-west-2:111122223333:stack/eksctl-kf-cluster/1
                     in aws/cloudformation/describe-stack-events.json; `aws cloudformation
                     describe-stack-events --stack-name
                     arn:aws:cloudformation:us-west-2:111122223333:stack/eksctl-kf-cluster/1`
                     prints it (asking for aws.stackEvents
                     {"stack":"arn:aws:cloudformation:us-west-2:111122223333:stack/eksctl-kf-cluster/1"}))
        "#]].assert_eq(&deployment.report(&AvailabilityZone).await);
    }
}
