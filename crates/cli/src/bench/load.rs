//! Who submits, and when? Threads of clients, each client with as many tasks as it may have requests
//! in flight; for an open loop a thread that says when requests are due.

use anyhow::{Result, anyhow, bail};
use quorate::{Client, ClientOptions, LocalCluster};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout, timeout_at};

use super::echo::{Echo, Payload};
use super::phases::{Attacked, Phases};
use super::recorder::{Recorder, Span, Timed};

/// What the clients are to do.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) clients: usize,
    pub(crate) window: usize,
    pub(crate) size: usize,
    pub(crate) pace: Pace,
    pub(crate) warmup: Duration,
    pub(crate) span: Duration,
    /// How long the load goes on under attack after that.
    pub(crate) attacked: Option<Duration>,
    pub(crate) options: ClientOptions,
}

/// When a request is due.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// As soon as there is room in a client's window.
    Closed,
    /// So many times a second, whatever became of those before.
    Open(f64),
}

/// What was seen and used within the measurement.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) recorder: Recorder,
    /// What was seen after the measurement, under attack.
    pub(crate) attacked: Option<Attacked>,
    pub(crate) elapsed: Duration,
    /// Requests that were submitted for each signature that was made.
    pub(crate) requests_per_signature: f64,
    /// Processor time of this process.
    pub(crate) cpu: Duration,
    /// Processor time of all threads of all replicas; `None` where the system does not tell.
    pub(crate) replica_cpu: Option<Duration>,
}

/// Loads the cluster: every client connects and gets one answer, then the warm-up and the measurement
/// run, then the attack if one is asked for, then the last answers are awaited.
pub(crate) async fn run(
    cluster: &Arc<LocalCluster<Echo>>,
    load: &Load,
    attack: impl AsyncFnOnce() -> Result<()>,
) -> Result<Outcome> {
    let (start, schedule) = watch::channel(None);
    let (ready_sender, mut ready) = mpsc::channel(load.clients);
    let mut reports = Vec::new();
    for members in shares(load.clients) {
        let group = Group {
            cluster: Arc::clone(cluster),
            load: load.clone(),
            members,
            ready: ready_sender.clone(),
            schedule: schedule.clone(),
        };
        reports.push(group.start()?);
    }
    drop((ready_sender, schedule));
    let mut crowd = Vec::with_capacity(load.clients);
    while let Some(member) = ready.recv().await {
        crowd.push(member?);
    }
    if crowd.len() < load.clients {
        bail!("a thread of clients ended before its time");
    }
    let now = Instant::now();
    let begin = now + load.warmup;
    let span = Span { begin, end: begin + load.span };
    let attacked = load.attacked.map(|length| Span { begin: span.end, end: span.end + length });
    let schedule = Schedule { start: now, span, attacked };
    let pacer = Pacer::start(load, schedule, &crowd)?;
    start.send_replace(Some(schedule));

    sleep_until(schedule.span.begin.into()).await;
    let before = Usage::now(cluster, &crowd)?;
    sleep_until(schedule.span.end.into()).await;
    let after = Usage::now(cluster, &crowd)?;
    drop(crowd);
    if schedule.attacked.is_some() {
        attack().await?;
    }
    let mut phases = schedule.phases();
    for report in reports {
        phases.add(&report.await.map_err(|_| anyhow!("a thread of clients ended before its time"))?);
    }
    pacer.join();
    Ok(after.since(&before, phases))
}

/// When everything happens.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    /// When the load begins.
    start: Instant,
    /// When it is measured without an attack.
    span: Span,
    /// When it is measured under attack, right after that.
    attacked: Option<Span>,
}

/// A client with the requests of an open loop that are due to it.
#[derive(Clone)]
struct Member {
    /// Counted from 0 over all clients.
    index: usize,
    client: Client<Echo>,
    /// A permit for each request that is due and was not sent.
    due: Arc<Semaphore>,
    /// How many of its requests were sent.
    sent: Arc<AtomicU64>,
}

/// Clients that share a thread.
struct Group {
    cluster: Arc<LocalCluster<Echo>>,
    load: Load,
    /// Their numbers.
    members: std::ops::Range<usize>,
    ready: mpsc::Sender<Result<Member>>,
    schedule: watch::Receiver<Option<Schedule>>,
}

impl Group {
    /// Starts the thread; it reports at its end.
    fn start(self) -> Result<oneshot::Receiver<Phases>> {
        let (report, reported) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("client".to_owned()).spawn(move || {
            let recorder = runtime.block_on(self.run());
            // Nobody asks after a failure elsewhere.
            let _ = report.send(recorder);
        })?;
        Ok(reported)
    }

    async fn run(mut self) -> Phases {
        let members = self.connect().await;
        drop(self.ready);
        let schedule = self.schedule.wait_for(Option::is_some).await.map(|schedule| *schedule);
        // Without one the load never began.
        let Ok(Some(schedule)) = schedule else { return Phases::none() };
        let phases = Arc::new(Mutex::new(schedule.phases()));
        let payload = Payload::new(self.load.size);
        let mut workers = JoinSet::new();
        for member in members.iter().flat_map(|member| std::iter::repeat_n(member, self.load.window)) {
            let worker = Worker {
                member: member.clone(),
                payload: payload.clone(),
                phases: Arc::clone(&phases),
                schedule,
            };
            match self.load.pace {
                Pace::Closed => workers.spawn(worker.run_closed()),
                Pace::Open(rate) => workers.spawn(worker.run_open(rate, self.load.clients)),
            };
        }
        let drained = async { while workers.join_next().await.is_some() {} };
        let is_late = timeout_at((schedule.end() + DRAIN_MAX).into(), drained).await.is_err();
        let mut phases = phases.lock().unwrap_or_else(PoisonError::into_inner).clone();
        phases.on_unanswered(if is_late { workers.len() } else { 0 });
        workers.shutdown().await;
        if let Pace::Open(rate) = self.load.pace {
            for member in &members {
                member.count_unsent(&mut phases, schedule, rate, self.load.clients);
            }
        }
        close(members).await;
        phases
    }

    /// Connects every client of the group and waits for one answer to each.
    async fn connect(&self) -> Vec<Member> {
        let mut connecting = JoinSet::new();
        for index in self.members.clone() {
            let (cluster, load) = (Arc::clone(&self.cluster), self.load.clone());
            connecting.spawn(async move {
                let client = cluster.client_with(&load.options).await?;
                client.submit(Payload::new(load.size)).await?;
                Ok(Member { index, client, due: Arc::new(Semaphore::new(0)), sent: Arc::default() })
            });
        }
        let mut members = Vec::new();
        while let Some(connected) = connecting.join_next().await {
            let member = connected.unwrap_or_else(|error| Err(anyhow!(error)));
            members.extend(member.as_ref().ok().cloned());
            // Nobody listens any more after the first failure.
            let _ = self.ready.send(member.map_err(|error| error.context("a client gets no answer"))).await;
        }
        members
    }
}

/// Closes all connections, but does not wait for them for ever.
async fn close(members: Vec<Member>) {
    let mut closing: JoinSet<()> = members.into_iter().map(|member| member.client.close()).collect();
    let closed = async { while closing.join_next().await.is_some() {} };
    let _ = timeout(CLOSE_MAX, closed).await;
}

/// One request after the other.
struct Worker {
    member: Member,
    payload: Payload,
    phases: Arc<Mutex<Phases>>,
    schedule: Schedule,
}

impl Worker {
    async fn run_closed(self) {
        loop {
            let now = Instant::now();
            if now >= self.schedule.end() {
                return;
            }
            self.submit(Timed::Answered, now).await;
        }
    }

    /// Runs until the pacer closes the semaphore.
    async fn run_open(self, rate: f64, clients: usize) {
        while let Ok(permit) = self.member.due.acquire().await {
            permit.forget();
            let nth = self.member.sent.fetch_add(1, Ordering::Relaxed);
            let due = self.schedule.due(self.member.position(nth, clients), rate);
            self.submit(Timed::Due, due).await;
        }
    }

    async fn submit(&self, timed: Timed, due: Instant) {
        let result = self.member.client.submit(self.payload.clone()).await;
        let answered = Instant::now();
        match result {
            Ok(_) => self.phases().on_answer(timed, due, answered),
            Err(error) => {
                self.phases().on_error(answered, &error);
                // Some errors come at once; asking again at once would only heat the machine.
                sleep(ERROR_PAUSE).await;
            }
        }
    }

    fn phases(&self) -> std::sync::MutexGuard<'_, Phases> {
        self.phases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Schedule {
    /// When the load ends.
    fn end(&self) -> Instant {
        self.attacked.unwrap_or(self.span).end
    }

    fn phases(&self) -> Phases {
        Phases::new(self.span, self.attacked)
    }

    /// When the request at this position of an open loop is due.
    fn due(&self, position: u64, rate: f64) -> Instant {
        self.start + Duration::from_secs_f64(position as f64 / rate)
    }
}

impl Member {
    /// The requests of an open loop go round the clients. Where this client's nth stands among all.
    fn position(&self, nth: u64, clients: usize) -> u64 {
        nth * clients as u64 + self.index as u64
    }

    /// Counts the requests that were due and that nobody had time to send.
    fn count_unsent(&self, phases: &mut Phases, schedule: Schedule, rate: f64, clients: usize) {
        for nth in self.sent.load(Ordering::Relaxed).. {
            let due = schedule.due(self.position(nth, clients), rate);
            if due >= schedule.end() {
                return;
            }
            phases.on_unsent(due);
        }
    }
}

/// Says when the requests of an open loop are due. A thread of its own: the runtime's timers are too
/// coarse, and its tasks may be late.
struct Pacer(Option<std::thread::JoinHandle<()>>);

impl Pacer {
    /// Starts the thread, if the loop is an open one.
    fn start(load: &Load, schedule: Schedule, crowd: &[Member]) -> Result<Self> {
        let Pace::Open(rate) = load.pace else { return Ok(Self(None)) };
        let mut due: Vec<_> = crowd.iter().map(|member| (member.index, Arc::clone(&member.due))).collect();
        due.sort_unstable_by_key(|(index, _)| *index);
        let pacer = std::thread::Builder::new().name("pacer".to_owned());
        let pacer = pacer.spawn(move || pace(schedule, rate, &due))?;
        Ok(Self(Some(pacer)))
    }

    /// Waits for its end, which is that of the measurement.
    fn join(self) {
        // Without it the clients stand still, which the figures show.
        let _ = self.0.map(std::thread::JoinHandle::join);
    }
}

fn pace(schedule: Schedule, rate: f64, clients: &[(usize, Arc<Semaphore>)]) {
    let mut around = clients.iter().cycle();
    let mut next = 0_u64;
    loop {
        let now = Instant::now();
        if now >= schedule.end() {
            break;
        }
        while schedule.due(next, rate) <= now {
            if let Some((_, due)) = around.next() {
                due.add_permits(1);
            }
            next += 1;
        }
        let pause = schedule.due(next, rate).min(schedule.end()).saturating_duration_since(now);
        std::thread::sleep(pause.max(PACER_PAUSE_MIN));
    }
    // What is due and was not sent stays unsent.
    for (_, due) in clients {
        due.close();
    }
}

/// Counters at one moment.
struct Usage {
    at: Instant,
    cpu: Duration,
    replica_cpu: Option<Duration>,
    submitted: u64,
    signatures: u64,
}

impl Usage {
    fn now(cluster: &LocalCluster<Echo>, crowd: &[Member]) -> Result<Self> {
        let mut replica_cpu = Some(Duration::ZERO);
        for replica in cluster.replicas() {
            replica_cpu = replica_cpu.zip(replica.cpu_time()?).map(|(sum, one)| sum + one);
        }
        let stats = || crowd.iter().map(|member| member.client.stats());
        Ok(Self {
            at: Instant::now(),
            cpu: process_cpu_time(),
            replica_cpu,
            submitted: stats().map(|stats| stats.submitted).sum(),
            signatures: stats().map(|stats| stats.signatures).sum(),
        })
    }

    fn since(&self, before: &Self, phases: Phases) -> Outcome {
        let signatures = self.signatures - before.signatures;
        let (recorder, attacked) = phases.into_parts();
        Outcome {
            recorder,
            attacked,
            elapsed: self.at - before.at,
            requests_per_signature: (self.submitted - before.submitted) as f64 / signatures.max(1) as f64,
            cpu: self.cpu.saturating_sub(before.cpu),
            replica_cpu: self.replica_cpu.zip(before.replica_cpu).map(|(now, then)| now.saturating_sub(then)),
        }
    }
}

fn process_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Deals clients out to threads of their own: half of the processors, as replicas need the others.
fn shares(clients: usize) -> Vec<std::ops::Range<usize>> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let groups = (processors / 2).clamp(1, clients);
    (0..groups).map(|group| clients * group / groups..clients * (group + 1) / groups).collect()
}

/// How long the last answers are awaited. A view change fits into it.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// How long the clients have to close their connections.
const CLOSE_MAX: Duration = Duration::from_secs(2);
/// After an error, per task.
const ERROR_PAUSE: Duration = Duration::from_millis(10);
/// Requests that are due closer together are announced together; each is timed from its own time.
const PACER_PAUSE_MIN: Duration = Duration::from_micros(100);
