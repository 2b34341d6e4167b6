//! What AWS's APIs answer, as far as checks read it.

mod certificate;
mod classic;
mod cluster;
mod cognito;
mod dns;
mod load_balancer;
mod machines;
mod role;
mod scope;
pub(crate) mod shape;
mod stack;

pub use self::{
    certificate::*,
    classic::*,
    cluster::*,
    cognito::*,
    dns::*,
    load_balancer::*,
    machines::*,
    role::*,
    scope::*,
    shape::{IsThere, Tag, Time, Words},
    stack::*,
};

use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use kfcheck::{FactError, Fault, Resource};

use crate::client::is_absent;

/// Declares a fact that asks one of AWS's APIs: its parameters, what IAM calls the permission, where
/// a bundle keeps the answer, and how it is asked for.
macro_rules! fact {
    ($(#[doc = $doc:literal])+ $fact:ident, $name:literal, $action:literal $(and $more:literal)* => $value:ty,
        $place:expr, |$cx:ident, $aws:ident| $ask:expr) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, serde::Serialize)]
        pub struct $fact;

        impl kfcheck::Fact for $fact {
            const NAME: &'static str = concat!("aws.", $name);
            const NEEDS: &'static [&'static str] = &[$action $(, $more)*];
            const TIMEOUT: std::time::Duration = $crate::facts::TIMEOUT;
            type Value = $value;

            fn place(&self) -> Option<kfcheck::Place<$value>> {
                Some($place)
            }

            async fn fetch(&self, $cx: &kfcheck::Cx) -> Result<$value, kfcheck::FactError> {
                $cx.get($crate::facts::AccountReady).await?;
                let $aws = $cx.client::<$crate::client::Aws>()?;
                $ask
            }
        }
    };
    ($(#[doc = $doc:literal])+ $fact:ident { $($param:ident),+ }, $name:literal, $action:literal $(and $more:literal)* => $value:ty,
        $place:expr, |$cx:ident, $aws:ident| $ask:expr) => {
        $(#[doc = $doc])+
        #[allow(missing_docs, reason = "the parameters are the API's, and its reference has them")]
        #[derive(Clone, Debug, serde::Serialize)]
        pub struct $fact {
            $( pub $param: String, )+
        }

        impl kfcheck::Fact for $fact {
            const NAME: &'static str = concat!("aws.", $name);
            const NEEDS: &'static [&'static str] = &[$action $(, $more)*];
            const TIMEOUT: std::time::Duration = $crate::facts::TIMEOUT;
            type Value = $value;

            fn place(&self) -> Option<kfcheck::Place<$value>> {
                let Self { $($param),+ } = self;
                Some($place)
            }

            async fn fetch(&self, $cx: &kfcheck::Cx) -> Result<$value, kfcheck::FactError> {
                let Self { $($param),+ } = self;
                $cx.get($crate::facts::AccountReady).await?;
                let $aws = $cx.client::<$crate::client::Aws>()?;
                $ask
            }
        }
    };
}

pub(crate) use fact;

/// Longer than the longest call, so that it is said which one took so long.
pub(crate) const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(45);

/// The answer, or nothing where what was asked for by name does not exist.
pub(crate) async fn found<T, E: ProvideErrorMetadata, R>(
    call: impl Future<Output = Result<T, SdkError<E, R>>>,
) -> Result<Option<T>, SdkError<E, R>> {
    match call.await {
        Err(error) if is_absent(&error) => Ok(None),
        answer => answer.map(Some),
    }
}

/// What an answer is about. An answer without is one to another question, and no sign that nothing is
/// there.
pub(crate) fn about<A, T>(
    answer: A,
    action: &str,
    thing: impl FnOnce(A) -> Option<T>,
) -> Result<T, FactError> {
    let malformed = || Fault::Malformed {
        file: format!("the answer to {action}"),
        detail: "it is about something else".to_owned(),
    };
    Ok(thing(answer).ok_or_else(malformed)?)
}

/// What the pages of a list hold. A page without the list is no page of it.
pub(crate) fn listed<A, T>(
    pages: Vec<A>,
    action: &str,
    list: impl Fn(A) -> Option<Vec<T>>,
) -> Result<Vec<T>, FactError> {
    let pages = pages.into_iter().map(|page| about(page, action, &list));
    Ok(pages.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// The name of a thing of AWS's across layers.
pub(crate) fn resource(kind: &'static str, name: &str) -> Resource {
    Resource { provider: "aws", kind, namespace: None, name: name.to_owned() }
}
