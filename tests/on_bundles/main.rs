//! Inspections of what was recorded, and what needs no world at all.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod bad_input;
mod bundle;
mod cleanup_plan;
mod docs;
mod front_end;
mod scenarios;
