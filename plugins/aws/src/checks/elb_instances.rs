use std::collections::{BTreeMap, BTreeSet};

use kfcheck::{Check, Cx, FactError, Findings, Named, Resource, Risk, async_trait, check};
use kfcheck_kube::FrontServices;

use crate::{
    ClassicLoadBalancer, FrontClassics, InstanceHealth, Instances, InstancesHealth, Scope,
    SecurityGroup,
    admission::{Network, Source, admits, cluster_name, ours},
    fronts::are_classics_beside,
    targets::machines_of,
};

check! {
    /// ## What it checks
    /// The machines behind every classic load balancer at the entrance: that they are in service, and
    /// that their security groups let the load balancer in.
    ///
    /// ## Why it matters
    /// A classic load balancer without a machine in service answers 503, or resets connections.
    ///
    /// ## How to fix it
    /// Mend the security group as shown. Where that is right, see to the pods behind the Service: a
    /// node answers on a node port only while somebody listens behind it.
    pub(crate) struct ElbInstances;
    id: "aws-elb-instances",
    title: "The machines behind the classic load balancer are in service",
}

#[async_trait]
impl Check for ElbInstances {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let fronts = cx.get(FrontClassics).await?;
        if fronts.is_empty() {
            out.skip("no classic load balancer is at the entrance");
        }
        for front in fronts.iter() {
            let balancer = &front.balancer;
            let load_balancer = balancer.load_balancer_name.clone();
            let health = cx.get(InstancesHealth { load_balancer }).await;
            let Some(health) = out.known(balancer, health) else { continue };
            let all = &health.instance_states;
            let sick: Vec<_> = all.iter().filter(|machine| machine.state != "InService").collect();
            match (all.is_empty(), sick.len() == all.len()) {
                (true, _) => report_empty(cx, balancer, out).await?,
                (_, true) => {
                    report_all(cx, balancer, &sick, out).await?;
                    examine_groups(cx, balancer, &sick, out).await?;
                }
                _ => examine_some(cx, balancer, &front.entrance, &sick, out).await?,
            }
        }
        Ok(())
    }
}

async fn show(cx: &Cx, balancer: &ClassicLoadBalancer) -> Result<String, FactError> {
    let (region, name) = (cx.get(Scope).await?.region.clone(), &balancer.load_balancer_name);
    Ok(format!("aws elb describe-instance-health --region {region} --load-balancer-name {name}"))
}

async fn report_empty(
    cx: &Cx,
    balancer: &ClassicLoadBalancer,
    out: &mut Findings,
) -> Result<(), FactError> {
    let show = show(cx, balancer).await?;
    let message = "has no machine behind it";
    let finding = if are_classics_beside(cx).await? {
        out.warn(balancer, message)
    } else {
        out.symptom(balancer, message)
    };
    finding.fix(Risk::None, "asks again", show);
    Ok(())
}

/// `Instance: Instance has failed at least the UnhealthyThreshold number of health checks`.
fn says(machine: &InstanceHealth) -> String {
    format!("{}: {}", machine.reason_code, &*machine.description)
}

async fn report_all(
    cx: &Cx,
    balancer: &ClassicLoadBalancer,
    sick: &[&InstanceHealth],
    out: &mut Findings,
) -> Result<(), FactError> {
    let show = show(cx, balancer).await?;
    let is_early = |machine: &&&InstanceHealth| machine.reason_code == "ELB";
    let finding = if sick.iter().all(|machine| is_early(&machine)) {
        out.warn(balancer, "has machines that were not asked yet")
    } else if are_classics_beside(cx).await? {
        out.warn(balancer, format!("has no machine in service (0 of {})", sick.len()))
    } else {
        out.symptom(balancer, format!("has no machine in service (0 of {})", sick.len()))
    };
    if let Some(machine) = sick.first() {
        finding.evidence("reason", says(machine));
    }
    let asks = balancer.health_check.as_ref().map_or("", |check| check.target.as_str());
    finding.evidence("it asks", asks).fix(Risk::None, "asks again", show);
    Ok(())
}

/// Some are in service; the others get no requests.
async fn examine_some(
    cx: &Cx,
    balancer: &ClassicLoadBalancer,
    entrance: &Resource,
    sick: &[&InstanceHealth],
    out: &mut Findings,
) -> Result<(), FactError> {
    let services = cx.get(FrontServices).await?;
    let service = services.iter().find(|service| service.resource() == *entrance);
    // A Service may be such that only nodes with a pod of it answer, and then the others shall not.
    let with_pods = match service {
        Some(service) => machines_of(cx, service).await,
        None => BTreeSet::new(),
    };
    let matter = sick
        .iter()
        .filter(|machine| machine.reason_code != "ELB" && with_pods.contains(&machine.instance_id));
    let matter: Vec<_> = matter.copied().collect();
    let [first, ..] = matter[..] else {
        out.ok(balancer);
        return Ok(());
    };
    let show = show(cx, balancer).await?;
    out.warn(balancer, format!("has {} of its machines out of service", matter.len()))
        .evidence("machine", &first.instance_id)
        .evidence("reason", says(first))
        .fix(Risk::None, "asks again", show);
    examine_groups(cx, balancer, &matter, out).await
}

/// The port that the health check asks: of `TCP:31380`, `HTTP:10256/healthz`.
fn asked(balancer: &ClassicLoadBalancer) -> Option<u16> {
    let asks = balancer.health_check.as_ref()?.target.split_once(':')?.1;
    asks.split('/').next()?.parse().ok()
}

/// Whether machines that don't answer let the load balancer in.
async fn examine_groups(
    cx: &Cx,
    balancer: &ClassicLoadBalancer,
    sick: &[&InstanceHealth],
    out: &mut Findings,
) -> Result<(), FactError> {
    let Some(asked) = asked(balancer) else { return Ok(()) };
    let network = Network::of(cx).await?;
    let source = network.source(&balancer.security_groups, balancer.subnets.iter().map(|s| &**s));
    let cluster = cluster_name(cx).await?;
    let machines = cx.get(Instances { cluster: cluster.clone() }).await?;
    let mut shut: BTreeMap<&str, (&SecurityGroup, Vec<u16>)> = BTreeMap::new();
    for machine in machines.instances() {
        if !sick.iter().any(|sick| sick.instance_id == machine.instance_id) {
            continue;
        }
        let ids = machine.security_groups.iter().map(|group| group.group_id.as_str());
        let Some(groups) = network.groups(ids) else { continue };
        let Some(group) = ours(&groups, &cluster) else { continue };
        let listeners = balancer.listeners().filter_map(|l| u16::try_from(l.instance_port).ok());
        let mut ports: Vec<_> = listeners.chain([asked]).collect();
        ports.sort_unstable();
        ports.dedup();
        // What is asked decides; the others are mended along with it.
        if admits(&groups, &source, asked) {
            continue;
        }
        ports.retain(|port| !admits(&groups, &source, *port));
        shut.insert(&group.group_id, (group, ports));
    }
    for (group, ports) in shut.into_values() {
        report(cx, balancer, group, &source, &ports, out).await?;
    }
    Ok(())
}

async fn report(
    cx: &Cx,
    balancer: &ClassicLoadBalancer,
    group: &SecurityGroup,
    source: &Source,
    ports: &[u16],
    out: &mut Findings,
) -> Result<(), FactError> {
    let region = cx.get(Scope).await?.region.clone();
    let listed: Vec<_> = ports.iter().map(u16::to_string).collect();
    let message = format!(
        "does not let load balancer {} reach the nodes on TCP {}",
        balancer.load_balancer_name,
        listed.join(", ")
    );
    let resource = group.resource();
    let finding = if are_classics_beside(cx).await? {
        out.warn(&resource, message)
    } else {
        out.fail(&resource, message)
    };
    finding.evidence("load balancer's groups", balancer.security_groups.join(", "));
    if let Some(flag) = source.flag() {
        for port in ports {
            finding.fix(
                Risk::Opens,
                "lets the load balancer in",
                format!(
                    "aws ec2 authorize-security-group-ingress --region {region} \
                     --group-id {} --protocol tcp --port {port} {flag}",
                    group.group_id
                ),
            );
        }
    }
    out.depends(balancer, &resource);
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::ElbInstances;
    use crate::testing::Deployment;

    /// No machine is in service, and the nodes' group lets the load balancer in or not.
    fn with(is_let_in: bool) -> Deployment {
        let mut deployment = Deployment::classic();
        *deployment.file("aws/elb/describe-instance-health") = json!({ "aclassic": {
            "InstanceStates": [{ "InstanceId": "i-1", "State": "OutOfService",
                "ReasonCode": "Instance", "Description": "Instance has failed" }] } });
        if !is_let_in {
            let groups = deployment.file("aws/ec2/describe-security-groups");
            groups["SecurityGroups"][0]["IpPermissions"] = json!([]);
        }
        deployment
    }

    #[tokio::test]
    async fn a_group_that_does_not_let_the_load_balancer_in_is_to_blame() {
        let deployment = with(false);
        expect![[r#"
            kf.example.com is down. 1 root cause, 1 symptom; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-elb-instances
              security group sg-nodes does not let load balancer aclassic reach the nodes on
                TCP 31380, 31390
                load balancer's groups
                          sg-front
                fix       lets the load balancer in
                          aws ec2 authorize-security-group-ingress --region us-west-2 \
                            --group-id sg-nodes --protocol tcp --port 31380 \
                            --source-group sg-front
                fix       lets the load balancer in
                          aws ec2 authorize-security-group-ingress --region us-west-2 \
                            --group-id sg-nodes --protocol tcp --port 31390 \
                            --source-group sg-front
                explains  load balancer aclassic has no machine in service (0 of 1)
              kubectl kfcheck explain aws-elb-instances

            FAIL     aws-elb-instances
                     The machines behind the classic load balancer are in service
        "#]]
        .assert_eq(&deployment.report(&ElbInstances).await);
    }

    #[tokio::test]
    async fn machines_that_are_let_in_and_do_not_answer_are_a_symptom() {
        let deployment = with(true);
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-elb-instances
              load balancer aclassic has no machine in service (0 of 1)
                reason    Instance: Instance has failed
                it asks   TCP:31380
                fix       asks again
                          aws elb describe-instance-health --region us-west-2 \
                            --load-balancer-name aclassic
              kubectl kfcheck explain aws-elb-instances

            FAIL     aws-elb-instances
                     The machines behind the classic load balancer are in service
        "#]]
        .assert_eq(&deployment.report(&ElbInstances).await);
    }

    #[tokio::test]
    async fn without_machines_nobody_answers() {
        let mut deployment = Deployment::classic();
        *deployment.file("aws/elb/describe-instance-health") =
            json!({ "aclassic": { "InstanceStates": [] } });
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-elb-instances
              load balancer aclassic has no machine behind it
                fix       asks again
                          aws elb describe-instance-health --region us-west-2 \
                            --load-balancer-name aclassic
              kubectl kfcheck explain aws-elb-instances

            FAIL     aws-elb-instances
                     The machines behind the classic load balancer are in service
        "#]]
        .assert_eq(&deployment.report(&ElbInstances).await);
    }

    #[tokio::test]
    async fn without_their_health_it_is_open() {
        let mut deployment = Deployment::classic();
        deployment.without("aws/elb/describe-instance-health");
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 1 not seen.

            NOT SEEN, so a cause may hide there
              aws-elb-instances
                not collected: aclassic in aws/elb/describe-instance-health.json
                  aws elb describe-instance-health --load-balancer-name aclassic

            unknown  aws-elb-instances
                     The machines behind the classic load balancer are in service
                     (not collected: aclassic in aws/elb/describe-instance-health.json; `aws
                     elb describe-instance-health --load-balancer-name aclassic` prints it
                     (asking for aws.instanceHealth {"load_balancer":"aclassic"}))
        "#]]
        .assert_eq(&deployment.report(&ElbInstances).await);
    }

    #[tokio::test]
    async fn those_in_service_are_fine() {
        let deployment = Deployment::classic();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-elb-instances
                     The machines behind the classic load balancer are in service
        "#]]
        .assert_eq(&deployment.report(&ElbInstances).await);
    }

    #[tokio::test]
    async fn an_ingress_has_none() {
        let deployment = Deployment::healthy();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     aws-elb-instances
                     The machines behind the classic load balancer are in service
                     (no classic load balancer is at the entrance)
        "#]]
        .assert_eq(&deployment.report(&ElbInstances).await);
    }
}
