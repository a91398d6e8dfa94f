//! A ledger without double spend: every cheque is cashed once, whatever traitors, crashes and disks do.
//!
//! `cargo run --example ledger` runs it on four replicas; `cargo test --example ledger` attacks it.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use quorate::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// The accounts, and the numbers of the cheques that were cashed.
#[derive(Default, Clone, Serialize, Deserialize)]
pub struct Ledger {
    accounts: BTreeMap<String, u64>,
    cashed: BTreeSet<u64>,
}

/// Moves money once, however often it is presented.
#[derive(Clone, Serialize, Deserialize)]
pub struct Cheque {
    number: u64,
    from: String,
    to: String,
    amount: u64,
}

/// What became of a cheque.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Paid {
    /// The money has moved.
    Now,
    /// It was cashed before.
    Before,
    /// The drawer has less than that.
    Bounced,
}

impl Ledger {
    /// Alice has 1000 to begin with.
    pub fn funded() -> Self {
        Self { accounts: BTreeMap::from([("alice".to_owned(), 1000)]), cashed: BTreeSet::new() }
    }
    /// What is in an account.
    pub fn balance(&self, account: &str) -> u64 {
        self.accounts.get(account).copied().unwrap_or(0)
    }
    /// All the money there is.
    pub fn total(&self) -> u64 {
        self.accounts.values().sum()
    }
}

impl StateMachine for Ledger {
    type Command = Cheque;
    type Reply = Paid;
    type Query = String;
    type Answer = u64;

    fn apply(&mut self, cheque: Cheque, _: &Context) -> Paid {
        if self.cashed.contains(&cheque.number) {
            return Paid::Before;
        }
        let Some(rest) = self.balance(&cheque.from).checked_sub(cheque.amount) else { return Paid::Bounced };
        self.cashed.insert(cheque.number);
        self.accounts.insert(cheque.from, rest);
        *self.accounts.entry(cheque.to).or_default() += cheque.amount;
        Paid::Now
    }

    fn query(&self, account: String) -> u64 {
        self.balance(&account)
    }
}

#[tokio::main]
async fn main() -> quorate::Result<()> {
    let cluster = LocalCluster::start(4, Ledger::funded).await?;
    let client = cluster.client().await?;
    let cheque = Cheque { number: 1, from: "alice".into(), to: "bob".into(), amount: 400 };
    println!("{:?}", client.submit(cheque.clone()).await?.reply); // Now
    println!("{:?}", client.submit(cheque).await?.reply); // Before
    cluster.stop().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate::lab::*;
    use std::time::Duration;

    fn cheque(number: u64) -> Cheque {
        Cheque { number, from: "alice".into(), to: "bob".into(), amount: 10 }
    }

    #[quorate::attack_test(replicas = 4, seeds = 0..64, start = Ledger::funded, faults = "all")]
    fn no_cheque_is_cashed_twice(sim: &mut Sim<Ledger>) -> SimResult {
        sim.byzantine(0, attack::equivocate_proposals());
        for number in 0..20 {
            sim.client("bob").submit(cheque(number));
            sim.client("mallory").submit(cheque(number)); // the same cheque again, from elsewhere
            sim.run_for(Duration::from_millis(10))?;
        }
        sim.heal();
        sim.check(safety())?.check(live(5.requests()).within(seconds(20)))?;
        sim.settle()?;
        sim.check_state(|ledger| ledger.total() == 1000 && ledger.balance("bob") == 200)
    }

    /// The same ledger with one mistake: whoever wrote it took `cashed` for a cache.
    #[derive(Default, Clone, Serialize, Deserialize)]
    struct ForgetfulLedger {
        accounts: BTreeMap<String, u64>,
        #[serde(skip)]
        cashed: BTreeSet<u64>,
    }

    impl ForgetfulLedger {
        fn funded() -> Self {
            Self { accounts: Ledger::funded().accounts, ..Self::default() }
        }
    }

    impl StateMachine for ForgetfulLedger {
        type Command = Cheque;
        type Reply = Paid;
        type Query = String;
        type Answer = u64;

        fn apply(&mut self, cheque: Cheque, context: &Context) -> Paid {
            let (accounts, cashed) = (std::mem::take(&mut self.accounts), std::mem::take(&mut self.cashed));
            let mut ledger = Ledger { accounts, cashed };
            let paid = ledger.apply(cheque, context);
            (self.accounts, self.cashed) = (ledger.accounts, ledger.cashed);
            paid
        }

        fn query(&self, account: String) -> u64 {
            self.accounts.get(&account).copied().unwrap_or(0)
        }
    }

    /// Shows how a mistake is found that no test without crashes can see. Its plan lies in `tests/regressions`, and what is
    /// told of it in `docs/attack-your-service.md`.
    #[quorate::attack_test(replicas = 4, seeds = 0..64, start = ForgetfulLedger::funded, faults = "all")]
    #[should_panic(expected = "property: requests are linearizable, with the committed log as the witness")]
    fn a_forgetful_ledger_is_found_out(sim: &mut Sim<ForgetfulLedger>) -> SimResult {
        for number in 0..20 {
            sim.client("bob").submit(cheque(number));
            sim.run_for(Duration::from_millis(10))?;
        }
        sim.heal();
        for number in 0..20 {
            sim.client("mallory").submit(cheque(number)); // the same cheques again, later
        }
        sim.check(live(5.requests()).within(seconds(20)))?;
        sim.settle()?;
        sim.check_state(|ledger| ledger.accounts["bob"] == 200)
    }
}
