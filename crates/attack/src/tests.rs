//! Do the attacks do what they say, with valid signatures of their own and nobody else's?

mod colluding;
mod combinators;
mod answers;
mod certificates;
mod contract;
mod equivocation;
mod hooks;
mod messages;
mod scopes;
mod proposals;
mod seam;
mod spec;
mod stage;
mod states;
mod view_changes;
mod votes;
