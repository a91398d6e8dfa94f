//! Is what a process left of a transfer thrown away once the chain has overtaken it, and not before?

use quorate_types::certificate::SignedHeader;
use quorate_types::state::{ContentBuilder, StateHead};
use quorate_types::{ChunkId, ClusterId, Digest, Epoch, Header, Height, SecretKey, Time, View};

use super::{DiskStates, States};

const CLUSTER: ClusterId = Digest([1; 32]);

fn header(height: Height) -> SignedHeader {
    let nothing = Digest([0; 32]);
    let (epoch, view, time) = (Epoch(0), View(0), Time(0));
    let header = Header { cluster: CLUSTER, epoch, view, height, parent: nothing, batch: nothing, time };
    SignedHeader::sign(header, &SecretKey::from_seed([7; 32]))
}

/// A state whose one page nobody sent yet.
fn head(height: Height) -> StateHead {
    let mut application = ContentBuilder::default();
    application.push(ChunkId::of(b"a chunk")).expect("one chunk");
    StateHead {
        configuration: CLUSTER,
        height,
        result_root: Digest([2; 32]),
        sessions: ContentBuilder::default().finish().expect("no chunk").0,
        application: application.finish().expect("one chunk").0,
    }
}

#[test]
fn what_a_process_left_of_a_transfer_goes_once_it_is_overtaken() {
    let scratch = tempfile::tempdir().expect("a directory");
    let open = || DiskStates::open(scratch.path(), CLUSTER).expect("it opens");
    let states = open();
    states.begin(&head(Height(8)), header(Height(8))).expect("room");
    drop(states);
    let states = open();
    states.retain_from(Height(4)).expect("nothing to drop");
    let file = scratch.path().join("transfer");
    assert!(file.exists(), "it may go on");
    states.retain_from(Height(8)).expect("the transfer goes");
    assert!(!file.exists());
}

#[test]
fn a_transfer_of_the_process_before_can_be_abandoned() {
    let scratch = tempfile::tempdir().expect("a directory");
    let open = || DiskStates::open(scratch.path(), CLUSTER).expect("it opens");
    open().begin(&head(Height(8)), header(Height(8))).expect("room");
    open().abandon().expect("it goes");
    assert!(!scratch.path().join("transfer").exists());
}
