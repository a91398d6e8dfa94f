//! Do the attacks do what they say, with valid signatures of their own and nobody else's?

mod answers;
mod certificates;
mod contract;
mod equivocation;
mod messages;
mod proposals;
mod seam;
mod stage;
mod states;
mod view_changes;
mod votes;
