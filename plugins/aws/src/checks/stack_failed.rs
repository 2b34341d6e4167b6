use jiff::{SignedDuration, Timestamp};
use kfcheck::{Check, Cx, FactError, Finding, Findings, Now, Risk, async_trait, check};
use kfcheck_kube::Thresholds;

use crate::{
    Failed, OurStacks, Scope, Stack, StackEvent, is_in_use,
    stacks::{users_of, why},
};

check! {
    /// ## What it checks
    /// The stacks that eksctl made for the cluster, by their tags: that none failed to be created,
    /// updated or deleted. Of all the events it shows the one that came first; the others follow.
    ///
    /// ## Why it matters
    /// What a failed stack was to make is not there, and a stack that can't be deleted keeps what it
    /// made, and its name.
    ///
    /// ## How to fix it
    /// Mend what the first event says. One that was rolled back is deleted before it is created
    /// again; one that could not be deleted is deleted once more.
    pub struct StackFailed;
    id: "aws-stack-failed",
    title: "No stack of the cluster has failed",
}

#[async_trait]
impl Check for StackFailed {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let stacks = cx.get(OurStacks).await?;
        if stacks.is_empty() {
            out.skip("eksctl made no stack for the cluster");
            return Ok(());
        }
        let scope = cx.get(Scope).await?;
        let now = *cx.get(Now).await?;
        for stack in stacks.iter() {
            if !stack.has_failed() {
                if !stack.is_under_way() {
                    out.ok(stack);
                }
                continue;
            }
            let failed = out.known(stack, why(cx, stack).await).unwrap_or_default();
            let mut users = Vec::new();
            for part in failed.all().filter(|part| is_in_use(&part.resource_status_reason)) {
                let found = out.known(stack, users_of(cx, part, &stacks).await);
                users.extend(found.into_iter().flatten());
            }
            users.sort();
            users.dedup();
            let message = message(stack, &failed);
            let finding = if is_undone(stack) && is_old(cx, &failed, now) {
                out.warn(stack, message)
            } else if failed.shortage().is_some() {
                out.unbuilt(stack, message)
            } else {
                out.fail(stack, message)
            };
            explain(stack, &failed, &users, finding);
            remedy(stack, &scope.region, finding);
        }
        Ok(())
    }
}

/// Whether it is as it was before what failed.
fn is_undone(stack: &Stack) -> bool {
    let before = ["UPDATE_ROLLBACK_COMPLETE", "IMPORT_ROLLBACK_COMPLETE"];
    before.iter().any(|status| stack.stack_status.starts_with(status))
}

fn is_old(cx: &Cx, failed: &Failed, now: Timestamp) -> bool {
    // Events are kept for 90 days.
    let at = failed.first.as_ref().and_then(|first| first.timestamp);
    let news = SignedDuration::from_hours(24 * cx.setting::<Thresholds>().stack_days());
    at.is_none_or(|at| now.duration_since(at.0) > news)
}

fn message(stack: &Stack, failed: &Failed) -> String {
    let status = &stack.stack_status;
    let what = match () {
        () if stack.is_to_go() => "could not be deleted",
        () if stack.never_was() => "was not created",
        () if status.starts_with("IMPORT") => "did not take in what was to be imported",
        () if is_undone(stack) => "was not updated, and is as it was before",
        () => "was not updated",
    };
    let parts: Vec<_> = failed.all().filter(|part| !part.is_of_stack()).collect();
    match &parts[..] {
        [] => what.to_owned(),
        parts => {
            let names: Vec<_> = parts.iter().map(|part| &*part.logical_resource_id).collect();
            format!("{what}, because of {}", names.join(" and "))
        }
    }
}

fn says(part: &StackEvent) -> String {
    let StackEvent { logical_resource_id, resource_status, resource_status_reason, .. } = part;
    format!("{logical_resource_id} {resource_status}: {resource_status_reason}")
}

fn explain(stack: &Stack, failed: &Failed, users: &[String], finding: &mut Finding) {
    finding.evidence("status", &stack.stack_status);
    for part in failed.all() {
        finding.evidence("because", says(part));
    }
    if failed.first.is_none() && !stack.stack_status_reason.is_empty() {
        finding.evidence("because", &stack.stack_status_reason);
    }
    for user in users.iter().take(SHOWN) {
        finding.evidence("in use by", user);
    }
    if let Some(more) = users.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        finding.evidence("in use by", format!("{more} more"));
    }
    if failed.cancelled > 0 {
        finding.evidence("cancelled", failed.follow());
    }
}

/// How many of those are named that keep a part in use.
pub(super) const SHOWN: usize = 5;

fn remedy(stack: &Stack, region: &str, finding: &mut Finding) {
    let name = &stack.stack_name;
    finding.fix(
        Risk::None,
        "shows all its events",
        format!("aws cloudformation describe-stack-events --stack-name {name} --region {region}"),
    );
    if stack.stack_status == "DELETE_FAILED" {
        finding.fix(
            Risk::Deletes,
            "deletes it once more, when what keeps it is mended",
            format!("aws cloudformation delete-stack --stack-name {name} --region {region}"),
        );
    }
    if stack.stack_status == "UPDATE_ROLLBACK_FAILED" {
        finding.fix(
            Risk::None,
            "goes on to put it back as it was, when what keeps it is mended",
            format!(
                "aws cloudformation continue-update-rollback --stack-name {name} --region {region}"
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::{Value, json};

    use super::StackFailed;
    use crate::testing::Deployment;

    /// The cluster's stack with this status, and what its events say.
    fn with(status: &str, events: &[Value]) -> Deployment {
        let mut deployment = Deployment::healthy();
        deployment.file("aws/cloudformation/describe-stacks")["Stacks"][0]["StackStatus"] =
            status.into();
        let id = "arn:aws:cloudformation:us-west-2:111122223333:stack/eksctl-kf-cluster/1";
        let events = events.iter().map(|event| {
            let mut event = event.clone();
            event["StackId"] = id.into();
            event["StackName"] = "eksctl-kf-cluster".into();
            event
        });
        let events: Vec<_> = events.collect();
        *deployment.file("aws/cloudformation/describe-stack-events") =
            json!({ "StackEvents": events });
        deployment
    }

    fn event(part: &str, kind: &str, id: &str, status: &str, reason: &str) -> Value {
        json!({ "LogicalResourceId": part, "ResourceType": kind, "PhysicalResourceId": id,
            "ResourceStatus": status, "Timestamp": "2026-11-21T11:00:01Z",
            "ResourceStatusReason": reason })
    }

    #[tokio::test]
    async fn only_what_failed_first_is_shown() {
        let cancelled = "Resource creation cancelled";
        let events = [
            event("NATGateway", "AWS::EC2::NatGateway", "", "CREATE_FAILED", cancelled),
            event(
                "VPC",
                "AWS::EC2::VPC",
                "",
                "CREATE_FAILED",
                "The maximum number of VPCs has been reached. (Service: AmazonEC2; Status Code: 400; \
                 Error Code: VpcLimitExceeded)",
            ),
            event("ServiceRole", "AWS::IAM::Role", "", "CREATE_FAILED", cancelled),
        ];
        expect![[r#"
            kf.example.com: nothing broken on the way; something beside it is. 1 root cause,
            0 symptoms; 0 checks passed, 0 not seen.

            BROKEN  aws-stack-failed
              stack eksctl-kf-cluster was not created, because of VPC
                status    ROLLBACK_COMPLETE
                because   VPC CREATE_FAILED: The maximum number of VPCs has been reached.
                          (Service: AmazonEC2; Status Code: 400; Error Code:
                          VpcLimitExceeded)
                cancelled 2 other parts, which only follow
                fix       shows all its events
                          aws cloudformation describe-stack-events \
                            --stack-name eksctl-kf-cluster --region us-west-2
              kubectl kfcheck explain aws-stack-failed

            FAIL     aws-stack-failed
                     No stack of the cluster has failed
        "#]]
        .assert_eq(&with("ROLLBACK_COMPLETE", &events).report(&StackFailed).await);
    }

    #[tokio::test]
    async fn what_still_hangs_on_the_network_is_named() {
        let reason = "The vpc 'vpc-1' has dependencies and cannot be deleted. (Service: AmazonEC2; \
                      Status Code: 400; Error Code: DependencyViolation)";
        let events = [event("VPC", "AWS::EC2::VPC", "vpc-1", "DELETE_FAILED", reason)];
        let mut deployment = with("DELETE_FAILED", &events);
        *deployment.file("aws/ec2/describe-network-interfaces") = json!({ "NetworkInterfaces": [
            { "NetworkInterfaceId": "eni-1", "Description": "ELB app/k8s-front/50dc", "VpcId": "vpc-1" },
            { "NetworkInterfaceId": "eni-2", "Description": "ELB app/other/1", "VpcId": "vpc-2" }] });
        *deployment.file("aws/ec2/describe-security-groups") = json!({ "SecurityGroups": [
            { "GroupId": "sg-0", "GroupName": "default", "VpcId": "vpc-1" },
            { "GroupId": "sg-9", "GroupName": "k8s-elb-a1", "VpcId": "vpc-1" }] });
        expect![[r#"
            kf.example.com: nothing broken on the way; something beside it is. 1 root cause,
            0 symptoms; 0 checks passed, 0 not seen.

            BROKEN  aws-stack-failed
              stack eksctl-kf-cluster could not be deleted, because of VPC
                status    DELETE_FAILED
                because   VPC DELETE_FAILED: The vpc 'vpc-1' has dependencies and cannot be
                          deleted. (Service: AmazonEC2; Status Code: 400; Error Code:
                          DependencyViolation)
                in use by network interface eni-1 (ELB app/k8s-front/50dc)
                in use by security group sg-9 (k8s-elb-a1)
                fix       shows all its events
                          aws cloudformation describe-stack-events \
                            --stack-name eksctl-kf-cluster --region us-west-2
                fix       deletes it once more, when what keeps it is mended
                          aws cloudformation delete-stack --stack-name eksctl-kf-cluster \
                            --region us-west-2
              kubectl kfcheck explain aws-stack-failed

            FAIL     aws-stack-failed
                     No stack of the cluster has failed
        "#]]
        .assert_eq(&deployment.report(&StackFailed).await);
    }

    #[tokio::test]
    async fn an_update_that_was_undone_long_ago_is_no_failure() {
        let mut old =
            event("NodeGroup", "AWS::AutoScaling::AutoScalingGroup", "", "UPDATE_FAILED", "no");
        old["Timestamp"] = "2026-10-01T00:00:00Z".into();
        let report = with("UPDATE_ROLLBACK_COMPLETE", &[old]).report(&StackFailed).await;
        assert!(report.contains("warn     aws-stack-failed"), "{report}");
        let now =
            event("NodeGroup", "AWS::AutoScaling::AutoScalingGroup", "", "UPDATE_FAILED", "no");
        let report =
            with("UPDATE_ROLLBACK_COMPLETE", std::slice::from_ref(&now)).report(&StackFailed).await;
        assert!(report.contains("FAIL     aws-stack-failed"), "{report}");
        let report = with("UPDATE_COMPLETE", &[now]).report(&StackFailed).await;
        assert!(report.contains("pass     aws-stack-failed"), "{report}");
    }

    #[tokio::test]
    async fn another_clusters_stacks_are_of_no_concern() {
        let mut deployment = with("DELETE_FAILED", &[]);
        deployment.file("aws/cloudformation/describe-stacks")["Stacks"][0]["Tags"] =
            json!([{ "Key": "alpha.eksctl.io/cluster-name", "Value": "kf-2" }]);
        let report = deployment.report(&StackFailed).await;
        assert!(report.contains("pass     aws-stack-failed"), "{report}");
    }

    #[tokio::test]
    async fn a_status_without_events_fails_and_says_what_is_missing() {
        let mut deployment = with("DELETE_FAILED", &[]);
        deployment.without("aws/cloudformation/describe-stack-events");
        expect![[r#"
            kf.example.com: nothing broken on the way; something beside it is. 1 root cause,
            0 symptoms; 0 checks passed, 0 not seen.

            BROKEN  aws-stack-failed
              stack eksctl-kf-cluster could not be deleted
                status    DELETE_FAILED
                fix       shows all its events
                          aws cloudformation describe-stack-events \
                            --stack-name eksctl-kf-cluster --region us-west-2
                fix       deletes it once more, when what keeps it is mended
                          aws cloudformation delete-stack --stack-name eksctl-kf-cluster \
                            --region us-west-2
              kubectl kfcheck explain aws-stack-failed

            NOT SEEN, so another cause may hide there
              aws-stack-failed
                not collected:
                  arn:aws:cloudformation:us-west-2:111122223333:stack/eksctl-kf-cluster/1 in
                  aws/cloudformation/describe-stack-events.json
                  aws cloudformation describe-stack-events \
                    --stack-name arn:aws:cloudformation:us-west-2:111122223333:stack/eksctl-kf-cluster/1

            FAIL     aws-stack-failed
                     No stack of the cluster has failed
        "#]].assert_eq(&deployment.report(&StackFailed).await);
        deployment.without("aws/cloudformation/describe-stacks");
        let report = deployment.report(&StackFailed).await;
        assert!(report.contains("unknown  aws-stack-failed"), "{report}");
    }

    #[tokio::test]
    async fn without_stacks_of_eksctls_there_is_nothing_to_check() {
        let mut deployment = Deployment::healthy();
        *deployment.file("aws/cloudformation/describe-stacks") = json!({ "Stacks": [] });
        let report = deployment.report(&StackFailed).await;
        assert!(report.contains("skip     aws-stack-failed"), "{report}");
    }
}
