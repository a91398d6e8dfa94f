//! How does a program use the cluster? A typed client: commands in, replies out.

use bytes::Bytes;
use quorate_consensus::client::{Completed, RequestId, Ticket};
use quorate_machine::{CodecError, StateMachine, decode, encode};
use quorate_types::{Genesis, Height, PublicKey, ReplicaId, SecretKey};
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

use crate::client_driver::{self, Ending, Submission, Work};
use crate::config::ClusterConfig;
use crate::{RejectedWhy, Result, SubmitError};

/// A client of a cluster that replicates the state machine `S`.
///
/// Clones share connections and session; any number of tasks may submit at once, and what they submit
/// together shares a signature. It runs on the tokio runtime on which it was made, as long as
/// a clone or a submission lives, and must be used before that runtime ends.
pub struct Client<S> {
    handle: Arc<Handle>,
    machine: PhantomData<fn() -> S>,
}

/// Settings of a client; the defaults suit nearly all.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Most requests in flight, 1 to 64. More wait inside this process.
    pub window: usize,
    /// Most requests under one signature, 1 to 64.
    pub bundle_max: usize,
    /// After which a submission ends with [`SubmitError::Unknown`].
    pub deadline: Duration,
    /// How long a request is left to the primary before it goes to all replicas; grows with measured
    /// round trips.
    pub retry_min: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            window: 64,
            bundle_max: 64,
            deadline: Duration::from_secs(30),
            retry_min: Duration::from_millis(100),
        }
    }
}

/// What the cluster answers to a command: so many replicas say the same that one of them is honest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submitted<R> {
    /// The state machine's reply.
    pub reply: R,
    /// The height of the block in which the command stands.
    pub height: Height,
    /// Names the request for ever; retrying it gives this reply again.
    pub id: RequestId,
}

/// What a client has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientStats {
    /// Submissions that were handed over.
    pub submitted: u64,
    /// Submissions that ended with a reply.
    pub completed: u64,
    /// Bundles that were signed. Submissions over signatures is what one signature carries.
    pub signatures: u64,
    /// Replicas' messages that were refused.
    pub rejections: u64,
}

impl<S: StateMachine> Client<S> {
    /// A client of the cluster that `cluster.json` describes. Returns at once: replicas are dialled in the
    /// background, for ever.
    ///
    /// # Errors
    /// [`crate::Error`] if the file is missing or wrong, or if no socket can be had.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect(path: impl AsRef<Path>, key: SecretKey) -> Result<Self> {
        let cluster = ClusterConfig::read(path)?;
        Self::start(&cluster.genesis, &cluster.replicas, key, &ClientOptions::default())
    }

    /// A client of the cluster with this genesis, whose replicas listen for clients at these
    /// addresses, in the order of their numbers.
    ///
    /// # Errors
    /// [`crate::Error`] if genesis breaks a rule, addresses are missing, or no socket can be had.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(
        genesis: &Genesis,
        replicas: &[SocketAddr],
        key: SecretKey,
        options: &ClientOptions,
    ) -> Result<Self> {
        let membership = crate::config::membership_of(genesis)?;
        let members = crate::config::members(&membership, replicas)?;
        let handle = Handle::new(key.public(), &membership, genesis.protocol.command_bytes_max, options);
        let (handle, sources) = handle;
        client_driver::spawn(&membership, genesis, &members, key, options, sources)?;
        Ok(Self { handle: Arc::new(handle), machine: PhantomData })
    }

    /// Has the cluster execute a command, and waits until so many replicas report the same reply that
    /// one of them is honest.
    ///
    /// Waits as long as more is submitted than goes out. If the future is dropped, the command may still
    /// run.
    ///
    /// # Errors
    /// [`SubmitError`], each kind of which says whether the command may have run.
    ///
    /// # Panics
    /// If the runtime on which the client was made has ended.
    pub async fn submit(&self, command: S::Command) -> Result<Submitted<S::Reply>, SubmitError> {
        let command = self.encode(&command)?;
        self.run(Work::Submit(command)).await
    }

    /// Submits a command again under the id of an earlier submission of the same command: it runs at
    /// most once in all, and gives the reply of that run. Safe from another process that has the key.
    ///
    /// # Errors
    /// [`SubmitError`].
    ///
    /// # Panics
    /// If the runtime on which the client was made has ended.
    pub async fn retry(
        &self,
        id: RequestId,
        command: S::Command,
    ) -> Result<Submitted<S::Reply>, SubmitError> {
        let command = self.encode(&command)?;
        self.run(Work::Retry(id, command)).await
    }

    /// The key under which the cluster knows this client.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        self.handle.key
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        *self.handle.stats.borrow()
    }

    /// Closes the connections and waits until they are closed, if this is the last clone.
    pub async fn close(self) {
        let mut ended = self.handle.ended.clone();
        let handle = self.handle;
        if Arc::into_inner(handle).is_some() {
            // The sender is dropped when the driver has ended.
            let _ = ended.wait_for(|ended| *ended).await;
        }
    }

    fn encode(&self, command: &S::Command) -> Result<Bytes, SubmitError> {
        let rejected = |why| SubmitError::Rejected { why };
        match encode(command, self.handle.command_bytes_max) {
            Ok(bytes) => Ok(bytes.into()),
            Err(CodecError::TooLarge { .. }) => Err(rejected(RejectedWhy::TooLarge)),
            Err(error) => Err(rejected(RejectedWhy::NotEncodable(error.to_string()))),
        }
    }

    async fn run(&self, work: Work) -> Result<Submitted<S::Reply>, SubmitError> {
        let handle = &self.handle;
        let ticket = Ticket(handle.next_ticket.fetch_add(1, Ordering::Relaxed));
        let (done, answer) = oneshot::channel();
        if handle.submissions.send(Submission { ticket, work, done }).await.is_err() {
            return Err(handle.nothing_sent());
        }
        let mut interest = Interest { handle, ticket, is_over: false };
        let answer = answer.await;
        interest.is_over = true;
        match answer {
            Ok(Ok(completed)) => typed(completed),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => panic!("the tokio runtime on which this client was made has ended"),
        }
    }
}

fn typed<R: serde::Serialize + serde::de::DeserializeOwned>(
    completed: Completed,
) -> Result<Submitted<R>, SubmitError> {
    let Completed { id, height, reply } = completed;
    match decode(&reply) {
        Ok(reply) => Ok(Submitted { reply, height, id }),
        Err(error) => {
            tracing::error!(
                %height,
                "the cluster runs another state machine than this client expects: its reply does not decode: {error}"
            );
            Err(SubmitError::Unknown { id })
        }
    }
}

impl<S> Clone for Client<S> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle), machine: PhantomData }
    }
}

impl<S> std::fmt::Debug for Client<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.handle.key)
    }
}

/// What all clones share.
#[derive(Debug)]
pub(crate) struct Handle {
    key: PublicKey,
    command_bytes_max: usize,
    needed: usize,
    replicas: Vec<ReplicaId>,
    submissions: mpsc::Sender<Submission>,
    /// Bounded by the submissions under way.
    cancelled: mpsc::UnboundedSender<Ticket>,
    next_ticket: AtomicU64,
    stats: watch::Receiver<ClientStats>,
    ended: watch::Receiver<bool>,
}

impl Handle {
    fn new(
        key: PublicKey,
        membership: &quorate_types::Membership,
        command_bytes_max: u32,
        options: &ClientOptions,
    ) -> (Self, client_driver::Sources) {
        let (submissions, submitted) =
            mpsc::channel(options.window.clamp(1, WINDOW_MAX) * SUBMISSIONS_PER_WINDOW);
        let (cancelled, cancels) = mpsc::unbounded_channel();
        let (stats_sender, stats) = watch::channel(ClientStats::default());
        let (end, ended) = watch::channel(false);
        let handle = Self {
            key,
            command_bytes_max: command_bytes_max as usize,
            needed: membership.quorums().quorum(),
            replicas: membership.replicas().collect(),
            submissions,
            cancelled,
            next_ticket: AtomicU64::new(0),
            stats,
            ended,
        };
        let ending = Ending(end);
        (handle, client_driver::Sources { submitted, cancels, stats: stats_sender, ending })
    }

    /// The driver has ended, so nothing can be sent.
    fn nothing_sent(&self) -> SubmitError {
        SubmitError::NoQuorum { reached: 0, needed: self.needed, missing: self.replicas.clone() }
    }
}

/// Tells the driver when nobody waits for a submission any more.
struct Interest<'a> {
    handle: &'a Handle,
    ticket: Ticket,
    is_over: bool,
}

impl Drop for Interest<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let _ = self.handle.cancelled.send(self.ticket);
        }
    }
}

/// What the protocol allows in flight per session.
pub(crate) const WINDOW_MAX: usize = 64;
/// Submissions that wait for the driver, for each that may be in flight. More wait at the caller.
const SUBMISSIONS_PER_WINDOW: usize = 2;
