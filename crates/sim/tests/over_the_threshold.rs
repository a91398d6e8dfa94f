//! What happens when more replicas are faulty than the cluster survives? One more that is silent costs progress and
//! nothing else; one more that lies costs agreement, and that is seen and can be proved.

use quorate_attack::{Adversary, Attack, Cx, Verdict, equivocate_proposals};
use quorate_sim::Sim;
use quorate_sim::invariants::Judged;
use quorate_types::message::{Message, Vote};
use quorate_types::{ReplicaId, Statement};
use std::collections::BTreeSet;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Votes with everybody: whoever votes for a block gets this replica's vote for the same block, and a while later the
/// others get it too. Its own votes it keeps to itself.
#[derive(Debug)]
struct VoteWithEverybody;

/// After this the other side hears of it: when both have committed.
const SECRET_FOR: Duration = Duration::from_millis(40);

impl Adversary for VoteWithEverybody {
    fn name(&self) -> &'static str {
        "vote_with_everybody"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        if !matches!(message, Message::Vote(_)) {
            cx.send(to, message);
        }
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        if let Message::Vote(theirs) = message {
            let signature = cx.sign(&Statement::Vote(theirs.vote));
            let own = Vote { signature, ..*theirs };
            cx.fired();
            cx.send(from, Message::Vote(own));
            for other in cx.others().into_iter().filter(|other| *other != from) {
                cx.send_after(SECRET_FOR, other, Message::Vote(own));
            }
        }
        Verdict::Deliver
    }
}

/// f liars and one more that is down: nothing happens, nothing breaks, and all goes on when it is back.
#[test]
fn one_more_that_is_down_stalls_the_cluster_until_it_is_back() {
    let cases: [(u16, &[u16]); 2] = [(4, &[3]), (7, &[5, 6])];
    for (n, liars) in cases {
        for attack in [Attack::Silent, Attack::EquivocateVotes, Attack::FutureViews] {
            let mut sim = Sim::new(n, 1);
            for liar in liars {
                sim.byzantine(ReplicaId(*liar), attack);
            }
            sim.client("alice").submit(1);
            sim.run_until_done().expect("f are survived");
            if attack != Attack::Silent {
                // Who votes like an honest replica is missed no less if it votes for nothing that counts.
                for liar in liars {
                    sim.isolate(ReplicaId(*liar));
                }
            }
            let before = sim.status(ReplicaId(1)).committed;
            sim.replica(ReplicaId(2)).stop();
            sim.client("alice").submit(2);
            sim.run_for(20 * SECOND).unwrap_or_else(|why| panic!("{n}, {attack:?}: {why}"));
            assert!(!sim.is_idle(), "{n}, {attack:?}: no quorum is left");
            assert_eq!(sim.status(ReplicaId(1)).committed, before);
            sim.replica(ReplicaId(2)).start();
            sim.run_until_done().unwrap_or_else(|why| panic!("{n}, {attack:?}: {why}"));
            sim.settle().unwrap_or_else(|why| panic!("{n}, {attack:?}: {why}"));
            let tally = sim.state(ReplicaId(1));
            assert_eq!((tally.count, tally.total), (2, 3));
        }
    }
}

/// Whether the primary and a backup that collude fork a cluster of four; judges what is seen of it.
fn forks(seed: u64) -> bool {
    let (primary, accomplice) = (ReplicaId(0), ReplicaId(1));
    let mut sim = Sim::new(4, seed);
    sim.byzantine_with(primary, equivocate_proposals(), &[accomplice]);
    sim.byzantine_with(accomplice, VoteWithEverybody, &[primary]);
    // That what votes commit is not safe is seen even sooner.
    sim.judge(Judged::Only("one digest per height over all honest commits, no gaps"));
    for add in 1..=3 {
        sim.client("alice").submit(add);
    }
    let Err(violation) = sim.run_for(5 * SECOND) else { return false };
    let (one, other) = (sim.status(ReplicaId(2)).committed, sim.status(ReplicaId(3)).committed);
    assert!(one.0 > 0 && other.0 > 0, "both honest replicas committed: {one}, {other}; {violation}");
    // The harness saw it. What do honest replicas prove?
    sim.judge(Judged::Nothing);
    sim.run_for(5 * SECOND).expect("nothing is judged any more");
    let accused: BTreeSet<ReplicaId> = sim.evidence().iter().map(|evidence| evidence.replica).collect();
    assert_eq!(accused, BTreeSet::from([primary, accomplice]), "f + 1 replicas, and no honest one");
    true
}

/// f + 1 that collude fork the cluster, the simulator sees it, and what honest replicas show convicts f + 1.
#[test]
fn one_more_that_lies_forks_the_cluster_and_is_convicted() {
    let forked = (0..20).filter(|seed| forks(*seed)).count();
    assert!(forked >= 5, "{forked} of 20 seeds forked");
}
