//! What can happen at all? The real machines of three honest replicas and one traitor, in every way that a small scope
//! allows, as sets of states.
//!
//! A machine is deterministic, and what it sends follows from what it got. So a state of the whole is three states of
//! single machines; each of those is made once, by the real machine, and known by a digest over all that it holds; and
//! what a machine in one state makes of one input is asked of it once. The traitor needs no state: at any moment it can
//! say to anybody what its key and the messages so far allow, out of a bounded vocabulary ([`Scope`]).
//!
//! A scope goes through the phases of its views in order. In each phase every honest replica gets any of the messages of
//! that phase that could reach it, in any order, or none; its timer may run out or not. What the others do with it goes
//! into the next phase. At the end the messages of all kinds come in any order, up to a number of steps.
//!
//! Judged are the states, by code of its own: what might be committed, by what honest replicas sent and the traitor could
//! say, is extended by every later vote; nothing is committed that is not proven; nobody votes twice or after it left.

mod all;
mod local;
mod messages;
mod properties;
mod scope;
mod search;
mod traitor;

pub use all::Explorations;
pub use scope::{Phase, Scope};
pub use search::{Layer, Part, explore};
