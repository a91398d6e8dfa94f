//! Does a cluster stand traitors that lie in the user's own types, and traitors that tell each other everything?

use quorate_attack::{Combine as _, colluding, forge_replies, odd_commands};
use quorate_machine::decode;
use quorate_sim::{Sim, Violation};
use quorate_types::ReplicaId;
use std::time::Duration;

const R0: ReplicaId = ReplicaId(0);
const R1: ReplicaId = ReplicaId(1);

/// Alice adds 1 so often, and hears the count and the sum after each.
fn submit(sim: &mut Sim, requests: u64) -> Result<Vec<(u64, u64)>, Violation> {
    let mut replies = Vec::new();
    for _ in 0..requests {
        let ticket = sim.client("alice").submit(1);
        sim.run_until_done()?;
        let (outcome, _) = sim.outcome("alice", ticket).expect("it is done");
        let reply = outcome.as_ref().expect("it was executed").reply.clone();
        replies.push(decode(&reply).expect("a reply of the tally"));
    }
    sim.settle()?;
    Ok(replies)
}

#[test]
fn odd_commands_are_executed_alike_and_break_no_property() -> Result<(), Violation> {
    // A backup passes its commands on, the primary orders them itself.
    for traitor in [R0, R1] {
        let mut sim = Sim::new(4, 7);
        sim.byzantine(traitor, odd_commands(|number| 1000 * number));
        submit(&mut sim, 5)?;
        // Nobody waits for the last of them.
        sim.run_for(Duration::from_secs(1))?;
        let odd = sim.fired(traitor);
        assert!(odd >= 3, "{odd}");
        let thousands = 1000 * odd * (odd + 1) / 2;
        for id in sim.replicas() {
            let tally = sim.state(id);
            assert_eq!((tally.count, tally.total), (5 + odd, 5 + thousands));
        }
    }
    Ok(())
}

#[test]
fn what_is_no_command_executes_as_nothing() -> Result<(), Violation> {
    let mut sim = Sim::new(4, 7);
    sim.byzantine(R0, odd_commands(|number| vec![number; 9]));
    submit(&mut sim, 5)?;
    assert!(sim.fired(R0) >= 3);
    for id in sim.replicas() {
        assert_eq!(sim.state(id).count, 5);
    }
    Ok(())
}

#[test]
fn one_liar_forges_no_reply() -> Result<(), Violation> {
    let mut sim = Sim::new(4, 7);
    sim.byzantine(R0, forge_replies(|(count, total): (u64, u64)| (count, total + 1)));
    assert_eq!(submit(&mut sim, 3)?, [(1, 1), (2, 2), (3, 3)]);
    assert!(sim.fired(R0) >= 3);
    Ok(())
}

#[test]
fn two_that_collude_among_seven_change_nothing() -> Result<(), Violation> {
    let mut sim = Sim::new(7, 7);
    let members = [0, 4].map(ReplicaId);
    for (member, attack) in colluding([0, 4], || quorate_attack::replay().and(quorate_attack::amnesia())) {
        sim.byzantine_with(member, attack, &members);
    }
    assert_eq!(submit(&mut sim, 10)?.last(), Some(&(10, 10)));
    assert!(members.iter().all(|member| sim.fired(*member) > 0));
    Ok(())
}
