use std::sync::Arc;

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::Request,
    response::Response,
};
use futures::future;
use http::{StatusCode, request::Parts};

use crate::{
    aws::{
        failure::Failure,
        request::{Asked, Call},
        wire::{Errand, Scope, error},
        write,
    },
    server::lock,
};

use super::{
    Cloud, OnCall,
    call::{AwsCall, Moment, Then},
    lingering::Lingering,
    obstacles::Network,
    reads,
    stale::Stale,
};

/// More than any request of ours.
const LARGEST_BODY: usize = 1 << 22;

/// Answers a request. It is done to its end also where its sender is gone.
pub(super) async fn answer(cloud: Arc<Cloud>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, LARGEST_BODY).await.unwrap_or_default();
    let done = tokio::spawn(async move { cloud.take(head, body).await });
    match done.await {
        Ok(Some(response)) => response,
        Ok(None) => future::pending().await,
        Err(_) => empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

impl Cloud {
    /// Answers a call unless it is lost.
    async fn take(&self, head: Parts, body: Bytes) -> Option<Response> {
        let call = {
            let mut calls = lock(&self.calls);
            let changes = calls.iter().filter(|call| call.changes()).count();
            let call = AwsCall::of(&head, &body, changes);
            calls.push(call.clone());
            call
        };
        if self.tell(self.on_call.as_ref(), &call, Moment::Before).await == Then::Lose {
            return None;
        }
        let versioned =
            |(name, value): &(String, String)| name == "Version" && value == "2010-05-15";
        let form = url::form_urlencoded::parse(&body).into_owned();
        let own = call.service == "cloudformation" || form.into_iter().any(|pair| versioned(&pair));
        let response = if own {
            self.own(head, body).await.map(Body::from)
        } else {
            self.others(head, body, &call).await
        };
        let then = self.tell(self.on_call.as_ref(), &call, Moment::After).await;
        (then == Then::GoOn).then_some(response)
    }

    async fn tell(&self, hook: Option<&OnCall>, call: &AwsCall, moment: Moment) -> Then {
        match hook {
            Some(hook) => hook(call.clone(), moment).await,
            None => Then::GoOn,
        }
    }

    /// Answers as CloudFormation.
    async fn own(&self, head: Parts, body: Bytes) -> Response<String> {
        let asked = Asked::of(head, body);
        let route = asked.route(&self.models);
        let (service, operation) = match &route {
            Ok(route) => (Some(route.service), Some(route.operation)),
            Err(_) => (None, None),
        };
        let answer = match route.and_then(|route| asked.check(route)) {
            Ok(call) => self.operate(&call).await.map(|given| write(&call, given, &self.seen)),
            Err(failure) => Err(failure),
        };
        answer.unwrap_or_else(|failure| {
            if let Some(why) = failure.unknown_because() {
                self.seen.note_unknown(format!("{}: {why}", asked.named()));
            }
            failure.answer(service, operation)
        })
    }

    async fn operate(&self, call: &Call<'_>) -> Result<serde_json::Value, Failure> {
        let mut account = self.account.lock().await;
        match call.operation.name.as_str() {
            "DeleteStack" => self.delete(&mut account, call).await,
            "UpdateTerminationProtection" => Self::protect(&mut account, call),
            _ => {
                self.go_on(&mut account, call).await;
                reads::answer(&account, call, self.page_size)
            }
        }
    }

    /// Answers as the server behind, where that is like AWS.
    async fn others(&self, head: Parts, body: Bytes, call: &AwsCall) -> Response {
        let refused = self.refuse(&head, call).await;
        if let Some(response) = refused.or_else(|| self.stale.answer(call)) {
            return response;
        }
        let before = self.listed_before(&head, call).await;
        let balancer = self.balancer_before(&head, call).await;
        let forwarded = self.moto.forward(Request::from_parts(head, body)).await;
        let Ok(response) = forwarded else { return empty(StatusCode::BAD_GATEWAY) };
        if response.status().is_success() {
            if let Some((role, list, document)) = before {
                self.stale.keep(role, list, document, self.stale_reads);
            }
            if let Some(document) = balancer {
                self.lingering.keep(document, self.lingering_for);
            }
        }
        response
    }

    /// EC2 keeps what something depends on; moto doesn't.
    async fn refuse(&self, head: &Parts, call: &AwsCall) -> Option<Response> {
        if call.service != "ec2" {
            return None;
        }
        let scope = Scope::of(&head.headers)?;
        let network =
            Network { moto: &self.moto, region: scope.region, lingering: &self.lingering };
        let of = |name| call.parameter(name).unwrap_or_default();
        let kept = match call.action.as_str() {
            "DeleteSecurityGroup" => network.keeps_group(of("GroupId")).await,
            "DeleteSubnet" => network.keeps_subnet(of("SubnetId")).await,
            "DeleteNetworkInterface" => network.keeps_interface(of("NetworkInterfaceId")).await,
            "DeleteVpc" => network.keeps_vpc(of("VpcId")).await,
            _ => return None,
        };
        let refusal = kept.ok()??;
        let errand = Errand { service: call.service.clone(), action: call.action.clone() };
        let answer = error(errand.format(), refusal.status, &refusal.code, &refusal.message);
        Some(answer.map(Body::from))
    }

    /// How a load balancer is described before a call deletes it, if it is to linger.
    async fn balancer_before(&self, head: &Parts, call: &AwsCall) -> Option<String> {
        let region = Scope::of(&head.headers).filter(|_| self.lingering_for > 0)?.region;
        Lingering::deleted_by(&self.moto, region, call).await.ok()?
    }

    /// What is listed of a role before a call takes something from it, if that is to be shown.
    async fn listed_before<'a>(
        &self,
        head: &Parts,
        call: &'a AwsCall,
    ) -> Option<(&'a str, &'static str, String)> {
        let list = Stale::list_of(call).filter(|_| self.stale_reads > 0)?;
        let role = call.parameter("RoleName")?;
        let region = Scope::of(&head.headers)?.region;
        let listed = self.moto.ask(("iam", region), list, &[("RoleName", role)]).await.ok()?;
        listed.is_good().then_some((role, list, listed.text))
    }
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
