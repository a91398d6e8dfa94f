//! Does `quorate verify` accept what convicts, and nothing else?

mod common;

use common::processes::{new_directory, quorate, text_of};
use quorate::types::{
    Digest, Epoch, Evidence, EvidenceFile, Genesis, Height, Member, ProtocolParameters, ReplicaId, Scheme,
    SecretKey, Statement, View, VoteStatement,
};

fn genesis(name: &str, keys: &[SecretKey]) -> Genesis {
    let member = |key: &SecretKey| Member { key: key.public(), organisation: "Acme".to_owned() };
    Genesis {
        name: name.to_owned(),
        test: false,
        scheme: Scheme::Ed25519,
        replicas: keys.iter().map(member).collect(),
        protocol: ProtocolParameters::default(),
        app_version: 1,
        start: None,
    }
}

#[test]
fn evidence_is_verified_with_nothing_but_the_genesis() {
    let keys: Vec<SecretKey> = (1..=4).map(|seed| SecretKey::from_seed([seed; 32])).collect();
    let genesis_of = |name: &str| genesis(name, &keys);
    let (ours, others) = (genesis_of("ours"), genesis_of("another"));
    let cluster = ours.cluster_id();
    let signed = |digest: u8| {
        let digest = Digest([digest; 32]);
        let vote =
            Statement::Vote(VoteStatement { epoch: Epoch(0), view: View(3), height: Height(7), digest });
        (vote, vote.sign(&keys[2], &cluster))
    };
    let evidence = Evidence { replica: ReplicaId(2), first: signed(1), second: signed(2) };
    let framed = Evidence { replica: ReplicaId(1), ..evidence.clone() };

    let directory = new_directory();
    std::fs::create_dir(&directory).expect("it is new");
    let write = |name: &str, json: String| {
        let path = directory.join(name);
        std::fs::write(&path, json).expect("there is room");
        text_of(&path)
    };
    let json = |value: &EvidenceFile| serde_json::to_string_pretty(value).expect("plain data");
    let good = write("evidence.json", json(&EvidenceFile::new(cluster, evidence)));
    let bad = write("framed.json", json(&EvidenceFile::new(cluster, framed)));
    let ours = write("genesis.json", serde_json::to_string(&ours).expect("plain data"));
    let others = write("other.json", serde_json::to_string(&others).expect("plain data"));

    let output = quorate(&["verify", &good, "--genesis", &ours]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(
        said.starts_with("proven, Acme: equivocation by replica 2: two votes in view 3 at height 7"),
        "{said}"
    );
    for (evidence, genesis, why) in [
        (&bad, &ours, "proves nothing: bad-signature"),
        (&good, &others, "use the genesis of that cluster"),
        (&ours, &ours, "is not what it should be"),
        (&text_of(&directory.join("none.json")), &ours, "cannot read"),
    ] {
        let output = quorate(&["verify", evidence, "--genesis", genesis]);
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(why), "{said}");
    }
    std::fs::remove_dir_all(directory).expect("it was there");
}
