//! Locks with fencing tokens: whoever holds a lock has a higher token than everybody before, so that a storage that remembers
//! the highest one refuses writers that only believe that they still hold it.
//!
//! `cargo run --example lock` runs it on four replicas; `cargo test --example lock` attacks it.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use quorate::prelude::*;
use quorate::types::{PublicKey, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// All locks.
#[derive(Default, Clone, Serialize, Deserialize)]
pub struct Locks {
    locks: BTreeMap<String, Held>,
    /// The last token that was given out.
    last: u64,
}

/// Who holds a lock.
#[derive(Clone, Serialize, Deserialize)]
pub struct Held {
    holder: PublicKey,
    token: u64,
    until: Time,
}

/// What clients ask for.
#[derive(Clone, Serialize, Deserialize)]
pub enum Ask {
    /// This lock, for the duration of a lease.
    Acquire {
        /// Its name.
        lock: String,
    },
    /// To give a lock back.
    Release {
        /// Its name.
        lock: String,
        /// The token with which it is held.
        token: u64,
    },
}

/// How long a lock is held that nobody releases.
const LEASE: Duration = Duration::from_secs(5);

impl StateMachine for Locks {
    type Command = Ask;
    /// The token of a lock that was acquired or released; `None` if it was not.
    type Reply = Option<u64>;
    type Query = String;
    type Answer = Option<u64>;

    fn apply(&mut self, ask: Ask, context: &Context) -> Option<u64> {
        // All replicas agree on this time; their own clocks do not count.
        let now = context.time();
        match ask {
            Ask::Acquire { lock } => {
                if self.locks.get(&lock).is_some_and(|held| held.until > now) {
                    return None;
                }
                self.last += 1;
                let held = Held { holder: context.client(), token: self.last, until: now.after(LEASE) };
                self.locks.insert(lock, held);
                Some(self.last)
            }
            Ask::Release { lock, token } => {
                let held = self.locks.get(&lock)?;
                let is_holder = held.token == token && held.holder == context.client();
                is_holder.then(|| self.locks.remove(&lock).map(|held| held.token)).flatten()
            }
        }
    }

    fn query(&self, lock: String) -> Option<u64> {
        self.locks.get(&lock).map(|held| held.token)
    }
}

#[tokio::main]
async fn main() -> quorate::Result<()> {
    let cluster = LocalCluster::start(4, Locks::default).await?;
    let client = cluster.client().await?;
    let acquire = Ask::Acquire { lock: "backup".into() };
    println!("{:?}", client.submit(acquire.clone()).await?.reply); // Some(1)
    println!("{:?}", client.submit(acquire).await?.reply); // None: it is held
    let release = Ask::Release { lock: "backup".into(), token: 1 };
    println!("{:?}", client.submit(release).await?.reply); // Some(1)
    cluster.stop().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate::lab::*;
    use std::collections::BTreeSet;
    use std::time::Duration;

    /// Takes turns at one lock and gives every token that the clients got. Each believes its own replies only.
    fn contend(sim: &mut Sim<Locks>) -> Result<Vec<u64>, Violation> {
        let lock = || "backup".to_owned();
        let mut tokens = Vec::new();
        for _ in 0..6 {
            let asked = ["alice", "bob", "carol"].map(|name| {
                let ticket = sim.client(name).submit(Ask::Acquire { lock: lock() });
                (name, ticket)
            });
            answer(sim)?;
            for (name, ticket) in asked {
                if let Some(token) = sim.reply(name, ticket).flatten() {
                    tokens.push(token);
                    sim.client(name).submit(Ask::Release { lock: lock(), token });
                }
            }
            answer(sim)?;
        }
        Ok(tokens)
    }

    /// Waits for all replies; heals first if more replicas stay down than may.
    fn answer(sim: &mut Sim<Locks>) -> SimResult {
        for _ in 0..30 {
            if sim.is_idle() {
                return Ok(());
            }
            sim.run_for(Duration::from_millis(100))?;
        }
        sim.heal();
        sim.run_until(|sim: &Sim<Locks>| sim.is_idle())
    }

    #[quorate::attack_test(replicas = 4, seeds = 0..64)]
    fn one_holder_at_a_time(sim: &mut Sim<Locks>) -> SimResult {
        sim.byzantine(0, attack::equivocate_proposals().during(views(0..2)));
        let tokens = contend(sim)?;
        assert_eq!(tokens.len(), 6, "one of three gets the lock, each time: {tokens:?}");
        assert!(
            tokens.is_sorted_by(|one, other| one < other),
            "every token is higher than all before: {tokens:?}"
        );
        sim.heal();
        sim.check(safety())?.check(fired("equivocate_proposals"))?;
        sim.check_state(|locks| locks.last <= 6 && locks.locks.values().all(|held| held.token <= locks.last))
    }

    #[quorate::attack_test(replicas = 7, seeds = 0..16, faults = "all")]
    fn no_token_is_given_twice(sim: &mut Sim<Locks>) -> SimResult {
        sim.byzantine(0, attack::delay());
        sim.byzantine(3, attack::lie_to_clients());
        let tokens = contend(sim)?;
        let distinct: BTreeSet<u64> = tokens.iter().copied().collect();
        assert_eq!(distinct.len(), tokens.len(), "{tokens:?}");
        sim.heal();
        sim.check(safety())?.check(live(5.requests()).within(seconds(20))).map(drop)
    }
}
