//! A cluster with fixed keys that signs whatever a test asks for, right or wrong.

#![allow(dead_code, reason = "each test program uses its own part of this")]

use bytes::Bytes;
use quorate_types::certificate::{
    CheckpointCertificate, QuorumCertificate, Signatures, SignedHeader, ViewChange, ViewChangeCertificate,
};
use quorate_types::limited::Limited;
use quorate_types::{
    Batch, Bundle, Checked, CheckpointStatement, Digest, Epoch, Genesis, Header, Height, Member, Membership,
    ProtocolParameters, Rejection, ReplicaId, RequestNumber, Scheme, SecretKey, SessionId, Signature,
    Statement, Time, Unverified, Verifier, View, VoteStatement,
};
use std::sync::Arc;

pub(crate) mod samples;
pub(crate) mod strategies;

/// Both schemes, for tests that must hold under either.
pub(crate) const SCHEMES: [Scheme; 2] = [Scheme::Ed25519, Scheme::Simulated];

pub(crate) struct Cluster {
    pub(crate) genesis: Genesis,
    pub(crate) membership: Arc<Membership>,
    pub(crate) keys: Vec<SecretKey>,
}

impl Cluster {
    pub(crate) fn new(scheme: Scheme, n: u16) -> Self {
        Self::named("golden", scheme, n)
    }

    /// Two clusters that differ in nothing but their name.
    pub(crate) fn named(name: &str, scheme: Scheme, n: u16) -> Self {
        let keys: Vec<SecretKey> = (0..n).map(|id| SecretKey::with_scheme(scheme, seed(b'r', id))).collect();
        let member = |key: &SecretKey| Member { key: key.public(), organisation: "acme".into() };
        let protocol = ProtocolParameters {
            batch_bytes_max: 4096,
            command_bytes_max: 1024,
            ..ProtocolParameters::default()
        };
        let genesis = Genesis {
            name: name.into(),
            test: true,
            scheme,
            replicas: keys.iter().map(member).collect(),
            protocol,
            app_version: 1,
            start: None,
        };
        let membership = Arc::new(genesis.membership().expect("a genesis in order"));
        Self { genesis, membership, keys }
    }

    pub(crate) fn check(&self, value: Unverified) -> Result<Checked, Rejection> {
        Verifier::new(self.membership.clone(), self.genesis.protocol.clone()).check(value)
    }

    pub(crate) fn quorum(&self) -> usize {
        self.membership.quorums().quorum()
    }

    pub(crate) fn key(&self, replica: ReplicaId) -> &SecretKey {
        &self.keys[replica.index()]
    }

    pub(crate) fn sign(&self, replica: u16, statement: &Statement) -> Signature {
        statement.sign(&self.keys[usize::from(replica)], &self.membership.cluster())
    }

    // Blocks.

    pub(crate) fn header(&self, view: u64, height: u64, parent: Digest) -> Header {
        Header {
            cluster: self.membership.cluster(),
            epoch: Epoch(0),
            view: View(view),
            height: Height(height),
            parent,
            batch: Batch::default().digest(),
            time: Time(height.wrapping_add(1_700_000_000_000_000_000)),
        }
    }

    /// Signed by the primary of its view.
    pub(crate) fn signed(&self, header: Header) -> SignedHeader {
        SignedHeader::sign(header, self.key(self.membership.primary(header.view)))
    }

    /// `count` blocks of `view` with empty batches above a certified block.
    pub(crate) fn chain(&self, above: &VoteStatement, view: u64, count: u64) -> Vec<SignedHeader> {
        let mut parent = above.digest;
        (1..=count)
            .map(|step| {
                let signed = self.signed(self.header(view, above.height.0 + step, parent));
                parent = signed.header.digest();
                signed
            })
            .collect()
    }

    // Certificates.

    pub(crate) fn genesis_qc(&self) -> QuorumCertificate {
        QuorumCertificate::genesis(Epoch(0), self.membership.genesis_block())
    }

    pub(crate) fn vote(&self, view: u64, height: u64) -> VoteStatement {
        VoteStatement {
            epoch: Epoch(0),
            view: View(view),
            height: Height(height),
            digest: digest(view.wrapping_mul(1000).wrapping_add(height)),
        }
    }

    pub(crate) fn signatures(&self, statement: &Statement, signers: &[u16]) -> Signatures {
        signatures(signers.iter().map(|signer| (ReplicaId(*signer), self.sign(*signer, statement))).collect())
    }

    /// Signed by the first Q replicas.
    pub(crate) fn qc(&self, vote: VoteStatement) -> QuorumCertificate {
        QuorumCertificate { vote, signatures: self.signatures(&Statement::Vote(vote), &self.first_quorum()) }
    }

    pub(crate) fn first_quorum(&self) -> Vec<u16> {
        (0..u16::try_from(self.quorum()).unwrap()).collect()
    }

    pub(crate) fn view_change(
        &self,
        replica: u16,
        new_view: u64,
        high_qc: QuorumCertificate,
        claim: Vec<SignedHeader>,
    ) -> ViewChange {
        let unsigned = ViewChange {
            epoch: Epoch(0),
            new_view: View(new_view),
            replica: ReplicaId(replica),
            high_qc,
            claim: Limited::new(claim).expect("a claim within its limit"),
            signature: NO_SIGNATURE,
        };
        self.resigned(unsigned)
    }

    /// The same view change with its replica's signature on whatever stands in it now.
    pub(crate) fn resigned(&self, mut view_change: ViewChange) -> ViewChange {
        view_change.signature = self.sign(view_change.replica.0, &view_change.statement());
        view_change
    }

    /// By the first Q replicas, from the genesis block with a claim of one block.
    pub(crate) fn tc(&self, view: u64) -> ViewChangeCertificate {
        let qc = self.genesis_qc();
        let claim = self.chain(&qc.vote, 0, 1);
        let of = |replica: u16| self.view_change(replica, view, qc.clone(), claim.clone());
        certificate(self.first_quorum().into_iter().map(of).collect())
    }

    pub(crate) fn checkpoint(&self, height: u64) -> CheckpointStatement {
        CheckpointStatement {
            epoch: Epoch(0),
            height: Height(height),
            block: digest(height),
            state_root: digest(height + 1),
        }
    }

    pub(crate) fn checkpoint_certificate(&self, height: u64) -> CheckpointCertificate {
        let checkpoint = self.checkpoint(height);
        let statement = Statement::Checkpoint(checkpoint);
        CheckpointCertificate { checkpoint, signatures: self.signatures(&statement, &self.first_quorum()) }
    }

    // Clients.

    pub(crate) fn client(&self) -> SecretKey {
        SecretKey::with_scheme(self.genesis.scheme, seed(b'c', 1))
    }

    pub(crate) fn session(&self) -> SessionId {
        SessionId { client: self.client().public(), birth: Time(1_700_000_000_000_000_000), nonce: 7 }
    }

    pub(crate) fn bundle(&self, commands: &[&'static [u8]]) -> Bundle {
        let requests: Vec<_> = (1..)
            .map(RequestNumber)
            .zip(commands.iter().map(|command| Bytes::from_static(command)))
            .collect();
        Bundle::sign(&self.membership.cluster(), &self.client(), self.session(), &requests)
    }
}

pub(crate) const NO_SIGNATURE: Signature = Signature([0; 64]);

pub(crate) fn certificate(view_changes: Vec<ViewChange>) -> ViewChangeCertificate {
    ViewChangeCertificate { view_changes: Limited::new(view_changes).expect("within the largest cluster") }
}

pub(crate) fn signatures(list: Vec<(ReplicaId, Signature)>) -> Signatures {
    Limited::new(list).expect("within the largest cluster")
}

/// A digest that stands for something whose content does not matter.
pub(crate) fn digest(of: u64) -> Digest {
    Digest::of_parts("test", &[&of.to_le_bytes()])
}

/// Another signature of the same shape.
pub(crate) fn broken(mut signature: Signature) -> Signature {
    signature.0[0] ^= 1;
    signature
}

fn seed(kind: u8, id: u16) -> [u8; 32] {
    let mut seed = [kind; 32];
    seed[..2].copy_from_slice(&id.to_le_bytes());
    seed
}
