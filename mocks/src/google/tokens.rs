//! Google's token servers: `oauth2.googleapis.com` and `iamcredentials.googleapis.com`.

use std::{io, sync::Arc};

use axum::{body::Body, extract::Request, response::Response};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use rcgen::{KeyPair, PKCS_RSA_SHA256};
use serde_json::{Value, json};

use super::{LARGEST_BODY, reply};
use crate::{Server, server::Seen};

/// What `gcloud auth application-default login` asks the user for.
const GRANTED: [&str; 1] = ["https://www.googleapis.com/auth/cloud-platform"];

/// Gives tokens to a user, and to service accounts that the user may act as.
#[derive(Clone, Debug)]
pub struct TokenMock {
    refresh_token: String,
    accounts: Vec<String>,
}

impl TokenMock {
    /// For a user who has this refresh token; any other has expired.
    pub fn of_user(refresh_token: impl Into<String>) -> Self {
        Self { refresh_token: refresh_token.into(), accounts: Vec::new() }
    }

    /// The user may make tokens for this service account.
    #[must_use]
    pub fn acting_as(mut self, account: impl Into<String>) -> Self {
        self.accounts.push(account.into());
        self
    }

    /// The access token of somebody, `user` or the name of a service account, for these scopes.
    pub fn access_token(of: &str, scopes: &[&str]) -> String {
        let says = json!({ "of": of, "scopes": scopes });
        format!("ya29.{}", URL_SAFE_NO_PAD.encode(says.to_string()))
    }

    /// The identity token of a service account, for an audience. It is good for all time.
    pub fn identity_token(of: &str, audience: &str) -> String {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({ "email": of, "aud": audience, "exp": 4_102_444_800_u64 });
        [part(json!({ "alg": "none" })), part(claims), part(json!("signature"))].join(".")
    }

    /// The key of a service account, as the file that `gcloud iam service-accounts keys create`
    /// writes. Whoever has it signs tokens without asking anybody.
    pub fn key_of(account: &str) -> Value {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).map(|key| key.serialize_pem());
        json!({ "type": "service_account", "project_id": "ml-prod", "client_email": account,
            "private_key_id": "1", "private_key": key.unwrap_or_default() })
    }

    /// Starts to serve.
    pub async fn start(self) -> io::Result<Server> {
        let seen = Arc::new(Seen::default());
        let noted = Arc::clone(&seen);
        let answer = move |request: Request<Body>| {
            let (mock, noted) = (self.clone(), Arc::clone(&noted));
            async move {
                let (head, body) = request.into_parts();
                let body = axum::body::to_bytes(body, LARGEST_BODY).await.unwrap_or_default();
                let answer = mock.answer(head.uri.path(), &head.headers, &body);
                answer.unwrap_or_else(|| {
                    noted.note_unknown(format!("{} {}: no such method", head.method, head.uri));
                    reply(StatusCode::NOT_IMPLEMENTED, &Value::Null)
                })
            }
        };
        Server::start(seen, answer).await
    }

    fn answer(&self, path: &str, headers: &HeaderMap, body: &[u8]) -> Option<Response> {
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        if path == "/token" {
            return Some(self.refresh(&asked));
        }
        let (account, method) =
            path.strip_prefix("/v1/projects/-/serviceAccounts/")?.split_once(':')?;
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let is_user = bearer == Some(&format!("Bearer {}", Self::access_token("user", &GRANTED)));
        if !is_user || !self.accounts.iter().any(|may| may == account) {
            let says = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it \
                        may not exist).";
            let error = json!({ "code": 403, "message": says, "status": "PERMISSION_DENIED" });
            return Some(reply(StatusCode::FORBIDDEN, &json!({ "error": error })));
        }
        let answer = match method {
            "generateAccessToken" => {
                let scopes = asked["scope"].as_array().into_iter().flatten();
                let scopes: Vec<_> = scopes.filter_map(Value::as_str).collect();
                json!({ "accessToken": Self::access_token(account, &scopes),
                    "expireTime": "2100-01-01T00:00:00Z" })
            }
            "generateIdToken" => {
                let audience = asked["audience"].as_str().unwrap_or_default();
                json!({ "token": Self::identity_token(account, audience) })
            }
            _ => return None,
        };
        Some(reply(StatusCode::OK, &answer))
    }

    /// The scopes of the access token that a request carries, if it carries one: of one that was
    /// made here, or of one that a service account has signed itself.
    pub(super) fn scopes(headers: &HeaderMap) -> Option<Vec<String>> {
        let bearer = headers.get(AUTHORIZATION)?.to_str().unwrap_or_default();
        let token = bearer.strip_prefix("Bearer ").unwrap_or_default();
        let says = token.split('.').nth(1).unwrap_or_default();
        let says = URL_SAFE_NO_PAD.decode(says).unwrap_or_default();
        let says: Value = serde_json::from_slice(&says).unwrap_or_default();
        let signed = says["scope"].as_str().unwrap_or_default().split(' ').map(str::to_owned);
        let made = serde_json::from_value(says["scopes"].clone()).ok();
        Some(made.unwrap_or_else(|| signed.collect()))
    }

    fn refresh(&self, asked: &Value) -> Response {
        if asked["refresh_token"] != *self.refresh_token {
            let expired = json!({ "error": "invalid_grant",
                "error_description": "Token has been expired or revoked." });
            return reply(StatusCode::BAD_REQUEST, &expired);
        }
        let token = json!({ "access_token": Self::access_token("user", &GRANTED),
            "expires_in": 3599, "token_type": "Bearer", "scope": GRANTED.join(" ") });
        reply(StatusCode::OK, &token)
    }
}
