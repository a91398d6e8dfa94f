//! Is damage named, and never taken for data? Flipped bits, foreign and lost files, and bytes that mean
//! nothing.

mod common;

use common::{choices, held, identity, open, record, small};
use proptest::prelude::*;
use quorate_store::{DiskLog, FaultyDisk, FaultyFiles, Files, Log, LogIdentity, Owner, Position, StoreError};
use quorate_types::{Digest, Frame, PublicKey};
use std::io::{self, IoSlice};

const FIRST: &str = "00000000000000000000.log";
const SECOND: &str = "00000000000000000001.log";
const THIRD: &str = "00000000000000000002.log";

/// Three segments: records 0 to 2, 3 to 5, and 6 to 7, of which 7 is durable and nothing later says so.
fn three_segments() -> (FaultyDisk, Vec<(u64, Frame)>) {
    let disk = FaultyDisk::new();
    let mut log = open(&disk).expect("empty");
    for number in 0..8 {
        log.append(record(number, 220)).expect("room");
        log.sync().expect("works");
    }
    let records = held(&log).expect("readable");
    assert_eq!(disk.list().len(), 3, "{disk:?}");
    (disk, records)
}

fn sentence(disk: &FaultyDisk) -> String {
    open(disk).expect_err("refused").to_string()
}

#[test]
fn every_flipped_bit_is_detected_or_lies_in_a_tail_that_nothing_proves() {
    let (disk, records) = three_segments();
    let image = disk.image();
    let proven = 7;
    let mut cut = 0;
    for (name, length) in disk.list() {
        for bit in 0..length * 8 {
            disk.roll_back(&image);
            disk.flip(&name, bit);
            match open(&disk) {
                Err(StoreError::Damaged { .. }) => {}
                Err(error) => panic!("{name}, bit {bit}: {error}"),
                Ok(log) => {
                    let found = held(&log).expect("readable");
                    assert!(records.starts_with(&found) && found.len() >= proven, "{name}, bit {bit}");
                    assert!(found.len() < records.len(), "{name}, bit {bit} went unnoticed");
                    cut += 1;
                }
            }
        }
    }
    // The last record, whose durability nothing proves.
    assert_eq!(cut, (48 + 8 + 220 + 4) * 8);
}

#[test]
fn in_a_sealed_log_every_flipped_bit_and_every_cut_is_detected() {
    let (disk, records) = three_segments();
    open(&disk).expect("intact").seal().expect("works");
    let image = disk.image();
    assert_eq!(held(&open(&disk).expect("intact")).expect("readable"), records);
    let (_, length) = disk.list().remove(2);
    for bit in 0..length * 8 {
        disk.roll_back(&image);
        disk.flip(THIRD, bit);
        let opened = open(&disk);
        assert!(matches!(opened, Err(StoreError::Damaged { .. })), "bit {bit}: {opened:?}");
    }
    for end in 1..length {
        disk.roll_back(&image);
        disk.change(THIRD, |bytes| bytes.truncate(end as usize));
        let opened = open(&disk);
        assert!(opened.is_err() || end <= 1024, "{end}: {opened:?}");
    }
}

#[test]
fn a_bit_that_flips_under_a_running_replica_is_found_when_it_is_read() {
    let disk = FaultyDisk::new();
    let mut log = open(&disk).expect("empty");
    log.append(record(0, 100)).expect("room");
    disk.flip(FIRST, (1536 + 60) * 8);
    let error = held(&log).expect_err("damaged");
    assert!(matches!(error, StoreError::Damaged { position: Position(0), .. }), "{error}");
}

#[test]
fn a_torn_tail_is_cut_and_damage_before_a_proof_is_not() {
    let (disk, records) = three_segments();
    let image = disk.image();
    // The last record in part.
    disk.change(THIRD, |bytes| bytes.truncate(bytes.len() - 100));
    assert_eq!(held(&open(&disk).expect("torn")).expect("readable"), records[..7]);
    // The record before it, which the last one proves.
    disk.roll_back(&image);
    disk.flip(THIRD, (1536 + 100) * 8);
    let error = open(&disk).expect_err("damaged");
    assert_eq!(
        error.to_string(),
        "00000000000000000002.log is damaged at byte 1536, where record 6 had been durable (its checksum does not match): keep \
         the directory for diagnosis, and let the replica start with an empty one, as after the loss of its disk"
    );
    // Both: the last one's prefix is still a proof.
    disk.change(THIRD, |bytes| bytes.truncate(bytes.len() - 100));
    assert_eq!(open(&disk).expect_err("damaged"), error);
}

#[test]
fn a_refused_log_is_left_as_it_is() {
    let (disk, _) = three_segments();
    disk.flip(SECOND, 1600 * 8);
    let before = (disk.operations(), disk.list());
    open(&disk).expect_err("damaged");
    assert_eq!((disk.operations(), disk.list()), before);
}

#[test]
fn an_inspection_tells_what_opening_would_do_and_does_nothing() {
    let (disk, records) = three_segments();
    disk.change(THIRD, |bytes| bytes.truncate(bytes.len() - 100));
    disk.change("00000000000000000003.log", Vec::clear);
    let before = (disk.operations(), disk.list());
    let report = DiskLog::inspect(&disk.files(), identity()).expect("torn");
    assert_eq!((report.first, report.end, report.segments), (Position(0), Position(7), 3));
    assert_eq!((report.torn_bytes, report.leftovers.len()), (180, 1));
    assert_eq!(report.leftovers, ["00000000000000000003.log"]);
    let mut shown = Vec::new();
    let shown_too = DiskLog::inspect_records::<StoreError>(&disk.files(), identity(), |position, record| {
        shown.push((position.0, record));
        Ok(())
    });
    assert_eq!(shown, records[..7]);
    assert_eq!(shown_too.expect("torn"), report);
    assert_eq!((disk.operations(), disk.list()), before);
    open(&disk).expect("torn");
    let report = DiskLog::inspect(&disk.files(), identity()).expect("intact");
    assert_eq!((report.torn_bytes, report.leftovers), (0, Vec::new()));
}

#[test]
fn missing_files_and_ends_of_files_are_missed() {
    let (disk, records) = three_segments();
    let image = disk.image();
    disk.remove(SECOND);
    assert_eq!(
        sentence(&disk),
        "of the records 0 to 5, which had been durable, some are gone, below those in 00000000000000000002.log: bring the \
         missing file back, or let the replica start with an empty directory, as after the loss of its disk"
    );
    disk.roll_back(&image);
    disk.remove(FIRST);
    assert!(sentence(&disk).starts_with("of the records 0 to 2, which"));
    // Cut exactly between two records.
    disk.roll_back(&image);
    disk.change(SECOND, |bytes| bytes.truncate(1536 + 280));
    assert!(sentence(&disk).starts_with("of the records 4 to 5, which"));
    disk.roll_back(&image);
    disk.change(SECOND, Vec::clear);
    assert!(sentence(&disk).contains("its head is missing, and there is a later segment"));
    // The newest file is a rollback, which only the other replicas can notice.
    disk.roll_back(&image);
    disk.remove(THIRD);
    assert_eq!(held(&open(&disk).expect("rolled back")).expect("readable"), records[..6]);
}

#[test]
fn an_empty_last_file_is_an_interrupted_creation() {
    let (disk, records) = three_segments();
    disk.change("00000000000000000003.log", Vec::clear);
    let mut log = open(&disk).expect("interrupted");
    assert_eq!(held(&log).expect("readable"), records);
    log.append_all(&[record(8, 900), record(9, 900)]).expect("room");
    assert_eq!(held(&open(&disk).expect("intact")).expect("readable").len(), 10);
    // The very first file, before anything was written.
    let disk = FaultyDisk::new();
    disk.change(FIRST, |bytes| bytes.resize(512, 0));
    assert_eq!(open(&disk).expect("interrupted").end(), Position(0));
    // A later one alone is not.
    let disk = FaultyDisk::new();
    disk.change(SECOND, Vec::clear);
    assert!(sentence(&disk).contains("its head is missing, and so are the segments before it"));
}

#[test]
fn foreign_files_are_named() {
    let (disk, _) = three_segments();
    let image = disk.image();
    disk.change("notes.txt", |bytes| bytes.extend(b"remember"));
    assert_eq!(
        sentence(&disk),
        "notes.txt does not belong to this log (it has not the name of a segment): move it out of the log's directory"
    );
    disk.roll_back(&image);
    disk.change("00000000000000000003.log", |bytes| bytes.extend(b"remember"));
    assert!(sentence(&disk).contains("it does not begin like a segment"));
    // Another segment under a wrong name.
    let mut copied = Vec::new();
    disk.roll_back(&image);
    disk.change(FIRST, |bytes| copied.clone_from(bytes));
    disk.change("00000000000000000003.log", |bytes| *bytes = copied);
    assert!(sentence(&disk).contains("it is another segment under this name"));
}

#[test]
fn the_log_of_somebody_else_is_refused() {
    let (disk, _) = three_segments();
    let LogIdentity { owner, mark } = identity();
    let strangers = [
        (Owner { cluster: Digest([1; 32]), ..owner }, mark, "it is of cluster 07070707"),
        (Owner { replica: PublicKey([1; 32]), ..owner }, mark, "it is of the replica with key 09090909"),
        (owner, 1, "it is of an older directory of this replica"),
    ];
    for (owner, mark, why) in strangers {
        let opened = DiskLog::open(Box::new(disk.files()), LogIdentity { owner, mark }, small());
        let sentence = opened.expect_err("refused").to_string();
        assert!(sentence.contains(why) && sentence.contains("does not belong to this log"), "{sentence}");
    }
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let (disk, _) = three_segments();
    disk.change(THIRD, |bytes| {
        bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..12]).to_le_bytes();
        bytes[12..16].copy_from_slice(&checksum);
        bytes[16..].fill(0x5a);
    });
    assert_eq!(
        sentence(&disk),
        "00000000000000000002.log has format 2, and this program knows formats up to 1: start a newer program"
    );
}

#[test]
fn a_disk_that_went_back_in_time_is_consistent_and_a_wiped_one_is_empty() {
    let disk = FaultyDisk::new();
    let mut log = open(&disk).expect("empty");
    log.append(record(0, 10)).expect("room");
    log.sync().expect("works");
    let image = disk.image();
    log.append(record(1, 10)).expect("room");
    log.sync().expect("works");
    disk.roll_back(&image);
    assert!(log.append(record(2, 10)).is_err(), "its files are gone");
    assert_eq!(held(&open(&disk).expect("older")).expect("readable"), [(0, record(0, 10))]);
    disk.wipe();
    assert_eq!(open(&disk).expect("empty").end(), Position(0));
}

/// A client may write into a batch what looks like a record. It does not know the mark.
#[test]
fn a_record_inside_a_batch_proves_nothing() {
    let disk = FaultyDisk::new();
    let mut log = open(&disk).expect("empty");
    log.append(record(0, 10)).expect("room");
    log.sync().expect("works");
    let mut whole = Vec::new();
    disk.change(FIRST, |bytes| whole.clone_from(bytes));
    let mut forged = whole[1536..].to_vec();
    forged[..8].fill(0x11);
    forged[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    log.append(Frame { head: "batch".into(), payload: [&[0; 3][..], &forged.repeat(4)].concat().into() })
        .expect("room");
    disk.flip(FIRST, (whole.len() as u64 + 3) * 8);
    assert_eq!(open(&disk).expect("torn").end(), Position(1));
}

/// Files that refuse to be read into a buffer larger than themselves: a length that lies must cost nothing.
#[derive(Debug)]
struct Frugal(FaultyFiles);

impl Files for Frugal {
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }
    fn length(&self, name: &str) -> io::Result<u64> {
        self.0.length(name)
    }
    fn read(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        assert!(buffer.len() as u64 <= self.0.length(name)?, "more is allocated than there is");
        self.0.read(name, offset, buffer)
    }
    fn create(&mut self, name: &str) -> io::Result<()> {
        self.0.create(name)
    }
    fn write(&mut self, name: &str, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.0.write(name, offset, parts)
    }
    fn set_length(&mut self, name: &str, length: u64) -> io::Result<()> {
        self.0.set_length(name, length)
    }
    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.0.sync(name)
    }
    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }
    fn sync_directory(&mut self) -> io::Result<()> {
        self.0.sync_directory()
    }
}

/// What is done to a file: bytes are put somewhere, it is cut, or a checksum is made right again.
#[derive(Clone, Debug)]
enum Harm {
    Put(prop::sample::Index, Vec<u8>),
    Cut(prop::sample::Index),
    Grow(Vec<u8>),
    /// The prefix at this offset gets these lengths, and a checksum that is right.
    Lie(u32, u32, u64),
}

fn harm() -> impl Strategy<Value = (usize, Harm)> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..80);
    let harm = prop_oneof![
        (any::<prop::sample::Index>(), bytes()).prop_map(|(at, bytes)| Harm::Put(at, bytes)),
        any::<prop::sample::Index>().prop_map(Harm::Cut),
        bytes().prop_map(Harm::Grow),
        (any::<u32>(), any::<u32>(), any::<u64>())
            .prop_map(|(head, payload, durable)| Harm::Lie(head, payload, durable)),
    ];
    (0..3_usize, harm)
}

fn inflict(bytes: &mut Vec<u8>, harm: Harm, number: u64) {
    match harm {
        Harm::Put(at, put) if !bytes.is_empty() => {
            let at = at.index(bytes.len());
            let end = (at + put.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&put[..end - at]);
        }
        Harm::Cut(at) if !bytes.is_empty() => bytes.truncate(at.index(bytes.len())),
        Harm::Grow(more) => bytes.extend(more),
        Harm::Lie(head, payload, durable) if bytes.len() > 1536 + 48 => {
            let prefix = &mut bytes[1536..1536 + 48];
            prefix[16..24].copy_from_slice(&durable.to_le_bytes());
            prefix[24..28].copy_from_slice(&head.to_le_bytes());
            prefix[28..32].copy_from_slice(&payload.to_le_bytes());
            let LogIdentity { owner, mark } = identity();
            let parts = [
                &owner.cluster.0[..],
                &owner.replica.0,
                &mark.to_le_bytes(),
                &number.to_le_bytes(),
                &prefix[..40],
            ];
            let checksum = crc32fast::hash(&parts.concat());
            prefix[40..44].copy_from_slice(&checksum.to_le_bytes());
        }
        Harm::Put(..) | Harm::Cut(_) | Harm::Lie(..) => {}
    }
}

proptest! {
    #[test]
    fn harmed_files_are_refused_or_read_right(harms in prop::collection::vec(harm(), 1..4), seed in 2..1000_u64) {
        let (disk, records) = three_segments();
        for (file, harm) in harms {
            disk.change([FIRST, SECOND, THIRD][file], |bytes| inflict(bytes, harm, file as u64));
        }
        if let Ok(log) = DiskLog::open(Box::new(Frugal(disk.files())), identity(), small()) {
            let found = held(&log).expect("it was read when it was opened");
            prop_assert!(records.starts_with(&found));
            disk.power_on(&mut choices(seed));
            prop_assert_eq!(held(&open(&disk).expect("was repaired")).expect("readable"), found);
        }
    }

    #[test]
    fn bytes_that_mean_nothing_harm_nobody(files in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..3)) {
        let disk = FaultyDisk::new();
        for (name, content) in [FIRST, SECOND, THIRD].into_iter().zip(files) {
            disk.change(name, |bytes| *bytes = content);
        }
        if let Ok(log) = DiskLog::open(Box::new(Frugal(disk.files())), identity(), small()) {
            prop_assert_eq!(log.end(), Position(0));
        }
    }
}
