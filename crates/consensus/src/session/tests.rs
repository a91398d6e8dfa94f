//! Scenarios of rule R1, one behaviour each.

mod model;

use super::*;
use quorate_types::{Digest, PublicKey};

const BOUND: u64 = 2_000;
const OPEN: u64 = 60_000;

#[test]
fn a_session_opens_from_birth_minus_the_bound_to_birth_plus_the_opening_limit() {
    for (after_birth, expected) in [
        (-(BOUND as i64) - 1, Admission::Early),
        (-(BOUND as i64), Admission::Execute),
        (OPEN as i64, Admission::Execute),
        (OPEN as i64 + 1, Admission::Rejected(Outcome::SessionExpired)),
    ] {
        let mut table = table(2);
        let time = (100_000_i64 + after_birth) as u64;
        assert_eq!(table.admit(ms(time), Height(1), &session(1, 100_000), n(0)), expected, "{after_birth}");
    }
}

#[test]
fn a_request_that_came_early_runs_once_its_time_has_come() {
    let mut table = table(2);
    let ahead = session(1, 10_000);
    assert_eq!(table.admit(ms(1), Height(1), &ahead, n(0)), Admission::Early);
    assert_eq!(table.count(), 0);
    assert_eq!(table.admit(ms(9_000), Height(2), &ahead, n(0)), Admission::Execute);
}

#[test]
fn a_request_runs_once_and_repeats_get_its_outcome() {
    let mut table = table(2);
    let alice = session(1, 1_000);
    assert_eq!(table.admit(ms(1_000), Height(1), &alice, n(7)), Admission::Execute);
    // The same number again in the same block, while the first is still running.
    assert_eq!(table.admit(ms(1_000), Height(1), &alice, n(7)), Admission::Repeat(None));
    table.complete(&alice, n(7), Height(1), reply(5));
    let repeat = Admission::Repeat(Some((Height(1), reply(5))));
    assert_eq!(table.admit(ms(1_500), Height(2), &alice, n(7)), repeat);
    // Also long after the session could be opened.
    assert_eq!(table.admit(ms(900_000), Height(3), &alice, n(7)), repeat);
}

#[test]
fn sessions_do_not_share_numbers() {
    let mut table = table(3);
    let twin = SessionId { nonce: 1, ..session(1, 1_000) };
    for id in [session(1, 1_000), session(2, 1_000), twin] {
        assert_eq!(table.admit(ms(1_000), Height(1), &id, n(0)), Admission::Execute);
    }
}

#[test]
fn numbers_run_in_any_order_down_to_the_window() {
    let mut table = table(2);
    let alice = session(1, 1_000);
    let mut admit = |number| table.admit(ms(1_000), Height(1), &alice, n(number));
    assert_eq!(admit(100), Admission::Execute);
    assert_eq!(admit(37), Admission::Execute);
    assert_eq!(admit(36), Admission::Rejected(Outcome::Forgotten));
    assert_eq!(admit(101), Admission::Execute);
    // 37 ran and is below the window now: its outcome is gone, and it does not run again.
    assert_eq!(admit(37), Admission::Rejected(Outcome::Forgotten));
    assert_eq!(admit(38), Admission::Execute);
}

#[test]
fn every_number_is_safe() {
    let mut table = table(2);
    let alice = session(1, 1_000);
    let mut admit = |number| table.admit(ms(1_000), Height(1), &alice, n(number));
    assert_eq!(admit(0), Admission::Execute);
    assert_eq!(admit(0), Admission::Repeat(None));
    assert_eq!(admit(u64::MAX), Admission::Execute);
    assert_eq!(admit(u64::MAX), Admission::Repeat(None));
    assert_eq!(admit(u64::MAX - 63), Admission::Execute);
    assert_eq!(admit(u64::MAX - 64), Admission::Rejected(Outcome::Forgotten));
    assert_eq!(admit(0), Admission::Rejected(Outcome::Forgotten));
}

#[test]
fn absurd_births_neither_open_nor_overflow() {
    let mut table = table(2);
    assert_eq!(table.admit(ms(1), Height(1), &session_at(1, Time(u64::MAX)), n(0)), Admission::Early);
    assert_eq!(table.admit(ms(1), Height(1), &session_at(1, Time(0)), n(0)), Admission::Execute);
    assert_eq!(
        table.admit(Time(u64::MAX), Height(2), &session_at(2, Time(0)), n(0)),
        Admission::Rejected(Outcome::SessionExpired)
    );
}

#[test]
fn the_cache_holds_one_window_of_outcomes() {
    let mut table = table(2);
    let alice = session(1, 1_000);
    for number in 0..1_000 {
        assert_eq!(table.admit(ms(1_000), Height(number), &alice, n(number)), Admission::Execute);
        table.complete(&alice, n(number), Height(number), reply(number));
    }
    assert_eq!(table.sessions[&alice].entries.len() as u64, SESSION_WINDOW);
    assert_eq!(
        table.outlook(ms(1_000), &alice, n(999 - 63)),
        Outlook::Executed(Height(999 - 63), reply(999 - 63))
    );
    assert_eq!(table.outlook(ms(1_000), &alice, n(999 - 64)), Outlook::Refused(Rejection::NumberOutOfWindow));
}

#[test]
fn an_outcome_that_comes_after_its_window_is_dropped() {
    let mut table = table(1);
    let alice = session(1, 1_000);
    table.admit(ms(1_000), Height(1), &alice, n(0));
    table.admit(ms(1_000), Height(1), &alice, n(64));
    table.complete(&alice, n(0), Height(1), reply(0));
    assert_eq!(table.admit(ms(1_000), Height(2), &alice, n(0)), Admission::Rejected(Outcome::Forgotten));
    // Likewise after its session was evicted.
    let bob = session(2, 90_000);
    assert_eq!(table.admit(ms(90_000), Height(3), &bob, n(0)), Admission::Execute);
    table.complete(&alice, n(64), Height(1), reply(64));
    assert_eq!(table.count(), 1);
}

#[test]
fn a_full_table_keeps_every_session_that_may_still_be_opened() {
    let mut table = table(2);
    let (alice, bob, carol) = (session(1, 1_000), session(2, 2_000), session(3, 50_000));
    assert_eq!(table.admit(ms(2_000), Height(1), &alice, n(0)), Admission::Execute);
    assert_eq!(table.admit(ms(2_000), Height(2), &bob, n(0)), Admission::Execute);
    let full = Admission::Rejected(Outcome::SessionsFull);
    assert_eq!(table.admit(ms(1_000 + OPEN), Height(3), &carol, n(0)), full);
    assert_eq!(table.count(), 2);
    // A refusal for want of room is not for ever.
    assert_eq!(table.admit(ms(1_001 + OPEN), Height(4), &carol, n(0)), Admission::Execute);
    assert_eq!(table.count(), 2);
    assert_eq!(table.outlook(ms(0), &bob, n(0)), Outlook::Running);
}

#[test]
fn the_session_whose_last_execution_is_the_longest_ago_is_evicted() {
    let mut table = table(4);
    let [alice, bob, carol, dave] = [1, 2, 3, 4].map(|key| session(key, 1_000));
    for (height, id) in [(1, bob), (2, alice), (3, carol), (3, dave)] {
        table.admit(ms(1_000), Height(height), &id, n(0));
    }
    // A repeat is not an execution.
    assert_eq!(table.admit(ms(1_000), Height(5), &bob, n(0)), Admission::Repeat(None));
    let survivors = |table: &SessionTable| {
        [alice, bob, carol, dave].map(|id| table.outlook(ms(0), &id, n(0)) == Outlook::Running)
    };
    open_fresh(&mut table, 10, 5, 100_000);
    assert_eq!(survivors(&table), [true, false, true, true]);
    // Carol and Dave ran last at one height: the smaller id goes first. Alice executes again after
    // the table has put her among those that it may evict.
    table.admit(ms(100_000), Height(11), &alice, n(2));
    open_fresh(&mut table, 12, 6, 100_000);
    assert_eq!(survivors(&table), [true, false, false, true]);
    open_fresh(&mut table, 13, 7, 100_000);
    assert_eq!(survivors(&table), [true, false, false, false]);
    open_fresh(&mut table, 14, 8, 100_000);
    assert_eq!(survivors(&table), [false, false, false, false]);
    assert_eq!(table.admit(ms(100_000), Height(15), &session(9, 100_000), n(0)), FULL);
}

#[test]
fn an_old_session_goes_before_a_younger_one_that_idles_longer() {
    let mut table = table(2);
    let (old, young) = (session(1, 1_000), session(2, 40_000));
    table.admit(ms(40_000), Height(1), &old, n(0));
    table.admit(ms(40_000), Height(2), &young, n(0));
    table.admit(ms(40_000), Height(3), &old, n(1));
    open_fresh(&mut table, 4, 3, 70_000);
    assert_eq!(table.outlook(ms(0), &young, n(0)), Outlook::Running);
    assert_eq!(table.outlook(ms(0), &old, n(0)), Outlook::Refused(Rejection::SessionExpired));
}

#[test]
fn nothing_of_an_evicted_session_runs_again_and_its_client_is_not_told_that_it_never_ran() {
    let mut table = table(1);
    let evicted = session(1, 10_000);
    table.admit(ms(10_000), Height(1), &evicted, n(0));
    open_fresh(&mut table, 2, 2, 90_000);
    for number in [0, 1, 500] {
        assert_eq!(
            table.admit(ms(90_000), Height(3), &evicted, n(number)),
            Admission::Rejected(Outcome::Forgotten)
        );
    }
    // The same age: it might have been the one that was evicted, for all that the table knows.
    assert_eq!(
        table.admit(ms(90_000), Height(3), &session(7, 10_000), n(0)),
        Admission::Rejected(Outcome::Forgotten)
    );
    // Younger than all evicted ones, so it was never opened.
    let never_opened = Admission::Rejected(Outcome::SessionExpired);
    assert_eq!(table.admit(ms(90_000), Height(3), &session(7, 10_001), n(0)), never_opened);
}

#[test]
fn the_outlook_is_what_admission_says_and_changes_nothing() {
    let mut table = table(1);
    let (alice, bob) = (session(1, 1_000), session(2, 1_000));
    assert_eq!(table.outlook(ms(1_000), &alice, n(70)), Outlook::Executes);
    assert_eq!(table.outlook(ms(1_000), &alice, n(70)), Outlook::Executes);
    table.admit(ms(1_000), Height(1), &alice, n(70));
    assert_eq!(table.outlook(ms(1_000), &alice, n(70)), Outlook::Running);
    table.complete(&alice, n(70), Height(1), reply(1));
    let root = root_of(&table);
    assert_eq!(table.outlook(ms(1_000), &alice, n(70)), Outlook::Executed(Height(1), reply(1)));
    assert_eq!(table.outlook(ms(1_000), &alice, n(7)), Outlook::Executes);
    assert_eq!(table.outlook(ms(1_000), &alice, n(6)), Outlook::Refused(Rejection::NumberOutOfWindow));
    assert_eq!(table.outlook(ms(1_000), &bob, n(0)), Outlook::Refused(Rejection::SessionsFull));
    let later = session(2, 1_000 + OPEN);
    assert_eq!(table.outlook(ms(1_001 + OPEN), &later, n(0)), Outlook::Executes);
    assert_eq!(table.outlook(ms(1_001 + OPEN), &bob, n(0)), Outlook::Refused(Rejection::SessionExpired));
    assert_eq!(table.outlook(ms(1_000), &later, n(0)), Outlook::Refused(Rejection::SessionExpired));
    assert_eq!(root_of(&table), root);
}

#[test]
fn a_clock_behind_the_agreed_time_does_not_mislead_the_outlook() {
    let mut table = table(2);
    table.admit(ms(90_000), Height(1), &session(1, 90_000), n(0));
    let ended = session(2, 10_000);
    assert_eq!(table.outlook(ms(10_000), &ended, n(0)), Outlook::Refused(Rejection::SessionExpired));
}

#[test]
fn the_root_covers_all_that_decides_about_later_requests() {
    // Each builds on one session that executed numbers 10 and 12 at heights 1 and 2.
    type Step = fn(&mut SessionTable, &SessionId);
    let steps: [Step; 9] = [
        |_, _| {},
        |table, id| run(table, id, 11, 2, 0),
        |table, id| run(table, id, 11, 3, 0),
        |table, id| run(table, id, 11, 2, 1),
        |table, id| run(table, id, 13, 2, 0),
        |table, id| {
            [(11, 1), (13, 2)].into_iter().for_each(|(number, height)| run(table, id, number, height, 0))
        },
        |table, id| {
            [(11, 2), (13, 2)].into_iter().for_each(|(number, height)| run(table, id, number, height, 0))
        },
        |table, _| run(table, &session(2, 1_000), 0, 2, 0),
        |table, _| run(table, &session(3, 1_000), 0, 2, 0),
    ];
    let roots: BTreeSet<Digest> = steps
        .iter()
        .map(|step| {
            let (mut table, alice) = (table(2), session(1, 1_000));
            run(&mut table, &alice, 10, 1, 0);
            run(&mut table, &alice, 12, 2, 0);
            step(&mut table, &alice);
            root_of(&table)
        })
        .collect();
    assert_eq!(roots.len(), steps.len());
}

#[test]
fn the_root_covers_what_was_executed_last_and_who_was_evicted() {
    let (mut early, mut late) = (table(1), table(1));
    let alice = session(1, 1_000);
    for table in [&mut early, &mut late] {
        run(table, &alice, 100, 1, 0);
    }
    Arc::make_mut(late.sessions.get_mut(&alice).unwrap()).executed_last = Height(2);
    assert_ne!(root_of(&early), root_of(&late));
    let survivor_of = |birth| {
        let mut table = table(1);
        run(&mut table, &session(1, birth), 0, 1, 0);
        table.admit(ms(90_000), Height(2), &session(2, 90_000), n(0));
        table.complete(&session(2, 90_000), n(0), Height(2), reply(0));
        root_of(&table)
    };
    assert_ne!(survivor_of(1_000), survivor_of(1_001));
}

/// [K3] Whoever installs a state admits the same requests as everybody else.
#[test]
fn a_table_that_was_written_and_read_decides_as_before() {
    let mut table = table(8);
    for step in 0..300_u64 {
        let (id, number) = (session((step % 11) as u8, 1_000 + step / 4 * 2_000), n(step % 90));
        let (time, height) = (ms(1_000 + step * 700), Height(step + 1));
        if table.admit(time, height, &id, number) == Admission::Execute {
            table.complete(&id, number, height, reply(step));
        }
        if step % 7 == 0 {
            let restored =
                SessionTable::restore(&parameters(8), &written(&table)).expect("it was just written");
            assert_eq!(written(&restored), written(&table), "after step {step}");
            table = restored;
        }
    }
    assert_eq!(table.count(), 8);
}

/// An image does not follow what happens after it was taken.
#[test]
fn an_image_stays_as_it_was() {
    let (mut table, alice) = (table(2), session(1, 1_000));
    run(&mut table, &alice, 10, 1, 0);
    let image = table.image();
    let before = written(&table);
    run(&mut table, &alice, 11, 2, 0);
    run(&mut table, &session(2, 1_000), 0, 2, 0);
    let mut bytes = Vec::new();
    image.write(&mut bytes).expect("memory takes it");
    assert_eq!(bytes, before);
    assert_ne!(written(&table), before);
}

#[test]
fn what_is_no_image_is_refused() {
    let mut table = table(2);
    run(&mut table, &session(1, 1_000), 10, 1, 0);
    let bytes = written(&table);
    for end in 0..bytes.len() {
        let head = 8 + usize::from(bytes[0]);
        let is_whole = end == head;
        assert_eq!(SessionTable::restore(&parameters(2), &bytes[..end]).is_ok(), is_whole, "{end} bytes");
    }
    let longer = [&bytes[..], &[0xff; 9]].concat();
    assert_eq!(SessionTable::restore(&parameters(2), &longer).err(), Some(Rejection::Truncated));
}

#[test]
fn replicas_that_execute_at_different_paces_have_one_root() {
    let (mut prompt, mut slow) = (table(2), table(2));
    let alice = session(1, 1_000);
    for number in 0..200 {
        run(&mut prompt, &alice, number, number, number);
        slow.admit(ms(1_000), Height(number), &alice, n(number));
    }
    for number in 0..200 {
        slow.complete(&alice, n(number), Height(number), reply(number));
    }
    assert_eq!(root_of(&prompt), root_of(&slow));
}

#[test]
#[should_panic(expected = "once every admitted request was completed")]
fn a_root_while_requests_run_is_a_bug() {
    let mut table = table(1);
    table.admit(ms(1_000), Height(1), &session(1, 1_000), n(0));
    let _ = root_of(&table);
}

#[test]
#[should_panic(expected = "completes once")]
fn completing_a_request_twice_is_a_bug() {
    let mut table = table(1);
    run(&mut table, &session(1, 1_000), 0, 1, 0);
    table.complete(&session(1, 1_000), n(0), Height(1), reply(0));
}

const FULL: Admission = Admission::Rejected(Outcome::SessionsFull);

fn table(sessions_max: u32) -> SessionTable {
    SessionTable::new(&parameters(sessions_max))
}

fn parameters(sessions_max: u32) -> ProtocolParameters {
    ProtocolParameters {
        sessions_max,
        clock_bound_ms: BOUND,
        session_open_max_ms: OPEN,
        ..ProtocolParameters::default()
    }
}

fn written(table: &SessionTable) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.image().write(&mut bytes).expect("memory takes it");
    bytes
}

fn root_of(table: &SessionTable) -> Digest {
    Digest::of_bytes(&written(table))
}

/// Executes a request at time 1,000 with a reply that says `says`.
fn run(table: &mut SessionTable, id: &SessionId, number: u64, height: u64, says: u64) {
    let time = ms(1_000);
    if table.admit(time, Height(height), id, n(number)) == Admission::Execute {
        table.complete(id, n(number), Height(height), reply(says));
    }
}

/// A client opens a session born at `time`, in a block of that time.
fn open_fresh(table: &mut SessionTable, height: u64, key: u8, time: u64) {
    assert_eq!(table.admit(ms(time), Height(height), &session(key, time), n(0)), Admission::Execute);
}

fn session(key: u8, birth: u64) -> SessionId {
    session_at(key, ms(birth))
}

fn session_at(key: u8, birth: Time) -> SessionId {
    SessionId { client: PublicKey([key; 32]), birth, nonce: 0 }
}

fn ms(time: u64) -> Time {
    Time(time * 1_000_000)
}

fn n(number: u64) -> RequestNumber {
    RequestNumber(number)
}

fn reply(says: u64) -> Outcome {
    Outcome::Executed(says.to_le_bytes().to_vec())
}
