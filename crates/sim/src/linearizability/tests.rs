//! Good and bad histories of registers, by hand and drawn.

use super::*;

/// Registers that begin at 0.
struct Registers;

#[derive(Clone, Copy, Debug)]
enum Input {
    Read(char),
    Write(char, u64),
    Swap(char, u64, u64),
}
use Input::{Read, Swap, Write};

impl Model for Registers {
    type Input = Input;
    type Output = u64;
    type Key = char;
    type State = u64;

    fn key(&self, input: &Input) -> char {
        match input {
            Read(key) | Write(key, _) | Swap(key, ..) => *key,
        }
    }

    /// Every operation answers with the value before it.
    fn step(&self, state: &u64, input: &Input, output: Option<&u64>) -> Option<u64> {
        if output.is_some_and(|output| output != state) {
            return None;
        }
        Some(match input {
            Read(_) => *state,
            Write(_, value) => *value,
            Swap(_, expected, value) => {
                if state == expected {
                    *value
                } else {
                    *state
                }
            }
        })
    }
}

fn done(input: Input, invoked: u64, returned: u64, output: u64) -> Operation<Input, u64> {
    Operation { input, invoked, returned: Some((output, returned)) }
}

fn open(input: Input, invoked: u64) -> Operation<Input, u64> {
    Operation { input, invoked, returned: None }
}

fn is_linearizable(history: &[Operation<Input, u64>]) -> bool {
    check(&Registers, history).is_ok()
}

#[test]
fn what_follows_each_other_is_read_in_its_order() {
    assert!(is_linearizable(&[]));
    assert!(is_linearizable(&[done(Write('a', 1), 0, 1, 0), done(Read('a'), 2, 3, 1)]));
    let stale = [done(Write('a', 1), 0, 1, 0), done(Read('a'), 2, 3, 0)];
    assert_eq!(check(&Registers, &stale), Err(NotLinearizable { operation: 1, explained: 1, of: 2 }));
}

#[test]
fn what_overlaps_may_come_in_any_order() {
    for seen in [0, 1] {
        assert!(is_linearizable(&[done(Write('a', 1), 0, 9, 0), done(Read('a'), 1, 2, seen)]));
    }
    // Touching is overlapping: the clock does not tell which was first.
    assert!(is_linearizable(&[done(Write('a', 1), 0, 5, 0), done(Read('a'), 5, 6, 0)]));
    // Once somebody has seen the new value, nobody sees the old one later.
    let back = [done(Write('a', 1), 0, 9, 0), done(Read('a'), 1, 2, 1), done(Read('a'), 3, 4, 0)];
    assert!(!is_linearizable(&back));
}

#[test]
fn what_nobody_heard_of_has_its_effect_once_or_not_at_all() {
    assert!(is_linearizable(&[open(Write('a', 1), 0), done(Read('a'), 5, 6, 0), done(Read('a'), 7, 8, 1)]));
    assert!(is_linearizable(&[open(Write('a', 1), 0), done(Read('a'), 5, 6, 0)]));
    assert!(
        !is_linearizable(&[done(Read('a'), 0, 1, 1), open(Write('a', 1), 2)]),
        "not before it was asked for"
    );
    let twice = [open(Write('a', 1), 0), done(Write('a', 2), 1, 2, 1), done(Write('a', 3), 3, 4, 1)];
    assert!(!is_linearizable(&twice));
}

#[test]
fn a_lost_or_repeated_update_is_seen() {
    let lost = [done(Swap('a', 0, 1), 0, 1, 0), done(Swap('a', 1, 2), 2, 3, 0)];
    assert!(!is_linearizable(&lost));
    let both = [done(Swap('a', 0, 1), 0, 5, 0), done(Swap('a', 0, 2), 1, 6, 0)];
    assert!(!is_linearizable(&both), "one of two swaps from one value fails");
    assert!(is_linearizable(&[done(Swap('a', 0, 1), 0, 5, 2), done(Swap('a', 0, 2), 1, 6, 0)]));
}

#[test]
fn keys_are_judged_apart_and_each_is_judged() {
    let history = [
        done(Write('a', 1), 0, 1, 0),
        done(Write('b', 2), 0, 1, 0),
        done(Read('a'), 2, 3, 1),
        done(Read('b'), 2, 3, 0),
    ];
    assert!(is_linearizable(&history[..3]));
    assert_eq!(check(&Registers, &history), Err(NotLinearizable { operation: 3, explained: 1, of: 2 }));
}

/// A real register, whose operations take effect at one moment between call and return, drawn; then the same with one
/// answer changed to a value that was never there.
#[test]
fn drawn_histories_are_accepted_until_an_answer_is_changed() {
    for seed in 0..100 {
        let mut random = crate::stream::Stream::new(seed, "histories");
        let mut calls: Vec<(u64, u64, u64)> = (0..40)
            .map(|_| {
                let effect = random.below(400);
                (effect, effect.saturating_sub(random.below(12)), effect + random.below(12))
            })
            .collect();
        calls.sort_unstable();
        let mut value = 0;
        let mut history = Vec::new();
        for (_, invoked, returned) in calls {
            let new = 1 + random.below(5);
            let input = [Read('a'), Write('a', new), Swap('a', new, new + 1)][random.below(3) as usize];
            let is_heard = random.below(20) > 0;
            let state = Registers.step(&value, &input, None).expect("any answer will do");
            history.push(Operation { input, invoked, returned: is_heard.then_some((value, returned)) });
            value = state;
        }
        assert_eq!(check(&Registers, &history), Ok(()), "seed {seed}");
        let place = history.iter().rposition(|operation| operation.returned.is_some()).expect("some return");
        if let Some((output, _)) = &mut history[place].returned {
            *output = 99;
        }
        assert!(!is_linearizable(&history), "seed {seed}");
    }
}

/// Long histories with little overlap take no more than their length.
#[test]
fn a_long_history_is_judged_at_once() {
    let history: Vec<_> = (0..20_000).map(|at| done(Write('a', at + 1), 10 * at, 10 * at + 15, at)).collect();
    assert!(is_linearizable(&history));
}
