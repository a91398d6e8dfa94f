//! Which attacks are there? Their names, which are a contract, and what each does in a sentence.

use std::fmt;

use crate::adversary::{Adversary, Needs};
use crate::attacks as a;
use crate::nearest::nearest;

macro_rules! attacks {
    ($($variant:ident = $name:literal, $build:expr, $describe:literal;)+) => {
        /// An attack by name, with its default parameters.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Attack { $(#[doc = $describe] $variant),+ }

        impl Attack {
            /// Every attack.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in code: a verb phrase in snake case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
            /// What it does, in one sentence.
            #[must_use]
            pub const fn describe(self) -> &'static str {
                match self { $(Self::$variant => $describe),+ }
            }
            /// The adversary with its default parameters.
            #[must_use]
            pub fn build(self) -> Box<dyn Adversary> {
                match self { $(Self::$variant => Box::new($build)),+ }
            }
        }
    };
}

attacks! {
    Silent = "silent", a::silent(),
        "Takes part in nothing: every message and reply is withheld.";
    EquivocateProposals = "equivocate_proposals", a::equivocate_proposals(),
        "As primary signs two blocks for one height and shows each to a part of the replicas.";
    EquivocateDeep = "equivocate_deep", a::equivocate_deep(),
        "As primary proposes honestly for some blocks and then starts a second chain in mid pipeline.";
    EquivocateVotes = "equivocate_votes", a::equivocate_votes(),
        "Votes for two blocks of one height.";
    SelectiveSend = "selective_send", a::selective_send(),
        "Talks to just enough replicas for a quorum, to f of them, or to one.";
    Delay = "delay", a::delay(),
        "Sends every message just before the others lose patience.";
    ForgeViewChange = "forge_view_change", a::forge_view_change(),
        "Asks for views with invented, shortened or foreign certificates and claims.";
    HideViewChange = "hide_view_change", a::hide_view_change(),
        "Keeps the certificate and the votes that it has out of its view changes.";
    WithholdCertificates = "withhold_certificates", a::withhold_certificates(),
        "Shows certificates to one replica only, answers no fetch and sends no commit votes.";
    MisplaceFirstBlock = "misplace_first_block", a::misplace_first_block(),
        "As new primary starts one block too low and drops the last one that others claim.";
    StaleViews = "stale_views", a::stale_views(),
        "Sends its messages of views that are over again, and signs new votes for them.";
    FutureViews = "future_views", a::future_views(),
        "Signs view changes, votes and proposals for views up to a million ahead.";
    Replay = "replay", a::replay(),
        "Sends recorded messages, its own and others', again, later and to others.";
    LieToClients = "lie_to_clients", a::lie_to_clients(),
        "Tells clients wrong outcomes, heights, clocks and views.";
    BadCheckpointDigest = "bad_checkpoint_digest", a::bad_checkpoint_digest(),
        "Vouches for states and results that nobody has.";
    CheckpointEquivocation = "checkpoint_equivocation", a::checkpoint_equivocation(),
        "Vouches for one state before some replicas and for another before others.";
    CorruptChunk = "corrupt_chunk", a::corrupt_chunk(),
        "Hands out chunks of a state with a flipped bit, or cut short.";
    SelfConsistentLie = "self_consistent_lie", a::self_consistent_lie(),
        "Serves an invented state whose head, pages and chunks fit each other.";
    StaleSnapshot = "stale_snapshot", a::stale_snapshot(),
        "Shows the oldest checkpoint that it can prove and the oldest state that it has.";
    ProofIndexMismatch = "proof_index_mismatch", a::proof_index_mismatch(),
        "Serves genuine chunks that are others than those that were asked for.";
    HeightLie = "height_lie", a::height_lie(),
        "Names heights far above and far below everybody's.";
    ViewLie = "view_lie", a::view_lie(),
        "Names views that nobody entered, with proofs that prove nothing.";
    EndlessChunks = "endless_chunks", a::endless_chunks(),
        "Answers one question for chunks with a stream that does not end.";
    DripFeed = "drip_feed", a::drip_feed(),
        "Serves a state so slowly that no single answer is late.";
    WithholdState = "withhold_state", a::withhold_state(),
        "Says that it has the newest checkpoint and serves nothing of it.";
    LieAboutSeen = "lie_about_seen", a::lie_about_seen(),
        "Tells replicas that they signed what they did not.";
    Amnesia = "amnesia", a::amnesia(),
        "Acts as if it had started from an old disk, and signs again what it signed otherwise.";
    SmallScope = "small_scope", a::small_scope(),
        "Sends messages that are wrong by one in view, height or digest, old ones, or none, in a few rounds.";
    AnyBytes = "any_bytes", a::any_bytes(),
        "Sends messages of arbitrary content, as far as they can be read.";
}

impl Attack {
    /// The attack with this name, with underscores or dashes.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.replace('-', "_");
        Self::ALL.iter().copied().find(|attack| attack.name() == name)
    }

    /// Whether it needs to be primary to deviate at all.
    #[must_use]
    pub const fn is_primary_attack(self) -> bool {
        matches!(self, Self::EquivocateProposals | Self::EquivocateDeep | Self::MisplaceFirstBlock)
    }

    /// What it needs of whoever runs it.
    #[must_use]
    pub fn needs(self) -> Needs {
        self.build().needs().union(Needs { primary: self.is_primary_attack(), ..Needs::OWN_KEY })
    }
}

impl fmt::Display for Attack {
    /// The form of the command line, with dashes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name().replace('_', "-"))
    }
}

impl std::str::FromStr for Attack {
    type Err = UnknownAttack;

    fn from_str(name: &str) -> Result<Self, UnknownAttack> {
        Self::from_name(name).ok_or_else(|| UnknownAttack(name.to_owned()))
    }
}

/// No attack has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownAttack(String);

impl fmt::Display for UnknownAttack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = Attack::ALL.iter().map(Attack::to_string).collect();
        write!(f, "there is no attack `{}`; ", self.0)?;
        match nearest(&self.0.replace('_', "-"), names.iter().map(String::as_str)) {
            Some(known) => write!(f, "did you mean `{known}`?"),
            None => write!(f, "choose one of {}", names.join(", ")),
        }
    }
}

impl std::error::Error for UnknownAttack {}

impl From<Attack> for Box<dyn Adversary> {
    fn from(attack: Attack) -> Self {
        attack.build()
    }
}

impl<A: Adversary + 'static> From<A> for Box<dyn Adversary> {
    fn from(adversary: A) -> Self {
        Box::new(adversary)
    }
}
