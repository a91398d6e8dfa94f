//! Does every check of the verifier refuse what it is there for?
//!
//! Each test takes something good, changes one thing, and names the rejection. Most run under both
//! signature schemes.

#[path = "../common/mod.rs"]
mod common;

mod bundles;
mod certificates;
mod evidence;
mod statements;
mod view_changes;
