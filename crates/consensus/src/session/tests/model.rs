//! The table against a model that keeps the whole history and decides by looking through it.

use super::*;
use proptest::prelude::*;

/// Everything that was ever executed, and who is in the table.
struct Model {
    sessions_max: usize,
    open: Vec<SessionId>,
    evicted: Vec<SessionId>,
    executed: Vec<(SessionId, u64, Height)>,
}

impl Model {
    fn admit(&mut self, time: u64, height: Height, id: SessionId, number: u64) -> Admission {
        if !self.open.contains(&id)
            && let Err(refused) = self.open(time, id)
        {
            return refused;
        }
        let mut of_session = self.executed.iter().filter(|(session, ..)| *session == id);
        let highest = of_session.clone().map(|(_, number, _)| *number).max();
        if highest.is_some_and(|highest| u128::from(number) + 64 <= u128::from(highest)) {
            return Admission::Rejected(Outcome::Forgotten);
        }
        if let Some((_, _, height)) = of_session.find(|(_, other, _)| *other == number) {
            return Admission::Repeat(Some((*height, reply(number))));
        }
        self.executed.push((id, number, height));
        Admission::Execute
    }

    fn open(&mut self, time: u64, id: SessionId) -> Result<(), Admission> {
        let birth = id.birth.0 / 1_000_000;
        if time + BOUND < birth {
            return Err(Admission::Early);
        }
        if time > birth + OPEN {
            let may_have_run = self.evicted.iter().any(|other| other.birth >= id.birth);
            let outcome = if may_have_run { Outcome::Forgotten } else { Outcome::SessionExpired };
            return Err(Admission::Rejected(outcome));
        }
        if self.open.len() == self.sessions_max {
            let ended = self.open.iter().filter(|other| time > other.birth.0 / 1_000_000 + OPEN);
            let last = |id: &SessionId| {
                self.executed.iter().filter(|(other, ..)| other == id).map(|(.., height)| *height).max()
            };
            let Some(victim) = ended.copied().min_by_key(|id| (last(id), *id)) else { return Err(FULL) };
            self.open.retain(|other| *other != victim);
            self.evicted.push(victim);
        }
        self.open.push(id);
        Ok(())
    }
}

#[derive(Clone, Debug)]
struct Step {
    pass: u64,
    key: u8,
    birth: Birth,
    number: u64,
    new_block: bool,
}

#[derive(Clone, Debug)]
enum Birth {
    /// This long before the agreed time.
    Before(i64),
    /// That of a session which appeared earlier.
    Seen(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let birth = prop_oneof![
        (-(BOUND as i64) - 3..=BOUND as i64 + 3).prop_map(Birth::Before),
        (OPEN as i64 - 2..=OPEN as i64 + 2).prop_map(Birth::Before),
        any::<usize>().prop_map(Birth::Seen),
        any::<usize>().prop_map(Birth::Seen),
    ];
    let number = prop_oneof![0..6_u64, 60..70_u64, 120..140_u64, u64::MAX - 70..=u64::MAX];
    let pass = prop_oneof![8 => Just(0), 8 => 0..500_u64, 1 => 0..70_000_u64];
    (pass, 0..6_u8, birth, number, any::<bool>()).prop_map(|(pass, key, birth, number, new_block)| Step {
        pass,
        key,
        birth,
        number,
        new_block,
    })
}

proptest! {
    #[test]
    fn the_table_agrees_with_its_model(
        sessions_max in 1..5_usize,
        steps in proptest::collection::vec(step(), 1..300),
    ) {
        let mut table = table(sessions_max as u32);
        let mut model = Model { sessions_max, open: vec![], evicted: vec![], executed: vec![] };
        let (mut time, mut height) = (100_000, Height(1));
        let mut seen: Vec<SessionId> = vec![];
        let mut history = BTreeSet::new();
        let mut never_ran = BTreeSet::new();
        for step in steps {
            time += step.pass;
            if step.new_block || step.pass > 0 {
                height = height.next();
            }
            let id = match step.birth {
                Birth::Seen(at) if !seen.is_empty() => seen[at % seen.len()],
                Birth::Before(before) => session(step.key, time.saturating_add_signed(-before)),
                Birth::Seen(_) => session(step.key, time),
            };
            seen.push(id);
            let outlook = table.outlook(ms(time), &id, n(step.number));
            let admission = table.admit(ms(time), height, &id, n(step.number));
            prop_assert_eq!(&admission, &model.admit(time, height, id, step.number));
            prop_assert!(is_same(&outlook, &admission), "{:?} but {:?}", outlook, admission);
            match admission {
                Admission::Execute => {
                    prop_assert!(history.insert((id, step.number)), "a request ran twice");
                    prop_assert!(!never_ran.contains(&id), "a request ran that was said never to run");
                    table.complete(&id, n(step.number), height, reply(step.number));
                }
                Admission::Rejected(Outcome::SessionExpired) => {
                    prop_assert!(history.range((id, 0)..=(id, u64::MAX)).next().is_none());
                    never_ran.insert(id);
                }
                _ => {}
            }
            prop_assert_eq!(table.count(), model.open.len());
            prop_assert!(table.protected.len() + table.evictable.len() == table.count());
        }
    }
}

fn is_same(outlook: &Outlook, admission: &Admission) -> bool {
    match (outlook, admission) {
        (Outlook::Executes, Admission::Execute) | (Outlook::Running, Admission::Repeat(None)) => true,
        (Outlook::Executed(height, outcome), Admission::Repeat(Some(repeat))) => {
            *repeat == (*height, outcome.clone())
        }
        (Outlook::Refused(why), Admission::Rejected(outcome)) => matches!(
            (why, outcome),
            (Rejection::SessionExpired, Outcome::SessionExpired | Outcome::Forgotten)
                | (Rejection::NumberOutOfWindow, Outcome::Forgotten)
                | (Rejection::SessionsFull, Outcome::SessionsFull)
        ),
        (Outlook::Refused(Rejection::SessionExpired), Admission::Early) => true,
        _ => false,
    }
}
