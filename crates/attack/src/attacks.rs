//! The attacks, one file each. Their names are a contract: in code with underscores, on the
//! command line with dashes.

mod corrupt_checkpoints;
mod delay;
mod equivocate_proposals;
mod equivocate_votes;
mod forge_view_change;
mod fork;
mod future_views;
mod hide_view_change;
mod lie_to_clients;
mod misplace_first_block;
mod replay;
mod selective_send;
mod silent;
mod stale_views;
mod withhold_certificates;

pub use corrupt_checkpoints::{CorruptCheckpoints, corrupt_checkpoints};
pub use delay::{Delay, delay};
pub use equivocate_proposals::{EquivocateProposals, equivocate_deep, equivocate_proposals};
pub use equivocate_votes::{EquivocateVotes, equivocate_votes};
pub use forge_view_change::{ForgeViewChange, Forgery, forge_view_change};
pub use future_views::{FutureViews, future_views};
pub use hide_view_change::{HideViewChange, hide_view_change};
pub use lie_to_clients::{LieToClients, lie_to_clients};
pub use misplace_first_block::{MisplaceFirstBlock, misplace_first_block};
pub use replay::{Replay, replay};
pub use selective_send::{Audience, SelectiveSend, selective_send};
pub use silent::{Silent, silent};
pub use stale_views::{StaleViews, stale_views};
pub use withhold_certificates::{WithholdCertificates, withhold_certificates};
