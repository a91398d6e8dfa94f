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
    ProposeOutOfTurn = "propose_out_of_turn", a::propose_out_of_turn(),
        "Proposes in views that others lead.";
    ForkTail = "fork_tail", a::fork_tail(),
        "As primary goes back behind its last blocks and proposes their heights again.";
    SkipParents = "skip_parents", a::skip_parents(),
        "As primary extends the grandparent, or a parent that does not exist.";
    StarveOne = "starve_one", a::starve_one(),
        "Tells one replica nothing, ever, and all others everything.";
    ProposeToFew = "propose_to_few", a::propose_to_few(),
        "As primary shows its blocks to f others, or to one fewer than a quorum needs.";
    SlowPrimary = "slow_primary", a::slow_primary(),
        "As primary proposes just before it would be replaced, and is quick in all else.";
    SilentPrimary = "silent_primary", a::silent_primary(),
        "Is an exemplary backup, and says nothing while it is primary.";
    LeaveHole = "leave_hole", a::leave_hole(),
        "As primary never shows one of its blocks, and all that stand on it.";
    ProposeHugeHeights = "propose_huge_heights", a::propose_huge_heights(),
        "As primary proposes blocks at heights far above their parents'.";
    OversizeBatches = "oversize_batches", a::oversize_batches(),
        "As primary proposes batches that are too large or cannot be read.";
    MismatchBatches = "mismatch_batches", a::mismatch_batches(),
        "As primary sends other batches than its headers name.";
    ForgeRequests = "forge_requests", a::forge_requests(),
        "As primary proposes requests that no client signed.";
    RepeatRequests = "repeat_requests", a::repeat_requests(),
        "As primary proposes each request several times, in one block and in later ones.";
    EmptyBatches = "empty_batches", a::empty_batches(),
        "As primary leaves all requests out of its blocks.";
    ShuffleBatches = "shuffle_batches", a::shuffle_batches(),
        "As primary orders requests otherwise than they came.";
    LieAboutTime = "lie_about_time", a::lie_about_time(),
        "As primary gives its blocks times that no clock shows.";
    AbandonOwnView = "abandon_own_view", a::abandon_own_view(),
        "As primary asks for the next view as soon as it has proposed.";
    OmitJustification = "omit_justification", a::omit_justification(),
        "As primary never proves the place of its blocks.";
    MismatchJustification = "mismatch_justification", a::mismatch_justification(),
        "As primary sends its blocks with genuine certificates of others.";
    RestartChain = "restart_chain", a::restart_chain(),
        "As new primary builds its first block on the genesis block.";
    DoctorViewChanges = "doctor_view_changes", a::doctor_view_changes(),
        "As new primary changes the view changes in the certificate that opens its view.";
    VoteAndAbandon = "vote_and_abandon", a::vote_and_abandon(),
        "Votes, denies it in a view change, and votes on in the view that it gave up.";
    FloodVotes = "flood_votes", a::flood_votes(),
        "Votes at every height of the present view for blocks that nobody has.";
    RepeatVotes = "repeat_votes", a::repeat_votes(),
        "Says everything that is counted several times over.";
    PoisonVotes = "poison_votes", a::poison_votes(),
        "Spoils the signatures of its votes, so that no certificate can be made with them.";
    HideVotes = "hide_votes", a::hide_votes(),
        "Shows its votes to one replica, so that this one alone can commit.";
    CommitEarly = "commit_early", a::commit_early(),
        "Says that it holds certificates as soon as blocks are proposed.";
    EquivocateCommits = "equivocate_commits", a::equivocate_commits(),
        "Sends commit votes for one block to some and for another to others.";
    LieAboutExecuted = "lie_about_executed", a::lie_about_executed(),
        "Names beside its votes heights and results that it does not have.";
    PadCertificates = "pad_certificates", a::pad_certificates(),
        "Makes certificates in which the traitors' signatures stand many times.";
    NameForeignSigners = "name_foreign_signers", a::name_foreign_signers(),
        "Makes certificates with signers that the cluster does not have.";
    TransplantCertificates = "transplant_certificates", a::transplant_certificates(),
        "Puts a quorum's genuine signatures under another view, height, block or epoch.";
    SpoilCertificates = "spoil_certificates", a::spoil_certificates(),
        "Passes on certificates of which one signature is bad.";
    Impersonate = "impersonate", a::impersonate(),
        "Speaks in the name of other replicas.";
    NameNobody = "name_nobody", a::name_nobody(),
        "Sends messages that name replicas which do not exist.";
    CrossTypes = "cross_types", a::cross_types(),
        "Presents a signature under one kind of statement as one under another.";
    CrossClusters = "cross_clusters", a::cross_clusters(),
        "Presents statements of another cluster or epoch.";
    Parrot = "parrot", a::parrot(),
        "Says to everybody what it hears from anybody, as its own.";
    ReverseOrder = "reverse_order", a::reverse_order(),
        "Says of each handful of messages the last one first.";
    ClaimInventedBlocks = "claim_invented_blocks", a::claim_invented_blocks(),
        "Claims in its view changes a long chain that it invented, and serves its blocks.";
    EquivocateViewChanges = "equivocate_view_changes", a::equivocate_view_changes(),
        "Sends other view changes for one view to each replica, all of them valid.";
    RaceViews = "race_views", a::race_views(),
        "Asks for one view after the other, faster than anybody can enter them.";
    SplitViews = "split_views", a::split_views(),
        "Shows to some what opens a view, and keeps the others in the past.";
    WishFalsely = "wish_falsely", a::wish_falsely(),
        "Wishes for view changes as if it had lost its disk.";
    FeignRecovery = "feign_recovery", a::feign_recovery(),
        "Says to some that it lost its disk, and takes part all the same.";
    WithholdCheckpoints = "withhold_checkpoints", a::withhold_checkpoints(),
        "Vouches for no state and shows no checkpoint.";
    VouchAhead = "vouch_ahead", a::vouch_ahead(),
        "Vouches for states of heights that nobody reached.";
    MixPages = "mix_pages", a::mix_pages(),
        "Hands out heads of states in which some parts are genuine and others are not.";
    AnswerWrongBlocks = "answer_wrong_blocks", a::answer_wrong_blocks(),
        "Answers questions with blocks that were not asked for, or over the wrong batch.";
    BreakChains = "break_chains", a::break_chains(),
        "Tells laggards of chains with gaps, from the wrong height on, or of its own making.";
    IgnoreFetches = "ignore_fetches", a::ignore_fetches(),
        "Says that it has everything, and answers no question.";
    FloodFetches = "flood_fetches", a::flood_fetches(),
        "Asks everybody for everything, all the time.";
    StandStill = "stand_still", a::stand_still(),
        "Says for ever that it is where it began, so that all is sent to it again.";
    FloodStatuses = "flood_statuses", a::flood_statuses(),
        "Sends statuses without end, each saying something else.";
    LieAboutClock = "lie_about_clock", a::lie_about_clock(),
        "Tells and echoes clocks that nobody has.";
    FillLists = "fill_lists", a::fill_lists(),
        "Sends the longest messages that each kind allows, with nothing in them.";
    FrameHonest = "frame_honest", a::frame_honest(),
        "Makes evidence against honest replicas out of what they signed.";
    FloodEvidence = "flood_evidence", a::flood_evidence(),
        "Signs contradicting statements without end and sends the proofs against itself.";
    ForgeForwards = "forge_forwards", a::forge_forwards(),
        "Forwards requests that no client made, and genuine ones again and again.";
    DropForwards = "drop_forwards", a::drop_forwards(),
        "Passes no client's request on, and takes none from other replicas.";
    RefuseClients = "refuse_clients", a::refuse_clients(),
        "Takes part in the protocol and refuses its clients.";
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
        matches!(
            self,
            Self::EquivocateProposals
                | Self::EquivocateDeep
                | Self::MisplaceFirstBlock
                | Self::ForkTail
                | Self::SkipParents
                | Self::ProposeToFew
                | Self::SlowPrimary
                | Self::LeaveHole
                | Self::ProposeHugeHeights
                | Self::OversizeBatches
                | Self::MismatchBatches
                | Self::ForgeRequests
                | Self::RepeatRequests
                | Self::EmptyBatches
                | Self::ShuffleBatches
                | Self::LieAboutTime
                | Self::AbandonOwnView
                | Self::OmitJustification
                | Self::MismatchJustification
                | Self::RestartChain
                | Self::DoctorViewChanges
                | Self::SilentPrimary
        )
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
