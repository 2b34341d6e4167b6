use kfcheck::{Check, Cx, FactError, Fault, Findings, Named, Risk, async_trait, check};
use kfcheck_kube::ContainerLog;
use kfcheck_probe::{LdapAnswer, LdapRoots, LdapSecurity};

use crate::{Dex, Dexes, LdapConnector, LdapConnectors, dex::container};

check! {
    /// ## What it checks
    /// That the server of each LDAP connector of Dex's takes connections the way the connector makes
    /// them: at its port (without one 389 with `insecureNoSSL`, else 636, also with `startTLS`), with
    /// TLS, StartTLS or neither, and with a certificate that the stated authorities vouch for. Where none
    /// are stated, Dex trusts those of its image: that this machine trusts the certificate is then no
    /// more than a hint, and that it doesn't counts only where Dex's log says so, too. It warns where
    /// passwords cross the network in plain text, or any certificate will do.
    ///
    /// ## Why it matters
    /// Dex asks the server at every sign-in, so nobody signs in without it. Without TLS whoever listens
    /// has the passwords of all users.
    ///
    /// ## How to fix it
    /// Put host and port right, and have `insecureNoSSL` and `startTLS` say what the server speaks.
    /// `rootCA` names a file in Dex's container, `rootCAData` holds the same in base64.
    pub(crate) struct LdapConnects;
    id: "onprem-ldap-connect",
    title: "Dex's directory takes connections, and nobody reads along",
}

#[async_trait]
impl Check for LdapConnects {
    async fn run(&self, cx: &Cx, out: &mut Findings) -> Result<(), FactError> {
        let connectors = cx.get(LdapConnectors).await?;
        if connectors.is_empty() {
            out.skip("Dex has no LDAP connector");
        }
        for connector in connectors.iter() {
            warn(connector, out);
            let answer = connector.answer(cx).await;
            let Some(answer) = out.known(&connector.told, answer) else { continue };
            judge(cx, connector, &answer, out).await;
        }
        Ok(())
    }
}

async fn judge(cx: &Cx, connector: &LdapConnector, answer: &LdapAnswer, out: &mut Findings) {
    let unknown = |says: String, out: &mut Findings| {
        out.known::<()>(&connector.told, Err(Fault::Unreachable(says).into()));
    };
    let connect = &answer.connect;
    let is_untrusted = connect.verified == Some(false) && !connector.ldap.insecure_skip_verify;
    match connect.is_ok() {
        Some(true) if !is_untrusted => out.ok(&connector.told),
        None => {
            unknown(format!("nobody says whether {} takes connections", connector.server), out);
        }
        Some(_) if answer.connect.is_unreached_from_here() => {
            let says = format!(
                "{} is not reached from this machine ({}), which says nothing of whether Dex reaches \
                 it; --exec has Dex's pod try",
                connector.server,
                connect.error.as_deref().unwrap_or_default()
            );
            unknown(says, out);
        }
        Some(_) => {
            let error = connect.error.as_deref().unwrap_or_default();
            let why = wrong(error, is_untrusted);
            if why != UNTRUSTED && connector.ldap.client_cert.is_some() && is_of_tls(error) {
                let says = format!(
                    "{} is shown a certificate of Dex's own, and was asked without one: {error}",
                    connector.server
                );
                return unknown(says, out);
            }
            let mut log = None;
            if why == UNTRUSTED && is_judged_here(connector, error) {
                log = refusal(cx, connector).await;
                if log.is_none() {
                    let says = format!(
                        "this machine does not trust {} ({error}); whom Dex trusts is not known, as \
                         the connector states no authority",
                        connector.server
                    );
                    return unknown(says, out);
                }
            }
            let message = format!("has Dex ask {}, {why}", connector.server);
            let finding = out.fail(&connector.told, message);
            // What the server says; what makes it say so, another check may know.
            finding.hearsay();
            finding.evidence("connector", &connector.id);
            if !error.is_empty() {
                finding.evidence("because", error);
            }
            if let Some(line) = log {
                finding.evidence("log", line);
            }
            finding.evidence("speaks", spoken(connector.probe.security));
            if let Some(through) = &connect.through {
                finding.evidence("asked", through);
            }
            finding.fix(
                Risk::Restarts,
                "lets you put it right, and starts Dex again",
                connector.edit.clone(),
            );
        }
    }
}

/// What is wrong with a server that Dex does not trust.
const UNTRUSTED: &str = "whose certificate Dex does not trust";

/// Whether an error may come of a certificate that wasn't shown: TLS 1.3 tells of it when the first
/// answer is read.
fn is_of_tls(error: &str) -> bool {
    ["tls:", "starttls:", "ldap:"].iter().any(|layer| error.to_lowercase().starts_with(layer))
}

/// Whether it is a matter of whom this machine trusts: no authority is stated, and nothing else is
/// wrong with the certificate.
fn is_judged_here(connector: &LdapConnector, error: &str) -> bool {
    let lower = error.to_lowercase();
    let is_wrong_for_all = ["expired", "not valid for name", "notvalidforname"];
    connector.probe.roots == LdapRoots::Known
        && !is_wrong_for_all.iter().any(|words| lower.contains(words))
}

/// What Dex last said of a certificate of its directory's that it doesn't trust.
async fn refusal(cx: &Cx, connector: &LdapConnector) -> Option<String> {
    let dexes = cx.get(Dexes).await.ok()?;
    let is_its = |dex: &&Dex| dex.told.as_ref().is_ok_and(|told| told.resource() == connector.told);
    for pod in dexes.iter().filter(is_its).flat_map(|dex| &dex.pods) {
        let log = ContainerLog {
            namespace: pod.metadata.namespace().to_owned(),
            pod: pod.metadata.name.clone(),
            container: container(pod)?.name.clone(),
        };
        let Ok(lines) = cx.get(log).await else { continue };
        let is = |line: &&str| line.contains("x509:") && line.to_lowercase().contains("ldap");
        if let Some(line) = lines.lines().rev().find(is) {
            return Some(line.trim().to_owned());
        }
    }
    None
}

/// What is wrong with a connection, going by what came of it.
fn wrong(error: &str, is_untrusted: bool) -> &'static str {
    let lower = error.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if !is_untrusted && says(&["certificaterequired", "certificate required"]) {
        "which asks for a certificate of Dex's own"
    } else if is_untrusted
        || says(&["unknownissuer", "unknown authority", "certificate", "not trusted"])
    {
        UNTRUSTED
    } else if lower.starts_with("dns") || says(&["no such host", "nxdomain", "name or service"]) {
        "whose name does not resolve"
    } else if says(&["refused"]) {
        "which refuses connections"
    } else if lower.starts_with("starttls") || says(&["starttls"]) {
        "which does not take StartTLS"
    } else if lower.starts_with("tls") || says(&["handshake", "first record", "tls"]) {
        "which does not speak TLS there"
    } else if says(&["timed out", "timeout", "no answer within", "deadline"]) {
        "which does not answer in time"
    } else {
        "which does not take the connection"
    }
}

fn spoken(security: LdapSecurity) -> &'static str {
    match security {
        LdapSecurity::Ldaps => "TLS from the first byte",
        LdapSecurity::StartTls => "StartTLS",
        LdapSecurity::Plain => "no TLS (insecureNoSSL)",
    }
}

fn warn(connector: &LdapConnector, out: &mut Findings) {
    let ldap = &connector.ldap;
    let message = match (ldap.insecure_no_ssl, ldap.insecure_skip_verify) {
        (true, _) => "sends passwords in plain text",
        (false, true) => "takes whatever certificate it is shown",
        (false, false) => return,
    };
    let setting = if ldap.insecure_no_ssl { "insecureNoSSL" } else { "insecureSkipVerify" };
    let finding = out.warn(&connector.told, format!("{message} by connector {}", connector.id));
    finding.evidence("server", &connector.server).evidence(setting, "true");
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::LdapConnects;
    use crate::testing::Deployment;

    async fn with(connect: serde_json::Value, changes: &[(&str, &str)]) -> String {
        let mut deployment = Deployment::signing_in();
        for (from, to) in changes {
            deployment.told(from, to);
        }
        deployment.file("probes/ldap")[0]["connect"] = connect;
        deployment.report(&LdapConnects).await
    }

    #[tokio::test]
    async fn a_server_that_takes_connections_and_is_trusted_passes() {
        expect![[r#"
            10.64.140.43: nothing broken found. 0 root causes, 0 symptoms; 1 check passed, 0
            not seen.

            pass     onprem-ldap-connect
                     Dex's directory takes connections, and nobody reads along
        "#]]
        .assert_eq(&Deployment::signing_in().report(&LdapConnects).await);
    }

    #[tokio::test]
    async fn whom_dex_trusts_is_not_known_where_it_states_nobody() {
        let error = "tls: certificate signed by an unknown authority, or self-signed";
        let connect = json!({ "ok": false, "verified": false, "error": error });
        let says = with(connect.clone(), &[]).await;
        assert!(says.contains("unknown  onprem-ldap-connect"), "{says}");
        let mut deployment = Deployment::signing_in();
        deployment.file("probes/ldap")[0]["connect"] = connect;
        let line = "failed to login: LDAP Result Code 200 \"Network Error\": x509: certificate signed \
                    by unknown authority\n";
        deployment.logs.push(("auth/dex-7d9f-x1/dex".to_owned(), line.to_owned()));
        let says = deployment.report(&LdapConnects).await;
        assert!(says.contains("FAIL     onprem-ldap-connect"), "{says}");
        let expired =
            json!({ "ok": false, "verified": false, "error": "tls: certificate expired" });
        assert!(with(expired, &[]).await.contains("FAIL     onprem-ldap-connect"));
    }

    #[tokio::test]
    async fn who_asks_without_dexs_own_certificate_may_be_refused_for_it() {
        let own = [("636\n", "636\n    clientCert: /ldap/tls.crt\n    clientKey: /ldap/tls.key\n")];
        for error in ["tls: received fatal alert: CertificateRequired", "ldap: connection reset"] {
            let connect = json!({ "ok": false, "tls": true, "verified": true, "error": error });
            let says = with(connect.clone(), &own).await;
            assert!(says.contains("unknown  onprem-ldap-connect"), "{says}");
            assert!(with(connect, &[]).await.contains("FAIL     onprem-ldap-connect"));
        }
    }

    #[tokio::test]
    async fn why_it_does_not_is_said_by_layer() {
        let error = "tls: InvalidCertificate(UnknownIssuer)";
        let stated = [("636\n", "636\n    rootCA: /ldap/ca.crt\n")];
        expect![[r#"
            10.64.140.43 is down. 1 root cause, 0 symptoms; 0 checks passed, 0 not seen.

            ROOT CAUSE  onprem-ldap-connect
              ConfigMap auth/dex has Dex ask ldap.example.com:636, whose certificate Dex
                does not trust
                connector ldap
                because   tls: InvalidCertificate(UnknownIssuer)
                speaks    TLS from the first byte
                fix       lets you put it right, and starts Dex again
                          kubectl edit configmap \
                            -n auth dex && kubectl rollout restart deployment/dex -n auth
              kubectl kfcheck explain onprem-ldap-connect

            FAIL     onprem-ldap-connect
                     Dex's directory takes connections, and nobody reads along
        "#]]
        .assert_eq(&with(json!({ "ok": false, "error": error }), &stated).await);
        // From outside of Dex's network that says nothing.
        let here = json!({ "ok": false, "error": "dns: NXDOMAIN", "through": "this machine" });
        let report = with(here, &[]).await;
        assert!(report.contains("unknown  onprem-ldap-connect"), "{report}");
        for (error, says) in [
            ("dns: NXDOMAIN", "whose name does not resolve"),
            ("connect: 10.0.0.7:636: Connection refused", "which refuses connections"),
            ("connect: 10.0.0.7:636: no answer within 5s", "which does not answer in time"),
            ("tls: received corrupt message", "which does not speak TLS there"),
            ("starttls: protocolError (2)", "which does not take StartTLS"),
        ] {
            let report = with(json!({ "ok": false, "error": error }), &[]).await;
            assert!(report.replace("\n    ", " ").contains(says), "{report}");
        }
    }

    #[tokio::test]
    async fn plain_text_and_any_certificate_are_warnings() {
        let plain = [("636\n", "389\n    insecureNoSSL: true\n")];
        expect![[r#"
            10.64.140.43: nothing broken found. 0 root causes, 0 symptoms; 0 checks passed,
            0 not seen.

            WARNING  onprem-ldap-connect
              ConfigMap auth/dex sends passwords in plain text by connector ldap
                server    ldap.example.com:389
                insecureNoSSL
                          true

            warn     onprem-ldap-connect
                     Dex's directory takes connections, and nobody reads along
        "#]]
        .assert_eq(&with(json!({ "ok": true, "tls": false }), &plain).await);
        let any = [("636\n", "636\n    insecureSkipVerify: true\n")];
        let says = with(json!({ "ok": true, "tls": true, "verified": false }), &any).await;
        assert!(says.contains("takes whatever certificate it is shown"), "{says}");
    }

    #[tokio::test]
    async fn a_server_that_nobody_asked_is_unknown() {
        let mut deployment = Deployment::signing_in();
        deployment.without("probes/ldap");
        let says = deployment.report(&LdapConnects).await;
        assert!(says.contains("unknown  onprem-ldap-connect"), "{says}");
    }
}
