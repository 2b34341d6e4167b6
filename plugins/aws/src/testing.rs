//! Small worlds for the tests of checks.

use kfcheck::{Bundle, Check, Runner, World};
use kfcheck_kube::CloudView;
use kfcheck_report::{Style, text};
use serde_json::{Value, json};

/// The load balancer's ARN.
pub(crate) const BALANCER: &str = "arn:aws:elasticloadbalancing:us-west-2:111122223333:loadbalancer/app/k8s-front/50dc6c495c0c9188";
/// Its HTTPS listener's.
pub(crate) const LISTENER: &str = "arn:aws:elasticloadbalancing:us-west-2:111122223333:listener/app/k8s-front/50dc6c495c0c9188/f2f7";
/// Its target group's.
pub(crate) const TARGETS: &str =
    "arn:aws:elasticloadbalancing:us-west-2:111122223333:targetgroup/k8s-gateway/73e2d6bc24d8a067";
/// Its certificate's.
pub(crate) const CERTIFICATE: &str = "arn:aws:acm:us-west-2:111122223333:certificate/shown";
/// The pool's.
pub(crate) const POOL: &str = "arn:aws:cognito-idp:us-west-2:111122223333:userpool/us-west-2_pool";

/// A deployment of which a test changes what it is about: cluster `kf` in us-west-2, an Ingress
/// `istio-system/front` with ALB `k8s-front`, which listens on HTTPS for kf.example.com, signs users
/// in with Cognito's pool `us-west-2_pool`, client `client`, at auth.example.com, and goes by node
/// port 31380 of machine `i-1` to Service `istio-ingressgateway`. All of it is healthy.
pub(crate) struct Deployment {
    /// The objects of the cluster.
    pub(crate) objects: Vec<Value>,
    /// The other files of the bundle.
    pub(crate) files: Vec<(String, Value)>,
    /// Logs, by `NAMESPACE/POD/CONTAINER`.
    pub(crate) logs: Vec<(String, String)>,
}

impl Deployment {
    /// The healthy one.
    pub(crate) fn healthy() -> Self {
        let sign_in = json!({ "UserPoolArn": POOL, "UserPoolClientId": "client",
            "UserPoolDomain": "auth.example.com" });
        let labels = json!({ "app": "istio-ingressgateway", "istio": "ingressgateway" });
        let ready = json!([{ "type": "Ready", "status": "True" }]);
        let objects = vec![
            json!({ "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
                "metadata": { "namespace": "istio-system", "name": "front", "annotations": {
                    "kubernetes.io/ingress.class": "alb",
                    "alb.ingress.kubernetes.io/listen-ports": "[{\"HTTPS\":443}]",
                    "alb.ingress.kubernetes.io/certificate-arn": CERTIFICATE,
                    "alb.ingress.kubernetes.io/auth-type": "cognito",
                    "alb.ingress.kubernetes.io/auth-idp-cognito": sign_in.to_string() } },
                "spec": { "rules": [{ "http": { "paths": [{ "path": "/*", "backend": {
                    "service": { "name": "istio-ingressgateway", "port": { "number": 80 } } } }] } }] },
                "status": { "loadBalancer": { "ingress": [
                    { "hostname": "k8s-front-1.us-west-2.elb.amazonaws.com" }] } } }),
            json!({ "apiVersion": "v1", "kind": "Service",
                "metadata": { "namespace": "istio-system", "name": "istio-ingressgateway" },
                "spec": { "type": "NodePort", "selector": labels, "ports": [
                    { "name": "http2", "port": 80, "targetPort": 8080, "nodePort": 31380 },
                    { "name": "https", "port": 443, "targetPort": 8443, "nodePort": 31390 }] } }),
            json!({ "apiVersion": "v1", "kind": "Pod",
                "metadata": { "namespace": "istio-system", "name": "gateway-0", "labels": labels },
                "spec": { "nodeName": "ip-10-0-0-5", "containers": [{ "name": "istio-proxy",
                    "image": "proxy:1", "ports": [{ "containerPort": 8080 }, { "containerPort": 8443 }] }] },
                "status": { "phase": "Running", "podIP": "10.0.0.9", "conditions": ready } }),
            json!({ "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": { "namespace": "kube-system", "name": "aws-load-balancer-controller" },
                "spec": { "template": { "metadata": { "labels": { "app.kubernetes.io/name": "aws-load-balancer-controller" } } } },
                "status": { "readyReplicas": 1 } }),
            json!({ "apiVersion": "v1", "kind": "Pod",
                "metadata": { "namespace": "kube-system", "name": "controller-0",
                    "labels": { "app.kubernetes.io/name": "aws-load-balancer-controller" } },
                "spec": { "containers": [{ "name": "controller", "image": "controller:v2",
                    "args": ["--cluster-name=kf", "--ingress-class=alb"] }] },
                "status": { "phase": "Running", "conditions": ready } }),
            json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "ip-10-0-0-5" },
                "spec": { "providerID": "aws:///us-west-2a/i-1" } }),
        ];
        let files = [
            (
                "bundle",
                json!({ "collectedAt": "2026-11-21T12:00:00Z", "provider": "aws",
                    "aws": { "accountId": "111122223333", "region": "us-west-2", "cluster": "kf" },
                    "kubernetes": { "context": "test", "serverVersion": "v1.30.1" } }),
            ),
            ("kubernetes/events", json!({ "items": [] })),
            ("kubernetes/gateways.networking.istio.io", json!({ "items": [] })),
            ("kubernetes/virtualservices.networking.istio.io", json!({ "items": [] })),
            (
                "aws/sts/get-caller-identity",
                json!({ "Account": "111122223333",
                "Arn": "arn:aws:iam::111122223333:user/ops" }),
            ),
            ("aws/eks/list-clusters", json!({ "clusters": ["kf"] })),
            (
                "aws/eks/describe-cluster",
                json!({ "clusters": [{ "name": "kf", "status": "ACTIVE",
                "endpoint": "https://ABC.gr7.us-west-2.eks.amazonaws.com",
                "resourcesVpcConfig": { "vpcId": "vpc-1", "subnetIds": ["subnet-1", "subnet-2"],
                    "clusterSecurityGroupId": "sg-nodes" } }] }),
            ),
            (
                "aws/eks/describe-nodegroup",
                json!({ "nodegroups": [{ "nodegroupName": "cpu",
                "clusterName": "kf", "status": "ACTIVE",
                "nodeRole": "arn:aws:iam::111122223333:role/kf-nodes" }] }),
            ),
            (
                "aws/elbv2/describe-load-balancers",
                json!({ "LoadBalancers": [{
                "LoadBalancerArn": BALANCER, "LoadBalancerName": "k8s-front",
                "DNSName": "k8s-front-1.us-west-2.elb.amazonaws.com", "Scheme": "internet-facing",
                "CanonicalHostedZoneId": "Z1H1FL5HABSF5", "VpcId": "vpc-1", "Type": "application",
                "State": { "Code": "active" }, "SecurityGroups": ["sg-front"] }] }),
            ),
            (
                "aws/elbv2/describe-tags",
                json!({ "TagDescriptions": [{ "ResourceArn": BALANCER, "Tags": [
                { "Key": "elbv2.k8s.aws/cluster", "Value": "kf" },
                { "Key": "ingress.k8s.aws/stack", "Value": "istio-system/front" }] }] }),
            ),
            (
                "aws/elbv2/describe-listeners",
                json!({ "Listeners": [{ "ListenerArn": LISTENER,
                "LoadBalancerArn": BALANCER, "Port": 443, "Protocol": "HTTPS",
                "Certificates": [{ "CertificateArn": CERTIFICATE }],
                "DefaultActions": [{ "Type": "fixed-response" }] }] }),
            ),
            (
                "aws/elbv2/describe-rules",
                json!({ "Rules": [
                { "RuleArn": LISTENER.replace(":listener/", ":listener-rule/") + "/r1", "Priority": "1",
                    "Conditions": [{ "Field": "path-pattern", "Values": ["/*"] }],
                    "Actions": [{ "Type": "authenticate-cognito", "Order": 1,
                        "AuthenticateCognitoConfig": { "UserPoolArn": POOL, "UserPoolClientId": "client",
                            "UserPoolDomain": "auth.example.com", "Scope": "openid",
                            "OnUnauthenticatedRequest": "authenticate" } },
                        { "Type": "forward", "Order": 2, "TargetGroupArn": TARGETS }] },
                { "RuleArn": LISTENER.replace(":listener/", ":listener-rule/") + "/r2",
                    "Priority": "default", "IsDefault": true,
                    "Actions": [{ "Type": "fixed-response", "Order": 1 }] }] }),
            ),
            (
                "aws/elbv2/describe-target-groups",
                json!({ "TargetGroups": [{ "TargetGroupArn": TARGETS,
                "TargetGroupName": "k8s-gateway", "Protocol": "HTTP", "Port": 31380, "VpcId": "vpc-1",
                "TargetType": "instance", "HealthCheckProtocol": "HTTP",
                "HealthCheckPort": "traffic-port", "HealthCheckPath": "/",
                "Matcher": { "HttpCode": "200-399" }, "LoadBalancerArns": [BALANCER] }] }),
            ),
            (
                "aws/elbv2/describe-target-health",
                json!({ TARGETS: { "TargetHealthDescriptions": [
                { "Target": { "Id": "i-1", "Port": 31380 }, "TargetHealth": { "State": "healthy" } }] } }),
            ),
            ("aws/elb/describe-load-balancers", json!({ "LoadBalancerDescriptions": [] })),
            ("aws/elb/describe-tags", json!({ "TagDescriptions": [] })),
            (
                "aws/acm/describe-certificate",
                json!({ "Certificates": [
                { "CertificateArn": CERTIFICATE, "DomainName": "kf.example.com", "Status": "ISSUED",
                    "SubjectAlternativeNames": ["kf.example.com"], "Type": "AMAZON_ISSUED",
                    "KeyAlgorithm": "RSA-2048", "NotAfter": "2027-10-01T00:00:00Z",
                    "RenewalEligibility": "ELIGIBLE", "InUseBy": [BALANCER] },
                { "CertificateArn": "arn:aws:acm:us-east-1:111122223333:certificate/sign-in",
                    "DomainName": "auth.example.com", "Status": "ISSUED", "Type": "AMAZON_ISSUED",
                    "KeyAlgorithm": "RSA-2048", "NotAfter": "2027-10-01T00:00:00Z" }] }),
            ),
            (
                "aws/cognito-idp/describe-user-pool",
                json!({ "UserPools": [{ "Id": "us-west-2_pool",
                "Name": "kubeflow", "Arn": POOL, "CustomDomain": "auth.example.com" }] }),
            ),
            (
                "aws/cognito-idp/describe-user-pool-client",
                json!({ "UserPoolClients": [{
                "UserPoolId": "us-west-2_pool", "ClientId": "client", "ClientName": "kubeflow",
                "ClientSecret": "hunter2", "CallbackURLs": ["https://kf.example.com/oauth2/idpresponse"],
                "AllowedOAuthFlows": ["code"], "AllowedOAuthScopes": ["openid"],
                "AllowedOAuthFlowsUserPoolClient": true, "SupportedIdentityProviders": ["COGNITO"] }] }),
            ),
            (
                "aws/cognito-idp/describe-user-pool-domain",
                json!({ "DomainDescriptions": [{
                "UserPoolId": "us-west-2_pool", "Domain": "auth.example.com", "Status": "ACTIVE",
                "CloudFrontDistribution": "d111111abcdef8.cloudfront.net", "CustomDomainConfig": {
                    "CertificateArn": "arn:aws:acm:us-east-1:111122223333:certificate/sign-in" } }] }),
            ),
            ("aws/cognito-idp/describe-identity-provider", json!({ "IdentityProviders": [] })),
            (
                "aws/route53/list-hosted-zones",
                json!({ "HostedZones": [{ "Id": "/hostedzone/Z1",
                "Name": "example.com.", "Config": { "PrivateZone": false },
                "ResourceRecordSetCount": 3 }] }),
            ),
            (
                "aws/route53/list-resource-record-sets",
                json!({ "Z1": { "ResourceRecordSets": [
                { "Name": "example.com.", "Type": "A", "ResourceRecords": [{ "Value": "198.51.100.7" }] },
                { "Name": "kf.example.com.", "Type": "A", "AliasTarget": { "HostedZoneId": "Z1H1FL5HABSF5",
                    "DNSName": "dualstack.k8s-front-1.us-west-2.elb.amazonaws.com." } },
                { "Name": "auth.example.com.", "Type": "A", "AliasTarget": {
                    "HostedZoneId": "Z2FDTNDATAQYW2", "DNSName": "d111111abcdef8.cloudfront.net." } }] } }),
            ),
            (
                "aws/ec2/describe-subnets",
                json!({ "Subnets": [
                { "SubnetId": "subnet-1", "VpcId": "vpc-1", "AvailabilityZone": "us-west-2a" },
                { "SubnetId": "subnet-2", "VpcId": "vpc-1", "AvailabilityZone": "us-west-2b" }] }),
            ),
            (
                "aws/ec2/describe-security-groups",
                json!({ "SecurityGroups": [
                { "GroupId": "sg-nodes", "GroupName": "nodes", "VpcId": "vpc-1", "IpPermissions": [
                    { "IpProtocol": "tcp", "FromPort": 30000, "ToPort": 32767,
                        "UserIdGroupPairs": [{ "GroupId": "sg-front" }] }] },
                { "GroupId": "sg-front", "GroupName": "front", "VpcId": "vpc-1", "IpPermissions": [
                    { "IpProtocol": "tcp", "FromPort": 443, "ToPort": 443,
                        "IpRanges": [{ "CidrIp": "0.0.0.0/0" }] }] }] }),
            ),
            (
                "aws/ec2/describe-instances",
                json!({ "Reservations": [{ "Instances": [{
                "InstanceId": "i-1", "State": { "Name": "running" }, "VpcId": "vpc-1",
                "PrivateIpAddress": "10.0.0.5", "SubnetId": "subnet-1",
                "SecurityGroups": [{ "GroupId": "sg-nodes", "GroupName": "nodes" }],
                "MetadataOptions": { "HttpTokens": "required", "HttpPutResponseHopLimit": 2,
                    "HttpEndpoint": "enabled" } }] }] }),
            ),
            ("aws/ec2/describe-network-interfaces", json!({ "NetworkInterfaces": [] })),
            (
                "aws/cloudformation/describe-stacks",
                json!({ "Stacks": [
                { "StackId": "arn:aws:cloudformation:us-west-2:111122223333:stack/eksctl-kf-cluster/1",
                    "StackName": "eksctl-kf-cluster", "StackStatus": "CREATE_COMPLETE",
                    "Tags": [{ "Key": "alpha.eksctl.io/cluster-name", "Value": "kf" }] },
                { "StackId": "arn:aws:cloudformation:us-west-2:111122223333:stack/eksctl-kf-nodegroup-cpu/2",
                    "StackName": "eksctl-kf-nodegroup-cpu", "StackStatus": "CREATE_COMPLETE",
                    "Tags": [{ "Key": "alpha.eksctl.io/cluster-name", "Value": "kf" },
                        { "Key": "alpha.eksctl.io/nodegroup-name", "Value": "cpu" }] }] }),
            ),
            ("aws/cloudformation/describe-stack-events", json!({ "StackEvents": [] })),
            (
                "aws/cloudformation/describe-stack-resources",
                json!({ "StackResources": [
                { "StackName": "eksctl-kf-nodegroup-cpu", "LogicalResourceId": "NodeInstanceRole",
                    "PhysicalResourceId": "kf-nodes", "ResourceType": "AWS::IAM::Role",
                    "ResourceStatus": "CREATE_COMPLETE" }] }),
            ),
            (
                "aws/iam/list-roles",
                json!({ "Roles": [{ "RoleName": "kf-nodes",
                "Arn": "arn:aws:iam::111122223333:role/kf-nodes" }] }),
            ),
            ("aws/iam/list-role-policies", json!({ "kf-nodes": { "PolicyNames": [] } })),
            (
                "aws/iam/list-attached-role-policies",
                json!({ "kf-nodes": { "AttachedPolicies": [
                { "PolicyName": "AmazonEKSWorkerNodePolicy",
                    "PolicyArn": "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy" },
                { "PolicyName": "AmazonEKS_CNI_Policy",
                    "PolicyArn": "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy" },
                { "PolicyName": "AmazonEC2ContainerRegistryReadOnly",
                    "PolicyArn": "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryReadOnly" }] } }),
            ),
            (
                "aws/iam/list-instance-profiles-for-role",
                json!({ "kf-nodes": { "InstanceProfiles": [] } }),
            ),
            (
                "probes/dns",
                json!([
                { "name": "kf.example.com", "type": "A", "answers": ["44.230.1.10"] },
                { "name": "k8s-front-1.us-west-2.elb.amazonaws.com", "type": "A", "answers": ["44.230.1.10"] },
                { "name": "auth.example.com", "type": "A", "answers": ["13.224.1.1"] }]),
            ),
            (
                "probes/http",
                json!([
                { "url": "https://kf.example.com/", "status": 302, "headers": { "location":
                    "https://auth.example.com/oauth2/authorize?client_id=client&redirect_uri=https%3A%2F%2Fkf.example.com%2Foauth2%2Fidpresponse&response_type=code&scope=openid&state=abc" },
                    "tls": { "verified": true, "dnsNames": ["kf.example.com"] } }]),
            ),
        ];
        let files = files.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { objects, files, logs: Vec::new() }
    }

    /// The same with Service `istio-ingressgateway` behind classic load balancer `aclassic` instead:
    /// no Ingress, TCP 80 and 443, and no sign-in at AWS.
    pub(crate) fn classic() -> Self {
        let mut deployment = Self::healthy();
        deployment.objects.retain(|object| object["kind"] != "Ingress");
        let service = deployment.object("Service");
        service["spec"]["type"] = "LoadBalancer".into();
        service["status"] = json!({ "loadBalancer": { "ingress": [
            { "hostname": "aclassic-1.us-west-2.elb.amazonaws.com" }] } });
        for name in [
            "aws/elbv2/describe-load-balancers",
            "aws/elbv2/describe-listeners",
            "aws/elbv2/describe-rules",
            "aws/elbv2/describe-target-groups",
            "aws/elbv2/describe-tags",
        ] {
            for list in deployment.file(name).as_object_mut().unwrap().values_mut() {
                *list = json!([]);
            }
        }
        let listener = |port: u16, node_port: u16| {
            json!({ "Listener": { "Protocol": "TCP",
            "LoadBalancerPort": port, "InstanceProtocol": "TCP", "InstancePort": node_port },
            "PolicyNames": [] })
        };
        *deployment.file("aws/elb/describe-load-balancers") = json!({ "LoadBalancerDescriptions": [{
            "LoadBalancerName": "aclassic", "DNSName": "aclassic-1.us-west-2.elb.amazonaws.com",
            "Scheme": "internet-facing", "VPCId": "vpc-1",
            "ListenerDescriptions": [listener(80, 31380), listener(443, 31390)],
            "Instances": [{ "InstanceId": "i-1" }], "SecurityGroups": ["sg-front"],
            "HealthCheck": { "Target": "TCP:31380" } }] });
        *deployment.file("aws/elb/describe-tags") = json!({ "TagDescriptions": [{
            "LoadBalancerName": "aclassic", "Tags": [
                { "Key": "kubernetes.io/cluster/kf", "Value": "owned" },
                { "Key": "kubernetes.io/service-name", "Value": "istio-system/istio-ingressgateway" }] }] });
        *deployment.file("aws/elb/describe-instance-health") = json!({ "aclassic": {
            "InstanceStates": [{ "InstanceId": "i-1", "State": "InService" }] } });
        let records = &mut deployment.file("aws/route53/list-resource-record-sets")["Z1"];
        records["ResourceRecordSets"][1]["AliasTarget"]["DNSName"] =
            "dualstack.aclassic-1.us-west-2.elb.amazonaws.com.".into();
        deployment.file("probes/dns")[1]["name"] = "aclassic-1.us-west-2.elb.amazonaws.com".into();
        *deployment.file("probes/http") =
            json!([{ "url": "https://kf.example.com/", "status": 200 }]);
        *deployment.file("kubernetes/ingresses.networking.k8s.io") = json!({ "items": [] });
        deployment
    }

    /// The object of this kind; the first where there are several.
    pub(crate) fn object(&mut self, kind: &str) -> &mut Value {
        self.objects.iter_mut().find(|object| object["kind"] == kind).unwrap()
    }

    /// The object of this kind and name.
    pub(crate) fn named(&mut self, kind: &str, name: &str) -> &mut Value {
        let is = |object: &&mut Value| object["kind"] == kind && object["metadata"]["name"] == name;
        self.objects.iter_mut().find(is).unwrap()
    }

    /// Adds an object.
    pub(crate) fn add(&mut self, object: Value) {
        self.objects.push(object);
    }

    /// A file by its name without extension; a log, which is text, by its name with it.
    pub(crate) fn file(&mut self, name: &str) -> &mut Value {
        if !self.files.iter().any(|(known, _)| known == name) {
            self.files.push((name.to_owned(), Value::Null));
        }
        self.files.iter_mut().find(|(known, _)| known == name).map(|(_, value)| value).unwrap()
    }

    /// Leaves a file out, so that it is not collected.
    pub(crate) fn without(&mut self, name: &str) {
        self.files.retain(|(known, _)| known != name);
    }

    /// What `check` reports, every line of it.
    pub(crate) async fn report(&self, check: &'static dyn Check) -> String {
        let objects = json!({ "kind": "List", "items": self.objects });
        let bundle = Bundle::default().with("kubernetes/all.json", objects);
        let bundle = self.files.iter().fold(bundle, |bundle, (name, value)| match value.as_str() {
            // A log, by its whole name.
            Some(text) => bundle.with_text(name, text),
            None => bundle.with(&format!("{name}.json"), value.clone()),
        });
        let bundle = self.logs.iter().fold(bundle, |bundle, (container, lines)| {
            bundle.with_text(&format!("kubernetes/logs/{container}.log"), lines)
        });
        let path = [kfcheck_kube::PATH, crate::PATH].concat();
        let world = World::replay(bundle).path(&path).setting(CloudView(Some(&crate::AmazonCloud)));
        let report = Runner::default().run(&world, &[check]).await;
        text(&report, Style { verbose: true, colour: false })
    }
}
