//! How CloudFormation says what another service told it.

/// The ways in which it passes on what a service says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wording {
    /// `… (Service: AmazonIdentityManagement; Status Code: 409; Error Code: DeleteConflict; …)`
    #[default]
    Classic,
    /// `Resource handler returned message: "… (Service: Iam, Status Code: 409, …)" (…)`
    Handler,
}

/// An error of another service.
pub(super) struct Refusal {
    /// `iam`, `ec2`, …
    pub(super) service: &'static str,
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
}

impl Refusal {
    /// EC2 keeps something on which something else depends.
    pub(super) fn dependency(message: String) -> Self {
        Self { service: "ec2", status: 400, code: "DependencyViolation".to_owned(), message }
    }

    /// IAM keeps a role which still has something.
    pub(super) fn conflict(message: &str) -> Self {
        let (code, message) = ("DeleteConflict".to_owned(), message.to_owned());
        Self { service: "iam", status: 409, code, message }
    }

    /// As it stands in an event. `ids` are those of the request and of the operation.
    pub(super) fn said(&self, wording: Wording, ids: (&str, &str)) -> String {
        let Self { service, status, code, message } = self;
        let (classic, new) = match *service {
            "iam" => ("AmazonIdentityManagement", "Iam"),
            "eks" => ("AmazonEKS", "Eks"),
            _ => ("AmazonEC2", "Ec2"),
        };
        let (request, operation) = ids;
        if wording == Wording::Classic {
            return format!(
                "{message} (Service: {classic}; Status Code: {status}; Error Code: {code}; \
                 Request ID: {request}; Proxy: null)"
            );
        }
        let says =
            format!("{message} (Service: {new}, Status Code: {status}, Request ID: {request})");
        if message.starts_with("resource sg-") {
            return format!("{says} (SDK Attempt Count: 1)");
        }
        let handler = if *service == "ec2" { "InvalidRequest" } else { "GeneralServiceException" };
        format!(
            "Resource handler returned message: \"{says}\" (RequestToken: {operation}, \
             HandlerErrorCode: {handler})"
        )
    }
}
