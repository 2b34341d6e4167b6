//! How users sign in at the load balancer.

use std::collections::BTreeMap;

use kfcheck::{Cx, Fact, FactError};
use kfcheck_kube::Ingress;
use serde::Serialize;
use serde_json::Value;

use crate::{
    Action, AlbIngresses, AuthenticateCognito, FrontLoadBalancers, Listener, Listeners,
    LoadBalancer, Rule, Rules, fronts::annotation,
};

/// A listener at the entrance, with what it does to requests.
#[derive(Clone, Debug)]
pub struct Door {
    /// The load balancer.
    pub balancer: LoadBalancer,
    /// The listener.
    pub listener: Listener,
    /// Its rules, its default among them.
    pub rules: Vec<Rule>,
}

impl Door {
    /// The rules that requests come to, in their order: none behind one that is for all requests.
    pub fn reached(&self) -> Vec<&Rule> {
        let mut rules: Vec<_> = self.rules.iter().collect();
        rules.sort_by_key(|rule| rule.priority.parse().unwrap_or(u32::MAX));
        let last = rules.iter().position(|rule| rule.is_for_all());
        rules.truncate(last.map_or(rules.len(), |last| last + 1));
        rules
    }

    /// Every way that a request may go, the default one too.
    pub fn ways(&self) -> impl Iterator<Item = &[Action]> {
        let rules = self.reached().into_iter().map(|rule| rule.actions.as_slice());
        // What a listener does by itself is among the rules, if these are known.
        let own = self.rules.is_empty().then_some(self.listener.default_actions.as_slice());
        rules.chain(own)
    }

    /// Every way by which a request reaches machines or pods.
    pub fn forwards(&self) -> impl Iterator<Item = &[Action]> {
        self.ways().filter(|actions| actions.iter().any(|action| action.r#type == "forward"))
    }

    /// Every sign-in with Cognito.
    pub fn cognito(&self) -> impl Iterator<Item = &AuthenticateCognito> {
        self.ways().flatten().filter_map(|action| action.authenticate_cognito_config.as_ref())
    }

    /// Whether plain requests are sent on to HTTPS and go nowhere else.
    pub fn only_redirects(&self) -> bool {
        let redirects = |actions: &[Action]| {
            actions.iter().any(|action| {
                let to = action.redirect_config.as_ref();
                to.is_some_and(|to| to.protocol == "HTTPS" || to.protocol == "#{protocol}")
            })
        };
        self.forwards().next().is_none() && self.ways().any(redirects)
    }
}

impl Rule {
    /// Whether it takes every request that comes to it.
    fn is_for_all(&self) -> bool {
        self.conditions.iter().all(|condition| {
            let patterns = condition.path_pattern_config.as_ref().map(|config| &config.values);
            let mut values = patterns.unwrap_or(&condition.values).iter();
            condition.field == "path-pattern" && values.any(|path| path == "/*" || path == "*")
        })
    }
}

impl Action {
    /// The target groups that requests are sent to.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        let one = Some(self.target_group_arn.as_str()).filter(|arn| !arn.is_empty());
        let config = self.forward_config.iter().flat_map(|config| &config.target_groups);
        // One that gets no share is there to be switched to.
        let some = config.filter(|group| group.weight != Some(0));
        let some = some.map(|group| group.target_group_arn.as_str());
        one.into_iter().chain(some.filter(move |arn| Some(*arn) != one))
    }
}

/// The listeners of the load balancers at the entrance.
#[derive(Clone, Serialize)]
pub struct Doors;

impl Fact for Doors {
    const NAME: &'static str = "aws.doors";
    type Value = Vec<Door>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<Door>, FactError> {
        let fronts = cx.get(FrontLoadBalancers).await?;
        let doors = fronts.iter().map(async |front| doors_of(cx, &front.balancer).await);
        let doors = futures::future::try_join_all(doors).await?;
        Ok(doors.into_iter().flatten().collect())
    }
}

/// The listeners of one load balancer.
pub(crate) async fn doors_of(cx: &Cx, balancer: &LoadBalancer) -> Result<Vec<Door>, FactError> {
    let load_balancer = balancer.load_balancer_arn.clone();
    let listeners = cx.get(Listeners { load_balancer }).await?;
    let doors = listeners.iter().map(async |listener| {
        let rules = match balancer.r#type.as_str() {
            "application" => {
                cx.get(Rules { listener: listener.listener_arn.clone() }).await?.to_vec()
            }
            // The others have none.
            _ => Vec::new(),
        };
        Ok(Door { balancer: balancer.clone(), listener: listener.clone(), rules })
    });
    futures::future::try_join_all(doors).await
}

/// The sign-in with Cognito that users go through: as the load balancer does it, or else as the
/// Ingress asks for it.
#[derive(Clone, Serialize)]
pub struct CognitoSignIns;

impl Fact for CognitoSignIns {
    const NAME: &'static str = "aws.cognitoSignIns";
    type Value = Vec<AuthenticateCognito>;

    async fn fetch(&self, cx: &Cx) -> Result<Vec<AuthenticateCognito>, FactError> {
        let doors = cx.get(Doors).await?;
        let mut all: Vec<_> = doors.iter().flat_map(Door::cognito).cloned().collect();
        if all.is_empty() {
            let ingresses = cx.get(AlbIngresses).await?;
            all.extend(ingresses.iter().filter_map(|ingress| asked_for(ingress)));
        }
        all.sort_by(|a, b| a.user_pool_client_id.cmp(&b.user_pool_client_id));
        all.dedup_by(|a, b| is_same(a, b));
        Ok(all)
    }
}

fn is_same(a: &AuthenticateCognito, b: &AuthenticateCognito) -> bool {
    a.user_pool_client_id == b.user_pool_client_id
        && a.user_pool_arn == b.user_pool_arn
        && a.user_pool_domain == b.user_pool_domain
}

/// Whether an Ingress asks the load balancer to sign users in.
pub(crate) fn asks_for_sign_in(ingress: &Ingress) -> bool {
    annotation(ingress, "auth-type").is_some_and(|kind| kind == "cognito" || kind == "oidc")
}

/// What is to sign users in before a request goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignInAsked {
    /// Cognito, at the load balancer.
    Cognito,
    /// Another provider, at the load balancer.
    Oidc,
    /// Nothing of AWS's; the deployment itself may.
    No,
}

/// What the load balancer, or who has it made, is told about sign-in.
pub(crate) async fn sign_in_asked(cx: &Cx) -> Result<SignInAsked, FactError> {
    let ingresses = cx.get(AlbIngresses).await?;
    let asked = |kind| ingresses.iter().any(|i| annotation(i, "auth-type") == Some(kind));
    if asked("cognito") {
        return Ok(SignInAsked::Cognito);
    }
    if asked("oidc") {
        return Ok(SignInAsked::Oidc);
    }
    let doors = cx.get(Doors).await?;
    let does = |what: &str| {
        let mut actions = doors.iter().flat_map(Door::ways).flatten();
        actions.any(|action| action.r#type == what)
    };
    Ok(match (does("authenticate-cognito"), does("authenticate-oidc")) {
        (true, _) => SignInAsked::Cognito,
        (false, true) => SignInAsked::Oidc,
        (false, false) => SignInAsked::No,
    })
}

/// The sign-in with Cognito that an Ingress asks for. People write the keys in any case, and the
/// controllers take it.
pub(crate) fn asked_for(ingress: &Ingress) -> Option<AuthenticateCognito> {
    if annotation(ingress, "auth-type") != Some("cognito") {
        return None;
    }
    let said: BTreeMap<String, Value> =
        serde_json::from_str(annotation(ingress, "auth-idp-cognito")?).ok()?;
    let said: BTreeMap<_, _> =
        said.into_iter().map(|(key, value)| (key.to_lowercase(), value)).collect();
    let text = |key: &str| said.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let on = annotation(ingress, "auth-on-unauthenticated-request").unwrap_or_default();
    Some(AuthenticateCognito {
        user_pool_arn: text("userpoolarn"),
        user_pool_client_id: text("userpoolclientid"),
        user_pool_domain: text("userpooldomain"),
        scope: annotation(ingress, "auth-scope").unwrap_or("openid").to_owned(),
        on_unauthenticated_request: on.to_owned(),
    })
}

impl AuthenticateCognito {
    /// The pool's id, which is at the end of its ARN.
    pub fn pool(&self) -> &str {
        self.user_pool_arn.rsplit('/').next().unwrap_or_default()
    }

    /// The region that the pool is in.
    pub fn region(&self) -> &str {
        crate::facts::region_in(&self.user_pool_arn)
    }

    /// The domain as Cognito calls it: the first label of one that Cognito hosts, or the whole.
    pub fn domain(&self) -> &str {
        let whole = self.user_pool_domain.trim_start_matches("https://").trim_end_matches('/');
        match whole.split_once(".auth.") {
            Some((prefix, rest)) if rest.ends_with(".amazoncognito.com") => prefix,
            _ => whole,
        }
    }

    /// The host that browsers are sent to.
    pub fn sign_in_host(&self) -> String {
        match self.domain() {
            custom if custom.contains('.') => custom.to_owned(),
            prefix => format!("{prefix}.auth.{}.amazoncognito.com", self.region()),
        }
    }
}
