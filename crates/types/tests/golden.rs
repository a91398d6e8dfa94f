//! Does every message still have the bytes that other versions read and sign?
//!
//! `golden.txt` holds one line for each kind: its name and its bytes in hexadecimal, head and
//! payload joined by `+`. Who changes an encoding on purpose runs this test once with the
//! environment variable `QUORATE_GOLDEN=write`, reads the difference of that file, and raises the
//! protocol's version in the domain tags and in the transport's handshake.

mod common;

use common::{Cluster, digest, samples};
use quorate_types::hex::encode;
use quorate_types::message::Message;
use quorate_types::{Batch, Digest, Frame, Scheme, Time, wire};
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn every_kind_has_its_golden_bytes() {
    let found: Vec<String> = lines().into_iter().map(|(name, hex)| format!("{name} {hex}")).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden.txt");
    if std::env::var("QUORATE_GOLDEN").is_ok_and(|value| value == "write") {
        std::fs::write(&path, found.join("\n") + "\n").expect("golden.txt can be written");
        return;
    }
    let golden = std::fs::read_to_string(&path).expect("golden.txt is beside this test");
    let mut golden_lines = golden.lines();
    for line in &found {
        assert_eq!(
            Some(line.as_str()),
            golden_lines.next(),
            "an encoding changed; see the head of golden.rs"
        );
    }
    assert_eq!(golden_lines.next(), None, "a kind is gone; see the head of golden.rs");
}

#[test]
fn every_variant_has_a_sample_and_its_own_name() {
    let cluster = Cluster::new(Scheme::Ed25519, 4);
    let messages = samples::messages(&cluster);
    let names: BTreeSet<&str> = messages.iter().map(samples::name).collect();
    assert_eq!(names.len(), samples::NAMES);
    assert_eq!(names.len(), messages.len());
    let kinds: BTreeSet<usize> = messages.iter().map(Message::kind).collect();
    assert_eq!(kinds, (0..Message::KINDS.len()).collect());
}

#[test]
fn the_tag_on_the_wire_is_the_kind() {
    for message in samples::messages(&Cluster::new(Scheme::Ed25519, 4)) {
        assert_eq!(usize::from(message.encode().head[0]), message.kind());
        assert!(samples::name(&message).starts_with(Message::KINDS[message.kind()]));
    }
}

/// Signed bytes start with the domain, so no domain may be the beginning of another.
#[test]
fn no_two_kinds_of_statement_can_share_signed_bytes() {
    let cluster = Cluster::new(Scheme::Ed25519, 4);
    let id = cluster.membership.cluster();
    let domains: Vec<Vec<u8>> = samples::statements(&cluster)
        .iter()
        .map(|(_, statement)| {
            let bytes = statement.signed_bytes(&id);
            let end = bytes.windows(32).position(|window| window == id.0).expect("the cluster is signed");
            bytes[..end].to_vec()
        })
        .collect();
    for (position, domain) in domains.iter().enumerate() {
        assert!(domain.starts_with(b"quorate/1/"));
        for other in &domains[position + 1..] {
            assert!(!domain.starts_with(other) && !other.starts_with(domain));
        }
    }
}

#[test]
fn the_genesis_in_json_and_on_the_wire_names_one_cluster() {
    let genesis = Cluster::new(Scheme::Ed25519, 4).genesis;
    let json = serde_json::to_string(&genesis).expect("a genesis is JSON");
    let read: quorate_types::Genesis = serde_json::from_str(&json).expect("and can be read again");
    assert_eq!(read.cluster_id(), genesis.cluster_id());
    let upper =
        json.replace(&encode(&genesis.replicas[0].key.0), &encode(&genesis.replicas[0].key.0).to_uppercase());
    let read: quorate_types::Genesis = serde_json::from_str(&upper).expect("case does not matter");
    assert_eq!(read.cluster_id(), genesis.cluster_id());
    let mut other = genesis.clone();
    other.app_version += 1;
    assert_ne!(other.cluster_id(), genesis.cluster_id());
    // The state with which a cluster begins is a part of what it is.
    let start = quorate_types::Start {
        cluster: genesis.cluster_id(),
        height: quorate_types::Height(9),
        application: digest(1),
    };
    let begun = quorate_types::Genesis { start: Some(start), ..genesis.clone() };
    assert_ne!(begun.cluster_id(), genesis.cluster_id());
    let json = serde_json::to_string(&begun).expect("a genesis is JSON");
    let read: quorate_types::Genesis = serde_json::from_str(&json).expect("and can be read again");
    assert_eq!((read.start, read.cluster_id()), (Some(start), begun.cluster_id()));
}

fn lines() -> Vec<(String, String)> {
    let cluster = Cluster::new(Scheme::Ed25519, 4);
    let mut lines = vec![("genesis".to_owned(), encode(&wire::canonical(&cluster.genesis)))];
    let mut digests = vec![
        ("genesis", cluster.genesis.cluster_id()),
        ("genesis-block", cluster.membership.genesis_block()),
        ("of-parts", Digest::of_parts("domain", &[b"one", b"", b"two"])),
        ("of-bytes", Digest::of_bytes(b"bytes")),
    ];
    let bundle = cluster.bundle(&[b"add 5", b"add 2"]);
    let batch = Batch::new(vec![bundle.clone(), cluster.bundle(&[b""])]);
    let mut header = cluster.header(7, 300, digest(1));
    header.time = Time(u64::MAX);
    digests.extend([("bundle", bundle.id()), ("batch", batch.digest()), ("header", header.digest())]);
    lines.extend(digests.iter().map(|(name, digest)| (format!("digest/{name}"), digest.to_string())));
    lines.push(("bundle".to_owned(), encode(bundle.raw())));
    lines.push(("batch".to_owned(), encode(batch.raw())));

    for (name, statement) in samples::statements(&cluster) {
        let signed = statement.signed_bytes(&cluster.membership.cluster());
        lines.push((format!("signed/{name}"), encode(&signed)));
        lines.push((format!("signature/{name}"), encode(&cluster.sign(0, &statement).0)));
    }
    for message in samples::messages(&cluster) {
        lines.push((samples::name(&message).to_owned(), framed(&message.encode())));
    }
    for (name, message) in samples::client_messages(&cluster) {
        lines.push((name.to_owned(), framed(&message.encode())));
    }
    for (name, message) in samples::replica_messages() {
        lines.push((name, framed(&message.encode())));
    }
    lines
}

fn framed(frame: &Frame) -> String {
    match frame.payload.is_empty() {
        true => encode(&frame.head),
        false => format!("{}+{}", encode(&frame.head), encode(&frame.payload)),
    }
}
