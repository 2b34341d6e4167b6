use kfcheck::{Check, Cx, FactError, Findings, Named, Risk, async_trait, check};
use kfcheck_kube::{FrontServices, Ingress};

use crate::{
    Action, AlbIngresses, Door, Front, FrontLoadBalancers, LoadBalancer, Scope,
    fronts::annotation,
    sign_in::{asked_for, asks_for_sign_in, doors_of},
};

check! {
    /// ## What it checks
    /// Where an Ingress asks for sign-in, that the HTTPS listeners of its load balancer send nobody on
    /// to the pods who hasn't signed in, and that they sign in with the user pool, the application
    /// and the domain that the Ingress names.
    ///
    /// ## Why it matters
    /// Behind the load balancer nobody asks again: who gets through without sign-in is anonymous, or
    /// whoever the request says.
    ///
    /// ## How to fix it
    /// Set the annotations shown; the controller brings the load balancer in line with them. Rules that
    /// were changed by hand come back when the Ingress is changed.
    pub(crate) struct AlbAuth;
    id: "aws-alb-auth",
    title: "The load balancer signs users in as the Ingress asks",
}

#[async_trait]
impl Check for AlbAuth {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let ingresses = cx.get(AlbIngresses).await?;
        let fronts = cx.get(FrontLoadBalancers).await?;
        let region = cx.get(Scope).await?.region.clone();
        let mut any = false;
        for ingress in ingresses.iter() {
            if annotation(ingress, "auth-type") == Some("cognito") && !names_all(ingress) {
                any = true;
                report_incomplete(ingress, out);
            }
        }
        for front in fronts.iter().filter(|front| front.balancer.r#type == "application") {
            let ingress = ingresses.iter().find(|ingress| ingress.resource() == front.entrance);
            let Some(ingress) = ingress else { continue };
            let doors = doors_of(cx, &front.balancer).await;
            let Some(doors) = out.known(&front.balancer, doors) else { continue };
            let signs_in = doors.iter().any(|door| door.ways().any(authenticates));
            if !asks_for_sign_in(ingress) && !signs_in {
                continue;
            }
            any = true;
            let is_secure = doors.iter().any(|door| door.listener.protocol == "HTTPS");
            if !is_secure {
                examine_plain(front, &doors, ingress, out);
                continue;
            }
            let lets_in = is_mixed(cx, ingress).await?;
            for door in doors.iter().filter(|door| door.listener.protocol == "HTTPS") {
                examine(door, ingress, lets_in, &region, out);
            }
        }
        if !any {
            out.skip("no Ingress here asks a load balancer to sign users in");
        }
        Ok(())
    }
}

/// Whether an Ingress says with which pool, application and domain users sign in.
fn names_all(ingress: &Ingress) -> bool {
    asked_for(ingress).is_some_and(|asked| {
        let all = [&asked.user_pool_arn, &asked.user_pool_client_id, &asked.user_pool_domain];
        all.iter().all(|said| !said.is_empty())
    })
}

fn report_incomplete(ingress: &Ingress, out: &mut Findings) {
    let (namespace, name) = (ingress.metadata.namespace(), &ingress.metadata.name);
    let said = annotation(ingress, "auth-idp-cognito").unwrap_or("(not said)");
    let missing = "asks for sign-in with Cognito without a user pool, an application and a domain";
    out.fail(ingress, missing).evidence("auth-idp-cognito", said).fix(
        Risk::None,
        "says with which; put the names of yours there",
        format!(
            "kubectl annotate ingress {name} -n {namespace} --overwrite \
             'alb.ingress.kubernetes.io/auth-idp-cognito={{\"userPoolARN\":\"ARN\",\
             \"userPoolClientID\":\"ID\",\"userPoolDomain\":\"DOMAIN\"}}'"
        ),
    );
}

fn authenticates(actions: &[Action]) -> bool {
    actions.iter().any(|action| action.r#type.starts_with("authenticate-"))
}

/// Without HTTPS nobody can be signed in.
fn examine_plain(
    front: &Front<LoadBalancer>,
    doors: &[Door],
    ingress: &Ingress,
    out: &mut Findings,
) {
    if doors.iter().any(|door| door.forwards().next().is_some()) {
        let message = "lets everybody in without sign-in";
        out.symptom(&front.balancer, message)
            .evidence("asked for", annotation(ingress, "auth-type").unwrap_or_default());
    } else {
        out.ok(&front.balancer);
    }
}

/// Whether some requests are meant to go without sign-in: because a Service says so, or because
/// other Ingresses share the load balancer.
async fn is_mixed(cx: &Cx, ingress: &Ingress) -> Result<bool, FactError> {
    if annotation(ingress, "group.name").is_some() {
        return Ok(true);
    }
    let services = cx.get(FrontServices).await?;
    let key = ["alb.ingress.kubernetes.io/auth-type"];
    Ok(services.iter().any(|service| service.metadata.annotation(&key) == Some("none")))
}

fn examine(door: &Door, ingress: &Ingress, is_mixed: bool, region: &str, out: &mut Findings) {
    let listener = &door.listener;
    let forwards: Vec<_> = door.forwards().collect();
    let open = forwards.iter().filter(|actions| !authenticates(actions)).count();
    if asks_for_sign_in(ingress) && open > 0 && !(is_mixed && open < forwards.len()) {
        let rules = format!(
            "aws elbv2 describe-rules --region {region} --listener-arn {}",
            listener.listener_arn
        );
        let message = "sends requests on without sign-in, which the Ingress asks for";
        out.fail(listener, message)
            .manner()
            .evidence("without sign-in", format!("{open} of {} rules", forwards.len()))
            .evidence("auth-type", annotation(ingress, "auth-type").unwrap_or_default())
            .fix(Risk::None, "shows its rules", rules);
        return;
    }
    let all = door.ways().flatten();
    let allowing = all.filter(|action| {
        let cognito = action.authenticate_cognito_config.as_ref();
        let cognito = cognito.map(|config| config.on_unauthenticated_request.as_str());
        let oidc = action.authenticate_oidc_config.as_ref();
        let oidc = oidc.map(|config| config.on_unauthenticated_request.as_str());
        cognito.or(oidc) == Some("allow")
    });
    if allowing.count() > 0 {
        let (namespace, name) = (ingress.metadata.namespace(), &ingress.metadata.name);
        out.fail(listener, "lets requests through whose sender has not signed in")
            .manner()
            .evidence("OnUnauthenticatedRequest", "allow")
            .fix(
                Risk::None,
                "sends them to the sign-in page",
                format!(
                    "kubectl annotate ingress {name} -n {namespace} --overwrite \
                     alb.ingress.kubernetes.io/auth-on-unauthenticated-request=authenticate"
                ),
            );
        return;
    }
    match mismatch(door, ingress, is_mixed) {
        Some((what, used, asked)) => {
            let (namespace, name) = (ingress.metadata.namespace(), &ingress.metadata.name);
            out.fail(listener, format!("signs in with another {what} than the Ingress names"))
                .evidence("it is", used)
                .evidence("should be", asked)
                .fix(
                    Risk::None,
                    "shows why the controller hasn't brought it in line",
                    format!("kubectl describe ingress -n {namespace} {name}"),
                );
            out.built_from(listener, ingress);
        }
        None => out.ok(listener),
    }
}

/// What a listener's sign-in with Cognito has otherwise than the Ingress: what, as it is, and as it
/// should be.
fn mismatch(
    door: &Door,
    ingress: &Ingress,
    is_mixed: bool,
) -> Option<(&'static str, String, String)> {
    let asked = asked_for(ingress).filter(|_| names_all(ingress))?;
    let compare = |used: &crate::AuthenticateCognito| {
        let pairs = [
            ("user pool", used.user_pool_arn.as_str(), asked.user_pool_arn.as_str()),
            ("application", &used.user_pool_client_id, &asked.user_pool_client_id),
            ("domain", used.domain(), asked.domain()),
        ];
        let differs = pairs.into_iter().find(|(_, used, asked)| used != asked);
        differs.map(|(what, used, asked)| (what, used.to_owned(), asked.to_owned()))
    };
    let all: Vec<_> = door.cognito().map(compare).collect();
    // Of several Ingresses, each has its own.
    if is_mixed && all.iter().any(Option::is_none) {
        return None;
    }
    all.into_iter().flatten().next()
}
