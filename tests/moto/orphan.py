"""What a deleted cluster left behind on AWS, kept by moto: says on standard output, as one line of JSON,
where moto is, which stacks a CloudFormation before it has, and the ids of what there is; goes on until
standard input ends. The world is made once. Each empty line on standard input asks for another moto that
has it as it was made, which takes a moment only; a line "end ENDPOINT" is the end of one.

Cluster kf-old of eksctl was deleted in the console. Its node group's stack is DELETE_FAILED, because the
role has an inline policy and an attached one from outside; the stacks of the cluster and of a service
account are as they were; Kubernetes left two load balancers, their security groups, rules for these in
the group of the machines, which is tagged as owned as well, and a network interface. Cluster kf is alive beside it, with the same kinds of things. Of cluster kf-older there is a
stack that is protected, and other stacks are not eksctl's at all.
"""

import json
import os
import signal
import sys

os.environ.update(
    AWS_ACCESS_KEY_ID="test",
    AWS_SECRET_ACCESS_KEY="test",
    AWS_DEFAULT_REGION="us-west-2",
    MOTO_IAM_LOAD_MANAGED_POLICIES="true",
)

import boto3
import moto.iam.aws_managed_policies as managed
from moto.server import ThreadedMotoServer

# moto knows all of AWS's own policies, and takes seconds to make them.
KNOWN = [
    "AmazonEC2ContainerRegistryReadOnly",
    "AmazonEKSClusterPolicy",
    "AmazonEKSVPCResourceController",
    "AmazonEKSWorkerNodePolicy",
    "AmazonEKS_CNI_Policy",
    "AmazonSSMManagedInstanceCore",
    "IAMReadOnlyAccess",
]
all_of_them = json.loads(managed.aws_managed_policies_data)
managed.aws_managed_policies_data = json.dumps({name: all_of_them[name] for name in KNOWN})

REGION = "us-west-2"
MADE = "2025-03-01T10:00:00.000Z"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
FOREIGN = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["elasticloadbalancing:*", "ec2:DescribeSubnets"], "Resource": "*"}
    ],
}
AUTO_SCALING = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "autoscaling:SetDesiredCapacity", "Resource": "*"}],
}
NODE_POLICIES = ["AmazonEC2ContainerRegistryReadOnly", "AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy"]


def tags(pairs):
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


def arn(name):
    return f"arn:aws:iam::aws:policy/{name}"


def sub(text):
    return {"Fn::Sub": text}


def ref(name):
    return {"Ref": name}


class World:
    def __init__(self, endpoint):
        def client(service):
            return boto3.client(service, region_name=REGION, endpoint_url=endpoint)

        self.ec2, self.eks, self.iam = client("ec2"), client("eks"), client("iam")
        self.elb, self.elbv2 = client("elb"), client("elbv2")
        self.account = client("sts").get_caller_identity()["Account"]

    # --- stacks ------------------------------------------------------------------------------------

    def stack(self, name, tags, resources, template, status="CREATE_COMPLETE", **more):
        """Resources by logical id; what `Template` a resource has goes into the stack's."""
        nth = len(self.stacks) + 1
        stack = {
            "name": name,
            "id": f"arn:aws:cloudformation:{REGION}:{self.account}:stack/{name}/5f0c1e40-0000-11f0-9a1b-{nth:012x}",
            "tags": tags,
            "status": status,
            "creationTime": MADE,
            "resources": [{"logicalId": logical, **of} for logical, of in resources.items()],
            "template": {"AWSTemplateFormatVersion": "2010-09-09", "Resources": template},
            "events": [
                {"status": "CREATE_IN_PROGRESS", "reason": "User Initiated", "time": MADE},
                {"status": "CREATE_COMPLETE", "time": MADE},
            ],
            **more,
        }
        self.stacks.append(stack)
        return stack

    def eksctl(self, cluster, kind, resources, template, more_tags={}, **more):
        marks = {
            "alpha.eksctl.io/cluster-name": cluster,
            "eksctl.cluster.k8s.io/v1alpha1/cluster-name": cluster,
            "alpha.eksctl.io/eksctl-version": "0.205.0",
            **more_tags,
        }
        return self.stack(f"eksctl-{cluster}-{kind}", marks, resources, template, **more)

    # --- parts -------------------------------------------------------------------------------------

    def role(self, stack, logical, attached):
        """A role as a template with managed policies makes it: its name has a generated end."""
        name = f"{stack}-{logical}"[:51] + "-" + next(self.suffixes)
        self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
        for policy in attached:
            self.iam.attach_role_policy(RoleName=name, PolicyArn=arn(policy))
        template = {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": TRUST,
                "ManagedPolicyArns": [sub("arn:${AWS::Partition}:iam::aws:policy/" + policy) for policy in attached],
            },
        }
        owns = {"attachedPolicies": [arn(policy) for policy in attached]}
        return {"type": "AWS::IAM::Role", "physicalId": name, "owns": owns}, template

    def network(self, cluster, third):
        """Network, subnets, way out and security groups, as the stack of a cluster has them."""
        ec2 = self.ec2
        part = lambda kind, id, **more: {"type": f"AWS::EC2::{kind}", "physicalId": id, **more}
        vpc = ec2.create_vpc(CidrBlock=f"10.{third}.0.0/16")["Vpc"]["VpcId"]
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
        parts = {
            "InternetGateway": part("InternetGateway", gateway),
            "VPC": part("VPC", vpc),
            "VPCGatewayAttachment": part(
                "VPCGatewayAttachment",
                f"IGW|{vpc}",
                dependsOn=["InternetGateway", "VPC"],
                properties={"InternetGatewayId": gateway, "VpcId": vpc},
            ),
            "PublicRouteTable": part("RouteTable", table, dependsOn=["VPC"]),
            "PublicSubnetRoute": part(
                "Route", f"{table}|0.0.0.0/0", dependsOn=["PublicRouteTable", "VPCGatewayAttachment"]
            ),
        }
        subnets = []
        for n, zone in enumerate("AB"):
            subnet = ec2.create_subnet(
                VpcId=vpc, CidrBlock=f"10.{third}.{n}.0/24", AvailabilityZone=f"{REGION}{zone.lower()}"
            )["Subnet"]["SubnetId"]
            association = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
            own = f"SubnetPublicUSWEST2{zone}"
            parts[own] = part("Subnet", subnet, dependsOn=["VPC"])
            parts[f"RouteTableAssociationPublicUSWEST2{zone}"] = part(
                "SubnetRouteTableAssociation", association, dependsOn=["PublicRouteTable", own]
            )
            subnets.append(subnet)
        control = self.group(vpc, f"eksctl-{cluster}-cluster-ControlPlaneSecurityGroup")
        shared = self.group(vpc, f"eksctl-{cluster}-cluster-ClusterSharedNodeSecurityGroup")
        parts["ControlPlaneSecurityGroup"] = part("SecurityGroup", control, dependsOn=["VPC"])
        parts["ClusterSharedNodeSecurityGroup"] = part("SecurityGroup", shared, dependsOn=["VPC"])
        parts["IngressInterNodeGroupSG"] = self.rule(
            shared, shared, 0, 65535, dependsOn=["ClusterSharedNodeSecurityGroup"]
        )
        template = {
            logical: {"Type": of["type"], "Properties": {}} for logical, of in parts.items()
        }
        return vpc, subnets, control, shared, parts, template

    def group(self, vpc, name, **marks):
        made = self.ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
        if marks:
            self.ec2.create_tags(Resources=[made], Tags=tags(marks))
        return made

    def rule(self, group, source, first, last, **more):
        self.ec2.authorize_security_group_ingress(
            GroupId=group,
            IpPermissions=[
                {
                    "IpProtocol": "tcp",
                    "FromPort": first,
                    "ToPort": last,
                    "UserIdGroupPairs": [{"GroupId": source}],
                }
            ],
        )
        properties = {
            "GroupId": group,
            "SourceSecurityGroupId": source,
            "IpProtocol": "tcp",
            "FromPort": first,
            "ToPort": last,
        }
        return {"type": "AWS::EC2::SecurityGroupIngress", "physicalId": f"sgr-{group[3:]}", "properties": properties, **more}

    def let_in(self, group, source, description):
        """A rule that Kubernetes adds to the group of the machines, for a load balancer."""
        pair = {"GroupId": source, "Description": description}
        self.ec2.authorize_security_group_ingress(
            GroupId=group, IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": [pair]}]
        )

    def interface(self, subnet, group, cluster):
        """One that a machine left, as the pods' network makes them."""
        made = self.ec2.create_network_interface(
            SubnetId=subnet, Groups=[group], Description="aws-K8S-i-0a1b2c3d4e5f60718"
        )["NetworkInterface"]["NetworkInterfaceId"]
        marks = {"cluster.k8s.amazonaws.com/name": cluster, "node.k8s.amazonaws.com/instance_id": "i-0a1b2c3d4e5f60718"}
        self.ec2.create_tags(Resources=[made], Tags=tags(marks))
        return made

    def classic(self, name, cluster, vpc, subnets):
        """A Service's load balancer, and the security group that was made for it."""
        owner = {f"kubernetes.io/cluster/{cluster}": "owned"}
        group = self.group(vpc, f"k8s-elb-{name}", **owner)
        self.elb.create_load_balancer(
            LoadBalancerName=name,
            Listeners=[
                {"Protocol": "TCP", "LoadBalancerPort": port, "InstanceProtocol": "TCP", "InstancePort": at}
                for port, at in [(80, 31380), (443, 31390)]
            ],
            Subnets=subnets,
            SecurityGroups=[group],
            Tags=tags({**owner, "kubernetes.io/service-name": "istio-system/istio-ingressgateway"}),
        )
        return group

    def alb(self, name, cluster, vpc, subnets):
        """An Ingress's load balancer, with its security group and its targets."""
        owner = {"elbv2.k8s.aws/cluster": cluster, "ingress.k8s.aws/stack": "istio-system/istio-ingress"}
        group = self.group(vpc, name, **owner, **{"ingress.k8s.aws/resource": "ManagedLBSecurityGroup"})
        balancer = self.elbv2.create_load_balancer(
            Name=name, Subnets=subnets, SecurityGroups=[group], Tags=tags(owner)
        )["LoadBalancers"][0]["LoadBalancerArn"]
        targets = self.elbv2.create_target_group(
            Name=f"k8s-istiosys-{name[-10:]}", Protocol="HTTP", Port=31380, VpcId=vpc, TargetType="instance", Tags=tags(owner)
        )["TargetGroups"][0]["TargetGroupArn"]
        self.elbv2.create_listener(
            LoadBalancerArn=balancer,
            Protocol="HTTP",
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": targets}],
        )
        return group, balancer, targets

    # --- clusters ----------------------------------------------------------------------------------

    def cluster_stack(self, cluster, third, **more):
        vpc, subnets, control, shared, parts, template = self.network(cluster, third)
        name = f"eksctl-{cluster}-cluster"
        role, of_role = self.role(name, "ServiceRole", ["AmazonEKSClusterPolicy", "AmazonEKSVPCResourceController"])
        policy = f"{name}-PolicyCloudWatchMetrics"
        self.iam.put_role_policy(
            RoleName=role["physicalId"], PolicyName=policy, PolicyDocument=json.dumps(AUTO_SCALING)
        )
        role["owns"]["inlinePolicies"] = [policy]
        parts["ServiceRole"], template["ServiceRole"] = role, of_role
        parts["PolicyCloudWatchMetrics"] = {
            "type": "AWS::IAM::Policy",
            "physicalId": f"eksct-Poli-{next(self.suffixes)}",
            "dependsOn": ["ServiceRole"],
            "properties": {"PolicyName": policy, "Roles": [role["physicalId"]]},
        }
        template["PolicyCloudWatchMetrics"] = {
            "Type": "AWS::IAM::Policy",
            "Properties": {
                "PolicyDocument": AUTO_SCALING,
                "PolicyName": sub("${AWS::StackName}-PolicyCloudWatchMetrics"),
                "Roles": [ref("ServiceRole")],
            },
        }
        parts["ControlPlane"] = {
            "type": "AWS::EKS::Cluster",
            "physicalId": cluster,
            "dependsOn": ["ServiceRole", "ControlPlaneSecurityGroup", "SubnetPublicUSWEST2A", "SubnetPublicUSWEST2B"],
        }
        template["ControlPlane"] = {"Type": "AWS::EKS::Cluster", "Properties": {"Name": cluster}}
        values = {
            "VPC": vpc,
            "SecurityGroup": control,
            "SharedNodeSecurityGroup": shared,
            "SubnetsPublic": ",".join(subnets),
        }
        outputs = [
            {"key": key, "value": value, "export": f"{name}::{key}"} for key, value in values.items()
        ]
        self.eksctl(cluster, "cluster", parts, template, outputs=outputs, **more)
        return vpc, subnets, control, shared, role["physicalId"]

    def node_group(self, cluster, group, vpc, control, **more):
        """Its stack; the role is said to have what the template declares, and from outside an inline policy."""
        name = f"eksctl-{cluster}-nodegroup-{group}"
        role, of_role = self.role(name, "NodeInstanceRole", NODE_POLICIES)
        role_name = role["physicalId"]
        owned = f"{name}-PolicyAutoScaling"
        profile = f"{name}-NodeInstanceProfile-{next(self.suffixes)}"
        self.iam.put_role_policy(RoleName=role_name, PolicyName=owned, PolicyDocument=json.dumps(AUTO_SCALING))
        self.iam.create_instance_profile(InstanceProfileName=profile)
        self.iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=role_name)
        role["owns"].update(inlinePolicies=[owned], instanceProfiles=[profile])
        marks = {f"kubernetes.io/cluster/{cluster}": "owned", "alpha.eksctl.io/cluster-name": cluster}
        security = self.group(vpc, f"{name}-SG", **marks)
        parts = {
            "SG": {"type": "AWS::EC2::SecurityGroup", "physicalId": security, "slow": True},
            "IngressInterCluster": self.rule(security, control, 1025, 65535, dependsOn=["SG"]),
            "IngressInterClusterCP": self.rule(control, security, 443, 443, dependsOn=["SG"]),
            "NodeInstanceRole": role,
            "PolicyAutoScaling": {
                "type": "AWS::IAM::Policy",
                "physicalId": f"eksct-Poli-{next(self.suffixes)}",
                "dependsOn": ["NodeInstanceRole"],
                "properties": {"PolicyName": owned, "Roles": [role_name]},
            },
            "NodeInstanceProfile": {
                "type": "AWS::IAM::InstanceProfile",
                "physicalId": profile,
                "dependsOn": ["NodeInstanceRole"],
                "properties": {"Roles": [role_name]},
            },
            "NodeGroupLaunchTemplate": {
                "type": "AWS::EC2::LaunchTemplate",
                "physicalId": self.ec2.create_launch_template(
                    LaunchTemplateName=name, LaunchTemplateData={"InstanceType": "m5.large"}
                )["LaunchTemplate"]["LaunchTemplateId"],
                "dependsOn": ["NodeInstanceProfile", "SG"],
            },
            "NodeGroup": {
                "type": "AWS::AutoScaling::AutoScalingGroup",
                "physicalId": f"{name}-NodeGroup-{next(self.suffixes)}",
                "dependsOn": ["NodeGroupLaunchTemplate"],
            },
        }
        imports = [f"eksctl-{cluster}-cluster::{key}" for key in ["VPC", "SecurityGroup", "SharedNodeSecurityGroup"]]
        template = {logical: {"Type": of["type"], "Properties": {}} for logical, of in parts.items()}
        template["NodeInstanceRole"] = of_role
        template["PolicyAutoScaling"]["Properties"] = {
            "PolicyDocument": AUTO_SCALING,
            "PolicyName": sub("${AWS::StackName}-PolicyAutoScaling"),
            "Roles": [ref("NodeInstanceRole")],
        }
        template["NodeInstanceProfile"]["Properties"] = {"Path": "/", "Roles": [ref("NodeInstanceRole")]}
        template["SG"]["Properties"] = {"VpcId": {"Fn::ImportValue": imports[0]}}
        marks = {"alpha.eksctl.io/nodegroup-name": group, "alpha.eksctl.io/nodegroup-type": "unmanaged"}
        stack = self.eksctl(cluster, f"nodegroup-{group}", parts, template, marks, imports=imports, **more)
        self.iam.put_role_policy(
            RoleName=role_name, PolicyName="iam_alb_ingress_policy", PolicyDocument=json.dumps(FOREIGN)
        )
        return stack, role_name, profile, security

    def build(self):
        self.stacks, self.ids = [], {}
        self.suffixes = iter(f"{n:X}KQ7WZ0PLM" for n in range(0x1A3, 0xFFF))
        ids = self.ids
        # The orphan.
        vpc, subnets, control, shared, service_role = self.cluster_stack("kf-old", 0)
        stack, role, profile, security = self.node_group("kf-old", "ng-1", vpc, control)
        foreign = self.iam.create_policy(PolicyName="kf-old-s3-access", PolicyDocument=json.dumps(FOREIGN))
        foreign = foreign["Policy"]["Arn"]
        self.iam.attach_role_policy(RoleName=role, PolicyArn=foreign)
        failed(stack)
        self.ec2.delete_launch_template(LaunchTemplateName=stack["name"])
        account_name = "addon-iamserviceaccount-kubeflow-profiles-controller"
        account_role, of_role = self.role(f"eksctl-kf-old-{account_name}", "Role1", ["IAMReadOnlyAccess"])
        marks = {"alpha.eksctl.io/iamserviceaccount-name": "kubeflow/profiles-controller"}
        self.eksctl("kf-old", account_name, {"Role1": account_role}, {"Role1": of_role}, marks)
        classic_group = self.classic("a0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e5", "kf-old", vpc, subnets)
        alb_group, alb, targets = self.alb("k8s-istiosys-istioing-1f2e3d4c5b", "kf-old", vpc, subnets)
        self.let_in(security, classic_group, "")
        self.let_in(security, alb_group, "elbv2.k8s.aws/targetGroupBinding=shared")
        left_group = self.group(vpc, "k8s-elb-a9f8e7d6c5b4a3f2e1d0c9b8a7f6e5d4", **{"kubernetes.io/cluster/kf-old": "owned"})
        interface = self.interface(subnets[0], security, "kf-old")
        ids["orphan"] = {
            "cluster": "kf-old", "vpc": vpc, "subnets": subnets, "controlPlaneSecurityGroup": control,
            "sharedNodeSecurityGroup": shared, "serviceRole": service_role, "nodeRole": role,
            "instanceProfile": profile, "nodeSecurityGroup": security, "foreignPolicy": foreign,
            "serviceAccountRole": account_role["physicalId"],
            "classic": "a0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e5", "classicSecurityGroup": classic_group,
            "alb": alb, "albSecurityGroup": alb_group, "targetGroup": targets,
            "leftSecurityGroup": left_group, "networkInterface": interface,
        }

        # The neighbour, which is alive.
        vpc, subnets, control, shared, service_role = self.cluster_stack("kf", 1)
        self.eks.create_cluster(
            name="kf",
            roleArn=f"arn:aws:iam::{self.account}:role/{service_role}",
            resourcesVpcConfig={"subnetIds": subnets, "securityGroupIds": [control]},
        )
        _, role, profile, security = self.node_group("kf", "ng-1", vpc, control)
        group = self.classic("b0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e5", "kf", vpc, subnets)
        alb_group, alb, targets = self.alb("k8s-istiosys-istioing-9a8b7c6d5e", "kf", vpc, subnets)
        self.let_in(security, group, "")
        self.let_in(security, alb_group, "elbv2.k8s.aws/targetGroupBinding=shared")
        ids["neighbour"] = {
            "cluster": "kf", "vpc": vpc, "subnets": subnets, "serviceRole": service_role, "nodeRole": role,
            "instanceProfile": profile, "nodeSecurityGroup": security,
            "classic": "b0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e5", "classicSecurityGroup": group,
            "alb": alb, "albSecurityGroup": alb_group, "targetGroup": targets,
            "networkInterface": self.interface(subnets[0], security, "kf"),
        }

        # What is nobody's here, or protected.
        topic = {"Topic": {"type": "AWS::SNS::Topic", "physicalId": f"arn:aws:sns:{REGION}:{self.account}:alerts"}}
        of_topic = {"Topic": {"Type": "AWS::SNS::Topic"}}
        self.stack("kf-old-alerts", {"team": "ml"}, topic, of_topic)
        self.stack("eksctl-kf-old-nodegroup-by-hand", {"team": "ml"}, topic, of_topic)
        role, of_role = self.role("eksctl-kf-older-cluster", "ServiceRole", ["AmazonEKSClusterPolicy"])
        control = {"type": "AWS::EKS::Cluster", "physicalId": "kf-older", "dependsOn": ["ServiceRole"]}
        of_control = {"Type": "AWS::EKS::Cluster", "Properties": {"Name": "kf-older"}}
        self.eksctl(
            "kf-older",
            "cluster",
            {"ServiceRole": role, "ControlPlane": control},
            {"ServiceRole": of_role, "ControlPlane": of_control},
            terminationProtection=True,
        )
        ids["protected"] = {"cluster": "kf-older", "serviceRole": role["physicalId"]}


def failed(stack):
    """Makes of a stack one whose deletion has failed at the role, and then cancelled the rest."""
    gone = {"NodeGroup", "NodeGroupLaunchTemplate"}
    conflict = (
        "Cannot delete entity, must delete policies first. (Service: AmazonIdentityManagement; Status Code: 409; "
        "Error Code: DeleteConflict; Request ID: 0f1e2d3c-4b5a-4697-8877-66554433aabb; Proxy: null)"
    )
    reasons = {"NodeInstanceRole": conflict, "SG": "Resource deletion cancelled"}
    token = "eksctl-3b0c6f1e-5a4d-4e7f-9b8a-7c6d5e4f3a2b"
    moments = iter(f"2025-06-02T08:{n:02}:00.000Z" for n in range(60))
    events = stack["events"]
    events.append(
        {"status": "DELETE_IN_PROGRESS", "reason": "User Initiated", "time": next(moments), "clientRequestToken": token}
    )
    for part in reversed(stack["resources"]):
        logical = part["logicalId"]
        reason = reasons.get(logical)
        if reason:
            part.update(status="DELETE_FAILED", statusReason=reason)
        elif logical in gone:
            part.update(status="DELETE_COMPLETE")
        else:
            continue
        of = {
            "logicalId": logical,
            "physicalId": part["physicalId"],
            "type": part["type"],
            "clientRequestToken": token,
        }
        events.append({**of, "status": "DELETE_IN_PROGRESS", "time": next(moments)})
        events.append({**of, "status": part["status"], "time": next(moments), **({"reason": reason} if reason else {})})
    why = "The following resource(s) failed to delete: [NodeInstanceRole, SG]. "
    events.append({"status": "DELETE_FAILED", "reason": why, "time": next(moments), "clientRequestToken": token})
    stack.update(status="DELETE_FAILED", statusReason=why, deletionTime="2025-06-02T08:00:00.000Z")


def serving():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    return server, f"http://{host}:{port}"


def twin():
    """A process in which moto has the world as it was made: where it is, and which process."""
    from_child, to_parent = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(from_child)
        os.close(alive)
        _, own = serving()
        os.write(to_parent, own.encode())
        os.close(to_parent)
        os.read(lifeline, 1)  # nothing comes; it ends with the process that forked this one
        os._exit(0)
    os.close(to_parent)
    with os.fdopen(from_child) as said:
        return said.read(), child


server, endpoint = serving()
world = World(endpoint)
world.build()
server.stop()
lifeline, alive = os.pipe()
said = {"account": world.account, "region": REGION, "stacks": world.stacks, "ids": world.ids}
twins = {}
while True:
    endpoint, child = twin()
    twins[endpoint] = child
    print(json.dumps({"endpoint": endpoint, **said}), flush=True)
    line = sys.stdin.readline()
    while line.startswith("end "):
        child = twins.pop(line.split()[1])
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        line = sys.stdin.readline()
    if not line:
        break
