//! Scripts in which one replica floods the others, which hold no more of it than they allow themselves.

use quorate_attack::{Adversary, Attack, Cx, Verdict, future_views};
use quorate_sim::{Costs, Sim, SimOptions, Span, Violation};
use quorate_types::ReplicaId;
use quorate_types::message::{Fetch, Message};
use std::time::Duration;

use super::{R3, submit};

/// More messages of the future than a slow verifier gets done.
pub(crate) fn flood_of_future_views(seed: u64) -> Result<(), Violation> {
    let costs = Costs { verify_us: Span(5_000, 5_000), ..Costs::default() };
    let mut sim = Sim::with(4, seed, SimOptions { costs, ..SimOptions::default() });
    sim.byzantine(R3, future_views().rate(300));
    submit(&mut sim, 5)
}

/// Asks for every header that it is shown, again and again.
#[derive(Debug)]
struct AskWithoutEnd;

impl Adversary for AskWithoutEnd {
    fn name(&self) -> &'static str {
        "ask_without_end"
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
        if let Message::Propose(propose) = message {
            let header = &propose.header.header;
            for _ in 0..2_000 {
                cx.send(from, Message::Fetch(Fetch::Header(header.height, header.digest())));
                cx.fired();
            }
        }
        Verdict::Deliver
    }
}

/// More questions than a slow disk lets through.
pub(crate) fn flood_of_questions(seed: u64) -> Result<(), Violation> {
    let costs = Costs { sync_us: Span(20_000, 20_000), ..Costs::default() };
    let mut sim = Sim::with(4, seed, SimOptions { costs, ..SimOptions::default() });
    sim.byzantine(R3, AskWithoutEnd);
    submit(&mut sim, 5)
}

/// One replica equivocates in every one of many views.
pub(crate) fn equivocation_in_many_views(seed: u64) -> Result<(), Violation> {
    let mut sim = Sim::new(4, seed);
    sim.byzantine(R3, Attack::EquivocateVotes);
    for _ in 0..20 {
        submit(&mut sim, 4)?;
        let primary = sim.status(ReplicaId(0)).primary;
        sim.isolate(primary);
        sim.client("alice").submit(1);
        sim.run_for(Duration::from_secs(2))?;
        sim.heal();
        sim.run_until_done()?;
    }
    let views = sim.evidence().iter().filter(|evidence| evidence.replica == R3).count();
    super::demand(views > 8, &format!("{views} pieces of evidence"))
}
