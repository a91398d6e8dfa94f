//! Who writes, gathers and serves states (rules K1, K3, K4)? Two threads beside the core: one that changes what is
//! kept, in order, and one that reads chunks for peers.

use bytes::Bytes;
use quorate_consensus::{Input, SnapshotOrder};
use quorate_machine::{Frozen, catch, content_of, content_of_stream};
use quorate_types::certificate::{CheckpointCertificate, SignedHeader};
use quorate_types::{ChunkId, ClusterId, Digest, Height, ReplicaId, StateHead};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::dump::Repair;
use crate::handover::Handover;
use crate::states::{States, Written};
use crate::status::SnapshotStatus;
use crate::threads::{Done, Threads};

/// Something to be done with states, in order.
pub(crate) enum Job {
    /// Write a snapshot. The state machine stood still for so long while it was frozen.
    Write(Box<SnapshotOrder>, Box<dyn Frozen>, Duration),
    /// Begin to gather a state.
    Begin(Arc<StateHead>, SignedHeader),
    /// Forget the state that is gathered.
    Abandon,
    /// Say which chunks of a page are missing.
    LookInto(ChunkId),
    /// Keep a chunk.
    Store(ChunkId, Bytes),
    /// Make the gathered state a snapshot.
    Install(Arc<StateHead>),
    /// Put a certificate beside its snapshot.
    Certify(Arc<CheckpointCertificate>),
    /// Drop the snapshots below this height.
    RetainFrom(Height),
}

/// Chunks for a peer.
pub(crate) type Read = (ReplicaId, Vec<Digest>);

/// The threads that keep one replica's states.
pub(crate) struct Keeper {
    pub(crate) jobs: Arc<Handover<Job>>,
    reads: Arc<Handover<Read>>,
    threads: Vec<JoinHandle<()>>,
    figures: Arc<Mutex<SnapshotStatus>>,
}

impl Keeper {
    pub(crate) fn start(
        threads: &Threads,
        states: &Arc<dyn States>,
        configuration: ClusterId,
        repair: Option<Repair>,
    ) -> io::Result<Self> {
        let (jobs, reads) = (Arc::new(Handover::new()), Arc::new(Handover::new()));
        let figures = Arc::new(Mutex::new(SnapshotStatus::default()));
        let keeping = threads.start("snapshot", {
            let (states, figures) = (Arc::clone(states), Arc::clone(&figures));
            let mut worker = Worker { states, configuration, figures, repair };
            let jobs = Arc::clone(&jobs);
            move |threads| worker.run(&jobs, threads)
        })?;
        let reading = threads.start("chunks", {
            let (states, reads) = (Arc::clone(states), Arc::clone(&reads));
            move |threads| read_all(&*states, &reads, threads)
        })?;
        Ok(Self { jobs, reads, threads: vec![keeping, reading], figures })
    }

    pub(crate) fn put(&self, jobs: &mut Vec<Job>) {
        self.jobs.put(jobs);
    }

    pub(crate) fn read(&self, reads: &mut Vec<Read>) {
        self.reads.put(reads);
    }

    pub(crate) fn status(&self) -> SnapshotStatus {
        *self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops what is left and waits for what is being done.
    pub(crate) fn stop(mut self) {
        self.close();
        for thread in self.threads.drain(..) {
            // A panic in it was told when it happened.
            let _ = thread.join();
        }
    }

    fn close(&self) {
        self.jobs.close();
        self.reads.close();
    }
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.close();
    }
}

struct Worker {
    states: Arc<dyn States>,
    configuration: ClusterId,
    figures: Arc<Mutex<SnapshotStatus>>,
    /// The list of what differs, if the replica repairs its state (rule K2).
    repair: Option<Repair>,
}

impl Worker {
    fn run(&mut self, queue: &Handover<Job>, threads: &Threads) {
        let mut jobs = Vec::new();
        while queue.take(usize::MAX, &mut jobs) {
            for job in jobs.drain(..) {
                if let Err(why) = self.perform(job, threads) {
                    return threads
                        .fail(format!("its snapshots cannot be kept: {why}; nothing acknowledged is lost"));
                }
            }
        }
    }

    fn perform(&mut self, job: Job, threads: &Threads) -> Result<(), String> {
        match job {
            Job::Write(order, frozen, pause) => {
                let head = self.write(&order, frozen, pause)?;
                threads.finish(&mut vec![Input::Snapshot(head)]);
            }
            Job::Begin(head, header) => {
                self.states.begin(&head, header)?;
                self.list(|repair| repair.begin(&head));
            }
            Job::Abandon => self.states.abandon()?,
            Job::LookInto(page) => {
                let missing = self.states.look_into(&page)?;
                self.list(|repair| repair.on_looked(&page, missing.as_deref()));
                threads.finish(&mut vec![Input::Looked(page, missing)]);
            }
            Job::Store(id, bytes) => {
                self.states.store(&id, &bytes)?;
                self.figures().bytes_fetched += bytes.len() as u64;
            }
            Job::Install(head) => {
                self.states.install()?;
                if let Some(repair) = self.repair.take() {
                    warn_unless(repair.finish());
                }
                threads.tell(Done::Gathered(head));
            }
            Job::Certify(certificate) => self.states.certify(certificate)?,
            Job::RetainFrom(height) => self.states.retain_from(height)?,
        }
        Ok(())
    }

    fn figures(&self) -> MutexGuard<'_, SnapshotStatus> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to the list of what differs. The repair goes on without it.
    fn list(&mut self, add: impl FnOnce(&mut Repair) -> io::Result<()>) {
        if let Some(repair) = &mut self.repair {
            warn_unless(add(repair));
        }
    }

    fn write(
        &self,
        order: &SnapshotOrder,
        frozen: Box<dyn Frozen>,
        pause: Duration,
    ) -> Result<Arc<StateHead>, String> {
        let began = Instant::now();
        let mut frozen = Some(frozen);
        let height = order.header.header.height;
        let written = self.states.write(order.header, &mut |sink| {
            let frozen = frozen.take().ok_or_else(|| io::Error::other("a snapshot is written once"))?;
            let sessions = content_of_stream(sink, |out| order.sessions.write(out))?;
            let on = format!("writing the snapshot at height {height}");
            let application = catch(&on, || content_of(frozen, sink)).map_err(io::Error::other)??;
            Ok(StateHead {
                configuration: self.configuration,
                height,
                result_root: order.result_root,
                sessions,
                application,
            })
        })?;
        let Written { head, chunks_new, bytes_new } = written;
        let mut figures = self.figures();
        *figures = SnapshotStatus {
            snapshots: figures.snapshots + 1,
            height,
            bytes: head.bytes(),
            chunks: head.chunks(),
            chunks_new,
            bytes_new,
            pause_us: micros(pause),
            pause_us_max: figures.pause_us_max.max(micros(pause)),
            write_us: micros(began.elapsed()),
            bytes_held: self.states.bytes(),
            bytes_fetched: figures.bytes_fetched,
        };
        Ok(head)
    }
}

fn read_all(states: &dyn States, queue: &Handover<Read>, threads: &Threads) {
    let mut reads = Vec::new();
    while queue.take(1, &mut reads) {
        for (to, digests) in reads.drain(..) {
            let mut chunks = Vec::with_capacity(digests.len());
            for digest in digests {
                let chunk = match states.chunk(&digest) {
                    Ok(chunk) => chunk.ok_or(digest),
                    Err(why) => {
                        // A peer gets it from somebody else; the operator hears of the disk.
                        tracing::error!("a chunk cannot be read for replica {to}: {why}");
                        Err(digest)
                    }
                };
                chunks.push(Input::Chunk(to, chunk));
            }
            threads.finish(&mut chunks);
        }
    }
}

fn warn_unless(listed: io::Result<()>) {
    if let Err(error) = listed {
        tracing::warn!("what differs from the state of the others cannot be listed: {error}");
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
