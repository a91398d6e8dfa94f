//! Is the key-value store a map, deterministic, and cheap to write again after a small change?

use bytes::Bytes;
use quorate::testkit::{
    ChunkHasher, ChunkReader, Content, MemoryChunks, check_determinism, content_of, root_of,
};
use quorate::types::Digest;
use quorate::{ChunkId, ChunkSink, RestoreError, Snapshot as _, StateMachine as _};
use quorate_services::kv::{Answer, Command, KEY_BYTES_MAX, KeyValue, Query, Reply, VALUE_BYTES_MAX};
use std::io;

fn key(number: u64) -> Bytes {
    format!("key-{number:08}").into()
}

/// About a kilobyte that is different for each number and round.
fn value(number: u64, round: u64) -> Bytes {
    let seed = Digest::of_parts("a value", &[&number.to_le_bytes(), &round.to_le_bytes()]);
    seed.0.repeat(32).into()
}

fn filled(count: u64) -> KeyValue {
    let mut store = KeyValue::default();
    for number in 0..count {
        assert_eq!(store.execute(Command::put(key(number), value(number, 0))), Reply::Done);
    }
    store
}

fn root(store: &mut KeyValue) -> Digest {
    root_of(store.freeze()).expect("hashes")
}

/// The root with nothing taken from what buckets remember.
fn root_of_all_bytes(store: &mut KeyValue) -> Digest {
    let content = content_of(store.freeze(), &mut ChunkHasher { all_bytes: true }).expect("hashes");
    quorate::testkit::root_of_content(&content)
}

#[test]
fn it_is_a_map() {
    let mut store = KeyValue::default();
    let mut run = |command, reply| assert_eq!(store.execute(command), reply);
    run(Command::get("a"), Reply::Value(None));
    run(Command::put("a", "1"), Reply::Done);
    run(Command::put("a", "2"), Reply::Done);
    run(Command::get("a"), Reply::Value(Some("2".into())));
    run(Command::cas("a", Some("1"), Some("3")), Reply::Differs(Some("2".into())));
    run(Command::cas("a", Some("2"), Some("3")), Reply::Done);
    run(Command::cas("b", None, Some("1")), Reply::Done);
    run(Command::cas("b", None, Some("2")), Reply::Differs(Some("1".into())));
    run(Command::cas("b", Some("1"), None), Reply::Done);
    run(Command::cas("b", Some("1"), None), Reply::Differs(None));
    run(Command::delete("b"), Reply::Deleted(false));
    run(Command::delete("a"), Reply::Deleted(true));
    run(Command::put("", ""), Reply::Done);
    assert_eq!(store.query(Query::Len), Answer::Len(1));
    assert_eq!(store.query(Query::Get { key: Bytes::new() }), Answer::Value(Some(Bytes::new())));
}

#[test]
fn keys_and_values_have_a_longest_length() {
    let mut store = KeyValue::default();
    let (key, value) = (vec![0; KEY_BYTES_MAX], vec![0; VALUE_BYTES_MAX]);
    let longer = |bytes: &[u8]| [bytes, &[0]].concat();
    assert_eq!(store.execute(Command::put(longer(&key), "1")), Reply::TooLong);
    assert_eq!(store.execute(Command::put("a", longer(&value))), Reply::TooLong);
    assert_eq!(store.execute(Command::cas("a", None, Some(longer(&value)))), Reply::TooLong);
    assert_eq!(store.query(Query::Len), Answer::Len(0));
    assert_eq!(store.execute(Command::put(key, value)), Reply::Done);
}

#[test]
fn it_is_deterministic() {
    let commands = (0..120).map(|step: u64| match step % 5 {
        0 | 1 => Command::put(key(step % 17), value(step, 0)),
        2 => Command::get(key(step % 17)),
        3 => Command::cas(key(step % 17), None, Some(value(step, 1))),
        _ => Command::delete(key(step % 13)),
    });
    check_determinism(KeyValue::default, commands).expect("deterministic");
}

#[test]
fn equal_states_have_equal_chunks_whatever_their_history() {
    let mut straight = filled(500);
    let mut roundabout = KeyValue::default();
    for number in (0..2000).rev() {
        roundabout.execute(Command::put(key(number), value(number, 7)));
    }
    assert_ne!(root(&mut straight), root(&mut roundabout));
    for number in 500..2000 {
        roundabout.execute(Command::delete(key(number)));
    }
    let _ = root(&mut roundabout);
    for number in 0..500 {
        roundabout.execute(Command::put(key(number), value(number, 0)));
    }
    assert_eq!(root(&mut straight), root(&mut roundabout));
    assert_eq!(root_of_all_bytes(&mut straight), root_of_all_bytes(&mut roundabout));
    for number in 0..500 {
        roundabout.execute(Command::delete(key(number)));
    }
    assert_eq!(root(&mut roundabout), root(&mut KeyValue::default()));
}

#[test]
fn a_snapshot_is_of_its_moment_and_restores() {
    let mut store = filled(3000);
    store.execute(Command::put("large", vec![7; VALUE_BYTES_MAX]));
    let before = root(&mut store);
    let frozen = store.freeze();
    for number in 0..3000 {
        store.execute(Command::put(key(number), value(number, 1)));
    }
    let mut chunks = MemoryChunks::default();
    let content = content_of(frozen, &mut chunks).expect("memory takes it");
    let mut restored = KeyValue::restore(&mut ChunkReader::new(&chunks, &content)).expect("whole");
    assert_eq!(root(&mut restored), before);
    assert_eq!(restored.query(Query::Len), Answer::Len(3001));
    assert_eq!(root(&mut store), root_of_all_bytes(&mut store));
}

/// Holds what an earlier snapshot gave, and counts what is new.
#[derive(Default)]
struct Counting {
    held: MemoryChunks,
    moved: u64,
    reused: u64,
}

impl ChunkSink for Counting {
    fn chunk(&mut self, bytes: &[u8]) -> io::Result<ChunkId> {
        self.moved += 1;
        self.held.chunk(bytes)
    }
    fn reuse(&mut self, chunk: &ChunkId) -> io::Result<bool> {
        let is_held = self.held.reuse(chunk)?;
        self.reused += u64::from(is_held);
        Ok(is_held)
    }
}

#[test]
fn after_a_change_of_one_percent_of_the_keys_at_most_five_percent_of_the_chunks_move() {
    let count = 20_000;
    let mut store = filled(count);
    let mut sink = Counting::default();
    let first: Content = content_of(store.freeze(), &mut sink).expect("memory takes it");
    let all = first.chunks + first.pages.len() as u64;
    assert_eq!((sink.moved, sink.reused), (all, 0));
    for number in (0..count).filter(|number| number % 100 == 37) {
        store.execute(Command::put(key(number), value(number, 1)));
    }
    let mut sink = Counting { held: sink.held, ..Counting::default() };
    let second = content_of(store.freeze(), &mut sink).expect("memory takes it");
    assert_eq!(sink.moved + sink.reused, all);
    assert!(sink.moved * 20 <= all, "{} of {all} chunks moved", sink.moved);
    assert_ne!(first, second);

    sink.held.retain([&second]);
    assert_eq!(sink.held.len() as u64, all);
    let mut restored = KeyValue::restore(&mut ChunkReader::new(&sink.held, &second)).expect("whole");
    assert_eq!(root(&mut restored), root_of_all_bytes(&mut store));
}

#[test]
fn many_keys_in_one_bucket_still_make_chunks() {
    // Found by trying: their hashes begin alike, so that they share a bucket of a table of this size.
    let alike = (0_u32..).map(u32::to_le_bytes).filter(|key| Digest::of_bytes(key).0[7] == 0).take(300);
    let mut store = KeyValue::default();
    for key in alike {
        store.execute(Command::put(key.to_vec(), vec![3; 8 << 10]));
    }
    let content = content_of(store.freeze(), &mut MemoryChunks::default()).expect("no chunk is too large");
    assert!(content.bytes > 2 << 20 && content.chunks < 20, "{content:?}");
    assert_eq!(root(&mut store), root_of_all_bytes(&mut store));
}

#[test]
fn a_cut_or_doubled_snapshot_is_refused() {
    let entry = [&[1, 0, 0, 0, 2, 0, 0, 0][..], b"k", b"vv"].concat();
    let restore = |bytes: &[u8]| KeyValue::restore(&mut &bytes[..]);
    assert_eq!(restore(&entry).expect("one entry").query(Query::Len), Answer::Len(1));
    assert_eq!(restore(&[]).expect("none").query(Query::Len), Answer::Len(0));
    for length in 1..entry.len() {
        let error = restore(&entry[..length]).expect_err("cut off");
        assert!(matches!(error, RestoreError::Invalid(_)), "{error}");
    }
    let error = restore(&entry.repeat(2)).expect_err("the key is there already").to_string();
    assert!(error.ends_with("a key stands there twice"), "{error}");
}
