//! What EC2 would not let go, where moto does.

use std::io::Result;

use super::{
    lingering::Lingering,
    moto::{Answer, Moto},
    words::Refusal,
};

/// One region of EC2, and what depends on what in it.
pub(super) struct Network<'a> {
    pub(super) moto: &'a Moto,
    pub(super) region: &'a str,
    pub(super) lingering: &'a Lingering,
}

impl Network<'_> {
    /// Why a security group can't be deleted, if so: interfaces and load balancers are in it, or
    /// the rules of another one name it.
    pub(super) async fn keeps_group(&self, id: &str) -> Result<Option<Refusal>> {
        let refers = async {
            for filter in ["ip-permission.group-id", "egress.ip-permission.group-id"] {
                if self.groups(filter, id).await?.iter().any(|group| group != id) {
                    return Ok::<_, std::io::Error>(true);
                }
            }
            Ok(false)
        };
        let kept = self.has_interfaces("group-id", id).await?
            || self.has_balancers(id).await?
            || refers.await?;
        let message = || format!("resource {id} has a dependent object");
        Ok(kept.then(|| Refusal::dependency(message())))
    }

    /// Why a subnet can't be deleted, if so: interfaces and load balancers are in it.
    pub(super) async fn keeps_subnet(&self, id: &str) -> Result<Option<Refusal>> {
        let kept = self.has_interfaces("subnet-id", id).await? || self.has_balancers(id).await?;
        Ok(kept.then(|| Self::dependencies("subnet", id)))
    }

    /// Why a network can't be deleted, if so: anything but what came with it is in it.
    pub(super) async fn keeps_vpc(&self, id: &str) -> Result<Option<Refusal>> {
        let subnets = self.ec2("DescribeSubnets", "vpc-id", id).await?;
        let gateways = self.ec2("DescribeInternetGateways", "attachment.vpc-id", id).await?;
        let groups = self.ec2("DescribeSecurityGroups", "vpc-id", id).await?;
        let own = groups.all("groupName").iter().any(|name| *name != "default");
        let kept = own
            || !subnets.first("subnetId").is_empty()
            || !gateways.first("internetGatewayId").is_empty()
            || self.has_interfaces("vpc-id", id).await?
            || self.has_balancers(id).await?;
        Ok(kept.then(|| Self::dependencies("vpc", id)))
    }

    /// Why the way to the internet can't be taken from a network, if so: something in it has a
    /// public address.
    pub(super) async fn keeps_way_out(&self, vpc: &str) -> Result<Option<Refusal>> {
        let message = || {
            format!(
                "Network {vpc} has some mapped public address(es). Please unmap those public \
                 address(es) before detaching the gateway."
            )
        };
        Ok(self.has_balancers(vpc).await?.then(|| Refusal::dependency(message())))
    }

    /// Why an interface can't be deleted, if so: a machine has it.
    pub(super) async fn keeps_interface(&self, id: &str) -> Result<Option<Refusal>> {
        let interface = self.ec2("DescribeNetworkInterfaces", "network-interface-id", id).await?;
        let message = || format!("Network interface '{id}' is currently in use.");
        let code = || "InvalidParameterValue".to_owned();
        let used = !interface.first("attachmentId").is_empty();
        Ok(used.then(|| Refusal { code: code(), ..Refusal::dependency(message()) }))
    }

    fn dependencies(kind: &str, id: &str) -> Refusal {
        Refusal::dependency(format!("The {kind} '{id}' has dependencies and cannot be deleted."))
    }

    async fn has_interfaces(&self, filter: &str, id: &str) -> Result<bool> {
        let interfaces = self.ec2("DescribeNetworkInterfaces", filter, id).await?;
        Ok(!interfaces.first("networkInterfaceId").is_empty())
    }

    /// Whether a load balancer of either kind is in a group, a subnet or a network.
    async fn has_balancers(&self, id: &str) -> Result<bool> {
        if self.lingering.holds(id) {
            return Ok(true);
        }
        for service in ["elb", "elbv2"] {
            let action = "DescribeLoadBalancers";
            if self.moto.ask((service, self.region), action, &[]).await?.mentions(id) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn groups(&self, filter: &str, id: &str) -> Result<Vec<String>> {
        let groups = self.ec2("DescribeSecurityGroups", filter, id).await?;
        let arns = groups.all("securityGroupArn").into_iter();
        Ok(arns.filter_map(|arn| Some(arn.rsplit_once('/')?.1.to_owned())).collect())
    }

    async fn ec2(&self, action: &str, filter: &str, value: &str) -> Result<Answer> {
        let filter = [("Filter.1.Name", filter), ("Filter.1.Value.1", value)];
        self.moto.ask(("ec2", self.region), action, &filter).await
    }
}
