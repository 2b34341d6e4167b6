//! Live runs: the clouds' and Kubernetes' APIs answer from this machine, what asks them is what users run.
//!
//! One program for all of them: each would be linked with every cloud's client libraries, which takes
//! longer than most of the tests.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod aws_faults;
mod cleanup;
mod credentials;
mod faults;
mod given_away;
mod live;
mod live_program;
mod management_cluster;
mod moto;
mod permissions;
