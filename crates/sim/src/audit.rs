//! Did two runs do the same? A hash over every event: its time, its kind, who took part, and what
//! tells its content apart. Not cryptographic: it guards against accidents, not against enemies.

use quorate_consensus::Input;
use quorate_types::message::{ClientMessage, Data, Message, ReplicaMessage};

use crate::queue::Event;

/// The hash so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit(u64, u64);

impl Default for Audit {
    fn default() -> Self {
        Self(0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344)
    }
}

impl std::fmt::Display for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}{:016x}", self.0, self.1)
    }
}

impl Audit {
    /// Takes in one number.
    pub(crate) const fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 29;
        self.1 = self.1.rotate_left(23).wrapping_add(self.0);
    }

    /// Takes in an event at its time.
    pub(crate) fn event(&mut self, time: u64, event: &Event) {
        self.word(time);
        match event {
            Event::Message { from, to, message, .. } => {
                self.word(1 << 32 | u64::from(from.0) << 16 | u64::from(to.0));
                self.message(message);
            }
            Event::Input { replica, input, .. } => {
                self.word(2 << 32 | u64::from(replica.0));
                self.input(input);
            }
            Event::Synced { replica, through, .. } => {
                self.word(3 << 32 | u64::from(replica.0));
                self.word(*through);
            }
            Event::SnapshotSynced { replica, head, .. } => {
                self.word(10 << 32 | u64::from(replica.0));
                self.words([head.height.0, head.root().short(), 0, 0]);
            }
            Event::ClientMessage { client, replica, message, .. } => {
                self.word(4 << 32 | (*client as u64) << 16 | u64::from(replica.0));
                if let ClientMessage::Request(bundle) = message {
                    self.bytes(bundle);
                }
            }
            Event::ReplicaMessage { client, replica, message, .. } => {
                self.word(5 << 32 | (*client as u64) << 16 | u64::from(replica.0));
                self.replica_message(message);
            }
            Event::Connection { client, replica, is_up } => {
                self.word(6 << 32 | (*client as u64) << 16 | u64::from(replica.0));
                self.word(u64::from(*is_up));
            }
            Event::Replace { replica, .. } => self.word(12 << 32 | u64::from(replica.0)),
            Event::Think { client } => self.word(7 << 32 | *client as u64),
            Event::Fault(index) => self.word(8 << 32 | *index as u64),
        }
    }

    /// Takes in that a machine's timeout came.
    pub(crate) const fn timeout(&mut self, time: u64, machine: usize) {
        self.word(time);
        self.word(9 << 32 | machine as u64);
    }

    fn message(&mut self, message: &Message) {
        self.word(message.kind() as u64);
        match message {
            Message::Propose(propose) => {
                let header = &propose.header.header;
                self.words([header.view.0, header.height.0, header.batch.short(), header.parent.short()]);
            }
            Message::Vote(vote) => self.words([
                vote.vote.view.0,
                vote.vote.height.0,
                vote.vote.digest.short(),
                vote.result_root.short(),
            ]),
            Message::Commit(commit) => {
                self.words([commit.vote.view.0, commit.vote.height.0, commit.vote.digest.short(), 0]);
            }
            Message::ViewChange(view_change) => {
                let certified = &view_change.high_qc.vote;
                let claimed = view_change.claim.len() as u64;
                self.words([view_change.new_view.0, certified.view.0, certified.digest.short(), claimed]);
            }
            Message::CheckpointVote(vote) => {
                self.words([vote.checkpoint.height.0, vote.checkpoint.state_root.short(), 0, 0]);
            }
            Message::Status(status) => {
                let (height, digest) = status.committed;
                self.words([status.view.0, status.asked.0, height.0, digest.short()]);
            }
            Message::Wish(wish) => self.word(wish.view.0),
            Message::Evidence(evidence) => self.word(u64::from(evidence.replica.0)),
            Message::Fetch(_) => {}
            Message::Data(Data::Block { header, .. } | Data::Header(header)) => {
                self.words([header.header.view.0, header.header.height.0, header.header.batch.short(), 0]);
            }
            Message::Data(Data::Chain(headers)) => self.word(headers.len() as u64),
            Message::Data(Data::View(proof)) => self.word(proof.view().0),
            Message::Data(Data::Checkpoint(certificate)) => self.word(certificate.checkpoint.height.0),
            Message::Data(Data::State { head, .. }) => self.word(head.height.0),
            Message::Data(Data::Chunk(bytes)) => self.bytes(bytes),
            Message::Data(Data::Absent(digests)) => self.word(digests.len() as u64),
            Message::Request(bundle) => self.bytes(bundle),
        }
    }

    fn input(&mut self, input: &Input) {
        match input {
            Input::Persisted(sequence) => self.words([1, *sequence, 0, 0]),
            Input::Verified(_, Ok(_)) => self.word(2),
            Input::Verified(_, Err(rejection)) => self.words([3, *rejection as u64, 0, 0]),
            Input::Executed(height, outcomes) => self.words([4, height.0, outcomes.len() as u64, 0]),
            Input::Snapshot(head) | Input::Installed(head, _) => {
                self.words([5, head.height.0, head.root().short(), 0]);
            }
            Input::Looked(page, missing) => {
                let missing = missing.as_ref().map_or(u64::MAX, |missing| missing.len() as u64);
                self.words([10, page.digest.short(), missing, 0]);
            }
            Input::Chunk(to, chunk) => self.words([11, u64::from(to.0), u64::from(chunk.is_ok()), 0]),
            Input::Connected(_) => self.word(6),
            Input::Disconnected(_) => self.word(7),
            Input::Timeout => self.word(8),
            Input::Message(_) | Input::Request(..) => self.word(9),
        }
    }

    fn replica_message(&mut self, message: &ReplicaMessage) {
        match message {
            ReplicaMessage::Welcome { clock, view, .. } => self.words([1, clock.0, view.0, 0]),
            ReplicaMessage::Reply(reply) => {
                self.words([2, reply.view.0, reply.results.len() as u64, reply.nonce])
            }
            ReplicaMessage::Refused { bundle, why } => self.words([3, bundle.short(), *why as u64, 0]),
        }
    }

    fn words(&mut self, words: [u64; 4]) {
        for word in words {
            self.word(word);
        }
    }

    /// The end of a bundle is its signature, which depends on every byte before it.
    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        for chunk in bytes[bytes.len().saturating_sub(64)..].chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_content_count() {
        let hash = |times: &[u64]| {
            let mut audit = Audit::default();
            for time in times {
                audit.event(*time, &Event::Think { client: 1 });
            }
            audit
        };
        assert_eq!(hash(&[1, 2]), hash(&[1, 2]));
        assert_ne!(hash(&[1, 2]), hash(&[2, 1]));
        assert_ne!(hash(&[1]), hash(&[1, 1]));
    }
}
