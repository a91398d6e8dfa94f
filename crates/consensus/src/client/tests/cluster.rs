//! The client against the real session table, a network that loses, delays and repeats, rivals
//! that fill the table, and one replica that lies. The judge is the history of what was executed.

use super::*;
use crate::session::{Admission, Outlook, SessionTable};
use proptest::prelude::*;

/// One thing that happens; numbers pick among what there is.
#[derive(Clone, Debug)]
enum Step {
    Submit(u8),
    Cancel(usize),
    /// Ask for an id, after which it may not change.
    Name(usize),
    /// Retry what ended as unknown.
    Retry(usize),
    /// A message to a replica arrives, or is lost.
    Deliver(usize, bool),
    /// A bundle that some replica holds is ordered, perhaps not for the first time; these honest
    /// replicas' replies arrive.
    Order(usize, i64, [bool; 3]),
    /// Another client opens a session, born this long before the agreed time.
    Rival(i64),
    /// The liar replies or refuses.
    Lie(usize, u64, u8),
    Pass(u64),
    Connect(u8, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let any_index = any::<usize>();
    prop_oneof![
        4 => (1..6_u8).prop_map(Step::Submit),
        1 => any_index.prop_map(Step::Cancel),
        1 => any_index.prop_map(Step::Name),
        2 => any_index.prop_map(Step::Retry),
        8 => (any_index, prop::bool::weighted(0.2)).prop_map(|(at, lost)| Step::Deliver(at, lost)),
        8 => (any_index, -3_000..1_000_i64, any::<[bool; 3]>())
            .prop_map(|(at, skew, heard)| Step::Order(at, skew, heard)),
        1 => (-1_000..61_000_i64).prop_map(Step::Rival),
        3 => (any_index, 0..10_u64, 0..8_u8).prop_map(|(at, height, kind)| Step::Lie(at, height, kind)),
        4 => prop_oneof![0..300_u64, 0..70_000_u64].prop_map(Step::Pass),
        1 => (0..4_u8, any::<bool>()).prop_map(|(replica, up)| Step::Connect(replica, up)),
    ]
}

struct Cluster {
    scene: Scene,
    table: SessionTable,
    time: Time,
    height: Height,
    held: Vec<Bundle>,
    /// Every execution of the client's commands.
    history: Vec<(Vec<u8>, RequestId, Height)>,
    /// What the client was given, by ticket.
    commands: BTreeMap<Ticket, Vec<u8>>,
    cancelled: BTreeSet<Ticket>,
    ended: Vec<(Ticket, Result<Completed, ClientError>)>,
}

impl Cluster {
    fn new() -> Self {
        let mut scene = Scene::with(|config| {
            config.window = 6;
            config.bundle_max = 3;
            config.parameters.sessions_max = 2;
        });
        scene.take_receivers();
        let table = SessionTable::new(&scene.client.config.parameters);
        Self {
            scene,
            table,
            time: Time(CLOCK * 1_000_000),
            height: Height(0),
            held: vec![],
            history: vec![],
            commands: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            ended: vec![],
        }
    }

    /// The replicas' clocks run with the client's.
    fn clock(&self) -> Time {
        Time(CLOCK * 1_000_000 + self.scene.now.0 - 5_000_000_000)
    }

    fn submit(&mut self) {
        let command = format!("command {}", self.commands.len()).into_bytes();
        let ticket = self.scene.queue(&command);
        self.commands.insert(ticket, command);
    }

    fn retry(&mut self, at: usize) {
        let unknown = self.ended.iter().filter_map(|(ticket, result)| match result {
            Err(ClientError::Unknown(id)) => Some((*ticket, *id)),
            _ => None,
        });
        let unknown: Vec<_> = unknown.collect();
        let Some((ticket, id)) = pick(&unknown, at) else { return };
        let command = self.commands[ticket].clone();
        let ticket = self.scene.retry(*id, &command);
        self.commands.insert(ticket, command);
    }

    fn deliver(&mut self, at: usize, is_lost: bool) {
        if self.scene.sent.is_empty() {
            return;
        }
        let (to, message) = self.scene.sent.remove(at % self.scene.sent.len());
        if is_lost {
            return;
        }
        match message {
            ClientMessage::Hello => {
                let clock = self.clock().0 / 1_000_000;
                self.scene.welcome(to, if to == R3 { clock + 500_000 } else { clock }, 0);
            }
            ClientMessage::Request(raw) => {
                self.receive(to, Bundle::parse(raw).expect("the client's bundles are in order"));
            }
        }
    }

    /// An honest replica answers what it can and keeps the rest; the liar only keeps it.
    fn receive(&mut self, replica: ReplicaId, bundle: Bundle) {
        let mut refusals = vec![];
        for request in bundle.requests() {
            match self.table.outlook(self.clock(), bundle.session(), request.number) {
                Outlook::Executed(height, outcome) if replica != R3 => {
                    self.scene.reply_in(*bundle.session(), &[replica], request.number.0, height.0, &outcome);
                }
                Outlook::Refused(why) => refusals.push(why),
                _ => {}
            }
        }
        if refusals.len() == bundle.requests().len() && replica != R3 {
            self.scene.refuse(&[replica], &bundle, refusals[0]);
        }
        if !self.held.contains(&bundle) {
            self.held.push(bundle);
        }
    }

    fn order(&mut self, at: usize, skew: i64, heard: [bool; 3]) {
        let Some(bundle) = pick(&self.held, at).cloned() else { return };
        self.next_block(skew);
        let session = *bundle.session();
        for request in bundle.requests() {
            let number = request.number;
            let (height, outcome) = match self.table.admit(self.time, self.height, &session, number) {
                Admission::Execute => {
                    let id = RequestId { session, number };
                    self.history.push((request.command.to_vec(), id, self.height));
                    let outcome = match number.0 % 7 {
                        5 => Outcome::ReplyTooLarge,
                        _ => Outcome::Executed(request.command.to_vec()),
                    };
                    self.table.complete(&session, number, self.height, outcome.clone());
                    (self.height, outcome)
                }
                Admission::Repeat(repeat) => repeat.expect("nothing is running between blocks"),
                Admission::Rejected(outcome) => (self.height, outcome),
                Admission::Early => continue,
            };
            for replica in [R0, R1, R2].into_iter().filter(|replica| heard[replica.index()]) {
                self.scene.reply_in(session, &[replica], number.0, height.0, &outcome);
            }
        }
    }

    fn next_block(&mut self, skew: i64) {
        let time = self.clock().0.saturating_add_signed(skew * 1_000_000);
        self.time = self.time.max(Time(time));
        self.height = self.height.next();
    }

    fn rival(&mut self, before: i64) {
        self.next_block(0);
        let birth = Time(self.time.0.saturating_add_signed(-before * 1_000_000));
        let session = SessionId { client: key(66).public(), birth, nonce: self.height.0 };
        if self.table.admit(self.time, self.height, &session, RequestNumber(0)) == Admission::Execute {
            self.table.complete(&session, RequestNumber(0), self.height, Outcome::Malformed);
        }
    }

    fn lie(&mut self, at: usize, height: u64, kind: u8) {
        let Some(bundle) = pick(&self.held, at).cloned() else { return };
        let number = bundle.requests()[at % bundle.requests().len()].number;
        let outcome = match kind {
            0 => executed("a lie"),
            1 => Outcome::Malformed,
            2 => Outcome::SessionExpired,
            3 => Outcome::SessionsFull,
            4 => Outcome::Forgotten,
            5 => return self.scene.refuse(&[R3], &bundle, Rejection::SessionExpired),
            6 => return self.scene.refuse(&[R3], &bundle, Rejection::Overloaded),
            _ => return self.scene.welcome(R3, height * 100_000_000, u64::MAX),
        };
        let height = self.height.0.saturating_sub(height);
        self.scene.reply_in(*bundle.session(), &[R3], number.0, height, &outcome);
    }

    fn perform(&mut self, step: Step) {
        match step {
            Step::Submit(count) => (0..count).for_each(|_| self.submit()),
            Step::Cancel(at) => {
                let tickets: Vec<Ticket> = self.commands.keys().copied().collect();
                if let Some(ticket) = pick(&tickets, at) {
                    self.scene.give(ClientInput::Cancel(*ticket));
                    self.cancelled.insert(*ticket);
                }
            }
            Step::Name(at) => {
                let tickets: Vec<Ticket> = self.scene.client.ids.keys().copied().collect();
                if let Some(ticket) = pick(&tickets, at) {
                    let _ = self.scene.client.request_id_of(*ticket);
                }
            }
            Step::Retry(at) => self.retry(at),
            Step::Deliver(at, is_lost) => self.deliver(at, is_lost),
            Step::Order(at, skew, heard) => self.order(at, skew, heard),
            Step::Rival(before) => self.rival(before),
            Step::Lie(at, height, kind) => self.lie(at, height, kind),
            Step::Pass(span) => self.scene.pass(span),
            Step::Connect(replica, true) => self.connect(ReplicaId(u16::from(replica))),
            Step::Connect(replica, false) => {
                self.scene.give(ClientInput::Disconnected(ReplicaId(u16::from(replica))));
            }
        }
        self.scene.poll();
        self.ended.append(&mut self.scene.done);
    }

    fn connect(&mut self, replica: ReplicaId) {
        self.scene.give(ClientInput::Connected(replica));
        let clock = self.clock().0 / 1_000_000;
        self.scene.welcome(replica, clock, 0);
    }

    /// The network heals: whatever is sent arrives and is ordered, and all honest replies arrive.
    fn heal(&mut self) {
        ALL.into_iter().for_each(|replica| self.connect(replica));
        for _ in 0..1_000 {
            while !self.scene.sent.is_empty() {
                self.deliver(0, false);
                if !self.held.is_empty() {
                    self.order(self.held.len() - 1, 0, [true; 3]);
                }
            }
            self.scene.pass(50);
            self.ended.append(&mut self.scene.done);
        }
        // Somebody keeps every bundle and has each ordered once more.
        for at in 0..self.held.len() {
            self.order(at, 0, [false; 3]);
        }
    }
}

fn pick<T>(from: &[T], at: usize) -> Option<&T> {
    from.get(at.checked_rem(from.len())?)
}

proptest! {
    #[test]
    fn every_submission_runs_at_most_once_and_ends_with_the_truth(
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut cluster = Cluster::new();
        for step in steps {
            cluster.perform(step);
        }
        cluster.heal();

        let mut executions: BTreeMap<&[u8], Vec<(RequestId, Height)>> = BTreeMap::new();
        for (command, id, height) in &cluster.history {
            executions.entry(command).or_default().push((*id, *height));
        }
        for (command, runs) in &executions {
            prop_assert!(runs.len() == 1, "{} ran more than once: {:?}", String::from_utf8_lossy(command), runs);
        }
        let mut tickets = BTreeSet::new();
        for (ticket, result) in &cluster.ended {
            prop_assert!(tickets.insert(*ticket), "{ticket:?} ended twice");
            let command = &cluster.commands[ticket];
            let run = executions.get(command.as_slice()).map(|runs| runs[0]);
            match result {
                Ok(Completed { id, height, reply }) => {
                    prop_assert_eq!(run, Some((*id, *height)));
                    prop_assert_eq!(reply, command);
                }
                Err(ClientError::Rejected(why)) => prop_assert_eq!(run, None, "rejected: {:?}", why),
                Err(ClientError::NoQuorum { .. }) => prop_assert_eq!(run, None, "said not to be sent"),
                Err(ClientError::Unknown(id)) => {
                    prop_assert!(run.is_none_or(|(ran_as, _)| ran_as == *id), "unknown under a wrong id");
                }
            }
        }
        for ticket in cluster.commands.keys() {
            prop_assert!(tickets.contains(ticket) || cluster.cancelled.contains(ticket), "{:?} never ended", ticket);
        }
        let client = &cluster.scene.client;
        prop_assert!(client.ids.is_empty() && client.queue.is_empty() && client.retries.is_empty());
        prop_assert_eq!(client.retries_in_flight, 0);
        prop_assert_eq!(client.timers.len(), client.bundles.len());
    }
}
