"""A world on AWS, kept by moto: says on standard output where it is and what is in it, as one line of
JSON, and goes on until standard input ends.

Cluster kf in us-west-2 with machines, an ALB that signs users in with Cognito, a classic load balancer
with the nine TCP listeners that Istio's gateway had, certificates, a zone, roles, and eksctl's stacks;
beside it cluster kf-2 in the same network, and what cluster old left behind.
"""

import datetime
import json
import os
import sys

os.environ.update(
    AWS_ACCESS_KEY_ID="test",
    AWS_SECRET_ACCESS_KEY="test",
    AWS_DEFAULT_REGION="us-west-2",
    MOTO_ACM_VALIDATION_WAIT="0",  # seconds until a certificate is issued
)

import boto3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from moto.server import ThreadedMotoServer

HOST = "kf.example.com"


def tags(**pairs):
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


def stack_template(policies):
    """Of a node group: its role, with the policies that the stack owns."""
    role = {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": TRUST,
            "ManagedPolicyArns": [f"arn:aws:iam::aws:policy/{name}" for name in policies],
        },
    }
    return json.dumps({"Resources": {"NodeInstanceRole": role}})


TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
OWNED = ["AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryReadOnly"]
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "elasticloadbalancing:*", "Resource": "*"}],
}


def own_certificate(host):
    """One that no authority of ACM's has issued."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    return {
        "Certificate": certificate.public_bytes(pem),
        "PrivateKey": key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, plain),
    }


def build(endpoint):
    def client(service, region="us-west-2"):
        return boto3.client(service, region_name=region, endpoint_url=endpoint)

    ec2, eks, iam, cfn = client("ec2"), client("eks"), client("iam"), client("cloudformation")
    elbv2, elb, route53 = client("elbv2"), client("elb"), client("route53")
    world = {"endpoint": endpoint, "account": client("sts").get_caller_identity()["Account"]}

    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"us-west-2{zone}")[
            "Subnet"
        ]["SubnetId"]
        for n, zone in enumerate("ab")
    ]
    ec2.create_tags(Resources=subnets, Tags=tags(**{"kubernetes.io/cluster/kf": "shared", "kubernetes.io/role/elb": "1"}))

    def group(name, **rule):
        created = ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]
        if rule:
            ec2.authorize_security_group_ingress(GroupId=created, IpPermissions=[{"IpProtocol": "tcp", **rule}])
        return created

    front = group("front", FromPort=443, ToPort=443, IpRanges=[{"CidrIp": "0.0.0.0/0"}])
    nodes = group("nodes", FromPort=30000, ToPort=32767, UserIdGroupPairs=[{"GroupId": front}])

    def stack(cluster, kind, policies=OWNED, **more):
        name = f"eksctl-{cluster}-{kind}"
        marks = {"alpha.eksctl.io/cluster-name": cluster, **more}
        template = stack_template(policies)
        cfn.create_stack(StackName=name, TemplateBody=template, Tags=tags(**marks))
        parts = cfn.describe_stack_resources(StackName=name)["StackResources"]
        return parts[0]["PhysicalResourceId"]

    role = stack("kf", "nodegroup-cpu", **{"alpha.eksctl.io/nodegroup-name": "cpu"})
    iam.put_role_policy(RoleName=role, PolicyName="iam_alb_ingress_policy", PolicyDocument=json.dumps(POLICY))
    orphan = stack("old", "nodegroup-cpu", **{"alpha.eksctl.io/nodegroup-name": "cpu"})
    iam.put_role_policy(RoleName=orphan, PolicyName="iam_alb_ingress_policy", PolicyDocument=json.dumps(POLICY))
    world.update(role=role, orphan=orphan)

    arn = f"arn:aws:iam::{world['account']}:role/{role}"
    for name in ["kf", "kf-2"]:
        cluster = eks.create_cluster(
            name=name, roleArn=arn, resourcesVpcConfig={"subnetIds": subnets, "securityGroupIds": [nodes]}
        )["cluster"]
        world[name] = cluster["endpoint"]
    eks.create_nodegroup(clusterName="kf", nodegroupName="cpu", subnets=subnets, nodeRole=arn)

    image = ec2.describe_images()["Images"][0]["ImageId"]
    marks = [{"ResourceType": "instance", "Tags": tags(**{"kubernetes.io/cluster/kf": "owned"})}]
    machines = ec2.run_instances(
        ImageId=image, MinCount=2, MaxCount=2, SubnetId=subnets[0], SecurityGroupIds=[nodes], TagSpecifications=marks
    )["Instances"]
    world["machines"] = [machine["InstanceId"] for machine in machines]

    acm = client("acm")
    shown = acm.request_certificate(DomainName=HOST, ValidationMethod="DNS")["CertificateArn"]
    sign_in = client("acm", "us-east-1").import_certificate(**own_certificate("auth.example.com"))
    world.update(certificate=shown, imported=sign_in["CertificateArn"])

    cognito = client("cognito-idp")
    pool = cognito.create_user_pool(PoolName="kubeflow")["UserPool"]
    users = cognito.create_user_pool_client(
        UserPoolId=pool["Id"],
        ClientName="kubeflow",
        GenerateSecret=True,
        CallbackURLs=[f"https://{HOST}/oauth2/idpresponse"],
        AllowedOAuthFlows=["code"],
        AllowedOAuthScopes=["openid"],
        AllowedOAuthFlowsUserPoolClient=True,
        SupportedIdentityProviders=["COGNITO"],
    )["UserPoolClient"]
    cognito.create_user_pool_domain(
        Domain="auth.example.com",
        UserPoolId=pool["Id"],
        CustomDomainConfig={"CertificateArn": sign_in["CertificateArn"]},
    )
    distribution = cognito.describe_user_pool_domain(Domain="auth.example.com")["DomainDescription"]
    pool_arn = f"arn:aws:cognito-idp:us-west-2:{world['account']}:userpool/{pool['Id']}"
    world.update(pool=pool_arn, client=users["ClientId"], secret=users["ClientSecret"])

    balancer = elbv2.create_load_balancer(
        Name="k8s-front",
        Subnets=subnets,
        SecurityGroups=[front],
        Tags=tags(**{"elbv2.k8s.aws/cluster": "kf", "ingress.k8s.aws/stack": "istio-system/front"}),
    )["LoadBalancers"][0]
    targets = elbv2.create_target_group(
        Name="k8s-gateway", Protocol="HTTP", Port=31380, VpcId=vpc, TargetType="instance", Matcher={"HttpCode": "200-399"}
    )["TargetGroups"][0]["TargetGroupArn"]
    elbv2.register_targets(
        TargetGroupArn=targets, Targets=[{"Id": machine, "Port": 31380} for machine in world["machines"]]
    )
    listener = elbv2.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTPS",
        Port=443,
        Certificates=[{"CertificateArn": shown}],
        DefaultActions=[
            {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404", "ContentType": "text/plain"}}
        ],
    )["Listeners"][0]["ListenerArn"]
    elbv2.create_rule(
        ListenerArn=listener,
        Priority=1,
        Conditions=[{"Field": "path-pattern", "Values": ["/*"]}],
        Actions=[
            {
                "Type": "authenticate-cognito",
                "Order": 1,
                "AuthenticateCognitoConfig": {
                    "UserPoolArn": pool_arn,
                    "UserPoolClientId": users["ClientId"],
                    "UserPoolDomain": "auth.example.com",
                    "OnUnauthenticatedRequest": "authenticate",
                },
            },
            {"Type": "forward", "Order": 2, "TargetGroupArn": targets},
        ],
    )
    world["alb"] = balancer["DNSName"]

    # Istio 1.1's gateway.
    ports = [(15020, 31020), (80, 31380), (443, 31390), (31400, 31400), (15029, 31029), (15030, 31030)]
    ports += [(15031, 31031), (15032, 31032), (15443, 32224)]
    listeners = [
        {"Protocol": "TCP", "LoadBalancerPort": port, "InstanceProtocol": "TCP", "InstancePort": node_port}
        for port, node_port in ports
    ]
    for name, cluster in [("aclassic", "kf"), ("aorphan", "old"), ("aneighbour", "kf-2")]:
        made = elb.create_load_balancer(
            LoadBalancerName=name,
            Listeners=listeners,
            Subnets=subnets,
            SecurityGroups=[front],
            Tags=tags(
                **{
                    f"kubernetes.io/cluster/{cluster}": "owned",
                    "kubernetes.io/service-name": "istio-system/istio-ingressgateway",
                }
            ),
        )
        world[name] = made["DNSName"]
    elb.register_instances_with_load_balancer(
        LoadBalancerName="aclassic", Instances=[{"InstanceId": machine} for machine in world["machines"]]
    )

    zone = route53.create_hosted_zone(Name="example.com", CallerReference="1")["HostedZone"]["Id"]
    records = [
        {"Name": "example.com", "Type": "A", "TTL": 300, "ResourceRecords": [{"Value": "198.51.100.7"}]},
        {
            "Name": HOST,
            "Type": "A",
            "AliasTarget": {
                "HostedZoneId": "Z1H1FL5HABSF5",
                "DNSName": f"dualstack.{balancer['DNSName']}",
                "EvaluateTargetHealth": False,
            },
        },
        {
            "Name": "auth.example.com",
            "Type": "A",
            "AliasTarget": {
                "HostedZoneId": "Z2FDTNDATAQYW2",
                "DNSName": distribution["CloudFrontDistribution"],
                "EvaluateTargetHealth": False,
            },
        },
    ]
    changes = [{"Action": "CREATE", "ResourceRecordSet": record} for record in records]
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
    return world


server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
address, port = server.get_host_and_port()
print(json.dumps(build(f"http://{address}:{port}")), flush=True)
sys.stdin.read()
server.stop()
