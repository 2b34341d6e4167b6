use kfcheck::{Check, Cx, FactError, Findings, Named, Risk, async_trait, check};
use kfcheck_kube::{FrontServices, Ingress};

use crate::{
    Action, AlbIngresses, Door, Front, FrontLoadBalancers, LoadBalancer, Rule, Scope,
    fronts::annotation,
    sign_in::{asked_for, asks_for_sign_in, doors_of},
};

check! {
    /// ## What it checks
    /// Where an Ingress asks for sign-in, that the listeners of its load balancer send nobody on to the
    /// pods who hasn't signed in, plain HTTP among them, and that they sign in with the user pool, the application
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
            for door in &doors {
                match door.listener.protocol.as_str() {
                    "HTTPS" => examine(door, ingress, lets_in, &region, out),
                    _ if !lets_in && asks_for_sign_in(ingress) => bypass(door, ingress, out),
                    _ => (),
                }
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

/// On plain HTTP nobody can be signed in.
fn bypass(door: &Door, ingress: &Ingress, out: &mut Findings) {
    if door.forwards().next().is_none() {
        return;
    }
    let (namespace, name) = (ingress.metadata.namespace(), &ingress.metadata.name);
    out.fail(&door.listener, "sends requests on without sign-in, as they are not encrypted")
        .manner()
        .evidence("auth-type", annotation(ingress, "auth-type").unwrap_or_default())
        .fix(
            Risk::None,
            "sends them on to HTTPS",
            format!(
                "kubectl annotate ingress {name} -n {namespace} --overwrite \
                 alb.ingress.kubernetes.io/ssl-redirect=443"
            ),
        );
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
            .evidence("without sign-in", open_rules(door))
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

/// The rules that send requests on without sign-in, by priority and what they are for.
fn open_rules(door: &Door) -> String {
    let forwards = |rule: &&&Rule| rule.actions.iter().any(|action| action.r#type == "forward");
    let reached = door.reached();
    let open = reached.iter().filter(forwards).filter(|rule| !authenticates(&rule.actions));
    let said = open.map(|rule| {
        let patterns = rule.conditions.iter().flat_map(|condition| {
            let paths = condition.path_pattern_config.as_ref().map(|config| &config.values);
            let hosts = condition.host_header_config.as_ref().map(|config| &config.values);
            paths.or(hosts).unwrap_or(&condition.values)
        });
        let patterns: Vec<_> = patterns.map(String::as_str).collect();
        format!("rule {} {}", rule.priority, patterns.join(" ")).trim_end().to_owned()
    });
    said.collect::<Vec<_>>().join(", ")
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

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::AlbAuth;
    use crate::testing::{Deployment, LISTENER, TARGETS};

    #[tokio::test]
    async fn a_rule_without_sign_in_lets_everybody_through() {
        let mut deployment = Deployment::healthy();
        let rule = &mut deployment.file("aws/elbv2/describe-rules")["Rules"][0];
        rule["Actions"].as_array_mut().unwrap().remove(0);
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-alb-auth
              listener k8s-front HTTPS:443 sends requests on without sign-in, which the
                Ingress asks for
                without sign-in
                          rule 1 /*
                auth-type cognito
                fix       shows its rules
                          aws elbv2 describe-rules --region us-west-2 \
                            --listener-arn arn:aws:elasticloadbalancing:us-west-2:111122223333:listener/app/k8s-front/50dc6c495c0c9188/f2f7
              kubectl kfcheck explain aws-alb-auth

            FAIL     aws-alb-auth
                     The load balancer signs users in as the Ingress asks
        "#]].assert_eq(&deployment.report(&AlbAuth).await);
    }

    #[tokio::test]
    async fn a_rule_that_no_request_comes_to_is_no_way() {
        let mut deployment = Deployment::healthy();
        let rules = deployment.file("aws/elbv2/describe-rules")["Rules"].as_array_mut().unwrap();
        let mut open = rules[0].clone();
        open["Priority"] = "2".into();
        open["Actions"].as_array_mut().unwrap().remove(0);
        // Rules are listed in no order.
        rules.insert(0, open);
        let says = deployment.report(&AlbAuth).await;
        assert!(says.contains("pass     aws-alb-auth"), "{says}");

        let rules = deployment.file("aws/elbv2/describe-rules")["Rules"].as_array_mut().unwrap();
        rules[1]["Conditions"][0]["Values"] = serde_json::json!(["/pipeline/*"]);
        let says = deployment.report(&AlbAuth).await;
        assert!(says.contains("rule 2 /*"), "{says}");
    }

    #[tokio::test]
    async fn plain_http_is_a_way_around_it() {
        let mut deployment = Deployment::healthy();
        let arn = format!("{LISTENER}80");
        let mut listener = deployment.file("aws/elbv2/describe-listeners")["Listeners"][0].clone();
        listener["ListenerArn"] = arn.clone().into();
        listener["Protocol"] = "HTTP".into();
        listener["Port"] = 80.into();
        let all = &mut deployment.file("aws/elbv2/describe-listeners")["Listeners"];
        all.as_array_mut().unwrap().push(listener);
        let rule = json!({ "RuleArn": arn.replace(":listener/", ":listener-rule/") + "/r3",
            "Priority": "default", "IsDefault": true,
            "Actions": [{ "Type": "forward", "TargetGroupArn": TARGETS }] });
        let all = &mut deployment.file("aws/elbv2/describe-rules")["Rules"];
        all.as_array_mut().unwrap().push(rule);
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-alb-auth
              listener k8s-front HTTP:80 sends requests on without sign-in, as they are not
                encrypted
                auth-type cognito
                fix       sends them on to HTTPS
                          kubectl annotate ingress front -n istio-system \
                            --overwrite alb.ingress.kubernetes.io/ssl-redirect=443
              kubectl kfcheck explain aws-alb-auth

            FAIL     aws-alb-auth
                     The load balancer signs users in as the Ingress asks
        "#]]
        .assert_eq(&deployment.report(&AlbAuth).await);
    }

    #[tokio::test]
    async fn a_service_may_say_that_it_needs_none() {
        let mut deployment = Deployment::healthy();
        let rule = &mut deployment.file("aws/elbv2/describe-rules")["Rules"][0];
        let mut open = rule.clone();
        open["RuleArn"] = format!("{}x", rule["RuleArn"].as_str().unwrap()).into();
        open["Actions"].as_array_mut().unwrap().remove(0);
        deployment.file("aws/elbv2/describe-rules")["Rules"].as_array_mut().unwrap().push(open);
        deployment.object("Service")["metadata"]["annotations"] =
            json!({ "alb.ingress.kubernetes.io/auth-type": "none" });
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-alb-auth
                     The load balancer signs users in as the Ingress asks
        "#]]
        .assert_eq(&deployment.report(&AlbAuth).await);
    }

    #[tokio::test]
    async fn allow_is_no_sign_in() {
        let mut deployment = Deployment::healthy();
        let rule = &mut deployment.file("aws/elbv2/describe-rules")["Rules"][0];
        rule["Actions"][0]["AuthenticateCognitoConfig"]["OnUnauthenticatedRequest"] =
            "allow".into();
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-alb-auth
              listener k8s-front HTTPS:443 lets requests through whose sender has not signed
                in
                OnUnauthenticatedRequest
                          allow
                fix       sends them to the sign-in page
                          kubectl annotate ingress front -n istio-system \
                            --overwrite alb.ingress.kubernetes.io/auth-on-unauthenticated-request=authenticate
              kubectl kfcheck explain aws-alb-auth

            FAIL     aws-alb-auth
                     The load balancer signs users in as the Ingress asks
        "#]].assert_eq(&deployment.report(&AlbAuth).await);
    }

    #[tokio::test]
    async fn another_application_than_the_ingress_names_is_told() {
        let mut deployment = Deployment::healthy();
        let rule = &mut deployment.file("aws/elbv2/describe-rules")["Rules"][0];
        rule["Actions"][0]["AuthenticateCognitoConfig"]["UserPoolClientId"] = "old".into();
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-alb-auth
              listener k8s-front HTTPS:443 signs in with another application than the
                Ingress names
                it is     old
                should be client
                fix       shows why the controller hasn't brought it in line
                          kubectl describe ingress -n istio-system front
              kubectl kfcheck explain aws-alb-auth

            FAIL     aws-alb-auth
                     The load balancer signs users in as the Ingress asks
        "#]]
        .assert_eq(&deployment.report(&AlbAuth).await);
    }

    #[tokio::test]
    async fn sign_in_without_saying_with_what_is_none() {
        let mut deployment = Deployment::healthy();
        deployment.object("Ingress")["metadata"]["annotations"]["alb.ingress.kubernetes.io/auth-idp-cognito"] =
            "{".into();
        expect![[r#"
            kf.example.com is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  aws-alb-auth
              Ingress istio-system/front asks for sign-in with Cognito without a user pool,
                an application and a domain
                auth-idp-cognito
                          {
                fix       says with which; put the names of yours there
                          kubectl annotate ingress front -n istio-system \
                            --overwrite 'alb.ingress.kubernetes.io/auth-idp-cognito={"userPoolARN":"ARN","userPoolClientID":"ID","userPoolDomain":"DOMAIN"}'
              kubectl kfcheck explain aws-alb-auth

            FAIL     aws-alb-auth
                     The load balancer signs users in as the Ingress asks
        "#]].assert_eq(&deployment.report(&AlbAuth).await);
    }

    #[tokio::test]
    async fn without_the_rules_it_is_open() {
        let mut deployment = Deployment::healthy();
        deployment.without("aws/elbv2/describe-rules");
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 1 not seen.

            NOT SEEN, so a cause may hide there
              request path, aws-alb-auth
                not collected:
                  arn:aws:elasticloadbalancing:us-west-2:111122223333:listener-rule/app/k8s-front/50dc6c495c0c9188/f2f7/*
                  in aws/elbv2/describe-rules.json
                  aws elbv2 describe-rules \
                    --listener-arn arn:aws:elasticloadbalancing:us-west-2:111122223333:listener/app/k8s-front/50dc6c495c0c9188/f2f7

            unknown  aws-alb-auth
                     The load balancer signs users in as the Ingress asks
                     (not collected:
                     arn:aws:elasticloadbalancing:us-west-2:111122223333:listener-rule/app/k8s-front/50dc6c495c0c9188/f2f7/*
                     in aws/elbv2/describe-rules.json; `aws elbv2 describe-rules
                     --listener-arn
                     arn:aws:elasticloadbalancing:us-west-2:111122223333:listener/app/k8s-front/50dc6c495c0c9188/f2f7`
                     prints it (asking for aws.rules
                     {"listener":"arn:aws:elasticloadbalancing:us-west-2:111122223333:listener/app/k8s-front/50dc6c495c0c9188/f2f7"}))
        "#]].assert_eq(&deployment.report(&AlbAuth).await);
    }

    #[tokio::test]
    async fn sign_in_on_every_way_is_fine() {
        let deployment = Deployment::healthy();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 1 check passed,
            0 not seen.

            pass     aws-alb-auth
                     The load balancer signs users in as the Ingress asks
        "#]]
        .assert_eq(&deployment.report(&AlbAuth).await);
    }

    #[tokio::test]
    async fn where_nobody_asks_for_it_there_is_nothing_to_see() {
        let deployment = Deployment::classic();
        expect![[r#"
            kf.example.com: nothing broken found. 0 root causes, 0 symptoms; 0 checks
            passed, 0 not seen.

            skip     aws-alb-auth
                     The load balancer signs users in as the Ingress asks
                     (no Ingress here asks a load balancer to sign users in)
        "#]]
        .assert_eq(&deployment.report(&AlbAuth).await);
    }
}
