//! How does a command that panics become a rejection, the same on every replica (rule K2)? The state goes
//! back to the last snapshot and runs again without it.

use bytes::Bytes;
use quorate_types::message::Outcome;
use quorate_types::{Height, PublicKey, RequestNumber};
use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::hash::{DefaultHasher, Hasher as _};
use std::io;

use crate::{Application, ApplicationFactory, BlockContext, Context, Frozen, Panicked, RestoreError, catch};

/// One command with its issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The client that signed it.
    pub client: PublicKey,
    /// Its number in the client's session.
    pub number: RequestNumber,
    /// The encoded command.
    pub command: Bytes,
}

/// Opens a durable snapshot for reading, each time from its first byte. Called again at every panic.
pub type OpenSnapshot = Box<dyn FnMut() -> io::Result<Box<dyn io::Read>> + Send>;

/// Runs a replica's application, and gives it a state again after it panicked.
///
/// A panic leaves a half changed state behind. So the runner remembers what was executed since the last
/// snapshot; after a panic it opens that snapshot, or makes the initial state if there is none, executes the
/// rest again without the commands that panicked, and answers [`Outcome::Panicked`] for the new one. Where the
/// command is to blame, every replica does the same and all agree. A replica that panics alone disagrees
/// with the others, and its result root stops it.
///
/// - **Memory**: the commands since the last durable snapshot, whose bytes are shared with the log, and eight bytes
///   per outcome. The interval between checkpoints bounds it, as long as [`Runner::on_snapshot_durable`] follows.
/// - **Time**: each panic costs reading the snapshot and executing everything since. That is the price of
///   panicking commands, and clients can cause it: mend a machine that panics, and let it refuse in its reply.
/// - **Unwinding**: a program that is built with `panic = "abort"` ends at the first panic instead.
/// - **After an error the runner is not to be used any more**: the replica must halt.
pub struct Runner {
    factory: ApplicationFactory,
    application: Box<dyn Application>,
    /// Where the history begins; `None` is the initial state.
    snapshot: Option<(Height, OpenSnapshot)>,
    history: VecDeque<Executed>,
}

impl Runner {
    /// Runs an application from its initial state.
    ///
    /// # Errors
    /// [`RunnerError::Panicked`] in the factory.
    pub fn new(factory: ApplicationFactory) -> Result<Self, RunnerError> {
        let application = initial(&factory)?;
        Ok(Self { factory, application, snapshot: None, history: VecDeque::new() })
    }

    /// Goes on from a durable snapshot of the state after the block at `height`, in place of all that was
    /// before. `open` is kept, to be called again after a panic.
    ///
    /// # Errors
    /// The snapshot cannot be opened or read back. The present state stays, so that another may be tried.
    pub fn restore(&mut self, height: Height, mut open: OpenSnapshot) -> Result<(), RunnerError> {
        self.application = restored(&self.factory, height, &mut open)?;
        self.snapshot = Some((height, open));
        self.history.clear();
        Ok(())
    }

    /// Executes one block's commands. Outcomes are those of [`Application::apply`], and
    /// [`Outcome::Panicked`].
    ///
    /// # Errors
    /// After a panic: the snapshot cannot be opened or read back, or what is executed again gives something
    /// else than before.
    ///
    /// # Panics
    /// If the block is not above the last one.
    pub fn execute(
        &mut self,
        block: BlockContext,
        requests: Vec<Request>,
    ) -> Result<Vec<Outcome>, RunnerError> {
        assert!(self.height() < Some(block.height), "blocks are executed in their order");
        let mut outcomes = Vec::with_capacity(requests.len());
        self.history.push_back(Executed { block, requests, results: Vec::new(), blamed: BTreeSet::new() });
        loop {
            let executed = self.history.back_mut().expect("pushed above");
            let Err(panicked) = executed.go_on(&mut *self.application, &mut outcomes) else {
                return Ok(outcomes);
            };
            tracing::error!(%panicked, "the request is rejected; the state is computed again without it");
            executed.blame();
            executed.results.push(Executed::PANICKED);
            outcomes.push(Outcome::Panicked);
            self.rebuild()?;
        }
    }

    /// Answers a query from the present state, [`Outcome::Panicked`] if the machine panics on it.
    #[must_use]
    pub fn query(&self, query: &[u8]) -> Outcome {
        catch(&"a query", || self.application.query(query)).unwrap_or_else(|panicked| {
            tracing::error!(%panicked, "the query is rejected");
            Outcome::Panicked
        })
    }

    /// Holds the present state, which is that after the block at `height`.
    ///
    /// # Errors
    /// [`RunnerError::Panicked`].
    pub fn freeze(&mut self, height: Height) -> Result<Box<dyn Frozen>, RunnerError> {
        catch(&format_args!("a snapshot at height {height}"), || self.application.freeze())
            .map_err(RunnerError::Panicked)
    }

    /// Forgets what was executed up to `height`: a snapshot of the state there is durable, and `open` opens
    /// it. One below the present snapshot changes nothing.
    pub fn on_snapshot_durable(&mut self, height: Height, open: OpenSnapshot) {
        if self.snapshot.as_ref().is_some_and(|(present, _)| height < *present) {
            return;
        }
        while self.history.front().is_some_and(|executed| executed.block.height <= height) {
            self.history.pop_front();
        }
        self.snapshot = Some((height, open));
    }

    /// The last block whose commands are in the state; `None` in the initial state.
    #[must_use]
    pub fn height(&self) -> Option<Height> {
        let last = self.history.back().map(|executed| executed.block.height);
        last.or(self.snapshot.as_ref().map(|(height, _)| *height))
    }

    /// How many commands would be executed again after a panic.
    #[must_use]
    pub fn history_len(&self) -> usize {
        self.history.iter().map(|executed| executed.results.len()).sum()
    }

    /// The application, for tests that look at its state.
    #[must_use]
    pub fn application(&self) -> &dyn Application {
        &*self.application
    }

    /// Computes the state again from the last snapshot and what was executed since.
    fn rebuild(&mut self) -> Result<(), RunnerError> {
        let mut application = match &mut self.snapshot {
            Some((height, open)) => restored(&self.factory, *height, open)?,
            None => initial(&self.factory)?,
        };
        self.history.iter().try_for_each(|executed| executed.again(&mut *application))?;
        self.application = application;
        Ok(())
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").field("height", &self.height()).finish_non_exhaustive()
    }
}

/// Why a replica's application cannot go on. The replica must halt.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The machine panicked where nothing can be rejected in its place: in a snapshot, a restore, or the factory.
    #[error("{0}; mend the state machine, then start this replica again")]
    Panicked(Panicked),
    /// The snapshot is not there any more.
    #[error("the snapshot at height {height} cannot be opened: {source}")]
    Open {
        /// The height of its state.
        height: Height,
        /// Why.
        source: io::Error,
    },
    /// The snapshot holds no state.
    #[error("the snapshot at height {height} cannot be restored: {source}")]
    Restore {
        /// The height of its state.
        height: Height,
        /// Why.
        source: RestoreError,
    },
    /// Executing again after a panic gave something else.
    #[error(
        "the state machine is not deterministic: {request}, executed again, {what}; find the cause with \
         quorate::testkit::check_determinism"
    )]
    NotReproduced {
        /// Request and height.
        request: String,
        /// What came out the second time.
        what: String,
    },
}

/// A block that was executed, or is being executed.
struct Executed {
    block: BlockContext,
    requests: Vec<Request>,
    /// What came out for the first requests: a fingerprint of each outcome.
    results: Vec<u64>,
    /// Clients one of whose requests panicked: the rest of theirs in this block is rejected like it, so that each
    /// costs one computation of the state at most.
    blamed: BTreeSet<PublicKey>,
}

impl Executed {
    const PANICKED: u64 = 0;

    /// The next request panicked.
    fn blame(&mut self) {
        self.blamed.extend(self.requests.get(self.results.len()).map(|request| request.client));
    }

    /// Executes the requests that have no result yet, up to the first that panics.
    fn go_on(
        &mut self,
        application: &mut dyn Application,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<(), Panicked> {
        while let Some(request) = self.requests.get(self.results.len()) {
            if self.blamed.contains(&request.client) {
                self.results.push(Self::PANICKED);
                outcomes.push(Outcome::Panicked);
                continue;
            }
            let outcome = self.apply(self.results.len(), application)?;
            self.results.push(fingerprint(&outcome));
            outcomes.push(outcome);
        }
        Ok(())
    }

    /// Executes the requests that have a result, without those that panicked.
    fn again(&self, application: &mut dyn Application) -> Result<(), RunnerError> {
        for (index, expected) in self.results.iter().enumerate().filter(|(_, r)| **r != Self::PANICKED) {
            let what = match self.apply(index, application) {
                Ok(outcome) if fingerprint(&outcome) == *expected => continue,
                Ok(_) => "gives another reply".to_owned(),
                Err(Panicked { message, .. }) => format!("panics: {message}"),
            };
            return Err(RunnerError::NotReproduced { request: self.context(index).to_string(), what });
        }
        Ok(())
    }

    fn apply(&self, index: usize, application: &mut dyn Application) -> Result<Outcome, Panicked> {
        let context = self.context(index);
        catch(&context, || application.apply(&self.requests[index].command, &context))
    }

    fn context(&self, index: usize) -> Context {
        let request = &self.requests[index];
        let position = u32::try_from(index).expect("a batch has fewer requests than bytes");
        Context::new(self.block, position, request.client, request.number)
    }
}

/// Tells outcomes apart within one process, at a fraction of a digest's cost. Never [`Executed::PANICKED`].
fn fingerprint(outcome: &Outcome) -> u64 {
    let mut hasher = DefaultHasher::new();
    match outcome {
        Outcome::Executed(reply) => hasher.write(reply),
        other => hasher.write(format!("{other:?}").as_bytes()),
    }
    hasher.finish().max(Executed::PANICKED + 1)
}

fn initial(factory: &ApplicationFactory) -> Result<Box<dyn Application>, RunnerError> {
    catch(&"the initial state", || factory.make()).map_err(RunnerError::Panicked)
}

fn restored(
    factory: &ApplicationFactory,
    height: Height,
    open: &mut OpenSnapshot,
) -> Result<Box<dyn Application>, RunnerError> {
    let mut application = initial(factory)?;
    let mut source = open().map_err(|source| RunnerError::Open { height, source })?;
    catch(&format_args!("restoring the snapshot at height {height}"), || application.restore(&mut *source))
        .map_err(RunnerError::Panicked)?
        .map_err(|source| RunnerError::Restore { height, source })?;
    Ok(application)
}
