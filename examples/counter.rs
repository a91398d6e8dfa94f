//! The first twenty lines: a replicated counter, and a primary that lies.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use quorate::prelude::*;

#[rustfmt::skip]
#[derive(Default, Clone, Serialize, Deserialize)]
struct Counter { total: i64 }

#[rustfmt::skip]
impl StateMachine for Counter {
    type Command = i64; type Reply = i64; type Query = (); type Answer = i64;
    fn apply(&mut self, add: i64, _: &Context) -> i64 { self.total += add; self.total }
    fn query(&self, _: ()) -> i64 { self.total }
} // snapshot and restore come from Clone + Serialize; large state implements Snapshot itself

#[rustfmt::skip]
#[tokio::main]
async fn main() -> quorate::Result<()> {
    let cluster = LocalCluster::start(4, Counter::default).await?;     // f = 1, real QUIC on loopback
    let client = cluster.client().await?;
    println!("{}", client.submit(5).await?.reply);                     // f+1 replicas agree: 5
    cluster.replica(0).attack(Attack::EquivocateProposals).await?;     // the primary turns traitor
    println!("{}", client.submit(2).await?.reply);                     // 7
    println!("{}", cluster.evidence().await?[0]);                      // "equivocation by replica 0 ..", and the two signatures
    cluster.stop().await
}
