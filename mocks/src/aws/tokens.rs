//! Credentials that are asked for by a token, in requests without signature.

use http::{Response, StatusCode};
use serde_json::json;

use super::{
    request::Asked,
    wire::{self, REQUEST_ID},
    xml::element,
};

/// The tokens that are taken: of a service account, and of a sign-in.
pub const TOKENS: [&str; 2] = ["a-service-accounts-token", "a-sign-ins-token"];
/// The access keys that are given for them.
pub const KEYS: [&str; 2] = ["ASIAOFWEBIDENTITY", "ASIAOFSIGNIN"];
/// Until when they are good.
const LATE: &str = "2099-01-01T00:00:00Z";

impl Asked {
    /// The answer to such a request; nothing where it is another. `AssumeRoleWithWebIdentity` (STS API
    /// reference) and `GetRoleCredentials` (IAM Identity Center Portal API reference).
    pub(super) fn credentials_for_token(&self) -> Option<Response<String>> {
        let form = self.form();
        let field = |name: &str| form.iter().find(|(field, _)| field == name).map(|(_, v)| &**v);
        if field("Action") == Some("AssumeRoleWithWebIdentity") {
            if field("WebIdentityToken") != Some(TOKENS[0]) {
                let code = "InvalidIdentityToken";
                return Some(wire::error(wire::Format::Xml, 400, code, "Couldn't read it"));
            }
            let inside = element("AccessKeyId", KEYS[0])
                + &element("SecretAccessKey", "not-a-secret")
                + &element("SessionToken", "not-a-secret")
                + &element("Expiration", LATE);
            let role = field("RoleArn").unwrap_or_default();
            let user = element("AssumedRoleId", "AROA:s") + &element("Arn", role);
            let result = element(
                "AssumeRoleWithWebIdentityResult",
                &(element("Credentials", &inside) + &element("AssumedRoleUser", &user)),
            );
            let id = element("ResponseMetadata", &element("RequestId", REQUEST_ID));
            let document = element("AssumeRoleWithWebIdentityResponse", &(result + &id));
            return Some(wire::answer(StatusCode::OK, "text/xml", document));
        }
        if self.is_path(&["federation", "credentials"]) {
            if self.header("x-amz-sso_bearer_token") != Some(TOKENS[1]) {
                let code = "UnauthorizedException";
                return Some(wire::error(wire::Format::RestJson, 401, code, "Session expired"));
            }
            let given = json!({ "roleCredentials": { "accessKeyId": KEYS[1],
                "secretAccessKey": "not-a-secret", "sessionToken": "not-a-secret",
                "expiration": 4_070_908_800_000_u64 } });
            return Some(wire::answer(StatusCode::OK, "application/json", given.to_string()));
        }
        None
    }
}
