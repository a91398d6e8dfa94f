//! How a laggard gets many blocks while others go on: rule C5.

mod common;
use common::{Cluster, Envelope, LAGGARD, id};
use quorate_types::message::{Data, Fetch, Message};
use quorate_types::{Height, ProtocolParameters};
use std::cell::Cell;
use std::time::Duration;

/// Replica 3 lacks three hundred blocks, all of which the others hold.
fn behind() -> Cluster {
    let parameters =
        ProtocolParameters { checkpoint_interval: 1024, window: 4096, ..ProtocolParameters::default() };
    let mut cluster = Cluster::with(4, parameters);
    cluster.run_requests(1..=2);
    cluster.stop(LAGGARD);
    cluster.run_requests(3..=300);
    cluster.run_until(5, |_| false);
    cluster.restart(LAGGARD);
    cluster
}

fn is_fetch(message: &Message) -> bool {
    matches!(message, Message::Fetch(Fetch::Blocks(_)))
}

/// [C5] What is proven to be committed is asked of all who hold it.
#[test]
fn c5_all_who_hold_the_blocks_are_asked() {
    let mut cluster = behind();
    let asked = [Cell::new(0), Cell::new(0), Cell::new(0)];
    let count = |e: &Envelope| {
        if let Message::Fetch(Fetch::Blocks(ids)) = &e.message {
            asked[e.to.index()].set(asked[e.to.index()].get() + ids.len());
        }
        true
    };
    assert!(cluster.run_where(2_000, count, |c| c.committed(LAGGARD) == Height(300)));
    let asked = asked.map(|count| count.get());
    assert!(asked.iter().all(|count| *count > 80), "{asked:?}");
    assert!(asked.iter().sum::<usize>() < 310, "each once: {asked:?}");
}

/// [C5] [K3] A peer that needs longer than a timeout for what it was asked for, and sends it steadily, is not asked in vain:
/// nobody else is asked for the same, and no state instead.
#[test]
fn c5_who_delivers_steadily_is_waited_for() {
    let mut cluster = behind();
    let asked = Cell::new(0);
    let mut waiting = Vec::new();
    let mut rounds = 0;
    while cluster.committed(LAGGARD) < Height(300) {
        rounds += 1;
        assert!(rounds < 10_000, "{:?}", cluster.hosts[LAGGARD].replica.status());
        cluster.round_by(|e| {
            if is_fetch(&e.message) && e.from == id(LAGGARD) {
                asked.set(asked.get() + 1);
            }
            if matches!(e.message, Message::Data(Data::Block { .. })) {
                waiting.push((e.from.index(), e.message.clone()));
                return Vec::new();
            }
            vec![e.message.clone()]
        });
        // Of each peer one block in twelve milliseconds, the highest first: the tip does not move meanwhile.
        if rounds % 12 == 0 {
            for peer in 0..3 {
                if let Some(place) = waiting.iter().rposition(|(from, _)| *from == peer) {
                    let (from, message) = waiting.remove(place);
                    cluster.deliver(from, LAGGARD, message);
                }
            }
        }
        cluster.pass(Duration::from_millis(1));
    }
    assert!(cluster.fetching(LAGGARD).is_empty());
    assert!(asked.get() <= 40, "{} questions", asked.get());
}
