//! What do simulator and node see of a user's machine, also when a client lies?

use quorate_machine::{
    Application, ApplicationFactory, BlockContext, ChunkSink, Context, Frozen, Outcome, REPLY_BYTES_MAX,
    RestoreError, Snapshot, StateMachine, Typed, catch, chunk_stream, decode, encode, root_of,
};
use quorate_types::{Digest, Height, PublicKey, RequestNumber, Time};
use serde::{Deserialize, Serialize};
use std::io;

#[derive(Default, Clone, Serialize, Deserialize)]
struct Counter {
    total: i64,
}

impl StateMachine for Counter {
    type Command = i64;
    type Reply = i64;
    type Query = ();
    type Answer = i64;
    fn apply(&mut self, add: i64, _: &Context) -> i64 {
        self.total += add;
        self.total
    }
    fn query(&self, _: ()) -> i64 {
        self.total
    }
}

fn context() -> Context {
    let block = BlockContext { height: Height(12), time: Time(5), digest: Digest::default() };
    Context::new(block, 0, PublicKey([0xab; 32]), RequestNumber(7))
}

fn number(outcome: &Outcome) -> i64 {
    match outcome {
        Outcome::Executed(bytes) => decode(bytes).expect("a canonical number"),
        other => panic!("{other:?}"),
    }
}

fn bytes_of<T: Serialize>(value: &T) -> Vec<u8> {
    encode(value, 1 << 21).expect("encodes")
}

#[test]
fn commands_and_queries_go_in_as_bytes_and_come_out_as_bytes() {
    let mut counter = ApplicationFactory::new(Counter::default).make();
    assert_eq!(number(&counter.apply(&bytes_of(&5_i64), &context())), 5);
    assert_eq!(number(&counter.apply(&bytes_of(&2_i64), &context())), 7);
    assert_eq!(number(&counter.query(&[])), 7);
}

#[test]
fn a_malformed_command_executes_as_nothing() {
    let mut counter = Typed(Counter { total: 7 });
    for command in [&[][..], &[0x80], &[0x02, 0x00], &[0x82, 0x00], &[0xff; 11]] {
        assert_eq!(counter.apply(command, &context()), Outcome::Malformed, "{command:?}");
    }
    assert_eq!(counter.0.total, 7);
    assert_eq!(counter.query(&[0]), Outcome::Malformed);
}

#[test]
fn every_application_of_a_factory_begins_at_the_initial_state() {
    let factory = ApplicationFactory::new(|| Counter { total: 100 });
    let mut stopped = factory.make();
    let root = root_of(stopped.freeze()).expect("hashes");
    stopped.apply(&bytes_of(&1_i64), &context());
    let mut restarted = factory.make();
    assert_eq!(root_of(restarted.freeze()).expect("hashes"), root);
    assert_ne!(root_of(stopped.freeze()).expect("hashes"), root);
}

#[test]
fn the_machine_inside_can_be_looked_at() {
    let application = ApplicationFactory::new(|| Counter { total: 3 }).make();
    assert_eq!(Typed::<Counter>::machine_in(&*application).expect("a counter").total, 3);
    assert!(Typed::<Large>::machine_in(&*application).is_none());
}

#[test]
fn a_snapshot_restores_and_a_broken_one_changes_nothing() {
    let mut snapshot = Vec::new();
    Typed(Counter { total: 42 }).freeze().write(&mut snapshot).expect("memory takes it");
    let mut counter = Typed(Counter { total: 1 });
    assert!(matches!(counter.restore(&mut &[0x80_u8][..]), Err(RestoreError::Invalid(_))));
    assert_eq!(counter.0.total, 1);
    counter.restore(&mut &snapshot[..]).expect("valid");
    assert_eq!(counter.0.total, 42);
}

/// A machine that replies with as many bytes as it is told, writes its own snapshots, and panics at 13.
struct Large {
    replies: u64,
}

impl Snapshot for Large {
    fn freeze(&mut self) -> Box<dyn Frozen> {
        struct Replies(u64);
        impl Frozen for Replies {
            fn chunks(self: Box<Self>, out: &mut dyn ChunkSink) -> io::Result<()> {
                chunk_stream(out, |out| out.write_all(&self.0.to_le_bytes()))
            }
        }
        Box::new(Replies(self.replies))
    }
    fn restore(source: &mut dyn io::Read) -> Result<Self, RestoreError> {
        let mut bytes = [0; 8];
        source.read_exact(&mut bytes)?;
        if source.read(&mut [0])? > 0 {
            return Err(RestoreError::Invalid("longer than a number".to_owned()));
        }
        Ok(Self { replies: u64::from_le_bytes(bytes) })
    }
}

impl StateMachine for Large {
    type Command = u32;
    type Reply = Vec<u8>;
    type Query = u32;
    type Answer = Vec<u8>;
    fn apply(&mut self, length: u32, _: &Context) -> Vec<u8> {
        assert!(length != 13, "unlucky: {length}");
        self.replies += 1;
        vec![0; length as usize]
    }
    fn query(&self, length: u32) -> Vec<u8> {
        vec![0; length as usize]
    }
}

#[test]
fn a_state_without_clone_writes_its_own_snapshots() {
    let mut large = Typed(Large { replies: 0 });
    large.apply(&bytes_of(&1_u32), &context());
    let mut snapshot = Vec::new();
    large.freeze().write(&mut snapshot).expect("memory takes it");
    assert_eq!(Large::restore(&mut &snapshot[..]).expect("valid").replies, 1);
    assert!(matches!(Large::restore(&mut &snapshot[..3]), Err(RestoreError::Io(_))));
}

#[test]
fn a_reply_above_the_limit_is_withheld_and_the_command_stays_executed() {
    let mut large = Typed(Large { replies: 0 });
    let length_bytes = 3;
    let longest = u32::try_from(REPLY_BYTES_MAX - length_bytes).expect("a megabyte");
    assert!(matches!(large.apply(&bytes_of(&longest), &context()), Outcome::Executed(_)));
    let too_long = bytes_of(&(longest + 1));
    assert_eq!(large.apply(&too_long, &context()), Outcome::ReplyTooLarge);
    assert_eq!(large.query(&too_long), Outcome::ReplyTooLarge);
    assert_eq!(large.0.replies, 2);
}

/// A reply whose own `Serialize` refuses it.
#[derive(Deserialize)]
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("never"))
    }
}

#[derive(Default, Clone, Serialize, Deserialize)]
struct Mute;

impl StateMachine for Mute {
    type Command = ();
    type Reply = Unwritable;
    type Query = ();
    type Answer = ();
    fn apply(&mut self, _: (), _: &Context) -> Unwritable {
        Unwritable
    }
    fn query(&self, _: ()) {}
}

#[test]
fn a_reply_that_refuses_to_be_written_is_a_bug_of_the_machine() {
    let context = context();
    let panicked = catch(&context, || Typed(Mute).apply(&[], &context)).expect_err("it panicked");
    assert!(
        panicked.message.starts_with("the reply has no bytes: the value cannot be encoded"),
        "{panicked}"
    );
}

#[test]
fn a_panic_names_the_request_and_the_height() {
    let mut large = Typed(Large { replies: 0 });
    let context = context();
    let panicked = catch(&context, || large.apply(&bytes_of(&13_u32), &context)).expect_err("it panicked");
    assert_eq!(
        panicked.to_string(),
        "the state machine panicked on request 7 of client abababababababab at height 12: unlucky: 13"
    );
    assert_eq!(catch(&"a query", || large.query(&bytes_of(&0_u32))), Ok(Outcome::Executed(vec![0])));
    assert_eq!(catch(&"a query", || panic!("plain")).map(|()| 0).expect_err("it panicked").message, "plain");
}
