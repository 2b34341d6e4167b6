//! The server behind, as CloudFormation itself uses it.

use std::io::{Error, Result};

use axum::body::{Body, Bytes};
use http::{
    Request, Response,
    header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, TRANSFER_ENCODING},
    request::Builder,
};
use http_body_util::BodyExt;
use url::{Url, form_urlencoded::Serializer};

use crate::fault_proxy::{forward::Upstream, whole};

/// A moto server.
pub(super) struct Moto {
    upstream: Upstream,
    host: String,
}

/// An answer of AWS's query protocol.
pub(super) struct Answer {
    /// The document.
    pub(super) text: String,
    pub(super) status: u16,
}

impl Moto {
    /// At that URL.
    pub(super) fn at(url: &str) -> Result<Self> {
        let url = Url::parse(url).map_err(Error::other)?;
        let host = url.authority().to_owned();
        Ok(Self { upstream: Upstream::at(&url)?, host })
    }

    /// Has a request answered that somebody else sent.
    pub(super) async fn forward(&self, request: Request<Bytes>) -> Result<Response<Body>> {
        let response = self.upstream.call(request.map(whole)).await?;
        let (mut head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        for hop in [CONNECTION, TRANSFER_ENCODING] {
            head.headers.remove(hop);
        }
        Ok(Response::from_parts(head, Body::from(body)))
    }

    /// Asks for an action of a service in a region.
    pub(super) async fn ask(
        &self,
        (service, region): (&str, &str),
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Answer> {
        let (scope, version) = match service {
            "elb" => ("elasticloadbalancing", "2012-06-01"),
            "elbv2" => ("elasticloadbalancing", "2015-12-01"),
            "ec2" => ("ec2", "2016-11-15"),
            _ => ("iam", "2010-05-08"),
        };
        let form = Serializer::new(String::new())
            .extend_pairs([("Action", action), ("Version", version)])
            .extend_pairs(parameters)
            .finish();
        let request = Request::post("/").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let (status, text) = self.send(request, region, scope, form).await?;
        Ok(Answer { text, status })
    }

    /// Asks EKS: the status and the body of its answer.
    pub(super) async fn eks(
        &self,
        region: &str,
        method: &str,
        path: &str,
        body: String,
    ) -> Result<(u16, String)> {
        self.send(Request::builder().method(method).uri(path), region, "eks", body).await
    }

    async fn send(
        &self,
        request: Builder,
        region: &str,
        scope: &str,
        body: String,
    ) -> Result<(u16, String)> {
        let signature = format!(
            "AWS4-HMAC-SHA256 Credential=cloudformation/20260101/{region}/{scope}/aws4_request, \
             SignedHeaders=host, Signature=0"
        );
        let request = request.header(HOST, &self.host).header(AUTHORIZATION, signature);
        let request = request.body(whole(body)).map_err(Error::other)?;
        let response = self.upstream.call(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

impl Answer {
    pub(super) fn is_good(&self) -> bool {
        self.status < 300
    }

    /// The contents of all elements of that name, none of which is in another one.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let (start, end) = (format!("<{name}>"), format!("</{name}>"));
        let parts = self.text.split(start.as_str()).skip(1);
        parts.filter_map(|rest| Some(rest.split_once(end.as_str())?.0.trim())).collect()
    }

    /// The contents of the first of them; empty where there is none.
    pub(super) fn first(&self, name: &str) -> &str {
        self.all(name).first().copied().unwrap_or_default()
    }

    /// Whether the whole content of some element is that.
    pub(super) fn mentions(&self, content: &str) -> bool {
        self.text.contains(&format!(">{content}<"))
    }
}
