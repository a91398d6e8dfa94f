//! What follows from the observations, whatever the replicas believe? Facts that several
//! invariants need: votes, what is durable, which blocks votes prove committed.

use quorate_consensus::{Event, Record};
use quorate_machine::ApplicationFactory;
use quorate_types::certificate::{SignedHeader, ViewChange};
use quorate_types::message::{Data, Justify, Message, Propose, ViewProof};
use quorate_types::statement::VoteStatement;
use quorate_types::{Height, ReplicaId, View};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::chain::{BlockRef, Chain, GENESIS, ReplicaSet};
use crate::invariants::thresholds::Thresholds;
use crate::observe::Observation;
use crate::setup::Setup;

/// All facts.
#[derive(Debug)]
pub struct History {
    /// The blocks with their votes.
    pub chain: Chain,
    /// The cluster's thresholds.
    pub thresholds: Thresholds,
    /// The replicas that are not Byzantine.
    pub trusted: ReplicaSet,
    /// What is known of each replica.
    pub replicas: Vec<ReplicaFacts>,
    /// For each view the highest block of it that votes prove committed.
    pub proven: BTreeMap<View, BlockRef>,
    /// The cluster: its parameters, and keys to check signatures with.
    pub setup: Arc<Setup>,
    /// What is replicated, for oracles with a state machine of their own.
    pub application: ApplicationFactory,
    /// Who leads the first views, where that is not v mod n.
    pub first_primaries: Vec<ReplicaId>,
}

/// What is known of one replica.
#[derive(Debug, Default)]
pub struct ReplicaFacts {
    /// Every vote that it sent.
    pub votes: BTreeMap<(View, Height), BlockRef>,
    /// Every view change that it sent: what it told.
    pub view_changes: BTreeMap<View, Contribution>,
    /// The highest view that it entered.
    pub entered: View,
    /// Whether it ever lost its disk.
    pub is_wiped: bool,
    /// Whether it waits because it lost its disk.
    pub is_recovering: bool,
    /// What its disk holds for certain.
    pub durable: Durable,
    /// What it appended and what may still be lost.
    appended: VecDeque<(u64, Written)>,
}

/// What a replica's view change tells: the claim is the chain from the certificate to the tip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contribution {
    /// The block of its highest certificate.
    pub certified: BlockRef,
    /// The last block of its claim; the certified one if the claim is empty.
    pub tip: BlockRef,
}

/// What a replica's disk holds for certain.
#[derive(Debug)]
pub struct Durable {
    /// The block of the highest certificate.
    pub certified: BlockRef,
    /// The last vote in each view.
    pub last_votes: BTreeMap<View, BlockRef>,
    /// Every vote.
    pub votes: BTreeSet<BlockRef>,
    /// Every block whose header and batch are there.
    pub blocks: BTreeSet<BlockRef>,
    /// The views that it asked for.
    pub view_changes: BTreeSet<View>,
}

impl Default for Durable {
    fn default() -> Self {
        Self {
            certified: GENESIS,
            last_votes: BTreeMap::new(),
            votes: BTreeSet::new(),
            blocks: BTreeSet::new(),
            view_changes: BTreeSet::new(),
        }
    }
}

/// What a record says.
#[derive(Clone, Copy, Debug)]
enum Written {
    Certified(BlockRef),
    Vote(BlockRef),
    Block(BlockRef),
    ViewChange(View),
}

impl History {
    /// No observations yet.
    #[must_use]
    pub fn new(setup: Arc<Setup>, application: ApplicationFactory) -> Self {
        let replicas = setup.replicas();
        Self {
            chain: Chain::new(setup.membership.genesis_block()),
            thresholds: Thresholds::of(replicas),
            trusted: bits(replicas),
            replicas: (0..replicas).map(|_| ReplicaFacts::default()).collect(),
            proven: BTreeMap::new(),
            setup,
            application,
            first_primaries: Vec::new(),
        }
    }

    /// How many replicas are Byzantine: each of them may have sent anything.
    #[must_use]
    pub fn untrusted(&self) -> u32 {
        self.thresholds.n - self.trusted.count_ones()
    }
    /// Whether the replica is honest.
    #[must_use]
    pub const fn is_trusted(&self, replica: ReplicaId) -> bool {
        self.trusted & bit(replica) != 0
    }
    /// The primary of a view.
    #[must_use]
    pub fn primary(&self, view: View) -> ReplicaId {
        let position = || u16::try_from(view.0 % u64::from(self.thresholds.n)).unwrap_or(u16::MAX);
        let first = self.first_primaries.get(view.0 as usize);
        first.copied().unwrap_or_else(|| ReplicaId(position()))
    }
    /// Whether so many could have said what these honest replicas said, with every Byzantine one.
    #[must_use]
    pub fn could_reach(&self, said: ReplicaSet, count: u32) -> bool {
        (said & self.trusted).count_ones() + self.untrusted() >= count
    }
    /// Whether a quorum certificate for the block could exist.
    #[must_use]
    pub fn could_be_certified(&self, block: BlockRef) -> bool {
        block == GENESIS || self.could_reach(self.chain[block].votes, self.thresholds.quorum)
    }
    /// Rule C1. Whether votes prove it committed.
    #[must_use]
    pub fn is_proven_fast(&self, block: BlockRef) -> bool {
        !self.chain.is_first_of_view(block) && self.could_reach(self.chain[block].acks, self.thresholds.fast)
    }
    /// Rule C3. Whether commit votes prove it committed.
    #[must_use]
    pub fn is_proven_slow(&self, block: BlockRef) -> bool {
        self.could_reach(self.chain[block].commits, self.thresholds.quorum)
    }
    /// Rule C4. Whether a proof covers it, its own or that of a descendant.
    #[must_use]
    pub fn is_proven(&self, block: BlockRef) -> bool {
        let mut proven = self.proven.range(self.chain[block].view..);
        proven.any(|(_, highest)| self.chain.is_ancestor(block, *highest))
    }
    /// The highest block that is proven committed in views below this one.
    #[must_use]
    pub fn proven_below(&self, view: View) -> Option<BlockRef> {
        self.proven.range(..view).next_back().map(|(_, block)| *block)
    }
    /// The replicas that are honest, in order.
    pub fn honest(&self) -> impl Iterator<Item = ReplicaId> + '_ {
        (0..self.thresholds.n).map(|id| ReplicaId(id as u16)).filter(|replica| self.is_trusted(*replica))
    }

    /// Rule X2. What the replica's disk obliges it to tell if it asks for a view now.
    #[must_use]
    pub fn contribution(&self, replica: ReplicaId) -> Contribution {
        let durable = &self.replicas[replica.index()].durable;
        let certified = durable.certified;
        let last = durable.last_votes.get(&self.chain[certified].view).copied();
        let tip = last.filter(|last| self.chain.is_ancestor(certified, *last)).unwrap_or(certified);
        Contribution { certified, tip }
    }

    /// Reads a view change; `None` if its certificate names a block that nobody was shown.
    #[must_use]
    pub fn read(&self, view_change: &ViewChange) -> Option<Contribution> {
        let certified = self.chain.find(&view_change.high_qc.vote.digest)?;
        let tip = match view_change.claim.last() {
            Some(last) => self.chain.find_header(&last.header)?,
            None => certified,
        };
        Some(Contribution { certified, tip })
    }

    /// Takes in an observation. Gives the highest block that it newly proves committed.
    pub(crate) fn take(&mut self, observation: &Observation<'_>) -> Option<BlockRef> {
        match observation {
            Observation::Shown(message) => self.take_shown(message),
            Observation::Sent(replica, message) => return self.take_sent(*replica, message),
            Observation::Appended(replica, sequence, record) => {
                self.take_appended(*replica, *sequence, record)
            }
            Observation::Durable(replica, through) => self.take_durable(*replica, *through),
            Observation::Event(replica, event) => self.take_event(*replica, event),
            // What no sync covered may have survived the crash, and whatever was read is durable.
            Observation::Recovered(replica, records, _) => {
                for record in *records {
                    self.take_appended(*replica, 0, record);
                }
                self.take_durable(*replica, 0);
            }
            Observation::Stopped(replica) => self.replicas[replica.index()].appended.clear(),
            Observation::Wiped(replica) => {
                let facts = &mut self.replicas[replica.index()];
                (facts.durable, facts.is_wiped) = (Durable::default(), true);
            }
            Observation::Distrusted(replica) => self.distrust(*replica),
            _ => {}
        }
        None
    }

    fn take_shown(&mut self, message: &Message) {
        match message {
            Message::Propose(propose) => self.take_proposal(propose),
            Message::Data(Data::Block { header, .. } | Data::Header(header)) => {
                self.chain.note(&header.header);
            }
            Message::Data(Data::Chain(headers)) => self.take_headers(headers),
            Message::Data(Data::View(ViewProof::ViewChange(certificate))) => {
                self.chain.note_certificate(certificate)
            }
            Message::ViewChange(view_change) => self.take_headers(&view_change.claim),
            _ => {}
        }
    }

    fn take_proposal(&mut self, propose: &Propose) {
        self.chain.note(&propose.header.header);
        if let Justify::ViewChange(certificate) = &propose.justify {
            self.chain.note_certificate(certificate);
        }
    }

    fn take_headers(&mut self, headers: &[SignedHeader]) {
        for signed in headers {
            self.chain.note(&signed.header);
        }
    }

    fn take_sent(&mut self, replica: ReplicaId, message: &Message) -> Option<BlockRef> {
        match message {
            Message::Propose(propose) => {
                self.take_proposal(propose);
                None
            }
            Message::Vote(vote) => {
                let block = self.find(&vote.vote)?;
                let facts = &mut self.replicas[replica.index()];
                facts.votes.entry((vote.vote.view, vote.vote.height)).or_insert(block);
                let marked = self.chain.vote(block, bit(replica));
                self.prove(marked, Self::is_proven_fast)
            }
            Message::Commit(commit) => {
                let block = self.find(&commit.vote)?;
                let marked = self.chain.commit(block, bit(replica));
                self.prove(marked, Self::is_proven_slow)
            }
            Message::ViewChange(view_change) => {
                let told = self.read(view_change)?;
                self.replicas[replica.index()].view_changes.entry(view_change.new_view).or_insert(told);
                None
            }
            Message::Data(_) => {
                self.take_shown(message);
                None
            }
            _ => None,
        }
    }

    /// What the replica said counts as what a traitor may have said, so that more may be proven.
    fn distrust(&mut self, replica: ReplicaId) {
        self.trusted &= !bit(replica);
        let is_proven =
            |history: &Self, block| history.is_proven_fast(block) || history.is_proven_slow(block);
        for block in self.chain.all().rev().collect::<Vec<_>>() {
            self.prove(vec![block], is_proven);
        }
    }

    /// The blocks come highest first, and a proof covers ancestors.
    fn prove(
        &mut self,
        marked: Vec<BlockRef>,
        is_proven: impl Fn(&Self, BlockRef) -> bool,
    ) -> Option<BlockRef> {
        let block = marked.into_iter().find(|block| is_proven(self, *block))?;
        let (view, height) = (self.chain[block].view, self.chain[block].height);
        let highest = self.proven.entry(view).or_insert(block);
        if self.chain[*highest].height < height {
            *highest = block;
        }
        Some(block)
    }

    fn take_appended(&mut self, replica: ReplicaId, sequence: u64, record: &Record) {
        let written = match record {
            Record::HighQc(certificate) | Record::Recovered(certificate) => {
                self.find(&certificate.vote).map(Written::Certified)
            }
            Record::Vote(vote) => self.find(&vote.vote).map(Written::Vote),
            Record::Block { header, justify, .. } => {
                // A proposal that became durable and never left is justified too.
                if let Justify::ViewChange(certificate) = justify {
                    self.chain.note_certificate(certificate);
                }
                Some(Written::Block(self.chain.note(&header.header)))
            }
            Record::ViewChange(view_change) => Some(Written::ViewChange(view_change.new_view)),
            _ => None,
        };
        self.replicas[replica.index()].appended.extend(written.map(|written| (sequence, written)));
    }

    fn take_durable(&mut self, replica: ReplicaId, through: u64) {
        let facts = &mut self.replicas[replica.index()];
        while facts.appended.front().is_some_and(|(sequence, _)| *sequence <= through) {
            let Some((_, written)) = facts.appended.pop_front() else { break };
            let durable = &mut facts.durable;
            match written {
                Written::Certified(block) => {
                    let rank = |block: BlockRef| (self.chain[block].view, self.chain[block].height);
                    if rank(block) > rank(durable.certified) {
                        durable.certified = block;
                    }
                }
                Written::Vote(block) => {
                    durable.votes.insert(block);
                    durable.last_votes.insert(self.chain[block].view, block);
                }
                Written::Block(block) => drop(durable.blocks.insert(block)),
                Written::ViewChange(view) => drop(durable.view_changes.insert(view)),
            }
        }
    }

    fn take_event(&mut self, replica: ReplicaId, event: &Event) {
        let facts = &mut self.replicas[replica.index()];
        match event {
            Event::Entered(view) => facts.entered = facts.entered.max(*view),
            Event::Recovering => facts.is_recovering = true,
            Event::Recovered(_) => facts.is_recovering = false,
            _ => {}
        }
    }

    fn find(&self, vote: &VoteStatement) -> Option<BlockRef> {
        self.chain.find(&vote.digest)
    }
}

/// The bit of one replica.
#[must_use]
pub(crate) const fn bit(replica: ReplicaId) -> ReplicaSet {
    1 << replica.0
}

/// The bits of the first so many replicas.
const fn bits(count: usize) -> ReplicaSet {
    if count >= 128 { ReplicaSet::MAX } else { (1 << count) - 1 }
}
