use http::{Method, request::Parts};

use crate::aws::wire::Errand;

/// A call that somebody made, told before it is answered and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsCall {
    /// The how-manieth it is among those that change something, from 1; 0 for one that only reads.
    pub index: usize,
    /// As the AWS CLI calls it: `iam`, `ec2`, `elbv2`, `cloudformation`.
    pub service: String,
    /// `DeleteRolePolicy`; where the path says it, method and path: `DELETE /clusters/kf`.
    pub action: String,
    /// The fields of its form as they came; a body in JSON is under an empty name.
    pub parameters: Vec<(String, String)>,
}

/// Where a call has got to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It has come, and nothing has changed yet.
    Before,
    /// All that it changes is changed, and its sender doesn't know yet.
    After,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Then {
    /// It goes on.
    #[default]
    GoOn,
    /// It is lost: before, nothing changes; after, nobody is told. Its sender waits in vain.
    Lose,
}

impl AwsCall {
    /// What the request is for. Its index is that of the next one if it changes something.
    pub(super) fn of(head: &Parts, body: &[u8], changes_so_far: usize) -> Self {
        let errand = Errand::of(&head.headers, body).unwrap_or_default();
        let form = |(name, value): (_, _)| (String::from(name), String::from(value));
        let by_path = errand.action.is_empty();
        let as_json = by_path || head.headers.contains_key("x-amz-target");
        let parameters = match String::from_utf8_lossy(body) {
            text if as_json && text.is_empty() => Vec::new(),
            text if as_json => vec![(String::new(), text.into_owned())],
            _ => url::form_urlencoded::parse(body).map(form).collect(),
        };
        let own = |name: &str| name != "Action" && name != "Version";
        let parameters = parameters.into_iter().filter(|(name, _)| own(name)).collect();
        let reads = match errand.action.as_str() {
            "" => head.method == Method::GET,
            action => {
                errand.service == "sts"
                    || ["Describe", "List", "Get"].iter().any(|verb| action.starts_with(verb))
            }
        };
        let action =
            if by_path { format!("{} {}", head.method, head.uri.path()) } else { errand.action };
        let index = if reads { 0 } else { changes_so_far + 1 };
        Self { index, service: errand.service, action, parameters }
    }

    /// Whether it changes something: all do but those that describe, list or get.
    pub fn changes(&self) -> bool {
        self.index > 0
    }

    /// A parameter; none where the call has no such one.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

impl std::fmt::Display for AwsCall {
    /// `iam:DeleteRolePolicy PolicyName=alb RoleName=node`, parameters in the order of their names.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.service, self.action)?;
        let mut parameters: Vec<_> = self.parameters.iter().collect();
        parameters.sort();
        parameters.iter().try_for_each(|(name, value)| match name.as_str() {
            "" => write!(f, " {value}"),
            name => write!(f, " {name}={value}"),
        })
    }
}
