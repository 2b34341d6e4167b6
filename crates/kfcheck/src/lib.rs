//! Checks over facts.
//!
//! A [`Fact`] is one question about the outside world, answered at most once per run. A [`Stretch`]
//! draws what a request goes through as a [`Path`]. A [`Check`] reads facts about what is on it and
//! writes findings. A [`World`] owns the answers of one run, live or replayed from a [`Bundle`], and
//! a [`Cx`] is the handle through which all of them reach it.

mod anonymize;
mod bundle;
mod causes;
mod check;
mod clock;
mod fact;
mod finding;
mod path;
mod place;
pub mod redact;
mod report;
mod runner;
mod suppress;
pub mod wire;
mod world;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub use bundle::fuzzing;
pub use bundle::{Bundle, BundleError};
pub use causes::{Cause, causes};
pub use check::{Check, Described, Meta};
pub use clock::{Clock, Now};
pub use fact::{Fact, FactError, FactKey, FactMeta, Fault};
pub use finding::{Finding, Findings, Named, Remedy, Resource, Risk, Severity, spoken_kind};
pub use path::{Aspect, Edge, Path, Stretch};
pub use place::{ObjectKind, Place, Selection};
pub use report::{CheckResult, Report, Status};
pub use runner::{Event, Runner};
pub use suppress::{Suppression, Warning, suppress};
pub use world::{Cx, World};

pub use async_trait::async_trait;
