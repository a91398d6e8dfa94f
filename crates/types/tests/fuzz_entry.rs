//! Do the fuzz targets hold on a stable compiler? Random bytes, and samples with a few bytes changed.

mod common;
#[path = "../../../fuzz/src/entries.rs"]
#[allow(unreachable_pub, reason = "the fuzz targets reach them")]
mod entries;

use common::{Cluster, samples, strategies};
use proptest::collection::vec;
use proptest::prelude::*;
use quorate_types::{Batch, Frame, Scheme};

/// A frame as the entry points take it apart.
fn flat(frame: &Frame) -> Vec<u8> {
    let length = u16::try_from(frame.payload.len()).expect("samples are small");
    [&length.to_le_bytes()[..], &frame.head, &frame.payload].concat()
}

/// Bytes to start from, with the entry point that reads them.
type Seed = (Vec<u8>, fn(&[u8]));

fn seeds() -> Vec<Seed> {
    let cluster = Cluster::new(Scheme::Ed25519, 4);
    let bundle = cluster.bundle(&[b"one", b"two"]);
    let batch = Batch::new(vec![bundle.clone(), cluster.bundle(&[b"three"])]);
    let genesis = serde_json::to_vec(&cluster.genesis).expect("a genesis is JSON");
    let mut seeds: Vec<Seed> = vec![
        (bundle.raw().to_vec(), entries::bundle),
        (batch.raw().to_vec(), entries::batch),
        (genesis, entries::genesis),
    ];
    let messages = samples::messages(&cluster);
    seeds.extend(messages.iter().map(|message| (flat(&message.encode()), entries::message as fn(&[u8]))));
    for (_, message) in samples::client_messages(&cluster) {
        seeds.push((flat(&message.encode()), entries::client_message));
    }
    for (_, message) in samples::replica_messages() {
        seeds.push((flat(&message.encode()), entries::replica_message));
    }
    seeds
}

#[test]
fn no_seed_panics() {
    for (data, entry) in seeds() {
        entry(&data);
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(data in vec(any::<u8>(), 0..2048)) {
        entries::message(&data);
        entries::client_message(&data);
        entries::replica_message(&data);
        entries::bundle(&data);
        entries::batch(&data);
        entries::genesis(&data);
    }

    #[test]
    fn no_changed_seed_panics(
        (data, entry) in proptest::sample::select(seeds()),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut data = data;
        for (place, byte) in changes {
            let place = place.index(data.len());
            data[place] = byte;
        }
        entry(&data);
        entry(&data[..cut.index(data.len())]);
    }

    #[test]
    fn no_message_panics_the_verifier(message in strategies::message()) {
        entries::message(&flat(&message.encode()));
    }
}
