//! Whom a role lets in by the tokens of a cluster's service accounts.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Value, json};

use crate::Document;

/// The operation that such a token is shown to.
const ACTION: &str = "sts:AssumeRoleWithWebIdentity";

/// Why a role is not given to a service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mistrust {
    /// It trusts no tokens at all.
    NoTokens,
    /// It trusts the tokens of other issuers: these.
    OtherIssuer(Vec<String>),
    /// It trusts this cluster's tokens, and other service accounts: these.
    OtherAccount(Vec<String>),
}

/// A service account, as its tokens have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bearer {
    /// The issuer without `https://`, as IAM has it.
    pub(crate) issuer: String,
    /// `system:serviceaccount:NAMESPACE:NAME`.
    pub(crate) subject: String,
}

impl Bearer {
    pub(crate) fn new(issuer: &str, namespace: &str, account: &str) -> Self {
        Self {
            issuer: issuer.trim_start_matches("https://").trim_end_matches('/').to_owned(),
            subject: format!("system:serviceaccount:{namespace}:{account}"),
        }
    }

    /// Why a role's trust policy doesn't let it in (Amazon EKS documentation, "Assign IAM roles to
    /// Kubernetes service accounts"); nothing where it does, or where that can't be told.
    pub(crate) fn is_kept_out(&self, trust: &Document) -> Option<Mistrust> {
        let statements = trust.statements();
        if statements.is_empty() {
            return None;
        }
        let allows =
            |statement: &&Value| statement["Effect"] == "Allow" && is_for_tokens(statement);
        let allowing: Vec<_> = statements.into_iter().filter(allows).collect();
        if allowing.is_empty() {
            return Some(Mistrust::NoTokens);
        }
        let (mut issuers, mut subjects) = (BTreeSet::new(), BTreeSet::new());
        for statement in allowing {
            let principals = texts(&statement["Principal"]["Federated"]);
            let any = statement["Principal"] == "*" || principals.contains(&"*");
            let urls = principals.iter().filter_map(|arn| arn.split_once(":oidc-provider/"));
            let providers: Vec<_> = urls.map(|(_, url)| url).collect();
            if !any && !providers.iter().any(|provider| *provider == self.issuer) {
                issuers.extend(providers.into_iter().map(str::to_owned));
                continue;
            }
            match self.refused_by(&statement["Condition"]) {
                None => return None,
                Some(wanted) => subjects.extend(wanted),
            }
        }
        Some(if subjects.is_empty() {
            Mistrust::OtherIssuer(issuers.into_iter().collect())
        } else {
            Mistrust::OtherAccount(subjects.into_iter().collect())
        })
    }

    /// The subjects that a condition wants instead, if this one isn't among them. Conditions of
    /// other kinds are taken to be met.
    fn refused_by(&self, condition: &Value) -> Option<Vec<String>> {
        let key = format!("{}:sub", self.issuer);
        for (operator, wants) in condition.as_object().into_iter().flatten() {
            let operator = operator.rsplit(':').next().unwrap_or_default();
            let is_like = match operator {
                "StringLike" => true,
                "StringEquals" => false,
                _ => continue,
            };
            let Some(wanted) = wants.get(&key).map(texts).filter(|all| !all.is_empty()) else {
                continue;
            };
            let is_it = |one: &&str| {
                if is_like { is_like_pattern(one, &self.subject) } else { **one == self.subject }
            };
            if !wanted.iter().any(is_it) {
                return Some(wanted.into_iter().map(str::to_owned).collect());
            }
        }
        None
    }

    /// The trust policy that lets it in beside whom it lets in already.
    pub(crate) fn let_in(&self, trust: &Document, account_id: &str) -> Value {
        let mut all: Vec<Value> = trust.statements().into_iter().cloned().collect();
        let Self { issuer, subject } = self;
        all.push(json!({ "Effect": "Allow", "Action": ACTION,
            "Principal": { "Federated": format!("arn:aws:iam::{account_id}:oidc-provider/{issuer}") },
            "Condition": { "StringEquals": { format!("{issuer}:sub"): subject,
                format!("{issuer}:aud"): "sts.amazonaws.com" } } }));
        json!({ "Version": "2012-10-17", "Statement": all })
    }
}

fn is_for_tokens(statement: &Value) -> bool {
    let actions = texts(&statement["Action"]);
    actions.iter().any(|action| is_like_pattern(&action.to_lowercase(), &ACTION.to_lowercase()))
}

/// One text, or several.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Whether a text is of a form in which `*` stands for anything and `?` for one character.
fn is_like_pattern(pattern: &str, text: &str) -> bool {
    let pattern = regex::escape(pattern).replace(r"\*", ".*").replace(r"\?", ".");
    // A form that can't be read is taken to be met.
    Regex::new(&format!("^{pattern}$")).is_ok_and(|form| form.is_match(text))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Bearer, Mistrust};
    use crate::Document;

    const ISSUER: &str = "oidc.eks.us-west-2.amazonaws.com/id/0A1B";

    fn controller() -> Bearer {
        Bearer::new(&format!("https://{ISSUER}"), "kube-system", "controller")
    }

    /// A policy that trusts tokens of an issuer, under a condition.
    fn trust(issuer: &str, condition: &Value) -> Document {
        let provider = format!("arn:aws:iam::111122223333:oidc-provider/{issuer}");
        Document(json!({ "Statement": { "Effect": "Allow",
            "Action": ["sts:AssumeRoleWithWebIdentity"], "Principal": { "Federated": provider },
            "Condition": condition } }))
    }

    fn for_subject(operator: &str, subject: &str) -> Document {
        trust(ISSUER, &json!({ operator: { format!("{ISSUER}:sub"): subject } }))
    }

    #[test]
    fn the_account_that_is_named_is_let_in() {
        let ours = "system:serviceaccount:kube-system:controller";
        assert_eq!(controller().is_kept_out(&for_subject("StringEquals", ours)), None);
        let all = "system:serviceaccount:kube-system:*";
        assert_eq!(controller().is_kept_out(&for_subject("StringLike", all)), None);
        assert_eq!(controller().is_kept_out(&trust(ISSUER, &json!({}))), None);
    }

    #[test]
    fn another_account_or_another_issuer_keeps_it_out() {
        let other = "system:serviceaccount:kubeflow:controller";
        let kept_out = controller().is_kept_out(&for_subject("StringEquals", other));
        assert_eq!(kept_out, Some(Mistrust::OtherAccount(vec![other.to_owned()])));
        let former = "oidc.eks.us-west-2.amazonaws.com/id/FFFF";
        let kept_out = controller().is_kept_out(&trust(former, &json!({})));
        assert_eq!(kept_out, Some(Mistrust::OtherIssuer(vec![former.to_owned()])));
        let machines = json!({ "Statement": [{ "Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": { "Service": "ec2.amazonaws.com" } }] });
        let kept_out = controller().is_kept_out(&Document(machines));
        assert_eq!(kept_out, Some(Mistrust::NoTokens));
    }

    #[test]
    fn a_policy_that_was_not_seen_keeps_nobody_out() {
        assert_eq!(controller().is_kept_out(&Document::default()), None);
    }

    #[test]
    fn who_is_let_in_is_beside_the_others() {
        let other = for_subject("StringEquals", "system:serviceaccount:kubeflow:controller");
        let policy = Document(controller().let_in(&other, "111122223333"));
        assert_eq!(policy.statements().len(), 2);
        assert_eq!(controller().is_kept_out(&policy), None);
    }
}
