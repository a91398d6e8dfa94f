//! What a Byzantine replica can say: messages made by hand and signed with the keys of the test.

use super::{Cluster, id};
use bytes::Bytes;
use quorate_consensus::{BlockId, Input};
use quorate_types::certificate::{
    QuorumCertificate, Signatures, SignedHeader, ViewChange, ViewChangeCertificate,
};
use quorate_types::limited::Limited;
use quorate_types::message::{
    CheckpointVote, Commit, Data, Echo, Justify, Message, Propose, Status, ViewProof, Vote,
};
use quorate_types::{
    Authenticated, Batch, Bundle, CheckpointStatement, Digest, Header, Height, Rejection, Signature,
    Statement, Time, View, VoteStatement,
};
use std::sync::Arc;

/// A block made by hand.
#[derive(Clone, Debug)]
pub struct Made {
    pub signed: SignedHeader,
    pub batch: Bytes,
}

impl Made {
    pub fn id(&self) -> BlockId {
        (self.signed.header.height, self.signed.header.digest())
    }
    pub fn propose(&self, justify: Justify) -> Message {
        Message::Propose(Propose { header: self.signed, justify, batch: self.batch.clone() })
    }
    pub fn bare(&self) -> Message {
        self.propose(Justify::None)
    }
    pub fn data(&self) -> Message {
        Message::Data(Data::Block { header: self.signed, batch: self.batch.clone() })
    }
    pub fn header(&self) -> Message {
        Message::Data(Data::Header(self.signed))
    }
}

impl Cluster {
    pub fn genesis_id(&self) -> BlockId {
        (Height(0), self.membership.genesis_block())
    }

    /// A block of `view` on `parent` with the client's requests of these numbers.
    pub fn block(&self, view: u64, parent: BlockId, numbers: &[u64]) -> Made {
        self.block_at(view, parent, numbers, self.now)
    }

    pub fn block_at(&self, view: u64, parent: BlockId, numbers: &[u64], time: Time) -> Made {
        let bundles = numbers.iter().map(|number| Bundle::parse(self.bundle(*number)).unwrap()).collect();
        self.block_of(view, parent, Batch::new(bundles), time)
    }

    pub fn block_of(&self, view: u64, parent: BlockId, batch: Batch, time: Time) -> Made {
        let header = Header {
            cluster: self.membership.cluster(),
            epoch: self.membership.epoch(),
            view: View(view),
            height: parent.0.next(),
            parent: parent.1,
            batch: batch.digest(),
            time,
        };
        Made { signed: self.sign_header(header), batch: batch.raw().clone() }
    }

    /// Signs a header with the key of its view's primary.
    pub fn sign_header(&self, header: Header) -> SignedHeader {
        SignedHeader::sign(header, &self.keys[self.membership.primary(header.view).index()])
    }

    pub fn statement(&self, view: u64, block: BlockId) -> VoteStatement {
        VoteStatement { epoch: self.membership.epoch(), view: View(view), height: block.0, digest: block.1 }
    }

    pub fn signed_by(&self, i: usize, statement: &Statement) -> Signature {
        statement.sign(&self.keys[i], &self.membership.cluster())
    }

    pub fn vote(&self, i: usize, view: u64, block: BlockId) -> Message {
        let vote = self.statement(view, block);
        let signature = self.signed_by(i, &Statement::Vote(vote));
        Message::Vote(Vote { vote, signature, executed: Height(0), result_root: Digest::default() })
    }

    pub fn commit(&self, view: u64, block: BlockId) -> Message {
        Message::Commit(Commit { vote: self.statement(view, block) })
    }

    pub fn genesis_qc(&self) -> QuorumCertificate {
        QuorumCertificate::genesis(self.membership.epoch(), self.membership.genesis_block())
    }

    pub fn qc(&self, view: u64, block: BlockId, signers: &[usize]) -> QuorumCertificate {
        let vote = self.statement(view, block);
        let sign = |i: &usize| (id(*i), self.signed_by(*i, &Statement::Vote(vote)));
        QuorumCertificate { vote, signatures: Signatures::take(signers.iter().map(sign)) }
    }

    pub fn justify_qc(&self, view: u64, block: BlockId, signers: &[usize]) -> Justify {
        Justify::Quorum(Arc::new(self.qc(view, block, signers)))
    }

    pub fn view_change(&self, i: usize, view: u64, qc: &QuorumCertificate, claim: &[&Made]) -> ViewChange {
        let unsigned = ViewChange {
            epoch: self.membership.epoch(),
            new_view: View(view),
            replica: id(i),
            high_qc: qc.clone(),
            claim: Limited::take(claim.iter().map(|made| made.signed)),
            signature: Signature([0; 64]),
        };
        let signature = self.signed_by(i, &unsigned.statement());
        ViewChange { signature, ..unsigned }
    }

    /// A certificate for `view` by these signers, none of whom claims anything.
    pub fn empty_tc(&self, view: u64, signers: &[usize]) -> Arc<ViewChangeCertificate> {
        let qc = self.genesis_qc();
        self.tc(signers.iter().map(|i| self.view_change(*i, view, &qc, &[])).collect())
    }

    pub fn tc(&self, view_changes: Vec<ViewChange>) -> Arc<ViewChangeCertificate> {
        Arc::new(ViewChangeCertificate { view_changes: Limited::take(view_changes) })
    }

    pub fn checkpoint_vote(&self, i: usize, block: BlockId, state_root: Digest) -> Message {
        let epoch = self.membership.epoch();
        let checkpoint = CheckpointStatement { epoch, height: block.0, block: block.1, state_root };
        let signature = self.signed_by(i, &Statement::Checkpoint(checkpoint));
        Message::CheckpointVote(CheckpointVote { checkpoint, replica: id(i), signature })
    }

    /// A status in which nothing is known but the view, and which answers the last one of the replica that started last.
    pub fn status(&self, view: u64) -> Status {
        Status {
            epoch: self.membership.epoch(),
            view: View(view),
            asked: View(view),
            committed: self.genesis_id(),
            stable: Height(0),
            base: Height(0),
            last_vote: (View(0), Height(0)),
            is_recovering: false,
            start: 0,
            clock: self.now,
            echo: Some(Echo { start: self.starts, clock: self.now, held: 0 }),
            seen: None,
        }
    }

    /// Gives a message to one replica at once.
    pub fn deliver(&mut self, from: usize, to: usize, message: Message) {
        self.give(to, Input::Message(Authenticated::from_channel(id(from), message)));
    }

    /// Lets a replica enter `view`, of which it then knows nothing else.
    pub fn enter(&mut self, i: usize, view: u64, signers: &[usize]) {
        let proof = ViewProof::ViewChange(self.empty_tc(view, signers));
        self.deliver(signers[0], i, Message::Data(Data::View(proof)));
        assert_eq!(self.hosts[i].replica.status().view, View(view));
    }

    /// The votes that a replica has on the wire.
    pub fn votes_of(&self, i: usize) -> Vec<Vote> {
        let mut votes: Vec<Vote> = Vec::new();
        for message in self.sent_by(i) {
            if let Message::Vote(vote) = message
                && !votes.contains(vote)
            {
                votes.push(*vote);
            }
        }
        votes
    }

    /// The blocks for which a replica has votes on the wire.
    pub fn voted(&self, i: usize) -> Vec<BlockId> {
        self.votes_of(i).iter().map(|vote| (vote.vote.height, vote.vote.digest)).collect()
    }

    pub fn sent_by(&self, i: usize) -> impl Iterator<Item = &Message> {
        self.wire.iter().filter(move |envelope| envelope.from == id(i)).map(|envelope| &envelope.message)
    }

    pub fn count_sent(&self, i: usize, is_it: impl Fn(&Message) -> bool) -> usize {
        self.sent_by(i).filter(|message| is_it(message)).count()
    }

    pub fn is_refused(&self, i: usize, reason: Rejection) -> bool {
        self.hosts[i].rejections.iter().any(|(_, why)| *why == reason)
    }
}
