//! Who a browser is sent to for signing in.

use url::Url;

use crate::AuthenticateCognito;

/// Where an answer sends a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Leads {
    /// Cognito's page, for the application of this id.
    Cognito { host: String, client: String },
    /// Somebody else's page, after which the load balancer goes on.
    Provider { host: String },
    /// The deployment's own sign-in: Dex, oauth2-proxy, or what stands in their place.
    Own,
    /// The very address that was asked.
    Back,
    /// Another page.
    Elsewhere,
}

/// Where load balancers have users come back to.
pub(crate) const CALLBACK: &str = "/oauth2/idpresponse";

/// The address that users come back to after signing in.
pub(crate) fn callback(host: &str) -> String {
    format!("https://{host}{CALLBACK}")
}

/// A redirect's address, which may be a relative one.
pub(crate) fn target(asked: &str, location: &str) -> Option<Url> {
    Url::parse(asked).ok()?.join(location).ok()
}

/// What a query says.
pub(crate) fn said(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

impl Leads {
    /// Of the answer to `asked` that redirects to `to`.
    pub(crate) fn of(asked: &Url, to: &Url) -> Self {
        let host = to.host_str().unwrap_or_default().to_owned();
        let client = said(to, "client_id").unwrap_or_default();
        let path = to.path();
        // Load balancers say where users come back to, and oauth2-proxy says another place.
        let by_balancer = said(to, "redirect_uri").is_some_and(|back| back.ends_with(CALLBACK));
        let own = ["/dex/auth", "/oauth2/start", "/oauth2/sign_in", "/authservice/"];
        let is_cognito = host.ends_with(".amazoncognito.com") || path == "/oauth2/authorize";
        if is_cognito && by_balancer {
            Self::Cognito { host, client }
        } else if by_balancer {
            Self::Provider { host }
        } else if own.iter().any(|own| path.contains(own)) || said(to, "redirect_uri").is_some() {
            Self::Own
        } else if to.as_str() == asked.as_str() {
            Self::Back
        } else {
            Self::Elsewhere
        }
    }
}

impl AuthenticateCognito {
    /// Whether `host` has its sign-in page. Partitions of AWS's name what Cognito hosts differently.
    pub(crate) fn is_at(&self, host: &str) -> bool {
        let host = host.to_lowercase();
        let domain = self.domain().to_lowercase();
        let hosted = || {
            let rest = host.strip_prefix(&domain).and_then(|rest| rest.strip_prefix(".auth"));
            rest.is_some_and(|rest| rest.contains(".amazoncognito."))
        };
        host == domain || hosted()
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::{Leads, target};

    fn leads(location: &str) -> Leads {
        let asked = "https://kf.example.com/";
        Leads::of(&Url::parse(asked).unwrap(), &target(asked, location).unwrap())
    }

    #[test]
    fn every_usual_sign_in_is_told_from_the_others() {
        let back = "redirect_uri=https%3A%2F%2Fkf.example.com%2Foauth2%2Fidpresponse&state=abc";
        let hosted = "https://kf.auth.us-west-2.amazoncognito.com/oauth2/authorize?client_id=1&";
        let host = "kf.auth.us-west-2.amazoncognito.com".to_owned();
        let cognito = Leads::Cognito { host, client: "1".to_owned() };
        assert_eq!(leads(&format!("{hosted}{back}")), cognito);
        let okta = format!("https://acme.okta.com/oauth2/v1/authorize?client_id=1&{back}");
        assert_eq!(leads(&okta), Leads::Provider { host: "acme.okta.com".to_owned() });
        assert_eq!(leads("/dex/auth?client_id=kubeflow-oidc-authservice"), Leads::Own);
        assert_eq!(leads("/oauth2/start?rd=%2F"), Leads::Own);
        assert_eq!(leads("https://kf.example.com/"), Leads::Back);
        assert_eq!(leads("/dashboard/"), Leads::Elsewhere);
    }
}
