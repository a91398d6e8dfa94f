//! What did an attack on a real cluster achieve? One verdict over what its honest replicas and clients saw.

use quorate_types::{Height, Rejection, ReplicaId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::{Status, SubmitError, Trail};

/// What one replica said before and after an attack. Who could not be asked is none.
#[derive(Clone, Debug)]
pub struct Witness {
    /// Its status when the attack began.
    pub before: Status,
    /// Its status when the attack ended.
    pub after: Status,
    /// What it had executed lately when the attack ended.
    pub trail: Trail,
}

/// What the clients of a cluster saw during an attack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientTally {
    /// Requests that were answered.
    pub requests: u64,
    /// Requests that were not, by the kind of error.
    pub errors: BTreeMap<String, u64>,
}

impl ClientTally {
    /// Counts how one request ended.
    pub fn count<T>(&mut self, result: &Result<T, SubmitError>) {
        let kind = match result {
            Ok(_) => return self.requests += 1,
            Err(SubmitError::Rejected { .. }) => "rejected",
            Err(SubmitError::Unknown { .. }) => "unknown",
            Err(SubmitError::NoQuorum { .. }) => "no-quorum",
        };
        *self.errors.entry(kind.to_owned()).or_default() += 1;
    }

    /// Adds what other clients saw.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        for (kind, count) in &other.errors {
            *self.errors.entry(kind.clone()).or_default() += count;
        }
    }
}

/// What an attack achieved. Its JSON is a contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The attack.
    pub attack: String,
    /// The replicas that ran it.
    pub traitors: BTreeSet<ReplicaId>,
    /// How often it really deviated from the protocol.
    pub fired: u64,
    /// The honest replicas that noticed: they refused a message that no honest replica sends, or hold evidence against a
    /// traitor.
    pub detected_by: BTreeSet<ReplicaId>,
    /// What honest replicas refused meanwhile, by source and reason.
    pub rejections: BTreeMap<String, u64>,
    /// The honest replicas that hold evidence against a traitor.
    pub evidence: BTreeSet<ReplicaId>,
    /// Honest replicas against which an honest one holds evidence: none, or the evidence is unsound.
    pub accused_honest: BTreeSet<ReplicaId>,
    /// Blocks and states at one height that were compared between two honest replicas.
    pub compared: usize,
    /// Heights at which two honest replicas have different blocks or states: none, or the cluster forked.
    pub conflicts: BTreeSet<Height>,
    /// Honest replicas that halted, and why.
    pub halted: BTreeMap<ReplicaId, String>,
    /// Views that the honest replicas moved on.
    pub views: u64,
    /// What the clients saw.
    pub clients: ClientTally,
}

impl Verdict {
    /// Judges an attack by traitors of which `fired` says how often they deviated. Witnesses may include traitors, whose
    /// words count for nothing.
    #[must_use]
    pub fn new(
        attack: impl fmt::Display,
        traitors: impl IntoIterator<Item = ReplicaId>,
        witnesses: &[Witness],
        clients: ClientTally,
    ) -> Self {
        let traitors: BTreeSet<ReplicaId> = traitors.into_iter().collect();
        let of_traitor = |witness: &&Witness| traitors.contains(&witness.after.replica);
        let fired = witnesses.iter().filter(of_traitor).map(|witness| witness.after.attack_fired).sum();
        let honest: Vec<&Witness> = witnesses.iter().filter(|witness| !of_traitor(witness)).collect();
        let mut verdict = Self {
            attack: attack.to_string(),
            traitors: traitors.clone(),
            fired,
            detected_by: BTreeSet::new(),
            rejections: BTreeMap::new(),
            evidence: BTreeSet::new(),
            accused_honest: BTreeSet::new(),
            compared: 0,
            conflicts: BTreeSet::new(),
            halted: BTreeMap::new(),
            views: views(&honest),
            clients,
        };
        for witness in &honest {
            verdict.hear(witness);
        }
        for (index, one) in honest.iter().enumerate() {
            for other in honest.iter().skip(index + 1) {
                verdict.compared += one.trail.common(&other.trail);
                verdict.conflicts.extend(one.trail.conflicts(&other.trail));
            }
        }
        verdict
    }

    fn hear(&mut self, witness: &Witness) {
        let replica = witness.after.replica;
        for (name, count) in &witness.after.rejections {
            // Who was started again counts from zero.
            let before = witness.before.rejections.get(name).filter(|before| *before <= count).unwrap_or(&0);
            let refused = count - before;
            if refused > 0 {
                *self.rejections.entry(name.clone()).or_default() += refused;
                if is_telling(name) {
                    self.detected_by.insert(replica);
                }
            }
        }
        for accused in &witness.after.accused {
            if self.traitors.contains(accused) {
                self.evidence.insert(replica);
                self.detected_by.insert(replica);
            } else {
                self.accused_honest.insert(*accused);
            }
        }
        if let Some(why) = &witness.after.halted {
            self.halted.insert(replica, why.clone());
        }
    }

    /// Whether the attack happened, and cost nobody anything but time.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.problems().is_empty()
    }

    /// What is wrong, a sentence each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.fired == 0 {
            problems.push("the attack never deviated from the protocol, so this shows nothing".to_owned());
        }
        if self.compared == 0 {
            problems.push("no two honest replicas tell of one height, so this shows nothing".to_owned());
        }
        if self.clients.requests == 0 {
            problems.push("no request was answered".to_owned());
        }
        if let Some(height) = self.conflicts.first() {
            problems.push(format!(
                "honest replicas differ at {} heights, the lowest is {height}",
                self.conflicts.len()
            ));
        }
        if !self.accused_honest.is_empty() {
            problems
                .push(format!("there is evidence against honest replicas: {}", join(&self.accused_honest)));
        }
        for (replica, why) in &self.halted {
            problems.push(format!("honest replica {replica} halted: {why}"));
        }
        for (kind, count) in &self.clients.errors {
            problems.push(format!("{count} requests failed: {kind}"));
        }
        problems
    }

    /// The columns of [`Verdict::row`].
    pub const HEADINGS: [&str; 8] =
        ["attack", "fired", "detected by", "evidence", "refused as", "conflicts", "views", "requests/errors"];

    /// One line of a table.
    #[must_use]
    pub fn row(&self) -> [String; 8] {
        let reasons = self.rejections.iter().map(|(name, count)| format!("{name} {count}"));
        [
            self.attack.clone(),
            self.fired.to_string(),
            join(&self.detected_by),
            join(&self.evidence),
            or_dash(reasons.collect::<Vec<_>>().join(", ")),
            format!("{} of {}", self.conflicts.len(), self.compared),
            self.views.to_string(),
            format!("{}/{}", self.clients.requests, self.clients.errors.values().sum::<u64>()),
        ]
    }
}

/// Whether it takes a traitor to be refused for this. Messages of honest replicas cross, come late or come twice.
fn is_telling(rejection: &str) -> bool {
    rejection
        .strip_prefix("replica/")
        .is_some_and(|reason| !INNOCENT.iter().any(|innocent| innocent.name() == reason))
}

fn views(honest: &[&Witness]) -> u64 {
    let highest = |view: fn(&Witness) -> u64| honest.iter().map(|witness| view(witness)).max().unwrap_or(0);
    highest(|witness| witness.after.view.0).saturating_sub(highest(|witness| witness.before.view.0))
}

/// What honest replicas are refused for too.
const INNOCENT: [Rejection; 9] = [
    Rejection::StaleView,
    Rejection::FutureView,
    Rejection::StaleHeight,
    Rejection::AboveWindow,
    Rejection::Unrequested,
    Rejection::BrokenChain,
    Rejection::TooManyPending,
    Rejection::Recovering,
    Rejection::TooSoon,
];

fn join(replicas: &BTreeSet<ReplicaId>) -> String {
    or_dash(replicas.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_types::{Digest, View};

    fn witness(replica: u16) -> Witness {
        let status = Status { replica: ReplicaId(replica), is_running: true, ..Status::default() };
        let mut trail = Trail::default();
        (1..=3).for_each(|height| trail.on_block(Height(height), Digest([1; 32])));
        Witness { before: status.clone(), after: status, trail }
    }

    fn judge(witnesses: &[Witness]) -> Verdict {
        let clients = ClientTally { requests: 5, ..ClientTally::default() };
        Verdict::new("silent", [ReplicaId(0)], witnesses, clients)
    }

    fn four() -> Vec<Witness> {
        let mut four: Vec<Witness> = (0..4).map(witness).collect();
        four[0].after.attack_fired = 7;
        four
    }

    #[test]
    fn an_attack_that_was_noticed_and_achieved_nothing_is_good() {
        let mut witnesses = four();
        witnesses[1].before.rejections.insert("replica/bad-claim".into(), 2);
        witnesses[1].after.rejections.insert("replica/bad-claim".into(), 5);
        witnesses[3].after.rejections.insert("replica/stale-view".into(), 1);
        witnesses[2].after.accused.insert(ReplicaId(0));
        witnesses[3].after.view = View(2);
        let verdict = judge(&witnesses);
        assert!(verdict.is_good(), "{:?}", verdict.problems());
        assert_eq!((verdict.fired, verdict.compared, verdict.views), (7, 9, 2));
        assert_eq!(verdict.rejections["replica/bad-claim"], 3);
        assert_eq!(verdict.detected_by, [ReplicaId(1), ReplicaId(2)].into());
        assert_eq!(verdict.evidence, [ReplicaId(2)].into());
        let text = serde_json::to_string(&verdict).expect("it has a text");
        assert_eq!(serde_json::from_str::<Verdict>(&text).expect("it reads back"), verdict);
    }

    #[test]
    fn what_a_traitor_says_counts_for_nothing() {
        let mut witnesses = four();
        witnesses[0].trail.blocks[0].1 = Digest([2; 32]);
        witnesses[0].after.accused.insert(ReplicaId(1));
        witnesses[0].after.halted = Some("a lie".into());
        assert!(judge(&witnesses).is_good());
    }

    #[test]
    fn every_way_to_fail_is_named() {
        type Spoil = fn(&mut Vec<Witness>);
        let ways: [(Spoil, &str); 5] = [
            (|all| all[0].after.attack_fired = 0, "never deviated"),
            (|all| all.truncate(2), "no two honest replicas"),
            (|all| all[3].trail.blocks[2].1 = Digest([2; 32]), "differ at 1 heights, the lowest is 3"),
            (|all| all[2].after.accused.extend([ReplicaId(1)]), "evidence against honest replicas: 1"),
            (|all| all[2].after.halted = Some("a bug".into()), "honest replica 2 halted: a bug"),
        ];
        for (spoil, sentence) in ways {
            let mut witnesses = four();
            spoil(&mut witnesses);
            let problems = judge(&witnesses).problems();
            assert!(problems.len() == 1 && problems[0].contains(sentence), "{sentence}: {problems:?}");
        }
        let mut clients = ClientTally::default();
        clients.count::<()>(&Err(SubmitError::NoQuorum { reached: 1, needed: 3, missing: Vec::new() }));
        let problems = Verdict::new("silent", [ReplicaId(0)], &four(), clients).problems();
        assert_eq!(problems, ["no request was answered", "1 requests failed: no-quorum"]);
    }
}
