//! Rule V1, a part of invariant 11: an honest replica votes above the window for no block but the first of a view.

use quorate_consensus::Event;
use quorate_types::Height;
use quorate_types::message::Message;

use super::Invariant;
use crate::chain::BlockRef;
use crate::history::History;
use crate::observe::{Observation, Violation};

const PROPERTY: &str = "honest votes stay in the window";

/// The highest checkpoint that was stable at each replica.
#[derive(Debug)]
pub(crate) struct VotesStayInWindow(Vec<Height>);

impl VotesStayInWindow {
    pub(crate) fn new(history: &History, _seed: u64) -> Self {
        Self(vec![Height(0); history.replicas.len()])
    }
}

impl Invariant for VotesStayInWindow {
    fn observe(
        &mut self,
        history: &History,
        observation: &Observation<'_>,
        _: Option<BlockRef>,
    ) -> Result<(), Violation> {
        match observation {
            Observation::Event(replica, Event::Stable(height, _)) => {
                let stable = &mut self.0[replica.index()];
                *stable = (*stable).max(*height);
            }
            Observation::Sent(replica, Message::Vote(vote)) => {
                let (height, stable) = (vote.vote.height, self.0[replica.index()]);
                let is_first = history
                    .chain
                    .find(&vote.vote.digest)
                    .is_none_or(|block| history.chain.is_first_of_view(block));
                if height.0 > stable.0 + history.setup.parameters.window && !is_first {
                    let what = format!(
                        "replica {replica} voted for height {height} of view {} while {stable} was its stable checkpoint",
                        vote.vote.view
                    );
                    return Err(Violation::of(PROPERTY, what));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
