//! Who may use a data directory, and what do real files survive? One sentence for every refusal.

mod common;

use common::{held, identity, record};
use quorate_store::{
    DataDirectory, DirectoryError, DirectoryState, Log, LogSettings, Owner, Position, StoreError,
};
use quorate_types::{Digest, PublicKey};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const FIRST: &str = "log/00000000000000000000.log";

/// A place for one test, empty when it begins and removed when it ends.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a place for tests");
        Self(path)
    }

    fn data(&self) -> PathBuf {
        self.0.join("data")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn owner() -> Owner {
    identity().owner
}

fn open(path: &Path) -> Result<DataDirectory, DirectoryError> {
    DataDirectory::open(path, owner(), 5)
}

/// The sentence of a refusal, with the directory called D.
fn refused(path: &Path, result: Result<DataDirectory, DirectoryError>) -> String {
    result.expect_err("refused").to_string().replace(&path.display().to_string(), "D")
}

fn small() -> LogSettings {
    LogSettings { segment_bytes_max: 5000, ..LogSettings::default() }
}

/// A directory with the log of a replica that wrote some records and stopped.
fn used(path: &Path) {
    let directory = DataDirectory::create(path, owner(), 5).expect("new");
    let mut log = directory.open_log(small()).expect("new");
    for number in 0..10 {
        log.append(record(number, 1000)).expect("room");
        log.sync().expect("works");
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).expect("a file");
    bytes[at] ^= 1;
    fs::write(path, bytes).expect("a file");
}

#[test]
fn a_directory_is_made_used_and_found_again() {
    let place = Place::new("found-again");
    let directory = DataDirectory::create(&place.data(), owner(), 5).expect("new");
    assert_eq!((directory.found(), directory.owner()), (DirectoryState::Missing, owner()));
    for part in [directory.log(), directory.snapshots(), directory.dumps()] {
        assert!(part.is_dir());
    }
    assert_eq!(fs::metadata(directory.path()).expect("exists").permissions().mode() & 0o777, 0o700);
    directory.open_log(small()).expect("new").append(record(0, 10)).expect("room");
    drop(directory);
    let directory = open(&place.data()).expect("its own");
    assert_eq!(directory.found(), DirectoryState::Used);
    assert_eq!(held(&directory.open_log(small()).expect("intact")).expect("readable"), [(0, record(0, 10))]);
    assert_eq!(
        DataDirectory::inspect(&place.data()).expect("readable").map(|found| found.owner),
        Some(owner())
    );
}

#[test]
fn a_wiped_or_missing_directory_is_told_from_a_used_one() {
    let place = Place::new("wiped");
    assert_eq!(open(&place.data()).expect("made").found(), DirectoryState::Missing);
    assert_eq!(open(&place.data()).expect("made before").found(), DirectoryState::Used);
    fs::remove_dir_all(place.data()).expect("wiped");
    fs::create_dir(place.data()).expect("empty");
    let directory = open(&place.data()).expect("made");
    assert_eq!(directory.found(), DirectoryState::Empty);
    assert_eq!(directory.open_log(small()).expect("empty").end(), Position(0));
}

#[test]
fn a_creation_that_was_interrupted_can_be_repeated() {
    let place = Place::new("interrupted");
    fs::create_dir(place.data()).expect("new");
    fs::write(place.data().join("identity.new"), "Quor").expect("room");
    fs::write(place.data().join("lock"), "").expect("room");
    DataDirectory::create(&place.data(), owner(), 5).expect("nothing was lost");
}

#[test]
fn nothing_is_overwritten() {
    let place = Place::new("overwritten");
    used(&place.data());
    let sentence = refused(&place.data(), DataDirectory::create(&place.data(), owner(), 5));
    assert_eq!(sentence, "D is not empty, and nothing in it is overwritten: name a new directory");
    let strange = place.0.join("strange");
    fs::create_dir(&strange).expect("new");
    fs::write(strange.join("thesis.txt"), "three years of work").expect("room");
    assert_eq!(
        refused(&strange, open(&strange)),
        "D has files in it and does not say whose they are: name the replica's directory, or an empty one"
    );
    assert_eq!(fs::read_dir(&strange).expect("readable").count(), 1, "not even a lock is left there");
}

#[test]
fn a_second_holder_is_refused() {
    let place = Place::new("second");
    let first = DataDirectory::create(&place.data(), owner(), 5).expect("new");
    assert_eq!(
        refused(&place.data(), open(&place.data())),
        "D is in use by another process: stop that one first, or name another directory"
    );
    drop(first);
    open(&place.data()).expect("free again");
}

#[test]
fn the_data_of_others_is_refused() {
    let place = Place::new("others");
    used(&place.data());
    let stranger = Owner { cluster: Digest([1; 32]), ..owner() };
    let sentence = refused(&place.data(), DataDirectory::open(&place.data(), stranger, 5));
    assert!(sentence.starts_with("D holds data of cluster 0707"), "{sentence}");
    assert!(sentence.ends_with("name the directory of this cluster's replica"), "{sentence}");
    let stranger = Owner { replica: PublicKey([1; 32]), ..owner() };
    let sentence = refused(&place.data(), DataDirectory::open(&place.data(), stranger, 5));
    assert!(sentence.starts_with("D holds data of the replica with key 0909"), "{sentence}");
    // The log of another directory, moved here.
    let other = place.0.join("other");
    drop(DataDirectory::create(&other, owner(), 6).expect("new"));
    fs::rename(place.data().join(FIRST), other.join(FIRST)).expect("moved");
    let error = open(&other).expect("its own").open_log(small()).expect_err("not its own");
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
}

#[test]
fn a_newer_or_damaged_identity_is_refused() {
    let place = Place::new("identity");
    used(&place.data());
    let file = place.data().join("identity");
    let text = fs::read_to_string(&file).expect("text");
    let lines = text.replace("format 1", "format 2");
    let (lines, _) = lines.rsplit_once("checksum").expect("a checksum");
    fs::write(&file, format!("{lines}checksum {:08x}\n", crc32fast::hash(lines.as_bytes()))).expect("room");
    assert_eq!(
        refused(&place.data(), open(&place.data())),
        "D has format 2, and this program knows formats up to 1: start a newer program"
    );
    for at in 0..text.len() {
        fs::write(&file, &text).expect("room");
        flip(&file, at);
        assert_eq!(
            refused(&place.data(), open(&place.data())),
            "D/identity is damaged and does not say whose data it holds: keep it for diagnosis, and let the replica start with \
             an empty directory, as after the loss of its disk"
        );
    }
    for content in ["", "Quorate", &text[..text.len() - 1], &text.repeat(100)] {
        fs::write(&file, content).expect("room");
        assert!(matches!(open(&place.data()), Err(DirectoryError::Damaged { .. })), "{content:?}");
    }
}

#[test]
fn what_is_no_directory_is_refused() {
    let place = Place::new("no-directory");
    fs::write(place.data(), "a file").expect("room");
    assert_eq!(refused(&place.data(), open(&place.data())), "D is not a directory: name another one");
    let below = place.data().join("below");
    assert_eq!(refused(&below, open(&below)), "D is not a directory: name another one");
    let nowhere = place.0.join("no/such/parent");
    assert!(refused(&nowhere, open(&nowhere)).starts_with("cannot create D: "));
}

#[test]
fn a_directory_without_rights_is_refused() {
    let place = Place::new("rights");
    used(&place.data());
    fs::set_permissions(place.data(), fs::Permissions::from_mode(0o000)).expect("its owner");
    let result = open(&place.data());
    let sentence = result.as_ref().err().map(ToString::to_string);
    drop(result);
    fs::set_permissions(place.data(), fs::Permissions::from_mode(0o700)).expect("its owner");
    // The superuser is refused nothing.
    if let Some(sentence) = sentence {
        assert!(sentence.starts_with("no right to read"), "{sentence}");
        assert!(sentence.ends_with("give it to the user that runs the replica"), "{sentence}");
    }
}

#[test]
fn real_files_keep_the_log_and_tell_what_happened_to_it() {
    let place = Place::new("real");
    let opened = || open(&place.data()).expect("its own").open_log(small());
    used(&place.data());
    let log = opened().expect("intact");
    let records = held(&log).expect("readable");
    assert_eq!((records.len(), log.first(), log.end()), (10, Position(0), Position(10)));
    drop(log);
    let mut names: Vec<PathBuf> = fs::read_dir(place.data().join("log"))
        .expect("a log")
        .map(|entry| entry.expect("readable").path())
        .collect();
    names.sort();
    assert_eq!(names.len(), 4);
    let (middle, last) = (&names[1], &names[3]);
    let (middle_bytes, last_bytes) = (fs::read(middle).expect("a file"), fs::read(last).expect("a file"));
    flip(middle, 2000);
    assert!(matches!(opened(), Err(StoreError::Damaged { position: Position(3), .. })));
    fs::write(middle, &middle_bytes[..3000]).expect("room");
    assert!(matches!(opened(), Err(StoreError::Damaged { position: Position(4), .. })));
    fs::write(middle, "").expect("room");
    assert!(matches!(opened(), Err(StoreError::Damaged { .. })));
    fs::remove_file(middle).expect("there");
    assert!(matches!(opened(), Err(StoreError::Missing { .. })));
    fs::write(middle, middle_bytes).expect("room");
    fs::write(last, &last_bytes[..last_bytes.len() - 1]).expect("room");
    assert_eq!(held(&opened().expect("torn")).expect("readable"), records[..9]);
    fs::write(place.data().join("log/core"), "dumped").expect("room");
    assert!(matches!(opened(), Err(StoreError::Foreign { .. })));
}

#[test]
fn truncation_gives_disk_space_back() {
    let place = Place::new("space");
    let directory = DataDirectory::create(&place.data(), owner(), 5).expect("new");
    let settings = LogSettings { segment_bytes_max: 256 << 10, reserve_bytes: 64 << 10 };
    let mut log = directory.open_log(settings).expect("new");
    for number in 0..200 {
        log.append(record(number, 10_000)).expect("room");
    }
    log.truncate_tail(Position(150)).expect("in range");
    log.truncate_front(Position(140)).expect("in range");
    log.append(record(150, 10)).expect("room");
    drop(log);
    let log = directory.open_log(settings).expect("intact");
    assert_eq!(
        (log.first(), log.end(), held(&log).expect("readable").len()),
        (Position(140), Position(151), 11)
    );
    let lengths = fs::read_dir(directory.log())
        .expect("a log")
        .map(|entry| entry.expect("readable").metadata().expect("readable").len());
    assert!(lengths.sum::<u64>() < 1_000_000);
}

/// Runs this program again under a limit on the length of files, since only a process that ignores the signal
/// hears the error.
#[test]
fn a_real_full_disk_is_an_error_that_goes_away() {
    let program = std::env::current_exe().expect("a test program");
    let script = "trap '' XFSZ; ulimit -S -f 64; exec \"$0\" --exact fills_the_disk --nocapture";
    let status = Command::new("bash")
        .args(["-c", script])
        .arg(program)
        .env("QUORATE_FILL", "1")
        .stdout(Stdio::null())
        .status();
    assert!(status.expect("bash").success());
}

/// Half of the test above; without its limit there is nothing to see.
#[test]
fn fills_the_disk() {
    if std::env::var_os("QUORATE_FILL").is_none() {
        return;
    }
    let place = Place::new("full");
    let directory = DataDirectory::create(&place.data(), owner(), 5).expect("new");
    let mut log = directory.open_log(LogSettings::default()).expect("new");
    let full = loop {
        if let Err(error) = log.append(record(log.end().0, 3000)) {
            break error;
        }
        log.sync().expect("works");
    };
    assert!(matches!(full, StoreError::Full { .. }), "{full}");
    let count = held(&log).expect("readable").len() as u64;
    assert!(count > 15, "{count}");
    log.append(record(count, 10)).expect("a smaller one has room");
    drop(log);
    // Segments below the limit: as if room had been made.
    let mut log =
        directory.open_log(LogSettings { segment_bytes_max: 20_000, reserve_bytes: 0 }).expect("intact");
    log.append(record(count + 1, 3000)).expect("room");
    log.sync().expect("works");
    drop(log);
    let log = directory.open_log(LogSettings::default()).expect("intact");
    assert_eq!(held(&log).expect("readable").len() as u64, count + 2);
}

#[test]
fn whether_a_directory_is_in_use_is_seen_without_taking_or_making_anything() {
    let place = Place::new("in-use");
    assert!(!DataDirectory::is_in_use(&place.data()).expect("nothing is there"));
    assert!(!place.data().exists());
    used(&place.data());
    assert!(!DataDirectory::is_in_use(&place.data()).expect("it stopped"));
    let held = open(&place.data()).expect("it is ours");
    assert!(DataDirectory::is_in_use(&place.data()).expect("it is locked"));
    drop(held);
    assert!(!DataDirectory::is_in_use(&place.data()).expect("it stopped"));
    open(&place.data()).expect("looking left no lock behind");
}
