use std::collections::BTreeMap;

use crate::{
    FrontClassics, FrontLoadBalancers, FrontTargetGroup, FrontTargetGroups, GroupName, Instances,
    NetworkInterfaces, OurVpc, Scope, SecurityGroup, TargetHealthDescription, TargetsHealth,
    admission::{Network, Source, admits, admits_anybody, cluster_name, ours},
    sign_in::doors_of,
    targets::{machine_of, pods_of},
};
use kfcheck::{Check, Cx, FactError, Fault, Findings, Resource, Risk, async_trait, check};

check! {
    /// ## What it checks
    /// That the security groups of the load balancer let anybody in at all on the port that users come
    /// by, and that those of the nodes, or of the pods where requests go to these directly, let the
    /// load balancer in on the port that it sends requests to and on the one that its health check
    /// asks.
    ///
    /// ## Why it matters
    /// What a security group doesn't let in is dropped without an answer: targets time out, and the
    /// load balancer answers 504 or 503.
    ///
    /// ## How to fix it
    /// Run the command shown. The controller adds such rules by itself, but only to a group that is
    /// tagged for the cluster, and not where `alb.ingress.kubernetes.io/security-groups` names groups
    /// without `manage-backend-security-group-rules`.
    pub(crate) struct NodeSecurityGroup;
    id: "aws-node-security-group",
    title: "Security groups let users and the load balancer through",
}

#[async_trait]
impl Check for NodeSecurityGroup {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let entrances = entrances(cx).await?;
        let groups = cx.get(FrontTargetGroups).await?;
        if groups.is_empty() && entrances.is_empty() {
            out.skip("no load balancer at the entrance has security groups or target groups");
            return Ok(());
        }
        let network = Network::of(cx).await?;
        let region = cx.get(Scope).await?.region.clone();
        for entrance in &entrances {
            entrance.examine(&network, &region, out);
        }
        for used in groups.iter() {
            let target_group = used.group.target_group_arn.clone();
            let health = cx.get(TargetsHealth { target_group }).await;
            let Some(health) = out.known(&used.group, health) else { continue };
            examine(cx, &network, used, &health.target_health_descriptions, out).await?;
        }
        Ok(())
    }
}

/// A load balancer that has security groups, and the port that users come by.
struct Entrance {
    balancer: Resource,
    name: String,
    groups: Vec<String>,
    port: u16,
}

async fn entrances(cx: &Cx) -> Result<Vec<Entrance>, FactError> {
    let mut all = Vec::new();
    for front in cx.get(FrontLoadBalancers).await?.iter() {
        let doors = doors_of(cx, &front.balancer).await?;
        let listeners = doors.iter().map(|door| (&*door.listener.protocol, door.listener.port));
        all.extend(Entrance::of(
            Resource::from(&front.balancer),
            &front.balancer.load_balancer_name,
            &front.balancer.security_groups,
            listeners,
        ));
    }
    for front in cx.get(FrontClassics).await?.iter() {
        let listeners = front.balancer.listeners();
        all.extend(Entrance::of(
            Resource::from(&front.balancer),
            &front.balancer.load_balancer_name,
            &front.balancer.security_groups,
            listeners.map(|listener| (&*listener.protocol, Some(listener.load_balancer_port))),
        ));
    }
    Ok(all)
}

impl Entrance {
    /// Nothing where no groups keep anybody out, or nothing listens where browsers come by.
    fn of<'a>(
        balancer: Resource,
        name: &str,
        groups: &[String],
        listeners: impl Iterator<Item = (&'a str, Option<i32>)>,
    ) -> Option<Self> {
        let number = |(_, port): (&str, Option<i32>)| port.and_then(|p| u16::try_from(p).ok());
        let listeners: Vec<_> = listeners.collect();
        let secure = listeners.iter().find(|l| l.1 == Some(443) || ["HTTPS", "TLS"].contains(&l.0));
        let port = number(*secure.or_else(|| listeners.iter().find(|l| l.1 == Some(80)))?)?;
        (!groups.is_empty()).then(|| Self {
            balancer,
            name: name.to_owned(),
            groups: groups.to_vec(),
            port,
        })
    }

    fn examine(&self, network: &Network, region: &str, out: &mut Findings) {
        // A list without them tells nothing; that they exist is certain.
        let Some(groups) = network.groups(self.groups.iter().map(String::as_str)) else { return };
        let Some(group) = groups.first() else { return };
        if admits_anybody(&groups, self.port) {
            out.ok(&self.balancer);
            return;
        }
        let Self { balancer, name, port, .. } = self;
        let resource = Resource::from(*group);
        let message = format!("lets nobody in to load balancer {name} on TCP {port}");
        out.fail(&resource, message)
            .evidence("load balancer's groups", self.groups.join(", "))
            .fix(
                Risk::Opens,
                "lets everybody in; name fewer addresses where not everybody is to come",
                format!(
                    "aws ec2 authorize-security-group-ingress --region {region} --group-id {} \
                     --protocol tcp --port {port} --cidr 0.0.0.0/0",
                    group.group_id
                ),
            );
        out.depends(balancer, &resource);
    }
}

async fn examine(
    cx: &Cx,
    network: &Network,
    used: &FrontTargetGroup,
    all: &[TargetHealthDescription],
    out: &mut Findings,
) -> Result<(), FactError> {
    let balancer = &used.balancer;
    let zones = balancer.availability_zones.iter().map(|zone| zone.subnet_id.as_str());
    let source = network.source(&balancer.security_groups, zones);
    let cluster = cluster_name(cx).await?;
    let mut shut: BTreeMap<&str, (&SecurityGroup, Vec<u16>)> = BTreeMap::new();
    let (mut seen, mut unseen) = (0, None);
    for target in all {
        let wanted = ports(used, target);
        if wanted.is_empty() {
            continue;
        }
        let id = target.target.as_ref().map_or("", |target| target.id.as_str());
        let ids = match groups_of(cx, used, id, is_healthy(target)).await {
            Ok(ids) => ids,
            Err(error) => {
                unseen.get_or_insert(error);
                continue;
            }
        };
        let groups = ids.as_ref().and_then(|ids| network.groups(ids.iter().map(String::as_str)));
        let Some(groups) = groups else {
            let says = format!("the security groups of target {id} are not known");
            unseen.get_or_insert(Fault::Unreachable(says).into());
            continue;
        };
        seen += 1;
        let Some(group) = ours(&groups, &cluster) else { continue };
        for port in wanted.into_iter().filter(|port| !admits(&groups, &source, *port)) {
            let (_, ports) = shut.entry(&group.group_id).or_insert((group, Vec::new()));
            if !ports.contains(&port) {
                ports.push(port);
            }
        }
    }
    let is_whole = unseen.is_none();
    if let (0, Some(error)) = (seen, unseen) {
        out.known::<()>(&used.group, Err(error));
        return Ok(());
    }
    if shut.is_empty() && is_whole && !all.is_empty() {
        out.ok(&used.group);
    }
    for (group, ports) in shut.into_values() {
        report(cx, used, group, &source, &ports, out).await?;
    }
    Ok(())
}

fn is_healthy(target: &TargetHealthDescription) -> bool {
    target.target_health.as_ref().is_some_and(|health| health.state == "healthy")
}

/// The ports that the load balancer connects to, without those that it is seen to reach.
fn ports(used: &FrontTargetGroup, target: &TargetHealthDescription) -> Vec<u16> {
    let number = |port: Option<i32>| port.and_then(|port| u16::try_from(port).ok());
    let serving = number(target.target.as_ref().and_then(|target| target.port))
        .or_else(|| number(used.group.port));
    let asked = match used.group.health_check_port.as_str() {
        "" | "traffic-port" => serving,
        port => port.parse().ok(),
    };
    let health = target.target_health.as_ref();
    let state = health.map_or("", |health| health.state.as_str());
    if ["draining", "unused", ""].contains(&state) {
        return Vec::new();
    }
    let answers = health.is_some_and(|health| health.reason == "Target.ResponseCodeMismatch");
    let reached = (state == "healthy" || answers).then_some(asked).flatten();
    // Without groups of its own, it is the clients' addresses that requests come from.
    let serving = serving.filter(|_| !used.balancer.security_groups.is_empty());
    let mut all: Vec<_> = [serving, asked].into_iter().flatten().collect();
    all.retain(|port| Some(*port) != reached);
    all.dedup();
    all
}

/// The security groups that a target is in: a machine's, or those of the interface that a pod is
/// reached by; nothing where there is no such target.
async fn groups_of(
    cx: &Cx,
    used: &FrontTargetGroup,
    id: &str,
    is_healthy: bool,
) -> Result<Option<Vec<String>>, FactError> {
    let named = |groups: &[GroupName]| groups.iter().map(|group| group.group_id.clone()).collect();
    let machine = match used.group.target_type.as_str() {
        "instance" => id.to_owned(),
        "ip" => {
            let vpc = (*cx.get(OurVpc).await?).clone();
            let all = cx.get(NetworkInterfaces { vpc }).await;
            let own = all.iter().flat_map(|all| all.iter()).find(|own| own.has(id));
            if let Some(own) = own {
                return Ok(Some(named(&own.groups)));
            }
            // Nodes can be set up so that pods are in other groups than they; what works isn't wrong.
            let machine = if is_healthy { None } else { machine_behind(cx, used, id).await };
            match machine {
                Some(machine) => machine,
                None => return all.map(|_| None),
            }
        }
        _ => return Ok(None),
    };
    let cluster = cluster_name(cx).await?;
    let machines = cx.get(Instances { cluster }).await?;
    let machine = machines.instances().find(|instance| instance.instance_id == machine);
    Ok(machine.map(|machine| named(&machine.security_groups)))
}

/// The machine that the pod at an address runs on.
async fn machine_behind(cx: &Cx, used: &FrontTargetGroup, address: &str) -> Option<String> {
    let pods = pods_of(cx, used.service.as_ref()?).await.ok()?;
    let pod = pods.iter().find(|pod| pod.status.pod_ip.as_deref() == Some(address))?;
    machine_of(cx, pod).await
}

async fn report(
    cx: &Cx,
    used: &FrontTargetGroup,
    group: &SecurityGroup,
    source: &Source,
    ports: &[u16],
    out: &mut Findings,
) -> Result<(), FactError> {
    let region = cx.get(Scope).await?.region.clone();
    let balancer = &used.balancer.load_balancer_name;
    let listed: Vec<_> = ports.iter().map(u16::to_string).collect();
    let listed = listed.join(" and ");
    let whose = if used.group.target_type == "ip" { "pods" } else { "nodes" };
    let resource = Resource::from(group);
    let message =
        format!("does not let load balancer {balancer} reach the {whose} on TCP {listed}");
    let finding = out.fail(&resource, message);
    if !source.groups.is_empty() {
        finding.evidence("load balancer's groups", source.groups.join(", "));
    }
    finding.evidence("target group", &used.group.target_group_name);
    for port in ports {
        if let Some(flag) = source.flag() {
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
    out.depends(&used.group, &resource);
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::NodeSecurityGroup;
    use crate::testing::{Deployment, TARGETS};

    /// The target doesn't answer, and the nodes' group lets this in.
    fn with(permissions: serde_json::Value) -> Deployment {
        let mut deployment = Deployment::healthy();
        let groups = &mut deployment.file("aws/ec2/describe-security-groups")["SecurityGroups"];
        groups[0]["IpPermissions"] = permissions;
        let health = &mut deployment.file("aws/elbv2/describe-target-health")[TARGETS];
        health["TargetHealthDescriptions"][0]["TargetHealth"] =
            json!({ "State": "unhealthy", "Reason": "Target.Timeout" });
        deployment
    }

    #[tokio::test]
    async fn a_group_without_a_rule_for_the_load_balancer_is_mended() {
        let deployment = with(json!([{ "IpProtocol": "tcp", "FromPort": 443, "ToPort": 443,
            "UserIdGroupPairs": [{ "GroupId": "sg-front" }] }]));
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-node-security-group
              security group sg-nodes does not let load balancer k8s-front reach the nodes
                on TCP 31380
                load balancer's groups
                          sg-front
                target group
                          k8s-gateway
                fix       lets the load balancer in
                          aws ec2 authorize-security-group-ingress --region us-west-2 \
                            --group-id sg-nodes --protocol tcp --port 31380 \
                            --source-group sg-front
              kubectl kfcheck explain aws-node-security-group

            FAIL     aws-node-security-group
                     Security groups let users and the load balancer through
        "#]]
        .assert_eq(&deployment.report(&NodeSecurityGroup).await);
    }

    #[tokio::test]
    async fn a_load_balancer_that_lets_nobody_in_is_down() {
        let mut deployment = Deployment::healthy();
        let groups = &mut deployment.file("aws/ec2/describe-security-groups")["SecurityGroups"];
        let front = groups.as_array_mut().unwrap();
        let front = front.iter_mut().find(|group| group["GroupId"] == "sg-front").unwrap();
        front["IpPermissions"] = json!([{ "IpProtocol": "tcp", "FromPort": 80, "ToPort": 80,
            "IpRanges": [{ "CidrIp": "0.0.0.0/0" }] }]);
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-node-security-group
              security group sg-front lets nobody in to load balancer k8s-front on TCP 443
                load balancer's groups
                          sg-front
                fix       lets everybody in; name fewer addresses where not everybody is to
                          come
                          aws ec2 authorize-security-group-ingress --region us-west-2 \
                            --group-id sg-front --protocol tcp --port 443 --cidr 0.0.0.0/0
              kubectl kfcheck explain aws-node-security-group

            FAIL     aws-node-security-group
                     Security groups let users and the load balancer through
        "#]]
        .assert_eq(&deployment.report(&NodeSecurityGroup).await);
        let mut classic = Deployment::classic();
        *classic.file("aws/ec2/describe-security-groups") =
            deployment.file("aws/ec2/describe-security-groups").clone();
        let report = classic.report(&NodeSecurityGroup).await;
        assert!(report.contains("lets nobody in to load balancer aclassic on TCP 443"), "{report}");
    }

    #[tokio::test]
    async fn addresses_of_the_load_balancers_subnets_will_do() {
        let mut deployment =
            with(json!([{ "IpProtocol": "-1", "IpRanges": [{ "CidrIp": "10.0.0.0/16" }] }]));
        let balancers = deployment.file("aws/elbv2/describe-load-balancers");
        balancers["LoadBalancers"][0]["AvailabilityZones"] = json!([{ "SubnetId": "subnet-1" }]);
        let subnets = deployment.file("aws/ec2/describe-subnets");
        subnets["Subnets"][0]["CidrBlock"] = "10.0.1.0/24".into();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-node-security-group
                     Security groups let users and the load balancer through
        "#]]
        .assert_eq(&deployment.report(&NodeSecurityGroup).await);
    }

    #[tokio::test]
    async fn a_pod_in_a_group_of_its_own_is_judged_by_that() {
        let mut deployment = with(json!([{ "IpProtocol": "-1", "UserIdGroupPairs":
            [{ "GroupId": "sg-front" }] }]));
        let group = &mut deployment.file("aws/elbv2/describe-target-groups")["TargetGroups"][0];
        group["TargetType"] = "ip".into();
        group["Port"] = 8080.into();
        let health = &mut deployment.file("aws/elbv2/describe-target-health")[TARGETS];
        health["TargetHealthDescriptions"][0]["Target"] = json!({ "Id": "10.0.0.9", "Port": 8080 });
        *deployment.file("aws/ec2/describe-network-interfaces") = json!({ "NetworkInterfaces": [
            { "NetworkInterfaceId": "eni-1", "VpcId": "vpc-1", "Groups": [{ "GroupId": "sg-pods" }],
                "PrivateIpAddresses": [{ "PrivateIpAddress": "10.0.0.9" }] }] });
        let groups = deployment.file("aws/ec2/describe-security-groups");
        groups["SecurityGroups"]
            .as_array_mut()
            .unwrap()
            .push(json!({ "GroupId": "sg-pods", "VpcId": "vpc-1", "IpPermissions": [] }));
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-node-security-group
              security group sg-pods does not let load balancer k8s-front reach the pods on
                TCP 8080
                load balancer's groups
                          sg-front
                target group
                          k8s-gateway
                fix       lets the load balancer in
                          aws ec2 authorize-security-group-ingress --region us-west-2 \
                            --group-id sg-pods --protocol tcp --port 8080 \
                            --source-group sg-front
              kubectl kfcheck explain aws-node-security-group

            FAIL     aws-node-security-group
                     Security groups let users and the load balancer through
        "#]]
        .assert_eq(&deployment.report(&NodeSecurityGroup).await);
    }

    #[tokio::test]
    async fn the_interface_tells_of_a_healthy_pod_whose_health_port_is_another() {
        let mut deployment = with(json!([{ "IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080,
            "UserIdGroupPairs": [{ "GroupId": "sg-front" }] }]));
        let group = &mut deployment.file("aws/elbv2/describe-target-groups")["TargetGroups"][0];
        group["TargetType"] = "ip".into();
        group["HealthCheckPort"] = "15021".into();
        deployment.file("aws/elbv2/describe-target-health")[TARGETS] = json!({
            "TargetHealthDescriptions": [{ "Target": { "Id": "10.0.0.17", "Port": 8080 },
                "TargetHealth": { "State": "healthy" } }] });
        // The pods' addresses are given out by sixteens.
        *deployment.file("aws/ec2/describe-network-interfaces") = json!({ "NetworkInterfaces": [
            { "NetworkInterfaceId": "eni-1", "VpcId": "vpc-1", "Groups": [{ "GroupId": "sg-nodes" }],
                "Ipv4Prefixes": [{ "Ipv4Prefix": "10.0.0.16/28" }] }] });
        let says = deployment.report(&NodeSecurityGroup).await;
        assert!(says.contains("pass     aws-node-security-group"), "{says}");

        deployment.without("aws/ec2/describe-network-interfaces");
        let says = deployment.report(&NodeSecurityGroup).await;
        assert!(says.contains("unknown  aws-node-security-group"), "{says}");
        assert!(says.contains("aws ec2 describe-network-interfaces"), "{says}");
    }

    #[tokio::test]
    async fn what_is_healthy_is_reached() {
        let mut deployment = with(json!([]));
        let health = &mut deployment.file("aws/elbv2/describe-target-health")[TARGETS];
        health["TargetHealthDescriptions"][0]["TargetHealth"] = json!({ "State": "healthy" });
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-node-security-group
                     Security groups let users and the load balancer through
        "#]]
        .assert_eq(&deployment.report(&NodeSecurityGroup).await);
    }

    #[tokio::test]
    async fn without_the_machines_it_is_open() {
        let mut deployment = with(json!([]));
        deployment.without("aws/ec2/describe-instances");
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 1 not seen.

            NOT SEEN, so a cause may hide there
              aws-node-security-group
                not collected: aws/ec2/describe-instances.json
                  aws ec2 describe-instances \
                    --filters Name=tag-key,Values=kubernetes.io/cluster/kf

            unknown  aws-node-security-group
                     Security groups let users and the load balancer through
                     (not collected: aws/ec2/describe-instances.json; `aws ec2
                     describe-instances --filters
                     Name=tag-key,Values=kubernetes.io/cluster/kf` prints it (asking for
                     aws.instances {"cluster":"kf"}))
        "#]]
        .assert_eq(&deployment.report(&NodeSecurityGroup).await);
    }

    #[tokio::test]
    async fn without_the_groups_it_is_open() {
        let mut deployment = with(json!([]));
        deployment.without("aws/ec2/describe-security-groups");
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 1 not seen.

            NOT SEEN, so a cause may hide there
              aws-node-security-group
                not collected: vpc-1 in aws/ec2/describe-security-groups.json
                  aws ec2 describe-security-groups --filters Name=vpc-id,Values=vpc-1

            unknown  aws-node-security-group
                     Security groups let users and the load balancer through
                     (not collected: vpc-1 in aws/ec2/describe-security-groups.json; `aws
                     ec2 describe-security-groups --filters Name=vpc-id,Values=vpc-1` prints
                     it (asking for aws.securityGroups {"vpc":"vpc-1"}))
        "#]]
        .assert_eq(&deployment.report(&NodeSecurityGroup).await);
    }

    #[tokio::test]
    async fn a_classic_one_has_no_targets() {
        let deployment = Deployment::classic();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-node-security-group
                     Security groups let users and the load balancer through
        "#]]
        .assert_eq(&deployment.report(&NodeSecurityGroup).await);
    }
}
