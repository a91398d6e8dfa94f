//! What does every attack achieve on a real cluster over QUIC? Replicas fetch states, lose their primary and choose the
//! traitor, and nothing comes of it but lost time.
//!
//! Ten attacks run always, all of them with `QUORATE_ATTACKS=all`, and any others as in
//! `QUORATE_ATTACKS="silent equivocate-votes@probability=0.1"`. A table tells the verdicts.

mod common;

use common::{Command, Journal, Reply, append_in_order, list, stop, until, within};
use quorate::attack::{Needs, Spec, colluding};
use quorate::lab::{ClientTally, Venue, Verdict, Witness};
use quorate::prelude::*;
use quorate::types::{Height, ProtocolParameters, ReplicaId};
use quorate::{Error, Status, Timing};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;
use tokio::task::JoinSet;

#[tokio::test]
async fn attacks_on_a_real_cluster_are_borne() {
    let (mut specs, mut running, mut names) = (chosen().into_iter(), JoinSet::new(), BTreeMap::new());
    let mut problems = Vec::new();
    tell(&row(&Verdict::HEADINGS.map(str::to_owned)));
    tell(&row(&Verdict::HEADINGS.map(|_| "---".to_owned())));
    loop {
        while running.len() < AT_ONCE
            && let Some(spec) = specs.next()
        {
            let (place, name) = (Place::of(spec.needs()), spec.to_string());
            match place.venue.refusal(spec.needs()) {
                Some(why) => tell(&format!("| {name} | not run: {why} |\n")),
                None => drop(names.insert(running.spawn(verdict_of(place, spec)).id(), name)),
            }
        }
        match running.join_next_with_id().await {
            Some(Ok((_, verdict))) => {
                tell(&row(&verdict.row()));
                problems.extend(problems_of(&verdict));
            }
            Some(Err(panic)) => problems.push(format!("{}: {panic}", names[&panic.id()])),
            None => break,
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

/// What the verdicts above rest on: without an attack nobody is accused, and nothing counts as noticed.
#[tokio::test]
async fn an_honest_cluster_notices_nothing() {
    let verdict = Scene::start(Place::of(Needs::OWN_KEY)).await.attack(None).await;
    let vacuous = "the attack never deviated from the protocol, so this shows nothing";
    assert_eq!(verdict.problems(), [vacuous]);
    assert!(verdict.detected_by.is_empty() && verdict.views > 0, "{verdict:?}");
}

#[tokio::test]
async fn two_traitors_with_each_others_keys_are_borne_by_seven() {
    let place = Place { replicas: 7, traitors: &[1, 4], venue: Venue::Together };
    let spec = "equivocate-votes".parse().expect("an attack");
    let verdict = Scene::start(place).await.attack(Some(&spec)).await;
    assert!(verdict.is_good(), "{:?}", verdict.problems());
    assert!(!verdict.evidence.is_empty(), "{verdict:?}");
}

/// An attack that keeps some of what it could need, for every kind of need.
#[derive(Debug)]
struct Needy(Needs);

impl quorate::attack::Adversary for Needy {
    fn name(&self) -> &'static str {
        "needy"
    }
    fn needs(&self) -> Needs {
        self.0
    }
}

#[tokio::test]
async fn what_an_attack_needs_and_does_not_get_is_said_in_a_sentence() {
    let cluster = LocalCluster::start(4, Journal::default).await.expect("it starts");
    let colluders = Needs { colluders: true, ..Needs::OWN_KEY };
    let disk = Needs { disk: true, ..Needs::OWN_KEY };
    for (needs, sentence) in [
        (colluders, "the attack `needy` is refused: it needs the keys of other traitors; turn them together"),
        (
            disk,
            "the attack `needy` is refused: it writes to the replica's disk, which a running replica gives",
        ),
    ] {
        let error = cluster.replica(0).attack(Needy(needs)).await.expect_err("it needs more");
        assert!(matches!(error, Error::CannotAttack { .. }));
        assert!(error.to_string().starts_with(sentence), "{error}");
    }
    cluster.attack_together(colluding([0, 1], || Needy(colluders))).await.expect("it has what it needs");
    cluster.attack_together(colluding([0, 4], || Needy(colluders))).await.expect_err("there is no replica 4");
    cluster.attack_together(colluding([0, 1], || Needy(disk))).await.expect_err("nobody gives a disk");
    cluster.replica(0).honest().await.expect("it runs");
    assert_eq!(cluster.replica(0).status().await.expect("it runs").attack, None);
    stop(cluster).await;
}

/// Whom a replica asks for a state is drawn, so that a liar may not be asked the first time.
async fn verdict_of(place: Place, spec: Spec) -> Verdict {
    let mut verdict = Scene::start(place).await.attack(Some(&spec)).await;
    for _ in 1..TRIES {
        if verdict.fired > 0 {
            break;
        }
        verdict = Scene::start(place).await.attack(Some(&spec)).await;
    }
    verdict
}

/// Clusters at a time: they spend most of their time waiting for a timer.
const AT_ONCE: usize = 2;
/// Scenes in which an attack must have happened once.
const TRIES: usize = 3;

fn chosen() -> Vec<Spec> {
    match std::env::var("QUORATE_ATTACKS") {
        Ok(all) if all == "all" => Attack::ALL.iter().map(|attack| (*attack).into()).collect(),
        Ok(some) => some.split_whitespace().map(|spec| spec.parse().expect("an attack")).collect(),
        Err(_) => TEN.iter().map(|spec| spec.parse().expect("an attack")).collect(),
    }
}

/// Of every kind: proposals, votes, view changes, silence, delay, clients, checkpoints, states.
const TEN: [&str; 10] = [
    "equivocate-proposals",
    "equivocate-votes@probability=0.5",
    "silent",
    "delay",
    "selective-send",
    "forge-view-change",
    "withhold-certificates",
    "lie-to-clients",
    "bad-checkpoint-digest",
    "corrupt-chunk",
];

/// Where an attack runs.
#[derive(Clone, Copy)]
struct Place {
    replicas: usize,
    /// The first is the second replica, which becomes primary when the first is lost.
    traitors: &'static [usize],
    venue: Venue,
}

impl Place {
    const fn of(needs: Needs) -> Self {
        if needs.colluders {
            Self { replicas: 7, traitors: &[1, 4], venue: Venue::Together }
        } else {
            Self { replicas: 4, traitors: &[1], venue: Venue::OneReplica }
        }
    }
}

/// A cluster in which one replica is far behind, so that it fetches a state.
struct Scene {
    place: Place,
    cluster: LocalCluster<Journal>,
    client: Client<Journal>,
    next: u64,
}

impl Scene {
    async fn start(place: Place) -> Self {
        let protocol =
            ProtocolParameters { checkpoint_interval: 4, window: 8, ..ProtocolParameters::default() };
        let timing = Timing {
            view_timeout_min: Duration::from_millis(250),
            view_timeout_max: Duration::from_secs(2),
            status_interval: Duration::from_millis(20),
            fairness_timeout: Duration::from_millis(500),
            fetch_timeout: Duration::from_millis(50),
            ..Timing::default()
        };
        let builder = LocalCluster::builder().replicas(place.replicas).protocol(protocol).timing(timing);
        let cluster = builder.seed(42).start(Journal::heavy).await.expect("the cluster starts");
        let client = cluster.client().await.expect("a client");
        let scene = Self { place, cluster, client, next: 0 };
        scene.leave_one_behind().await
    }

    fn laggard(&self) -> usize {
        self.place.replicas - 1
    }

    async fn leave_one_behind(mut self) -> Self {
        append_in_order(&self.client, 0..4).await;
        within("it stops", self.cluster.replica(self.laggard()).stop()).await.expect("it stops");
        append_in_order(&self.client, 4..60).await;
        // What the others keep in memory for laggards is gone with their processes.
        for replica in 0..self.laggard() {
            within("it stops", self.cluster.replica(replica).stop()).await.expect("it stops");
            within("it restarts", self.cluster.replica(replica).restart()).await.expect("it restarts");
            until("it takes part again", self.cluster.replica(replica), |status| status.is_awake).await;
        }
        append_in_order(&self.client, 60..64).await;
        self.next = 64;
        self
    }

    /// Runs the attack through everything that can happen to a cluster.
    async fn attack(mut self, spec: Option<&Spec>) -> Verdict {
        let before = self.statuses().await;
        let name = spec.map_or_else(|| "nothing".to_owned(), ToString::to_string);
        if let Some(spec) = spec {
            self.turn(spec).await;
        }
        let mut clients = ClientTally::default();
        within("it restarts", self.cluster.replica(self.laggard()).restart()).await.expect("it restarts");
        self.load(&mut clients, 8).await;
        self.catch_up(&name).await;
        self.make_traitor_primary(&mut clients).await;
        self.load(&mut clients, 12).await;
        let traitors =
            self.place.traitors.iter().map(|traitor| ReplicaId(u16::try_from(*traitor).expect("few")));
        let verdict = self.judge(&name, traitors.collect(), before, clients).await;
        assert_eq!(
            list(&self.client).await,
            (0..self.next).collect::<Vec<_>>(),
            "{name}: each once and in order"
        );
        stop(self.cluster).await;
        verdict
    }

    async fn turn(&self, spec: &Spec) {
        let turned = match self.place.venue {
            Venue::Together => {
                let members = self.place.traitors.iter().map(|traitor| u16::try_from(*traitor).expect("few"));
                self.cluster.attack_together(colluding(members, || spec.clone())).await
            }
            _ => self.cluster.replica(self.place.traitors[0]).attack(spec.clone()).await,
        };
        turned.expect("a test cluster gives what it needs");
    }

    async fn load(&mut self, clients: &mut ClientTally, count: u64) {
        for _ in 0..count {
            self.submit(clients).await;
        }
    }

    /// Submits one number until it is answered, and checks that it ran once and in its place.
    async fn submit(&mut self, clients: &mut ClientTally) {
        let command = Command::Append(self.next);
        let mut result = within("a request ends", self.client.submit(command.clone())).await;
        clients.count(&result);
        while let Err(SubmitError::Unknown { id }) = result {
            result = within("a retry ends", self.client.retry(id, command.clone())).await;
        }
        assert_eq!(result.expect("it finishes").reply, Reply::Position(self.next));
        self.next += 1;
    }

    /// Waits until the honest replicas have executed all that one of them committed.
    async fn catch_up(&self, name: &str) {
        let goal = self.statuses().await.iter().map(|status| status.committed).max().expect("some run");
        for replica in self.honest() {
            let what = format!("{name}: replica {replica} catches up");
            until(&what, self.cluster.replica(replica), move |status| status.executed >= goal).await;
        }
    }

    /// Loses primaries until the view of the first traitor came, or ended if it is the present one.
    async fn make_traitor_primary(&mut self, clients: &mut ClientTally) {
        let view = self.view().await;
        let is_traitors = |view: u64| view % self.place.replicas as u64 == self.place.traitors[0] as u64;
        let goal =
            if is_traitors(view) { view + 1 } else { (view..).find(|view| is_traitors(*view)).expect("one") };
        while self.view().await < goal {
            self.lose_primary(clients).await;
        }
    }

    /// The highest view that an honest replica entered.
    async fn view(&self) -> u64 {
        let statuses = self.statuses().await;
        self.honest().map(|replica| statuses[replica].view.0).max().expect("some are honest")
    }

    /// Cuts the primary off until all other honest replicas have lost patience with it. They may be too few for another
    /// view without it, if the traitors do not help.
    async fn lose_primary(&mut self, clients: &mut ClientTally) {
        let status = self.cluster.replica(2).status().await.expect("it runs");
        let (view, primary) = (status.view, status.primary.index());
        let others = (0..self.place.replicas).filter(|other| *other != primary);
        self.cluster.cut([primary], others).await.expect("there are such replicas");
        let healed = async {
            for replica in self.honest().filter(|replica| *replica != primary) {
                let what = format!("replica {replica} loses patience with view {view}");
                until(&what, self.cluster.replica(replica), move |status| status.asked > view).await;
            }
            self.cluster.heal().await;
        };
        let command = Command::Append(self.next);
        let (result, ()) = tokio::join!(within("a request ends", self.client.submit(command)), healed);
        clients.count(&result);
        assert_eq!(result.expect("it finishes").reply, Reply::Position(self.next));
        self.next += 1;
    }

    async fn judge(
        &self,
        name: &str,
        traitors: Vec<ReplicaId>,
        before: Vec<Status>,
        clients: ClientTally,
    ) -> Verdict {
        let mut after = self.statuses().await;
        for traitor in &traitors {
            self.cluster.replica(traitor.index()).honest().await.expect("it runs");
        }
        // All of them, traitors too: with the attack everything ends that kept them apart.
        self.catch_up(name).await;
        for replica in self.honest() {
            after[replica] = self.cluster.replica(replica).status().await.expect("it runs");
        }
        let mut witnesses = Vec::new();
        for (before, after) in before.into_iter().zip(after) {
            let replica = self.cluster.replica(after.replica.index());
            witnesses.push(Witness { before, after, trail: replica.trail().await.expect("it runs") });
        }
        let verdict = Verdict::new(name, traitors, &witnesses, clients);
        assert!(witnesses.iter().any(|witness| witness.after.stable > Height(0)), "{name}: checkpoints came");
        let fetched = witnesses[self.laggard()].after.snapshot.bytes_fetched;
        assert!(fetched > 0, "{name}: a state was fetched");
        verdict
    }

    fn honest(&self) -> impl Iterator<Item = usize> {
        let traitors = self.place.traitors;
        (0..self.place.replicas).filter(move |replica| !traitors.contains(replica))
    }

    async fn statuses(&self) -> Vec<Status> {
        let mut statuses = Vec::new();
        for replica in self.cluster.replicas() {
            statuses.push(replica.status().await.expect("it exists"));
        }
        statuses
    }
}

fn problems_of(verdict: &Verdict) -> impl Iterator<Item = String> {
    let name = verdict.attack.clone();
    verdict.problems().into_iter().map(move |problem| format!("{name}: {problem}"))
}

fn row(columns: &[String]) -> String {
    format!("| {} |\n", columns.join(" | "))
}

/// Told also by a test that passes.
fn tell(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).expect("somebody reads");
}
