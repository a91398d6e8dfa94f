//! How are all states found? Phase by phase, replica by replica: a set of states becomes the set of states after any of
//! the inputs that the phase allows.

use bytes::Bytes;
use quorate_consensus::Timing;
use quorate_types::message::Message;
use quorate_types::{Bundle, Digest, ProtocolParameters, ReplicaId, RequestNumber, SessionId, View};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::local::{Facts, Local, START, Step, wake};
use super::messages::{MessageId, Messages};
use super::properties::judge;
use super::scope::{Phase, Scope};
use super::traitor::Traitor;
use crate::setup::{Crypto, Setup};

/// What an exploration came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// How many states of the whole there were after each phase. Large sets are gone through slice by slice, and a state
    /// that two slices lead to counts twice.
    pub layers: Vec<Layer>,
    /// How many states of single machines.
    pub machine_states: u64,
    /// How often a machine was asked.
    pub steps: u64,
    /// Different messages, the traitor's included.
    pub messages: u64,
    /// Seconds.
    pub seconds: f64,
    /// Whether all states of all phases were found.
    pub is_complete: bool,
    /// What was broken, and how each replica came to it.
    pub violation: Option<Vec<String>>,
}

/// The states after one phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// The phase.
    pub phase: Phase,
    /// How many there are.
    pub states: u64,
}

/// The number of a machine's state.
type LocalId = u32;
/// From which state, by which steps and how many of them.
type Reach = (LocalId, Rc<Vec<Step>>, Choice);
/// A state of the whole: those of replicas 1 to 3.
type Whole = [LocalId; 3];

struct Search {
    setup: Arc<Setup>,
    traitor: Traitor,
    messages: Messages,
    locals: Vec<Rc<Local>>,
    by_digest: HashMap<Digest, LocalId>,
    /// For each state the one before it and what it got.
    came: Vec<Option<(LocalId, Step)>>,
    steps: HashMap<(LocalId, Step), LocalId>,
    facts: BTreeMap<Arc<Facts>, u32>,
    facts_of: Vec<u32>,
    sents: BTreeMap<Arc<BTreeSet<MessageId>>, u32>,
    sent_of: Vec<u32>,
    judged: HashSet<[u32; 3]>,
    said: HashMap<(Phase, [u32; 3]), Rc<Vec<MessageId>>>,
    reached: HashMap<Reach, Rc<Vec<LocalId>>>,
    violation: Option<Vec<String>>,
    /// When it ends in any case.
    end: Instant,
}

/// How many of the steps that are allowed a replica takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Choice {
    /// So many at most, in any order.
    AtMost(usize),
    AllOrNone,
    All,
}

/// Explores a scope until a property is broken, it is done, or the time is over.
#[must_use]
pub fn explore(scope: &Scope) -> Part {
    let begin = Instant::now();
    let (mut search, first) = Search::new(scope, begin + Duration::from_secs(scope.seconds_max));
    let mut part = Part::default();
    part.layers.extend(scope.phases.iter().map(|phase| Layer { phase: *phase, states: 0 }));
    part.is_complete = search.go(vec![first], &scope.phases, &mut part.layers);
    part.machine_states = search.locals.len() as u64;
    part.steps = search.steps.len() as u64;
    part.messages = search.messages.len() as u64;
    part.seconds = begin.elapsed().as_secs_f64();
    part.violation = search.violation;
    part
}

/// Most states that are gone through at a time.
const SLICE: usize = 20_000;

impl Search {
    fn new(scope: &Scope, end: Instant) -> (Self, Whole) {
        let parameters = ProtocolParameters {
            clock_bound_ms: REST.as_millis() as u64,
            session_open_max_ms: REST.as_millis() as u64,
            ..ProtocolParameters::default()
        };
        let setup = Setup::new(4, Crypto::Fast, parameters, timing());
        let primaries = scope.primaries.iter().copied().map(ReplicaId).collect();
        let setup = Arc::new(setup.exploring(primaries, REST));
        let key = setup.client_key(0);
        let session = SessionId { client: key.public(), birth: START, nonce: 0 };
        let request = (RequestNumber(0), Bytes::from_static(&[1]));
        let bundle = Bundle::sign(&setup.membership.cluster(), key, session, &[request]);
        let mut messages = Messages::default();
        let machines = wake(&setup, &bundle, &mut messages);
        let mut search = Self {
            traitor: Traitor::new(&setup, &bundle, scope.depth),
            setup,
            messages,
            locals: Vec::new(),
            by_digest: HashMap::new(),
            came: Vec::new(),
            steps: HashMap::new(),
            facts: BTreeMap::new(),
            facts_of: Vec::new(),
            sents: BTreeMap::new(),
            sent_of: Vec::new(),
            judged: HashSet::new(),
            said: HashMap::new(),
            reached: HashMap::new(),
            violation: None,
            end,
        };
        let numbers: Vec<LocalId> =
            machines.into_iter().map(|machine| search.number(machine, None)).collect();
        (search, [numbers[0], numbers[1], numbers[2]])
    }

    /// Goes through the phases, slice by slice. Gives whether all states were found before the time was over and nothing
    /// was broken.
    fn go(&mut self, states: Vec<Whole>, phases: &[Phase], layers: &mut [Layer]) -> bool {
        let (Some((phase, phases)), Some((layer, layers))) = (phases.split_first(), layers.split_first_mut())
        else {
            return true;
        };
        for slice in states.chunks(SLICE) {
            let next = match *phase {
                Phase::Any(steps) => self.any_order(slice, steps),
                phase => self.pass(slice, phase),
            };
            let Some(next) = next else { return false };
            layer.states += next.len() as u64;
            if !self.go(next, phases, layers) {
                return false;
            }
        }
        true
    }

    /// Lets each replica in turn get what the phase allows. `None` if the time is over or something is broken.
    fn pass(&mut self, states: &[Whole], phase: Phase) -> Option<Vec<Whole>> {
        let mut states = states.to_vec();
        for replica in 0..3 {
            let mut next: Vec<Whole> = Vec::with_capacity(states.len());
            for state in &states {
                let steps = self.allowed(phase, state, replica);
                let choice = self.choice(phase, replica);
                for reached in self.reach(state[replica], steps, choice).iter() {
                    let mut after = *state;
                    after[replica] = *reached;
                    next.push(after);
                }
            }
            next.sort_unstable();
            next.dedup();
            states = next;
            if !self.judge_all(&states) {
                return None;
            }
        }
        Some(states)
    }

    /// One input of any kind at a time. `None` as in [`Self::pass`].
    fn any_order(&mut self, states: &[Whole], steps: u8) -> Option<Vec<Whole>> {
        let views = self.setup.first_primaries.len() as u64;
        let of_view = |view| [Phase::Propose(view), Phase::Vote(view), Phase::Commits(view)];
        let mut phases: Vec<Phase> = (0..views).flat_map(of_view).collect();
        phases.extend((1..views).map(Phase::ViewChange));
        phases.extend([Phase::Timeout, Phase::Fetch, Phase::Data]);
        let mut seen: HashSet<Whole> = states.iter().copied().collect();
        let mut edge = states.to_vec();
        for _ in 0..steps {
            let mut next = Vec::new();
            for state in &edge {
                for (phase, replica) in
                    phases.iter().flat_map(|phase| (0..3).map(move |replica| (phase, replica)))
                {
                    for step in self.allowed(*phase, state, replica).iter() {
                        let mut after = *state;
                        after[replica] = self.step(state[replica], *step);
                        if seen.insert(after) {
                            next.push(after);
                        }
                    }
                }
                if Instant::now() > self.end {
                    return None;
                }
            }
            if !self.judge_all(&next) {
                return None;
            }
            edge = next;
        }
        Some(seen.into_iter().collect())
    }

    /// What a replica may get in a phase.
    fn allowed(&mut self, phase: Phase, state: &Whole, replica: usize) -> Rc<Vec<Step>> {
        if matches!(phase, Phase::Timeout | Phase::Timeouts) {
            let can = self.locals[state[replica] as usize].can_time_out();
            return Rc::new(if can { vec![Step::Timeout] } else { Vec::new() });
        }
        let id = ReplicaId(replica as u16 + 1);
        let said = self.said(phase, state);
        // Certificates for itself are all that a backup needs of view changes.
        let is_backup = self.is_backup(phase, id);
        let mut is_first = true;
        let mut steps = Vec::new();
        for number in said.iter() {
            let sent = self.messages.get(*number);
            let is_traitors = sent.from == super::traitor::TRAITOR;
            if sent.from == id || sent.to.is_some_and(|to| to != id) {
                continue;
            }
            if is_backup && is_traitors && !std::mem::take(&mut is_first) {
                continue;
            }
            steps.push(Step::Message(*number));
        }
        Rc::new(steps)
    }

    /// The messages of a phase that were sent or that the traitor can send.
    fn said(&mut self, phase: Phase, state: &Whole) -> Rc<Vec<MessageId>> {
        let key = (phase, state.map(|local| self.sent_of[local as usize]));
        if let Some(said) = self.said.get(&key) {
            return Rc::clone(said);
        }
        let sent: BTreeSet<MessageId> =
            state.iter().flat_map(|local| self.locals[*local as usize].sent.iter().copied()).collect();
        let sent: Vec<MessageId> = sent.into_iter().collect();
        let mut said = self.traitor.vocabulary(phase, &sent, &mut self.messages);
        said.extend(sent.iter().copied().filter(|number| is_of(phase, &self.messages.get(*number).message)));
        said.sort_unstable();
        let said = Rc::new(said);
        self.said.insert(key, Rc::clone(&said));
        said
    }

    /// How much of what is allowed a replica gets.
    fn choice(&self, phase: Phase, replica: usize) -> Choice {
        match phase {
            Phase::Propose(_) => Choice::AtMost(2),
            Phase::Timeouts => Choice::All,
            Phase::Votes(_) | Phase::Commits(_) | Phase::Fetch | Phase::Data => Choice::AllOrNone,
            Phase::ViewChange(_) if self.is_backup(phase, ReplicaId(replica as u16 + 1)) => Choice::AllOrNone,
            Phase::Vote(_) | Phase::Timeout | Phase::ViewChange(_) | Phase::Any(_) => {
                Choice::AtMost(usize::MAX)
            }
        }
    }

    fn is_backup(&self, phase: Phase, id: ReplicaId) -> bool {
        matches!(phase, Phase::ViewChange(view) if self.setup.membership.primary(View(view)) != id)
    }

    /// All states that the steps lead to.
    fn reach(&mut self, from: LocalId, steps: Rc<Vec<Step>>, choice: Choice) -> Rc<Vec<LocalId>> {
        let key = (from, steps, choice);
        if let Some(reached) = self.reached.get(&key) {
            return Rc::clone(reached);
        }
        let steps = &key.1;
        let all = |search: &mut Self| steps.iter().fold(from, |state, step| search.step(state, *step));
        let mut reached = match choice {
            Choice::All => vec![all(self)],
            Choice::AllOrNone => vec![from, all(self)],
            Choice::AtMost(count) => self.reach_in_any_order(from, steps, count),
        };
        reached.dedup();
        let reached = Rc::new(reached);
        self.reached.insert(key, Rc::clone(&reached));
        reached
    }

    fn reach_in_any_order(&mut self, from: LocalId, steps: &[Step], count: usize) -> Vec<LocalId> {
        let (mut reached, mut begin) = (vec![from], 0);
        for _ in 0..count {
            let end = reached.len();
            for place in begin..end {
                for step in steps {
                    // A timer that was set again belongs to the next phase.
                    let after = if *step == Step::Timeout && place > 0 {
                        from
                    } else {
                        self.step(reached[place], *step)
                    };
                    if !reached.contains(&after) {
                        reached.push(after);
                    }
                }
            }
            if reached.len() == end {
                break;
            }
            begin = end;
        }
        reached
    }

    fn step(&mut self, from: LocalId, step: Step) -> LocalId {
        if let Some(after) = self.steps.get(&(from, step)) {
            return *after;
        }
        let after = self.locals[from as usize].step(step, &mut self.messages, &self.setup.verifier);
        let after = self.number(after, Some((from, step)));
        self.steps.insert((from, step), after);
        after
    }

    fn number(&mut self, local: Local, came: Option<(LocalId, Step)>) -> LocalId {
        let next = self.locals.len() as LocalId;
        let number = *self.by_digest.entry(local.digest()).or_insert(next);
        if number == next {
            let count = self.facts.len() as u32;
            self.facts_of.push(*self.facts.entry(Arc::clone(&local.facts)).or_insert(count));
            let count = self.sents.len() as u32;
            self.sent_of.push(*self.sents.entry(Arc::clone(&local.sent)).or_insert(count));
            self.locals.push(Rc::new(local));
            self.came.push(came);
        }
        number
    }

    /// Whether the properties hold in all of these states, and there is time left.
    fn judge_all(&mut self, states: &[Whole]) -> bool {
        if Instant::now() > self.end {
            return false;
        }
        for state in states {
            if !self.judged.insert(state.map(|local| self.facts_of[local as usize])) {
                continue;
            }
            let facts = state.map(|local| &*self.locals[local as usize].facts);
            if let Some(broken) = judge(facts, &self.messages) {
                self.violation = Some(self.story(broken, state));
                return false;
            }
        }
        true
    }

    /// What each replica got, in order.
    fn story(&self, broken: String, state: &Whole) -> Vec<String> {
        let mut story = vec![broken];
        for (replica, local) in (1..).zip(state) {
            let mut steps = Vec::new();
            let mut at = *local;
            while let Some((before, step)) = self.came[at as usize] {
                steps.push(match step {
                    Step::Timeout => format!("replica {replica}: its timer runs out"),
                    Step::Message(number) => {
                        let sent = self.messages.get(number);
                        format!("replica {replica} gets from {}: {}", sent.from, show(&sent.message))
                    }
                });
                at = before;
            }
            story.extend(steps.into_iter().rev());
        }
        story
    }
}

/// Whether a message belongs to a phase.
fn is_of(phase: Phase, message: &Message) -> bool {
    match (phase, message) {
        (Phase::Propose(view), Message::Propose(propose)) => propose.header.header.view.0 == view,
        (Phase::Vote(view) | Phase::Votes(view), Message::Vote(vote)) => vote.vote.view.0 == view,
        (Phase::Commits(view), Message::Commit(commit)) => commit.vote.view.0 == view,
        (Phase::ViewChange(view), Message::ViewChange(change)) => change.new_view.0 == view,
        (Phase::Fetch, Message::Fetch(_)) | (Phase::Data, Message::Data(_)) => true,
        _ => false,
    }
}

/// A message in a line.
fn show(message: &Message) -> String {
    match message {
        Message::Propose(propose) => {
            let header = &propose.header.header;
            format!(
                "block {:?} of view {} at height {} above {:?}",
                header.digest(),
                header.view,
                header.height,
                header.parent
            )
        }
        Message::Vote(vote) => format!("vote of view {} for {:?}", vote.vote.view, vote.vote.digest),
        Message::Commit(commit) => {
            format!("commit vote of view {} for {:?}", commit.vote.view, commit.vote.digest)
        }
        Message::ViewChange(change) => {
            let claim: Vec<Digest> = change.claim.iter().map(|signed| signed.header.digest()).collect();
            format!(
                "view change for view {} on {:?} with claim {claim:?}",
                change.new_view, change.high_qc.vote.digest
            )
        }
        other => format!("{other:?}").chars().take(100).collect(),
    }
}

/// What rests: longer than any exploration.
const REST: Duration = Duration::from_secs(100_000);

/// No timer runs but those of views.
fn timing() -> Timing {
    Timing {
        batch_delay: Duration::ZERO,
        view_timeout_min: Duration::from_secs(1),
        view_timeout_max: Duration::from_secs(1),
        grace: REST,
        status_interval: REST,
        fairness_timeout: REST,
        fetch_timeout: REST,
        wish_interval: REST,
    }
}
