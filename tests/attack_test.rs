//! Do attack tests run as users write them, and do they fail when they should?

use quorate::lab::*;
use quorate::prelude::*;
use std::collections::BTreeMap;

/// Accounts, between which money moves and is never made.
#[derive(Default, Clone, Serialize, Deserialize)]
struct Ledger {
    accounts: BTreeMap<String, u64>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Transfer {
    from: String,
    to: String,
    amount: u64,
}

impl Transfer {
    fn new(from: &str, to: &str, amount: u64) -> Self {
        Self { from: from.to_owned(), to: to.to_owned(), amount }
    }
}

impl Ledger {
    fn funded() -> Self {
        Self { accounts: BTreeMap::from([("alice".to_owned(), 1_000)]) }
    }
    fn total(&self) -> u64 {
        self.accounts.values().sum()
    }
}

impl StateMachine for Ledger {
    type Command = Transfer;
    type Reply = bool;
    type Query = String;
    type Answer = u64;

    fn apply(&mut self, transfer: Transfer, _: &Context) -> bool {
        let Some(rest) = self.query(transfer.from.clone()).checked_sub(transfer.amount) else { return false };
        self.accounts.insert(transfer.from, rest);
        *self.accounts.entry(transfer.to).or_default() += transfer.amount;
        true
    }

    fn query(&self, account: String) -> u64 {
        self.accounts.get(&account).copied().unwrap_or(0)
    }
}

/// As users write it, to the letter.
#[rustfmt::skip]
#[quorate::attack_test(replicas = 4, seeds = 0..256, start = Ledger::funded)]
fn no_double_spend(sim: &mut Sim<Ledger>) -> SimResult {
    let traitor = sim.byzantine(0, attack::equivocate_proposals());
    let alice = sim.client("alice");
    for i in 0..50 { alice.submit(Transfer::new("alice", "bob", i)); }
    sim.run_until(views(8).or(seconds(30)))?;
    sim.heal();                                               // the network heals, the traitor stays
    sim.check(safety())?
       .check(live(10.requests()).within(seconds(20)))?
       .check(evidence().against(traitor).none_against_honest())?
       .check(fired("equivocate_proposals"))?;                // an attack that never happened is a failure
    sim.check_state(|ledger| ledger.total() == 1_000)
}
