//! Is a text read as it is written, and refused by name if it is none?

use proptest::prelude::*;
use quorate_types::message::{Fetch, Message};
use quorate_types::{Height, ReplicaId, View};
use std::collections::BTreeSet;
use std::num::NonZeroU64;

use super::stage::{R1, R2, Stage};
use crate::{Attack, Part, Probability, SPEC_BYTES_MAX, SPEC_PARTS_MAX, Spec, Views};

fn part() -> impl Strategy<Value = Part> {
    let views = (0_u64..1000, prop::option::of(1_u64..1000));
    let views = views.prop_map(|(first, count)| {
        Views::new(View(first), count.map(|count| View(first + count))).expect("not empty")
    });
    let toward = prop::collection::btree_set(any::<u16>().prop_map(ReplicaId), 1..4);
    let probability = (1_u32..=1_000_000)
        .prop_map(|millionths| Probability::new(f64::from(millionths) / 1e6).expect("a probability"));
    let times = (1..=u64::MAX).prop_map(|count| NonZeroU64::new(count).expect("not 0"));
    let limits = (
        prop::option::of(views),
        prop::option::of(toward),
        prop::option::of(probability),
        prop::option::of(times),
    );
    (0..Attack::ALL.len(), limits).prop_map(|(index, (views, toward, probability, times))| Part {
        attack: Attack::ALL[index],
        views,
        toward,
        probability,
        times,
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(phases in prop::collection::vec(prop::collection::vec(part(), 1..3), 1..4)) {
        let spec = Spec::new(phases).expect("short enough");
        let text = spec.to_string();
        prop_assert_eq!(text.parse::<Spec>(), Ok(spec.clone()));
        let json = serde_json::to_string(&spec).expect("plain data");
        prop_assert_eq!(&json, &format!("\"{text}\""));
        prop_assert_eq!(&serde_json::from_str::<Spec>(&json).expect("plain data"), &spec);
        prop_assert_eq!(spec.build().name(), spec.name());
    }

    #[test]
    fn nothing_that_is_read_panics(text in "\\PC*", signs in "(silent|delay|views|toward|times|probability|[@&>=,+. 0-9]){0,40}") {
        for text in [text, signs] {
            match text.parse::<Spec>() {
                Ok(spec) => prop_assert_eq!(spec.to_string().parse::<Spec>(), Ok(spec)),
                Err(error) => prop_assert!(error.to_string().starts_with("in `")),
            }
        }
    }
}

#[test]
fn the_parts_of_a_text_mean_what_they_say() {
    let spec: Spec = " equivocate_votes @ views = 3.. , times=2 & silent>delay@probability=0.25,toward=2+1+2"
        .parse()
        .expect("an attack");
    let times = NonZeroU64::new(2);
    let views = Views::new(View(3), None).ok();
    let both = vec![Part { views, times, ..Part::new(Attack::EquivocateVotes) }, Part::new(Attack::Silent)];
    let probability = Probability::new(0.25).ok();
    let toward = Some(BTreeSet::from([R1, R2]));
    let delay = Part { probability, toward, ..Part::new(Attack::Delay) };
    assert_eq!(spec.phases(), [both, vec![delay]]);
    assert_eq!(
        spec.to_string(),
        "equivocate-votes@views=3..,times=2&silent>delay@toward=1+2,probability=0.25"
    );
    assert_eq!(Spec::from(Attack::Silent).to_string(), "silent");
    assert!(!spec.is_primary_attack() && !spec.needs().primary);
    let spec: Spec = "silent>equivocate-proposals".parse().expect("an attack");
    assert!(!spec.is_primary_attack() && spec.needs().primary);
}

#[test]
fn each_mistake_is_named() {
    let long = "silent@toward=".to_owned() + &"1+".repeat(SPEC_BYTES_MAX);
    let many = ["silent"; SPEC_PARTS_MAX + 1].join("&");
    for (text, expected) in [
        ("", "in ``: an attack is missing"),
        ("silent&", "in ``: an attack is missing"),
        ("silent>@views=1..2", "in `@views=1..2`: an attack is missing"),
        (
            "silent & equivocate-propsals@views=1..",
            "in `equivocate-propsals@views=1..`: there is no attack `equivocate-propsals`; did you mean \
             `equivocate-proposals`?",
        ),
        ("silent@vews=1..", "in `silent@vews=1..`: there is no parameter `vews`; did you mean `views`?"),
        (
            "silent@loudness=1",
            "in `silent@loudness=1`: there is no parameter `loudness`; choose one of views, toward, probability, times",
        ),
        ("silent@views=4..4", "`views=4..4` is wrong: there is no view in it"),
        ("silent@views=4", "`views=4` is wrong: views are written `3..6`"),
        ("silent@views", "`views=` is wrong: views are written"),
        ("silent@toward=1+x", "`toward=1+x` is wrong: replicas are written `1+2`"),
        ("silent@toward=", "`toward=` is wrong: replicas are written"),
        ("silent@probability=0", "`probability=0` is wrong: a probability is above 0, at most 1"),
        ("silent@probability=1.5", "`probability=1.5` is wrong"),
        ("silent@probability=-0.5", "`probability=-0.5` is wrong"),
        ("silent@probability=0.0000001", "`probability=0.0000001` is wrong"),
        ("silent@times=0", "`times=0` is wrong"),
        ("silent@times=1,times=2", "`times=2` is wrong: it is given twice"),
        ("silent@", "there is no parameter ``"),
        (&long, "an attack is at most 1024 bytes long"),
        (&many, "at most 16 attacks are combined"),
    ] {
        let error = text.parse::<Spec>().expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let unknown = "nap".parse::<Spec>().expect_err("no attack").to_string();
    assert!(unknown.contains("choose one of silent, equivocate-proposals, "), "{unknown}");
    let error = serde_json::from_str::<Spec>("\"silent@vews=1..\"").expect_err("no attack").to_string();
    assert!(error.contains("did you mean `views`?"), "{error}");
}

#[test]
fn what_no_text_says_is_no_data_either() {
    let nobody = Part { toward: Some(BTreeSet::new()), ..Part::new(Attack::Silent) };
    let everybody = Part { toward: Some((10_000..10_300).map(ReplicaId).collect()), ..nobody.clone() };
    for phases in [vec![], vec![vec![]], vec![vec![nobody]], vec![vec![everybody]]] {
        assert!(Spec::new(phases.clone()).is_err(), "{phases:?}");
    }
}

#[test]
fn limits_and_phases_are_those_of_the_adversary() {
    let truth = Message::Fetch(Fetch::Chain(Height(1)));
    let play = |text: &str| {
        let mut stage = Stage::new(4, text.parse::<Spec>().expect("an attack"), 1);
        let mut sent = Vec::new();
        for view in 0..4 {
            stage.status.view = View(view);
            sent.push([R1, R2].map(|to| stage.send(to, truth.clone()).len()));
        }
        sent
    };
    assert_eq!(play("silent"), [[0, 0], [0, 0], [0, 0], [0, 0]]);
    assert_eq!(play("silent@toward=1"), [[0, 1], [0, 1], [0, 1], [0, 1]]);
    assert_eq!(play("silent@views=1..3"), [[1, 1], [0, 0], [0, 0], [1, 1]]);
    assert_eq!(play("silent@times=3"), [[0, 0], [0, 1], [1, 1], [1, 1]]);
    assert_eq!(play("silent@probability=0.000001"), [[1, 1], [1, 1], [1, 1], [1, 1]]);
    assert_eq!(play("silent@toward=1,views=1..2&silent@toward=2"), [[1, 0], [0, 0], [1, 0], [1, 0]]);
    let phases = "silent@views=0..1>lie-to-clients@views=0..2>silent@toward=1,views=0..3>lie-to-clients";
    assert_eq!(play(phases), [[0, 0], [1, 1], [0, 1], [1, 1]]);
    // All limits hold together.
    assert_eq!(play("silent@views=1..3,toward=2,times=1"), [[1, 1], [1, 0], [1, 1], [1, 1]]);
}
