//! How is a replica started and stopped as a whole? Its threads, and the handle on them.

use quorate_consensus::{Account, Config, Recovered, RecoveredSnapshot};
use quorate_machine::{ApplicationFactory, Runner, root_of_content};
use quorate_store::{DataDirectory, Log};
use quorate_transport::Remote;
use quorate_types::{Height, ReplicaId, Start, Verifier};
use std::io;
use std::sync::mpsc as std_mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::driver::{Condition, Control, Driver, Parts, Sources};
use crate::dump::{Dumps, Repair};
use crate::evidence::EvidenceBoard;
use crate::executor::{Executor, opener, sessions};
use crate::journal::Journal;
use crate::keeper::Keeper;
use crate::meter::Meter;
use crate::network::{Network, Sockets};
use crate::states::{Snapshot, States};
use crate::status::Status;
use crate::threads::Threads;
use crate::trail::Trail;
use crate::verify::VerifierPool;
use crate::{Durability, Error, Result, core};

/// What a replica finds again after a restart.
pub(crate) struct Disk {
    pub(crate) log: Box<dyn Log>,
    pub(crate) states: Arc<dyn States>,
    pub(crate) durability: Durability,
    /// Whether an empty log is that of a replica that never signed anything.
    pub(crate) is_fresh: bool,
    /// Held as long as the replica uses it.
    pub(crate) directory: Option<DataDirectory>,
}

/// Everything that a replica is made of.
pub(crate) struct Setup {
    pub(crate) config: Config,
    /// Whether genesis calls this a test cluster, which accepts adversaries.
    pub(crate) is_test: bool,
    /// The state that genesis lets the application begin with, if it names one.
    pub(crate) start: Option<Start>,
    pub(crate) application: ApplicationFactory,
    pub(crate) disk: Disk,
    pub(crate) sockets: Sockets,
    /// All replicas with their addresses for peers.
    pub(crate) members: Vec<Remote>,
    pub(crate) evidence: EvidenceBoard,
    pub(crate) meter: Arc<Meter>,
    pub(crate) verifier_threads: usize,
}

/// A replica whose threads run. Clones are handles to the same one; it stops when the last is gone.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    replica: ReplicaId,
    #[cfg_attr(not(feature = "lab"), allow(dead_code))]
    is_test: bool,
    control: mpsc::Sender<Control>,
    /// The last status, once the replica has ended.
    ended: watch::Receiver<Option<Status>>,
    thread: Arc<Mutex<Option<std::thread::JoinHandle<()>>>>,
}

impl Node {
    /// Starts the threads of a replica and waits until its sockets serve.
    pub(crate) fn start(setup: Setup) -> Result<Self> {
        let (replica, is_test) = (setup.config.id, setup.is_test);
        let (control, control_receiver) = mpsc::channel(CONTROLS_MAX);
        let (end, ended) = watch::channel(None);
        let (ready_sender, ready) = std_mpsc::channel();
        let (done, done_receiver) = mpsc::unbounded_channel();
        let threads = Threads { replica, meter: Arc::clone(&setup.meter), done };
        let thread = threads
            .clone()
            .start("core", move |_| {
                let status = run_core(setup, control_receiver, done_receiver, &threads, &ready_sender);
                end.send_replace(Some(status));
            })
            .map_err(|error| Error::Thread { replica, error })?;
        match ready.recv() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(Error::Halted { replica, why: BUG.to_owned() }),
        }
        Ok(Self { replica, is_test, control, ended, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    /// The replica's number.
    pub(crate) const fn id(&self) -> ReplicaId {
        self.replica
    }

    /// How the replica is doing.
    pub(crate) async fn status(&self) -> Status {
        let (sender, answer) = oneshot::channel();
        if self.control.send(Control::Status(sender)).await.is_ok()
            && let Ok(status) = answer.await
        {
            return status;
        }
        self.last_status().await
    }

    /// Waits until the condition holds. Errs if the replica ends before.
    pub(crate) async fn wait_for(&self, condition: Condition) -> Result<Status> {
        let (sender, answer) = oneshot::channel();
        let gone = Error::Stopped { replica: self.replica };
        if self.control.send(Control::WaitFor(condition, sender)).await.is_err() {
            return Err(gone);
        }
        answer.await.map_err(|_| gone)
    }

    /// Cuts a peer off, or lets it connect again. Nothing happens to a replica that has ended.
    pub(crate) async fn set_cut(&self, peer: ReplicaId, is_cut: bool) {
        let _ = self.control.send(Control::SetCut(peer, is_cut)).await;
    }

    /// What it executed lately.
    pub(crate) async fn trail(&self) -> Result<Trail> {
        let (sender, answer) = oneshot::channel();
        // Whoever does not take the question does not answer it.
        let _ = self.control.send(Control::Trail(sender)).await;
        answer.await.map_err(|_| Error::Stopped { replica: self.replica })
    }

    /// Turns the replica into a traitor, if the cluster is one for tests and the venue gives what the attack needs.
    #[cfg(feature = "lab")]
    pub(crate) async fn attack(&self, turn: crate::driver::Turn, venue: crate::Venue) -> Result {
        if !self.is_test {
            return Err(Error::NotATestCluster { replica: self.replica });
        }
        if let Some(why) = venue.refusal(turn.adversary.needs()) {
            return Err(Error::CannotAttack { attack: turn.adversary.name().replace('_', "-"), why });
        }
        self.turn(Some(turn)).await
    }

    /// Makes the replica honest again.
    #[cfg(feature = "lab")]
    pub(crate) async fn repent(&self) -> Result {
        self.turn(None).await
    }

    #[cfg(feature = "lab")]
    async fn turn(&self, turn: Option<crate::driver::Turn>) -> Result {
        let (sender, answer) = oneshot::channel();
        // Whoever does not take the order does not confirm it.
        let _ = self.control.send(Control::Attack(turn, sender)).await;
        answer.await.map_err(|_| Error::Stopped { replica: self.replica })
    }

    /// Stops all threads and waits for their end.
    pub(crate) async fn stop(&self) -> Result<Status> {
        // It may have been stopped before.
        let _ = self.control.send(Control::Stop).await;
        let status = tokio::time::timeout(STOP_MAX, self.last_status()).await;
        let status = status.map_err(|_| Error::StillRunning { replica: self.replica, waited: STOP_MAX })?;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // Its last statement has run, so this does not block. A panic is in the status.
            let _ = thread.join();
        }
        Ok(status)
    }

    async fn last_status(&self) -> Status {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(status) => status.clone().unwrap_or_default(),
            // The thread ended without a last word.
            Err(_) => Status { replica: self.replica, halted: Some(BUG.to_owned()), ..Status::default() },
        }
    }
}

/// The thread of core and connections, from start to end.
fn run_core(
    setup: Setup,
    control: mpsc::Receiver<Control>,
    done: mpsc::UnboundedReceiver<crate::threads::Done>,
    threads: &Threads,
    ready: &std_mpsc::Sender<Result>,
) -> Status {
    let replica = setup.config.id;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime.map_err(|error| Error::Thread { replica, error }) {
        Ok(runtime) => runtime,
        Err(error) => return not_started(replica, ready, error),
    };
    runtime.block_on(async {
        let (events_sender, events) = mpsc::channel(EVENTS_MAX);
        let parts = match assemble(setup, threads, &events_sender) {
            Ok(parts) => parts,
            Err(error) => return not_started(replica, ready, error),
        };
        // Whoever starts the replica waits for this.
        let _ = ready.send(Ok(()));
        drop(events_sender);
        Driver::new(parts).run(Sources { control, done, events }).await
    })
}

fn not_started(replica: ReplicaId, ready: &std_mpsc::Sender<Result>, error: Error) -> Status {
    let status = Status { replica, halted: Some(error.to_string()), ..Status::default() };
    let _ = ready.send(Err(error));
    status
}

fn assemble(
    setup: Setup,
    threads: &Threads,
    events: &mpsc::Sender<quorate_transport::Event>,
) -> Result<Parts> {
    let replica = setup.config.id;
    let refused = |error: io::Error| Error::Thread { replica, error };
    let clock = Clock::start();
    let Disk { log, states, durability, is_fresh, directory } = setup.disk;
    let unreadable = |problem| Error::Log { replica, problem };
    let (mut recovered, writer) = Journal::open(log, is_fresh).map_err(unreadable)?.split();
    let runner = restore(setup.application, &states, &mut recovered).map_err(unreadable)?;
    if let Some(start) = setup.start {
        check_start(&start, &recovered).map_err(unreadable)?;
    }
    let dumps = directory.as_ref().filter(|_| durability == Durability::Sync);
    let dumps = dumps.map(|directory| Dumps::new(directory.dumps()));
    let repair = begin_repair(dumps.as_ref(), &recovered);
    let journal = Journal::start(threads, writer, durability).map_err(refused)?;
    let network = Network::start(replica, setup.sockets, &setup.members, events)?;
    let checks = Verifier::new(Arc::clone(&setup.config.membership), setup.config.parameters.clone());
    let verifier = VerifierPool::start(threads, &checks, setup.verifier_threads).map_err(refused)?;
    let keeper = Keeper::start(threads, &states, setup.config.membership.cluster(), repair);
    let keeper = keeper.map_err(refused)?;
    let executor = Executor::start(threads, runner, states, Arc::clone(&keeper.jobs)).map_err(refused)?;
    let core = core::make(clock.now(), setup.config.clone(), recovered);
    let evidence = setup.evidence;
    let config = setup.config;
    Ok(Parts {
        config,
        clock,
        core,
        journal,
        network,
        verifier,
        executor,
        keeper,
        evidence,
        dumps,
        directory,
    })
}

/// The list of what differs, for a replica that is going to fetch the state of the others (rule K2).
fn begin_repair(dumps: Option<&Dumps>, recovered: &Recovered) -> Option<Repair> {
    let mut account = Account::default();
    recovered.records.iter().for_each(|record| account.add(record));
    let height = account.diverged?;
    tracing::warn!(%height, "its state differed from the others': fetches theirs before it takes part again");
    match dumps?.repair(height) {
        Ok(repair) => Some(repair),
        Err(error) => {
            tracing::warn!("what differs from the state of the others cannot be listed: {error}");
            None
        }
    }
}

/// The state machine, in the state of the newest snapshot from which the log leads on.
fn restore(
    application: ApplicationFactory,
    states: &Arc<dyn States>,
    recovered: &mut Recovered,
) -> Result<Runner, String> {
    let mut runner = Runner::new(application).map_err(|error| error.to_string())?;
    let (lowest, highest) = Recovered::restorable(&recovered.records);
    let Some(Snapshot { header, head }) = states.newest(lowest, highest)? else { return Ok(runner) };
    let sessions = sessions(states, &head).map_err(|error| error.to_string())?;
    runner.restore(head.height, opener(states, &head)).map_err(|error| error.to_string())?;
    tracing::info!(height = %head.height, "goes on from its snapshot");
    recovered.snapshot = Some(RecoveredSnapshot { header, head, sessions });
    Ok(runner)
}

/// Without the state that genesis names, the machine would begin with another one than the others'.
fn check_start(start: &Start, recovered: &Recovered) -> Result<(), String> {
    let Some(snapshot) = &recovered.snapshot else {
        return Err(format!(
            "genesis begins with the state {} that cluster {} had at height {}, and this replica does not have it: give it \
             the saved snapshot with `quorate snapshot seed`",
            start.application, start.cluster, start.height
        ));
    };
    let found = root_of_content(&snapshot.head.application);
    if snapshot.head.height == Height(0) && found != start.application {
        return Err(format!("it begins with the state {found}, and genesis with {}", start.application));
    }
    Ok(())
}

/// Questions of owners that wait for the driver.
const CONTROLS_MAX: usize = 64;
/// Frames and connections that wait for the core. Beyond it, connections are not read.
const EVENTS_MAX: usize = 1024;
/// How long a stop waits for a command that runs.
const STOP_MAX: Duration = Duration::from_secs(10);
const BUG: &str = "its core panicked, which is a bug; the panic's message is in the log";
