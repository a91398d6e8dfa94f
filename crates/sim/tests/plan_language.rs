//! What if a plan is nonsense? It is refused in one sentence, or it runs, and then it breaks nothing.

use quorate_sim::{AttackChoice, Crypto, PLAN_FORMAT, Plan, SavedPlan, Stream, run};
use serde_json::{Value, json};

/// Mutated plans of each kind.
const CASES: u64 = 400;

fn saved(seed: u64) -> Value {
    let plan = Plan::generate(seed, 4, Crypto::Fast, &AttackChoice::All);
    json!({ "format": PLAN_FORMAT, "written_by": "a test", "plan": plan })
}

/// Gives whether the plan was accepted.
fn is_accepted(json: &str) -> bool {
    match SavedPlan::parse(json) {
        Ok(saved) => {
            let report = run(&saved.plan);
            assert_eq!(report.violation, None, "{}", saved.to_json());
            true
        }
        Err(error) => {
            let sentence = error.to_string();
            assert!(!sentence.is_empty() && sentence.lines().count() == 1, "{sentence}");
            false
        }
    }
}

#[test]
fn plans_with_other_values_are_refused_or_run() {
    let mut accepted = 0;
    for seed in 0..CASES {
        let mut random = Stream::new(seed, "mutated plans");
        let mut plan = saved(seed);
        for _ in 0..=random.below(2) {
            let count = count_nodes(&plan);
            let mut number = random.index(count);
            mutate(&mut plan, &mut number, &mut random);
        }
        accepted += u64::from(is_accepted(&plan.to_string()));
    }
    assert!((CASES / 10..CASES * 9 / 10).contains(&accepted), "{accepted} of {CASES} plans were accepted");
}

#[test]
fn plans_with_other_bytes_are_refused_or_run() {
    for seed in 0..CASES {
        let mut random = Stream::new(seed, "mutated bytes");
        let mut bytes = saved(seed % 8).to_string().into_bytes();
        for _ in 0..=random.below(3) {
            let at = random.index(bytes.len());
            bytes[at] = random.pick(b"0123456789{}[]\",:-.eax");
        }
        is_accepted(&String::from_utf8_lossy(&bytes));
    }
}

fn count_nodes(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count_nodes).sum(),
        Value::Object(fields) => fields.values().map(count_nodes).sum(),
        _ => 0,
    }
}

/// Changes the node with this number.
fn mutate(value: &mut Value, number: &mut usize, random: &mut Stream) -> bool {
    if *number == 0 {
        change(value, random);
        return true;
    }
    *number -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| mutate(item, number, random)),
        Value::Object(fields) => fields.values_mut().any(|field| mutate(field, number, random)),
        _ => false,
    }
}

fn change(value: &mut Value, random: &mut Stream) {
    match value {
        Value::Number(known) => {
            let known = known.as_u64().unwrap_or(0);
            *value = random.pick(&[0, 1, 2, 3, 7, known / 2, known + 1, known * 2, u64::MAX, 1 << 40]).into();
        }
        Value::String(_) => {
            let texts =
                ["", "silent", "equivocate-proposals@views=0..2", "delay&replay", "no-such-attack", "log"];
            *value = random.pick(&texts).into();
        }
        Value::Array(items) if !items.is_empty() => {
            let at = random.index(items.len());
            match random.below(3) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                _ => items.reverse(),
            }
        }
        Value::Object(fields) if !fields.is_empty() => {
            let at = random.index(fields.len());
            let name = fields.keys().nth(at).cloned().unwrap_or_default();
            match random.below(3) {
                0 => drop(fields.remove(&name)),
                1 => drop(fields.insert("another".to_owned(), Value::Null)),
                _ => drop(fields.insert(name, json!([[1]]))),
            }
        }
        other => *other = random.pick(&[true, false]).into(),
    }
}

#[test]
fn a_plan_of_another_version_says_so() {
    let parse = |value: &Value| SavedPlan::parse(&value.to_string()).map_err(|error| error.to_string());
    let mut newer = saved(0);
    newer["format"] = 2.into();
    let version = env!("CARGO_PKG_VERSION");
    let sentence = format!("the plan has format 2, and quorate {version} reads formats up to 1");
    assert_eq!(parse(&newer), Err(sentence));
    let mut unknown = saved(0);
    unknown["plan"]["weather"] = "bad".into();
    let sentence = parse(&unknown).expect_err("there is no such field");
    let begin = format!(
        "the plan, written by a test, says what quorate {version} does not understand: unknown field `weather`"
    );
    assert!(sentence.starts_with(&begin), "{sentence}");
}

#[test]
fn unfair_plans_are_refused() {
    let refused = |change: &dyn Fn(&mut Plan)| {
        let mut plan = Plan::generate(1, 4, Crypto::Fast, &AttackChoice::None);
        plan.faults.drain(..plan.faults.len() - 1);
        change(&mut plan);
        plan.validate().map_err(|error| error.to_string())
    };
    let traitor =
        |replica: u16| quorate_sim::Traitor { replica, attack: quorate_attack::Attack::Silent.into() };
    assert_eq!(refused(&|_| ()), Ok(()));
    let sentence = "2 replicas lie or lose their memory, but 4 replicas survive only 1".to_owned();
    assert_eq!(refused(&|plan| plan.byzantine = vec![traitor(0), traitor(1)]), Err(sentence));
    let sentence = "replica 4 does not exist: there are 4, numbered from 0".to_owned();
    assert_eq!(refused(&|plan| plan.byzantine = vec![traitor(4)]), Err(sentence));
    let sentence = "the last fault of a plan must be `heal`".to_owned();
    assert_eq!(refused(&|plan| plan.faults[0].fault = quorate_sim::Fault::Restore), Err(sentence));
    let sentence = "the number of clients is 17, but must be from 1 to 16".to_owned();
    assert_eq!(refused(&|plan| plan.workload.clients = 17), Err(sentence));
}
