//! How does a state leave a cluster, and come back where disks were lost? As one file that anybody with the
//! genesis can check, and in which there is nothing of any replica: no keys, no votes.
//!
//! [`save`] takes a certified snapshot out of a directory, [`verify`] checks such a file offline, and
//! [`restore`] makes a new directory for a replica that lost its own. That replica follows rule D3: what it
//! signed is forgotten, so it waits until the others let it take part. Where more than f disks are lost nobody
//! can, and the cluster has ended; [`seed`] then hands the application's state to a new one, whose genesis
//! names it.

use quorate_consensus::session::SessionTable;
use quorate_consensus::{Account, Record, Summary};
use quorate_machine::{ChunkId, ChunkSink, content_of_stream, root_of_content};
use quorate_store::snapshots::{self, Snapshot, SnapshotError, SnapshotStore, SnapshotWriter};
use quorate_store::{DataDirectory, DirectoryState, Log, LogSettings};
use quorate_types::certificate::SignedHeader;
use quorate_types::{
    ClusterId, Digest, Genesis, Header, Height, Membership, PublicKey, ReplicaId, Signature, Start,
    StateHead, Time, View,
};
use serde::Serialize;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::config::{ReplicaConfig, membership_of};
use crate::{Error, Result, directory};

/// What a saved snapshot holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SavedSnapshot {
    /// The cluster that certified it.
    pub cluster: ClusterId,
    /// The height of the block after which the state is.
    pub height: Height,
    /// That block.
    pub block: Digest,
    /// The state root that the signers vouch for.
    pub root: Digest,
    /// The root of the application's state alone.
    pub application: Digest,
    /// Bytes of the state, sessions included.
    pub bytes: u64,
    /// Its chunks.
    pub chunks: u64,
    /// The replicas that signed it.
    pub signers: Vec<ReplicaId>,
}

impl SavedSnapshot {
    /// What the genesis of a new cluster says that begins with this application state.
    #[must_use]
    pub const fn start(&self) -> Start {
        Start { cluster: self.cluster, height: self.height, application: self.application }
    }

    fn of(snapshot: &Snapshot) -> Self {
        let signers = snapshot.certificate.iter().flat_map(|certificate| certificate.signatures.iter());
        Self {
            cluster: snapshot.head.configuration,
            height: snapshot.head.height,
            block: snapshot.header.header.digest(),
            root: snapshot.head.root(),
            application: root_of_content(&snapshot.head.application),
            bytes: snapshot.head.bytes(),
            chunks: snapshot.head.chunks(),
            signers: signers.map(|(signer, _)| *signer).collect(),
        }
    }
}

/// Writes a snapshot of a replica's directory into a new file, the newest certified one or that at `height`. The
/// directory is not changed, and the replica may run.
///
/// # Errors
/// [`Error::Directory`] and [`Error::Snapshot`], with nothing left of the file.
pub fn save(dir: &Path, height: Option<Height>, file: &Path) -> Result<SavedSnapshot> {
    let identity = DataDirectory::inspect(dir).map_err(|error| directory::problem(dir, &error))?;
    let identity = identity.ok_or_else(|| {
        directory::problem(
            dir,
            &"it is not the directory of a replica; name one that `quorate init` prepared",
        )
    })?;
    let store = SnapshotStore::inspect(&dir.join(SNAPSHOTS), identity.owner.cluster)?;
    let is_certified =
        |height: &Height| store.at(*height).is_some_and(|snapshot| snapshot.certificate.is_some());
    let newest = || store.heights().into_iter().rev().find(is_certified);
    let height = height.or_else(newest).ok_or_else(|| {
        directory::problem(
            dir,
            &"it holds no certified snapshot; wait for the first checkpoint, or take it from another replica",
        )
    })?;
    let snapshot = store.at(height).ok_or(SnapshotError::NoSnapshot(height))?;
    store.save(height, file)?;
    Ok(SavedSnapshot::of(&snapshot))
}

/// Checks a saved snapshot from end to end: that Q replicas of genesis signed it, and every byte.
///
/// # Errors
/// [`Error::Snapshot`], what is wrong with it; [`Error::Genesis`].
pub fn verify(file: &Path, genesis: &Genesis) -> Result<SavedSnapshot> {
    Ok(SavedSnapshot::of(&snapshots::verify(file, &membership(genesis)?)?))
}

/// Makes the directory of a replica that lost its own, with the state of a saved snapshot. It goes on from that
/// state, and from the blocks that others have above it, but takes part only once they let it (rule D3).
///
/// # Errors
/// [`Error::NotAMember`]; [`Error::Directory`] if the directory is not new or empty; [`Error::Snapshot`] if the
/// file is not a certified snapshot of this cluster. Nothing is left behind then.
pub fn restore(file: &Path, genesis: &Genesis, dir: &Path, replica: PublicKey) -> Result<SavedSnapshot> {
    let membership = membership(genesis)?;
    if membership.replica_of(&replica).is_none() {
        return Err(Error::NotAMember { key: replica });
    }
    // Before anything is made: most mistakes are in the file.
    snapshots::verify(file, &membership)?;
    let made = directory::new(dir, membership.cluster(), replica);
    let made = made.map_err(|error| directory::problem(dir, &error))?;
    let existed = made.found() == DirectoryState::Empty;
    let restored = fill(file, &membership, &made);
    if restored.is_err() {
        undo(dir, existed);
    }
    Ok(SavedSnapshot::of(&*restored?))
}

/// The snapshot first: a directory without a log is one whose disk was lost, and so is this one.
fn fill(file: &Path, membership: &Arc<Membership>, made: &DataDirectory) -> Result<Arc<Snapshot>> {
    let store = SnapshotStore::open(&made.snapshots(), membership.cluster())?;
    let snapshot = snapshots::restore(file, membership, &store)?;
    let certificate = snapshot.certificate.clone().ok_or(SnapshotError::NotStable(snapshot.height()))?;
    let summary = Summary::restored(snapshot.header, certificate, membership.genesis_block());
    let summary = summary.ok_or(SnapshotError::Contradiction {
        height: snapshot.height(),
        what: "its certificate is for another block",
    })?;
    let written = made.open_log(LogSettings::default()).and_then(|mut log| {
        log.append(Record::Summary(Box::new(summary)).encode())?;
        log.seal()
    });
    written.map_err(|error| directory::problem(made.path(), &error))?;
    Ok(snapshot)
}

/// Puts the application's state of a saved snapshot of another cluster, `from`, into the directory of a replica
/// whose genesis begins with it. Where the directory was prepared by `quorate init`, the replica may start for the
/// first time; `is_lost` says that it lost a directory in which it had run, and then it follows rule D3.
///
/// # Errors
/// [`Error::Content`] if genesis does not begin with this state; [`Error::Directory`] if the directory was not
/// prepared and is not lost, or is used already; [`Error::Snapshot`].
pub fn seed(file: &Path, from: &Genesis, config: &ReplicaConfig, is_lost: bool) -> Result<SavedSnapshot> {
    let dir = &config.dir;
    let refused = |why: &str| directory::problem(dir, &why);
    let saved = verify(file, from)?;
    if config.genesis.start != Some(saved.start()) {
        let start = serde_json::to_string(&saved.start()).unwrap_or_default();
        let problem =
            format!("genesis does not begin with this state, it would have to say \"start\": {start}");
        return Err(Error::Content { path: file.to_owned(), problem });
    }
    let is_prepared = DataDirectory::inspect(dir).map_err(|error| directory::problem(dir, &error))?.is_some();
    if !is_prepared && !is_lost {
        return Err(refused(
            "it is not prepared; run `quorate init` first if this key never ran, or say --lost if its directory was lost",
        ));
    }
    if is_prepared && is_lost {
        return Err(refused("it is there, so it was not lost; leave out --lost"));
    }
    let held = directory::open(dir, config.membership.cluster(), config.key.public())?;
    let log = held.open_log(LogSettings::default()).map_err(|error| directory::problem(dir, &error))?;
    let store = SnapshotStore::open(&held.snapshots(), config.membership.cluster())?;
    if !is_unused(&log, dir)? || !store.heights().is_empty() {
        return Err(refused("it was used or seeded already, and nothing in it is overwritten"));
    }
    write_start(file, &membership(from)?, config, &store)?;
    Ok(saved)
}

/// Whether nothing but the mark of `init` was ever written.
fn is_unused(log: &dyn Log, dir: &Path) -> Result<bool> {
    let refused = |error: &dyn std::fmt::Display| directory::problem(dir, error);
    let mut account = Account::default();
    for entry in log.read(log.first()).map_err(|error| refused(&error))? {
        let (_, frame) = entry.map_err(|error| refused(&error))?;
        account.add(&Record::decode(&frame).map_err(|error| refused(&error))?);
    }
    Ok(account.records <= 1 && account.summary.is_none() && log.first().0 == 0)
}

/// The state at height 0: the old application's, and no session.
fn write_start(
    file: &Path,
    from: &Arc<Membership>,
    config: &ReplicaConfig,
    store: &Arc<SnapshotStore>,
) -> Result<Arc<Snapshot>> {
    let mut writer = store.begin()?;
    let old = snapshots::read_into(file, from, &mut writer)?;
    let configuration = config.membership.cluster();
    let sessions = SessionTable::new(&config.genesis.protocol).image();
    let sessions = content_of_stream(&mut Sink(&mut writer), |out| sessions.write(out));
    let head = StateHead {
        configuration,
        height: Height(0),
        result_root: Digest::default(),
        sessions: sessions.map_err(|error| directory::problem(&config.dir, &error))?,
        application: old.head.application,
    };
    Ok(writer.finish(head, header_of_genesis(&config.membership))?)
}

/// Nobody signs the block that genesis stands for, and nobody is shown this: a certified state has another height.
fn header_of_genesis(membership: &Membership) -> SignedHeader {
    let header = Header {
        cluster: membership.cluster(),
        epoch: membership.epoch(),
        view: View(0),
        height: Height(0),
        parent: Digest::default(),
        batch: Digest::default(),
        time: Time(0),
    };
    SignedHeader { header, signature: Signature([0; 64]) }
}

struct Sink<'a>(&'a mut SnapshotWriter);

impl ChunkSink for Sink<'_> {
    fn chunk(&mut self, bytes: &[u8]) -> io::Result<ChunkId> {
        let id = ChunkId::of(bytes);
        self.0.put(&id, bytes).map_err(io::Error::other)?;
        Ok(id)
    }

    fn reuse(&mut self, chunk: &ChunkId) -> io::Result<bool> {
        Ok(self.0.has(&chunk.digest))
    }
}

fn membership(genesis: &Genesis) -> Result<Arc<Membership>> {
    membership_of(genesis).map(Arc::new)
}

/// Takes back what was made of a directory.
fn undo(dir: &Path, existed: bool) {
    // Where this fails, the next try says that the directory is not empty.
    if !existed {
        return drop(std::fs::remove_dir_all(dir));
    }
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    }
}

const SNAPSHOTS: &str = "snapshots";
