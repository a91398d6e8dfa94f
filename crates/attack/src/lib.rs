//! Byzantine replicas: honest replicas whose actions pass through an adversary.
//!
//! A [`Participant`] is what a driver drives: the protocol's own machine, and between it and the
//! world possibly an [`Adversary`]. Everything that the adversary leaves alone stays honest, so
//! an attack is only its deviation. It signs with its own and its colluders' keys and gets at no
//! others.
//!
//! Reading order: `adversary.rs` (the seam), `participant.rs` (how it is put around a replica),
//! `attack.rs` (the names), then one attack per file under `attacks`, `combinators.rs` (attacks in
//! combination) and `spec.rs` (all of it as text).
//!
//! # Attacks with limits, and several at once
//!
//! Every attack takes the methods of [`Combine`]; [`Spec`] says the same as text, and [`colluding`] lets
//! several traitors share what they hear:
//!
//! ```
//! use quorate_attack::{Adversary, Attack, Combine as _, Spec, equivocate_proposals, views};
//!
//! let by_hand: Box<dyn Adversary> =
//!     equivocate_proposals().toward([1, 2]).during(views(3..6)).then(Attack::Silent).into();
//! let by_name: Box<dyn Adversary> =
//!     "equivocate-proposals@toward=1+2,views=3..6>silent".parse::<Spec>()?.into();
//! assert_eq!(by_hand.name(), by_name.name());
//! # Ok::<(), quorate_attack::SpecError>(())
//! ```
//!
//! # An adversary of one's own
//!
//! It implements [`Adversary`], whose methods are all honest if they are left out. Each gets a [`Cx`], which
//! knows where the honest machine stands, sends, holds back, signs with the traitor's own keys, and draws numbers
//! from a stream that the seed decides: an adversary has no other randomness and no clock of its own, so that a
//! seed is a run. Each real deviation is counted with [`Cx::fired`], because a test whose attack never happened
//! shows nothing. What was sent and what was withheld both count; what the attack merely watched does not.
//!
//! ```
//! use quorate_attack::{Adversary, Combine as _, Cx};
//! use quorate_types::message::{Message, Vote};
//! use quorate_types::{Digest, ReplicaId, Statement, VoteStatement};
//!
//! /// Votes for a block that nobody proposed, in place of the real one.
//! #[derive(Debug)]
//! struct VoteForNothing;
//!
//! impl Adversary for VoteForNothing {
//!     fn name(&self) -> &'static str {
//!         "vote_for_nothing"
//!     }
//!     fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
//!         let Message::Vote(vote) = &message else { return cx.send(to, message) };
//!         let nothing = VoteStatement { digest: Digest([0; 32]), ..vote.vote };
//!         let signature = cx.sign(&Statement::Vote(nothing));
//!         cx.send(to, Message::Vote(Vote { vote: nothing, signature, ..*vote }));
//!         cx.fired();
//!     }
//! }
//!
//! // It combines like any other.
//! let attack = VoteForNothing.with_probability(0.5).and(quorate_attack::replay());
//! # let _: Box<dyn Adversary> = attack.into();
//! ```
//!
//! A state machine's own commands and replies are attacked with [`odd_commands`] and [`forge_replies`].
//!
//! # What it cannot do
//!
//! An adversary signs as itself and as those that collude with it. Nothing gives it a key, neither its own nor
//! anybody's:
//!
//! ```compile_fail,E0616
//! use quorate_attack::Cx;
//! use quorate_types::SecretKey;
//!
//! fn steal<'a>(cx: &'a Cx<'_>) -> &'a SecretKey {
//!     &cx.config.key
//! }
//! ```
//!
//! [`Cx::sign_as`] gives no signature for an honest replica:
//!
//! ```
//! use quorate_attack::Cx;
//! use quorate_types::{Epoch, ReplicaId, Signature, Statement, View};
//!
//! fn frame(cx: &Cx<'_>, honest: ReplicaId) -> Option<Signature> {
//!     cx.sign_as(honest, &Statement::Wish { epoch: Epoch(0), view: View(1) })
//! }
//! ```

mod adversary;
mod attack;
pub mod attacks;
pub mod combinators;
mod forge;
mod nearest;
mod participant;
mod spec;

pub use adversary::{Adversary, Cx, End, Needs, Verdict};
pub use attack::{Attack, UnknownAttack};
pub use attacks::*;
pub use combinators::{Combine, Group, Probability, Views, colluding, views};
pub use participant::{DELAYED_MAX, Participant};
pub use spec::{Part, SPEC_BYTES_MAX, SPEC_PARTS_MAX, Spec, SpecError};

#[cfg(test)]
mod tests;
