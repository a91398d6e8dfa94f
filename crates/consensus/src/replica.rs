//! The replica's machine: its state and its four methods.

use quorate_types::{Height, ReplicaId, Time, View};
use std::collections::VecDeque;

use crate::config::Config;
use crate::io::{Action, Input};
use crate::record::Recovered;

/// One replica's protocol machine.
#[derive(Debug)]
pub struct Replica {
    config: Config,
    actions: VecDeque<Action>,
}

/// What a replica says of itself to its operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ReplicaStatus {
    /// The view that it entered.
    pub view: View,
    /// The primary of that view.
    pub primary: ReplicaId,
    /// The highest view that it asked for.
    pub asked: View,
    /// The height up to which it committed.
    pub committed: Height,
    /// The height up to which it executed.
    pub executed: Height,
    /// The height of the stable checkpoint.
    pub stable: Height,
    /// Whether it lost its disk and waits (rule D3).
    pub is_recovering: bool,
    /// Whether it halted.
    pub is_halted: bool,
}

impl Replica {
    /// A machine that goes on from what its log holds.
    #[must_use]
    pub fn new(now: Time, config: Config, recovered: Recovered) -> Self {
        let _ = (now, recovered);
        Self { config, actions: VecDeque::new() }
    }
    /// Takes one input. Infallible: a peer cannot make it fail.
    pub fn handle(&mut self, now: Time, input: Input) {
        let _ = (now, input, &self.config);
    }
    /// The next thing to do; call until it gives `None` after every input.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }
    /// When to give [`Input::Timeout`], if nothing else happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        None
    }
    /// Where it stands.
    #[must_use]
    pub fn status(&self) -> ReplicaStatus {
        ReplicaStatus::default()
    }
}
