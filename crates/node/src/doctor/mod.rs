//! What is in a replica's directory, is it healthy, and what is to be done if not? [`examine`] reads it as a start
//! would and changes nothing, also while the replica runs.
//!
//! What is found is in the [`Report`] for machines, and each [`Finding`] is a sentence with what to do about it. Nothing is an
//! error: a directory that cannot be read is a finding too.

mod log;
mod snapshots;

use quorate_store::{DataDirectory, DirectoryError, LogIdentity};
use quorate_types::{ClusterId, Genesis, Height, Membership, PublicKey, ReplicaId};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::membership_of;

pub use log::LogState;
pub use snapshots::{SnapshotState, SnapshotsState, TransferState};

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The directory.
    pub directory: PathBuf,
    /// The cluster whose data it holds, if it says.
    pub cluster: Option<ClusterId>,
    /// The replica's key.
    pub replica_key: Option<PublicKey>,
    /// The replica's number, if genesis was given.
    pub replica: Option<ReplicaId>,
    /// Whether a process holds it now.
    pub is_in_use: bool,
    /// The log, if it can be read.
    pub log: Option<LogState>,
    /// The snapshots, if they can be read.
    pub snapshots: Option<SnapshotsState>,
    /// Dumps of states that differed.
    pub dumps: Vec<PathBuf>,
    /// Room on its disk that the replica may use.
    pub free_bytes: Option<u64>,
    /// What to know and what to do, the gravest first.
    pub findings: Vec<Finding>,
}

/// One thing to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How grave it is.
    pub gravity: Gravity,
    /// What it is, in words.
    pub what: String,
    /// What to do about it.
    pub to_do: String,
}

/// How grave something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gravity {
    /// Good to know.
    #[default]
    Healthy,
    /// The operator has something to do.
    ToDo,
    /// What had been durable is not intact.
    Damaged,
}

impl Report {
    /// The gravest of the findings.
    #[must_use]
    pub fn gravity(&self) -> Gravity {
        self.findings.iter().map(|finding| finding.gravity).max().unwrap_or_default()
    }

    /// What to do first, in a sentence.
    #[must_use]
    pub fn verdict(&self) -> String {
        match self.findings.iter().find(|finding| finding.gravity == self.gravity()) {
            Some(finding) if finding.gravity > Gravity::Healthy => finding.to_do.clone(),
            _ => "nothing to do".to_owned(),
        }
    }

    fn note(&mut self, gravity: Gravity, what: impl Into<String>, to_do: impl Into<String>) {
        self.findings.push(Finding { gravity, what: what.into(), to_do: to_do.into() });
    }

    /// A sentence of the store says also what to do.
    fn refuse(&mut self, gravity: Gravity, error: &dyn std::fmt::Display) {
        self.note(gravity, error.to_string(), error.to_string());
    }
}

/// Reads a directory. With `genesis` it also says whether it belongs to that cluster, and checks certificates;
/// `is_deep` reads every chunk of every snapshot.
#[must_use]
pub fn examine(dir: &Path, genesis: Option<&Genesis>, is_deep: bool) -> Report {
    let mut report = look(dir, genesis, is_deep);
    // What a running replica removes or writes meanwhile looks damaged. Real damage stays.
    for _ in 0..TRIES {
        if !report.is_in_use || report.gravity() == Gravity::Healthy {
            break;
        }
        std::thread::sleep(TRY_AGAIN);
        report = look(dir, genesis, is_deep);
    }
    report.findings.sort_by_key(|finding| std::cmp::Reverse(finding.gravity));
    report
}

fn look(dir: &Path, genesis: Option<&Genesis>, is_deep: bool) -> Report {
    let mut report = Report { directory: dir.to_owned(), ..Report::default() };
    report.free_bytes = free_bytes(dir);
    let identity = match DataDirectory::inspect(dir) {
        Ok(Some(identity)) => identity,
        Ok(None) => {
            note_no_identity(dir, &mut report);
            return report;
        }
        Err(error @ DirectoryError::Damaged { .. }) => {
            report.refuse(Gravity::Damaged, &error);
            return report;
        }
        Err(error) => {
            report.refuse(Gravity::ToDo, &error);
            return report;
        }
    };
    (report.cluster, report.replica_key) = (Some(identity.owner.cluster), Some(identity.owner.replica));
    match DataDirectory::is_in_use(dir) {
        Ok(is_in_use) => report.is_in_use = is_in_use,
        Err(error) => report.refuse(Gravity::ToDo, &error),
    }
    let membership = genesis.and_then(|genesis| check_owner(&mut report, genesis, identity));
    // The snapshots first: the log that is read afterwards leads on from one of them.
    report.snapshots = snapshots::look(&mut report, identity, membership.as_ref(), is_deep);
    report.log = log::look(&mut report, identity);
    check_together(&mut report);
    look_at_dumps(&mut report);
    check_room(&mut report);
    report
}

fn note_no_identity(dir: &Path, report: &mut Report) {
    let is_empty = std::fs::read_dir(dir).map(|mut entries| entries.next().is_none());
    match is_empty {
        Err(error) => {
            let what = format!("{} cannot be read: {error}", dir.display());
            report.note(Gravity::ToDo, what, "check the path and its rights");
        }
        Ok(true) => report.note(
            Gravity::ToDo,
            "the directory is empty: it was never used, or its data is lost",
            "run `quorate init` if this key never ran; else start the replica, which waits until the others let it in",
        ),
        Ok(false) => report.note(
            Gravity::ToDo,
            "there are files, and nothing says whose they are",
            "name the directory of a replica; if this was one, its data is lost: move the files away and start it",
        ),
    }
}

/// Whether the directory belongs to a replica of this genesis.
fn check_owner(report: &mut Report, genesis: &Genesis, identity: LogIdentity) -> Option<Arc<Membership>> {
    let membership = match membership_of(genesis) {
        Ok(membership) => membership,
        Err(error) => {
            report.refuse(Gravity::ToDo, &error);
            return None;
        }
    };
    let (found, expected) = (identity.owner.cluster, membership.cluster());
    report.replica = membership.replica_of(&identity.owner.replica);
    if found != expected {
        let what = format!("it holds data of cluster {found}, and genesis is of cluster {expected}");
        report.note(Gravity::ToDo, what, "name the genesis of this directory's cluster, or its directory");
        return None;
    }
    if report.replica.is_none() {
        let what = format!("its key {} is none of genesis' replicas", identity.owner.replica);
        report.note(Gravity::ToDo, what, "name the genesis of this directory's cluster, or its directory");
    }
    Some(Arc::new(membership))
}

/// A log whose front was cut needs the snapshot on which it stands.
fn check_together(report: &mut Report) {
    let (Some(log), Some(snapshots)) = (&report.log, &report.snapshots) else { return };
    let base = log.account.summary.unwrap_or_default();
    let tip = log.account.committed.max(base);
    let leads_on = |snapshot: &SnapshotState| (base..=tip).contains(&snapshot.height);
    if base > Height(0) && !snapshots.snapshots.iter().any(leads_on) {
        let what = format!("the log goes back to height {base} only, and no snapshot from there on is left");
        report.note(Gravity::Damaged, what, EMPTY_DIRECTORY);
    }
}

fn look_at_dumps(report: &mut Report) {
    let entries = std::fs::read_dir(report.directory.join("dumps")).into_iter().flatten().flatten();
    let is_dump =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"height-"));
    report.dumps = entries.map(|entry| entry.path()).filter(is_dump).collect();
    report.dumps.sort();
    if !report.dumps.is_empty() {
        let what = format!("there are {} dumps of states that differed from the others'", report.dumps.len());
        report.note(Gravity::ToDo, what, "compare the dumps with the others' states, then move them away");
    }
}

/// The next snapshot may be all new, and the log begins another segment.
fn check_room(report: &mut Report) {
    let Some(free) = report.free_bytes else { return };
    let newest = report.snapshots.iter().flat_map(|held| held.snapshots.last()).map(|held| held.bytes).max();
    let needed = newest.unwrap_or(0).saturating_add(ROOM_MIN);
    if free < needed {
        let what =
            format!("{free} bytes are free on its disk, and {needed} may be needed at the next checkpoint");
        report.note(Gravity::ToDo, what, "make room on the disk before the replica stops for want of it");
    }
}

fn free_bytes(dir: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(dir).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// How a replica with damaged data comes back.
const EMPTY_DIRECTORY: &str = "stop the replica, keep this directory for diagnosis, and start it on an empty one or on \
                               one made by `quorate snapshot restore`: it then waits until the others let it in";
/// How often a running replica's directory is looked at before what looks wrong is believed.
const TRIES: usize = 4;
const TRY_AGAIN: Duration = Duration::from_millis(50);
/// A segment of the log.
const ROOM_MIN: u64 = 64 << 20;
