//! JSON: ACM and Cognito.

use serde_json::{Value, json};

use super::{known, manifest, serve, target};
use crate::Server;

const POOL: &str = "eu-west-1_1";

async fn cognito(server: &Server, region: &str, action: &str, input: Value) -> (u16, Value) {
    let scope = format!("{region}/cognito-idp");
    let action = format!("AWSCognitoIdentityProviderService.{action}");
    let answer = target(server.address(), &scope, &action, &input).await;
    known(server);
    (answer.status, answer.json())
}

#[tokio::test]
async fn a_certificate_is_in_its_region_alone() {
    let arn = "arn:aws:acm:us-east-1:1:certificate/1";
    let certificate = json!({ "CertificateArn": arn, "NotAfter": "2031-01-01T00:00:00Z",
        "CreatedAt": 1_577_836_800.5, "FromTheFuture": 1 });
    let held = json!({ "Certificates": [certificate] });
    let server = serve([manifest(), ("aws/acm/describe-certificate", held)]).await;
    let action = "CertificateManager.DescribeCertificate";
    let input = json!({ "CertificateArn": arn });
    let there = target(server.address(), "us-east-1/acm", action, &input).await;
    assert!(there.head.contains("content-type: application/x-amz-json-1.1"), "{}", there.head);
    let expected = json!({ "CertificateArn": arn, "NotAfter": 1_924_992_000,
        "CreatedAt": 1_577_836_800.5 });
    assert_eq!(there.json(), json!({ "Certificate": expected }));
    let here = target(server.address(), "eu-west-1/acm", action, &input).await;
    assert_eq!((here.status, &here.json()["__type"]), (400, &json!("ResourceNotFoundException")));
    assert!(here.head.contains("x-amzn-errortype: resourcenotfoundexception"), "{}", here.head);
    known(&server);
}

#[tokio::test]
async fn what_is_of_a_pool_is_in_its_region_alone() {
    let server = serve([
        manifest(),
        ("aws/cognito-idp/describe-user-pool", json!({ "UserPools": [{ "Id": POOL }] })),
        (
            "aws/cognito-idp/describe-user-pool-client",
            json!({ "UserPoolClients": [
            { "UserPoolId": POOL, "ClientId": "c", "CallbackURLs": ["https://a/b"] },
        ] }),
        ),
        (
            "aws/cognito-idp/describe-identity-provider",
            json!({ "IdentityProviders": [
            { "UserPoolId": POOL, "ProviderName": "Okta", "ProviderType": "SAML" },
        ] }),
        ),
    ])
    .await;
    let input = json!({ "UserPoolId": POOL, "ClientId": "c" });
    let (_, client) = cognito(&server, "eu-west-1", "DescribeUserPoolClient", input.clone()).await;
    assert_eq!(client["UserPoolClient"]["CallbackURLs"], json!(["https://a/b"]));
    let (status, _) = cognito(&server, "us-east-1", "DescribeUserPoolClient", input).await;
    assert_eq!(status, 400);
    let (_, pool) =
        cognito(&server, "eu-west-1", "DescribeUserPool", json!({ "UserPoolId": POOL })).await;
    assert_eq!(pool, json!({ "UserPool": { "Id": POOL } }));
    let (_, list) =
        cognito(&server, "eu-west-1", "ListIdentityProviders", json!({ "UserPoolId": POOL })).await;
    assert_eq!(list["Providers"], json!([{ "ProviderName": "Okta", "ProviderType": "SAML" }]));
    let (_, gone) =
        cognito(&server, "eu-west-1", "DescribeUserPool", json!({ "UserPoolId": "eu-west-1_2" }))
            .await;
    assert_eq!(gone["__type"], "ResourceNotFoundException");
}

#[tokio::test]
async fn a_domain_that_is_not_there_is_described_as_nothing() {
    let domains = json!({ "DomainDescriptions": [
        { "UserPoolId": POOL, "Domain": "auth.example.com", "Status": "ACTIVE" },
    ] });
    let server = serve([manifest(), ("aws/cognito-idp/describe-user-pool-domain", domains)]).await;
    let ask = |domain: &str| json!({ "Domain": domain });
    let (_, there) =
        cognito(&server, "eu-west-1", "DescribeUserPoolDomain", ask("auth.example.com")).await;
    assert_eq!(there["DomainDescription"]["Status"], "ACTIVE");
    let (status, gone) =
        cognito(&server, "eu-west-1", "DescribeUserPoolDomain", ask("auth.example.org")).await;
    assert_eq!((status, gone), (200, json!({ "DomainDescription": {} })));
}
