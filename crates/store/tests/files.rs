//! Do the disk in memory and a real directory mean the same by a file, and does the one in memory fail as told?

mod common;

use common::choices;
use quorate_store::{DirectoryFiles, Fault, FaultyDisk, FaultyFiles, Files, is_full};
use std::fs;
use std::io::{ErrorKind, IoSlice};
use std::path::Path;

fn write(files: &mut dyn Files, name: &str, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
    files.write(name, offset, &mut [IoSlice::new(bytes)])
}

fn content(files: &dyn Files, name: &str) -> Vec<u8> {
    let mut bytes = vec![0; files.length(name).expect("there") as usize];
    files.read(name, 0, &mut bytes).expect("readable");
    bytes
}

/// What every implementation owes a log.
fn keeps_the_contract(files: &mut dyn Files) {
    files.create("a").expect("new");
    assert_eq!(files.create("a").expect_err("taken").kind(), ErrorKind::AlreadyExists);
    let parts = [&b""[..], b"one", b"", b"two"];
    files.write("a", 0, &mut parts.map(IoSlice::new)).expect("room");
    write(files, "a", 8, b"!").expect("room");
    assert_eq!(content(files, "a"), b"onetwo\0\0!");
    files.set_length("a", 4).expect("room");
    files.set_length("a", 6).expect("room");
    assert_eq!(content(files, "a"), b"onet\0\0");
    assert_eq!(files.read("a", 5, &mut [0; 2]).expect_err("too short").kind(), ErrorKind::UnexpectedEof);
    assert_eq!(write(files, "b", 0, b"x").expect_err("none").kind(), ErrorKind::NotFound);
    assert_eq!(files.length("b").expect_err("none").kind(), ErrorKind::NotFound);
    files.create("b").expect("new");
    files.sync("a").expect("works");
    files.sync_directory().expect("works");
    let mut names = files.list().expect("readable");
    names.sort();
    assert_eq!(names, ["a", "b"]);
    files.remove("a").expect("there");
    assert_eq!(files.remove("a").expect_err("gone").kind(), ErrorKind::NotFound);
    assert!(files.read("a", 0, &mut [0]).is_err(), "not even through a file that was kept open");
}

#[test]
fn both_kinds_of_files_keep_the_contract() {
    keeps_the_contract(&mut FaultyDisk::new().files());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("files");
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("a place for tests");
    keeps_the_contract(&mut DirectoryFiles::new(&path));
    fs::remove_dir_all(&path).expect("its own");
}

/// A disk with a durable file of two sectors, and its files.
fn disk() -> (FaultyDisk, FaultyFiles) {
    let disk = FaultyDisk::new();
    let mut files = disk.files();
    files.create("a").expect("new");
    write(&mut files, "a", 0, &[1; 1024]).expect("room");
    files.sync("a").expect("works");
    files.sync_directory().expect("works");
    (disk, files)
}

#[test]
fn a_loss_of_power_keeps_what_the_choices_say() {
    for (choice, kept, names) in [(0, 1, ["a"]), (1, 2, ["b"])] {
        let (disk, mut files) = disk();
        write(&mut files, "a", 0, &[2; 1024]).expect("room");
        files.create("b").expect("new");
        write(&mut files, "b", 0, &[2; 1024]).expect("room");
        files.remove("a").expect("there");
        disk.power_on(&mut choices(choice));
        assert!(write(&mut files, "b", 0, b"x").is_err(), "its process is gone");
        let files = disk.files();
        assert_eq!(files.list().expect("readable"), names);
        assert_eq!(content(&files, names[0]), [kept; 1024]);
    }
    let torn = (2..200).filter(|seed| {
        let (disk, mut files) = disk();
        write(&mut files, "a", 0, &[2; 1024]).expect("room");
        disk.power_on(&mut choices(*seed));
        let bytes = content(&disk.files(), "a");
        assert!(
            bytes.chunks(512).all(|sector| sector == [1; 512] || sector == [2; 512]),
            "sectors are whole"
        );
        bytes[0] != bytes[1023]
    });
    assert!(torn.count() > 10);
}

#[test]
fn a_lost_or_failed_sync_makes_nothing_durable_and_a_failed_one_never_will() {
    for (fault, survives_the_next) in [(Fault::Lost, true), (Fault::Failure, false)] {
        let (disk, mut files) = disk();
        write(&mut files, "a", 0, &[2; 1024]).expect("room");
        disk.plan(disk.operations(), fault.clone());
        assert_eq!(files.sync("a").is_ok(), fault == Fault::Lost);
        assert_eq!(content(&files, "a"), [2; 1024]);
        let image = disk.image();
        disk.power_on(&mut choices(0));
        assert_eq!(content(&disk.files(), "a"), [1; 1024]);
        disk.roll_back(&image);
        disk.files().sync("a").expect("so it says");
        disk.power_on(&mut choices(0));
        assert_eq!(content(&disk.files(), "a")[0] == 2, survives_the_next);
    }
}

#[test]
fn a_full_disk_takes_a_part_and_a_misdirected_write_goes_elsewhere() {
    let (disk, mut files) = disk();
    disk.set_bytes_max(Some(1030));
    assert!(is_full(&write(&mut files, "a", 1024, &[3; 10]).expect_err("full")));
    assert_eq!(files.length("a").expect("there"), 1030);
    write(&mut files, "a", 0, &[3; 10]).expect("no room is needed");
    assert!(is_full(&files.set_length("a", 1031).expect_err("full")));
    disk.set_bytes_max(None);
    disk.plan(disk.operations(), Fault::Misdirected { file: "a".to_owned(), offset: 100 });
    write(&mut files, "a", 500, &[4; 2]).expect("so it says");
    let bytes = content(&files, "a");
    assert_eq!((&bytes[100..102], &bytes[500..502]), (&[4; 2][..], &[1; 2][..]));
    disk.plan(disk.operations(), Fault::PowerLoss);
    assert!(write(&mut files, "a", 0, &[5]).is_err() && files.list().is_err());
    disk.power_on(&mut choices(1));
    assert_eq!(content(&disk.files(), "a")[0], 5, "it may have happened");
}
