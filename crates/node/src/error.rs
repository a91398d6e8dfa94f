//! What can go wrong for a user? One clear sentence each, which says what to do.

use quorate_consensus::client::{ClientError, RequestId, Why};
use quorate_types::message::Outcome;
use quorate_types::{GenesisError, PublicKey, ReplicaId};
use std::fmt;
use std::path::PathBuf;

/// Why a submission has no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The request had and will have no effect.
    #[error("the request had and will have no effect: {why}")]
    Rejected {
        /// Why.
        why: RejectedWhy,
    },
    /// The request may have run or may yet. Retrying it under its id is safe, at any time and from any
    /// process that has the key.
    #[error("{}", ClientError::Unknown(*id))]
    Unknown {
        /// The id to retry it under.
        id: RequestId,
    },
    /// Nothing was sent: too few replicas are connected, or, if none is missing, earlier requests of
    /// this client still wait.
    #[error(
        "{}",
        ClientError::NoQuorum { reached: *reached, needed: *needed, missing: missing.clone() }
    )]
    NoQuorum {
        /// Replicas that answered.
        reached: usize,
        /// Replicas that are needed.
        needed: usize,
        /// Those that did not answer.
        missing: Vec<ReplicaId>,
    },
}

/// Why a request had and will have no effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RejectedWhy {
    /// Refused before anything was sent: the encoded command is larger than genesis allows.
    #[error("{}", Why::TooLarge)]
    TooLarge,
    /// Refused before anything was sent: the command cannot be encoded.
    #[error("the command cannot be encoded: {0}")]
    NotEncodable(String),
    /// Refused before anything was sent: the id belongs to a session of another key.
    #[error("{}", Why::ForeignSession)]
    ForeignSession,
    /// Refused before anything was sent: no request was ever submitted under this id.
    #[error("{}", Why::NeverSubmitted)]
    NeverSubmitted,
    /// Refused before anything was sent: too many submissions wait.
    #[error("{}", Why::QueueFull)]
    QueueFull,
    /// So many replicas reported it that one of them is honest.
    #[error("{}", Why::Outcome(.0.clone()))]
    Outcome(Outcome),
}

impl From<ClientError> for SubmitError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Rejected(why) => Self::Rejected { why: why.into() },
            ClientError::Unknown(id) => Self::Unknown { id },
            ClientError::NoQuorum { reached, needed, missing } => Self::NoQuorum { reached, needed, missing },
        }
    }
}

impl From<Why> for RejectedWhy {
    fn from(why: Why) -> Self {
        match why {
            Why::TooLarge => Self::TooLarge,
            Why::ForeignSession => Self::ForeignSession,
            Why::NeverSubmitted => Self::NeverSubmitted,
            Why::QueueFull => Self::QueueFull,
            Why::Outcome(outcome) => Self::Outcome(outcome),
        }
    }
}

/// Anything that a user of the library can meet.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A submission has no reply.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The genesis breaks a rule.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// Genesis names a signature scheme that proves nothing.
    #[error("genesis names the signature scheme `simulated`, which proves nothing; name `ed25519`")]
    SimulatedScheme,
    /// A file cannot be read.
    #[error("cannot read {}: {error}; check the path{}", path.display(), named_in(named_in_file))]
    File {
        /// The file.
        path: PathBuf,
        /// The file that names it, if one does.
        named_in_file: Option<PathBuf>,
        /// Why.
        error: std::io::Error,
    },
    /// A file can be read but does not hold what it should.
    #[error("{}: {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The key is not one of a replica of this cluster.
    #[error(
        "the key {key} is none of this cluster's replicas; use the key file whose public key stands in genesis"
    )]
    NotAMember {
        /// The public key.
        key: PublicKey,
    },
    /// Sockets could not be made.
    #[error(transparent)]
    Transport(#[from] quorate_transport::StartError),
    /// The links between the replicas could not be made.
    #[error("the system refuses the links between the replicas: {0}; raise its limits")]
    Links(std::io::Error),
    /// There is no place for temporary data.
    #[error("no temporary directory can be made: {0}; name one with `.directory(..)`, or set TMPDIR")]
    Temporary(std::io::Error),
    /// The system refused a thread or a runtime.
    #[error("the system refuses a thread for replica {replica}: {error}; raise its limits")]
    Thread {
        /// For which replica.
        replica: ReplicaId,
        /// Why.
        error: std::io::Error,
    },
    /// The log cannot be read.
    #[error("the log of replica {replica} cannot be read: {problem}")]
    Log {
        /// Whose.
        replica: ReplicaId,
        /// Why.
        problem: String,
    },
    /// A replica's directory cannot be used.
    #[error("{problem}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A snapshot cannot be saved, verified or restored.
    #[error(transparent)]
    Snapshot(#[from] quorate_store::snapshots::SnapshotError),
    /// A replica's control socket cannot be made, or nobody answers there.
    #[error("the control socket {}: {problem}", path.display())]
    Control {
        /// The socket.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A replica refuses what it was asked over its control socket.
    #[error("{why}")]
    Refused {
        /// Why, in its words.
        why: String,
    },
    /// The cluster has no such replica.
    #[error("there is no replica {replica}; this cluster has replicas 0 to {}", count - 1)]
    NoSuchReplica {
        /// The number that was asked for.
        replica: usize,
        /// How many there are.
        count: usize,
    },
    /// The replica does not run.
    #[error("replica {replica} is stopped; start it with `.restart()`")]
    Stopped {
        /// Which.
        replica: ReplicaId,
    },
    /// The replica runs already.
    #[error("replica {replica} runs already; stop it first")]
    Running {
        /// Which.
        replica: ReplicaId,
    },
    /// The replica stopped serving.
    #[error("replica {replica} halted: {why}")]
    Halted {
        /// Which.
        replica: ReplicaId,
        /// Why.
        why: String,
    },
    /// Genesis does not call this a test cluster.
    #[error("replica {replica} refuses the adversary: genesis does not say `test: true`")]
    NotATestCluster {
        /// Which.
        replica: ReplicaId,
    },
    /// The attack cannot run here.
    #[error("the attack `{attack}` is refused: {why}")]
    CannotAttack {
        /// Its name.
        attack: String,
        /// Why, and what to do.
        why: &'static str,
    },
    /// No evidence came in time.
    #[error("no replica has reported evidence within {waited:?}")]
    NoEvidence {
        /// How long was waited.
        waited: std::time::Duration,
    },
    /// An address cannot be used.
    #[error("the address `{address}` in {} cannot be used: {error}", path.display())]
    Address {
        /// The address.
        address: String,
        /// Where it stands.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A setting of a builder makes no sense.
    #[error("{0}")]
    Setting(String),
    /// The replica did not end in time.
    #[error(
        "the state machine of replica {replica} still runs a command after {waited:?}; its threads end when it returns"
    )]
    StillRunning {
        /// Which.
        replica: ReplicaId,
        /// How long was waited.
        waited: std::time::Duration,
    },
}

/// As [`fmt::Display`], because a `main` that returns an error shows it this way.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What most functions of this crate return.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

fn named_in(file: &Option<PathBuf>) -> String {
    file.as_ref().map_or_else(String::new, |file| format!(", which stands in {}", file.display()))
}
