//! How CloudFormation deletes a part of a stack.

use std::io::Error;

use serde_json::Value;

use super::{
    lingering::Lingering, moto::Moto, obstacles::Network, stack::Resource, stale::Stale,
    words::Refusal,
};

/// What deletes, with what it needs to know.
pub(super) struct Removal<'a> {
    pub(super) moto: &'a Moto,
    pub(super) stale: &'a Stale,
    pub(super) region: &'a str,
    pub(super) lingering: &'a Lingering,
    /// Whether it takes from a role also what came from outside.
    pub(super) copes: bool,
}

type Done = Result<(), Refusal>;

impl Removal<'_> {
    /// Deletes a part at the server behind, or says why it stays. What is gone is fine, and so is
    /// what is of a kind that is not known here.
    pub(super) async fn remove(&self, part: &Resource) -> Done {
        let id = part.physical_id.as_str();
        let Self { moto, region, lingering, .. } = *self;
        let network = Network { moto, region, lingering };
        let one =
            |service, action, name| async move { self.act(service, action, &[(name, id)]).await };
        match part.kind.as_str() {
            "AWS::IAM::Role" => self.role(part).await,
            "AWS::IAM::Policy" => {
                let name = Some(part.property("PolicyName")).filter(|name| !name.is_empty());
                for role in texts(part, "Roles") {
                    let policy = [("RoleName", role), ("PolicyName", name.unwrap_or(id))];
                    self.act("iam", "DeleteRolePolicy", &policy).await?;
                }
                Ok(())
            }
            "AWS::IAM::ManagedPolicy" => {
                for role in texts(part, "Roles") {
                    let attached = [("RoleName", role), ("PolicyArn", id)];
                    self.act("iam", "DetachRolePolicy", &attached).await?;
                }
                one("iam", "DeletePolicy", "PolicyArn").await
            }
            "AWS::IAM::InstanceProfile" => {
                for role in texts(part, "Roles") {
                    self.leave_profile(role, id).await?;
                }
                one("iam", "DeleteInstanceProfile", "InstanceProfileName").await
            }
            "AWS::EC2::SecurityGroup" => {
                refused(network.keeps_group(id).await)?;
                one("ec2", "DeleteSecurityGroup", "GroupId").await
            }
            "AWS::EC2::Subnet" => {
                refused(network.keeps_subnet(id).await)?;
                one("ec2", "DeleteSubnet", "SubnetId").await
            }
            "AWS::EC2::VPC" => {
                refused(network.keeps_vpc(id).await)?;
                one("ec2", "DeleteVpc", "VpcId").await
            }
            "AWS::EC2::VPCGatewayAttachment" => {
                let vpc = part.property("VpcId");
                refused(network.keeps_way_out(vpc).await)?;
                let gateway = part.property("InternetGatewayId");
                let both = [("InternetGatewayId", gateway), ("VpcId", vpc)];
                self.act("ec2", "DetachInternetGateway", &both).await
            }
            "AWS::EC2::InternetGateway" => {
                let gone = one("ec2", "DeleteInternetGateway", "InternetGatewayId").await;
                gone.map_err(|refusal| Refusal {
                    message: format!(
                        "The internetGateway '{id}' has dependencies and cannot be deleted."
                    ),
                    ..refusal
                })
            }
            "AWS::EC2::RouteTable" => one("ec2", "DeleteRouteTable", "RouteTableId").await,
            "AWS::EC2::SubnetRouteTableAssociation" => {
                one("ec2", "DisassociateRouteTable", "AssociationId").await
            }
            "AWS::EC2::NatGateway" => one("ec2", "DeleteNatGateway", "NatGatewayId").await,
            "AWS::EC2::LaunchTemplate" => {
                one("ec2", "DeleteLaunchTemplate", "LaunchTemplateId").await
            }
            "AWS::EC2::NetworkInterface" => {
                refused(network.keeps_interface(id).await)?;
                one("ec2", "DeleteNetworkInterface", "NetworkInterfaceId").await
            }
            "AWS::EC2::EIP" if part.properties.contains_key("AllocationId") => {
                let address = [("AllocationId", part.property("AllocationId"))];
                self.act("ec2", "ReleaseAddress", &address).await
            }
            "AWS::EC2::SecurityGroupIngress" => self.rule(part, "RevokeSecurityGroupIngress").await,
            "AWS::EC2::SecurityGroupEgress" => self.rule(part, "RevokeSecurityGroupEgress").await,
            "AWS::EKS::Cluster" => self.eks(&format!("/clusters/{id}")).await,
            "AWS::EKS::Nodegroup" => match id.split_once('/') {
                Some((cluster, group)) => {
                    self.eks(&format!("/clusters/{cluster}/node-groups/{group}")).await
                }
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Takes from a role what the template declares, and then the role, if nothing else is on it.
    async fn role(&self, part: &Resource) -> Done {
        let role = part.physical_id.as_str();
        for name in &part.owns.inline_policies {
            self.act("iam", "DeleteRolePolicy", &[("RoleName", role), ("PolicyName", name)])
                .await?;
        }
        for arn in &part.owns.attached_policies {
            self.act("iam", "DetachRolePolicy", &[("RoleName", role), ("PolicyArn", arn)]).await?;
        }
        for profile in &part.owns.instance_profiles {
            self.leave_profile(role, profile).await?;
        }
        if self.copes {
            for (list, element, action, named) in [
                ("ListRolePolicies", "member", "DeleteRolePolicy", "PolicyName"),
                ("ListAttachedRolePolicies", "PolicyArn", "DetachRolePolicy", "PolicyArn"),
            ] {
                let own = [("RoleName", role)];
                let listed = self.moto.ask(("iam", self.region), list, &own).await;
                for policy in listed.map_err(broken)?.all(element) {
                    self.act("iam", action, &[("RoleName", role), (named, policy)]).await?;
                }
            }
        }
        match self.stale.conflict(role) {
            Some(message) => Err(Refusal::conflict(message)),
            None => self.act("iam", "DeleteRole", &[("RoleName", role)]).await,
        }
    }

    /// Takes a role out of an instance profile; moto fails where it is not in there.
    async fn leave_profile(&self, role: &str, profile: &str) -> Done {
        let own = [("RoleName", role)];
        let held = self.moto.ask(("iam", self.region), "ListInstanceProfilesForRole", &own).await;
        if !held.map_err(broken)?.mentions(profile) {
            return Ok(());
        }
        let both = [("RoleName", role), ("InstanceProfileName", profile)];
        self.act("iam", "RemoveRoleFromInstanceProfile", &both).await
    }

    /// Takes a rule out of a security group.
    async fn rule(&self, part: &Resource, action: &str) -> Done {
        let number = |name: &str| part.properties.get(name).map(Value::to_string);
        let (from, to) = (number("FromPort"), number("ToPort"));
        let mut rule = vec![
            ("GroupId", part.property("GroupId")),
            ("IpPermissions.1.IpProtocol", part.property("IpProtocol")),
        ];
        let named = [
            ("IpPermissions.1.FromPort", from.as_deref()),
            ("IpPermissions.1.ToPort", to.as_deref()),
        ];
        rule.extend(named.into_iter().filter_map(|(name, value)| Some((name, value?))));
        let others = ["SourceSecurityGroupId", "DestinationSecurityGroupId"];
        let others = others.map(|name| part.property(name)).into_iter();
        let group = others.filter(|id| !id.is_empty());
        rule.extend(group.map(|id| ("IpPermissions.1.Groups.1.GroupId", id)));
        let range = Some(part.property("CidrIp")).filter(|range| !range.is_empty());
        rule.extend(range.map(|range| ("IpPermissions.1.IpRanges.1.CidrIp", range)));
        self.act("ec2", action, &rule).await
    }

    async fn eks(&self, path: &str) -> Done {
        let (status, message) =
            self.moto.eks(self.region, "DELETE", path, String::new()).await.map_err(broken)?;
        let code = "ResourceInUseException".to_owned();
        match status {
            200..300 | 404 => Ok(()),
            status => Err(Refusal { service: "eks", status, code, message }),
        }
    }

    async fn act(&self, service: &'static str, action: &str, parameters: &[(&str, &str)]) -> Done {
        let answer = self.moto.ask((service, self.region), action, parameters).await;
        let answer = answer.map_err(broken)?;
        let code = answer.first("Code");
        let gone = ["NoSuchEntity", "NotFound", "NotFoundException", "NotAttached"];
        if answer.is_good() || gone.iter().any(|end| code.ends_with(end)) {
            return Ok(());
        }
        let (code, message) = (code.to_owned(), answer.first("Message").to_owned());
        Err(Refusal { service, status: answer.status, code, message })
    }
}

/// The texts in a property that is a list.
fn texts<'a>(part: &'a Resource, name: &str) -> impl Iterator<Item = &'a str> {
    let list = part.properties.get(name).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

fn refused(found: Result<Option<Refusal>, Error>) -> Done {
    match found.map_err(broken)? {
        Some(refusal) => Err(refusal),
        None => Ok(()),
    }
}

/// The server behind can't be asked.
#[allow(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn broken(error: Error) -> Refusal {
    let (code, message) = ("InternalFailure".to_owned(), error.to_string());
    Refusal { service: "ec2", status: 500, code, message }
}
