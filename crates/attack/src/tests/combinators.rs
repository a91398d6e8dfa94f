//! Does a combined attack strike where its combination says, and only there?

use quorate_consensus::{Input, ReplicaStatus};
use quorate_types::message::{Fetch, Message, ReplicaMessage};
use quorate_types::{Authenticated, Epoch, Height, PublicKey, ReplicaId, Time, View};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::stage::{Cluster, R1, R2, R3, Stage, participant};
use crate::{Adversary, Attack, Combine as _, Cx, End, Needs, Verdict, views};

/// The lie in place of every message.
const LIE: Message = Message::Fetch(Fetch::Status);

/// Deviates on every occasion that there is, and counts what it hears.
#[derive(Debug, Default)]
struct Loud {
    heard: Arc<AtomicUsize>,
    rings_at: Time,
}

impl Adversary for Loud {
    fn name(&self) -> &'static str {
        "loud"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, _: Message) {
        cx.send(to, LIE);
        cx.fired();
    }
    fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, _: &Message) -> Verdict {
        self.heard.fetch_add(1, Ordering::Relaxed);
        cx.send(from, LIE);
        cx.fired();
        Verdict::Drop
    }
    fn on_reply(&mut self, cx: &mut Cx<'_>, _: PublicKey, _: ReplicaMessage) {
        cx.fired();
    }
    /// Speaks to all, now and again a little later.
    fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        self.rings_at = Time(cx.now().0 + 100);
        for other in cx.others() {
            cx.send(other, LIE);
            cx.fired();
            cx.send_after(Duration::from_nanos(5), other, LIE);
            cx.fired();
        }
    }
    fn poll_timeout(&self) -> Option<Time> {
        Some(self.rings_at)
    }
}

/// Sends everything a little later.
#[derive(Debug)]
struct Late;

impl Adversary for Late {
    fn name(&self) -> &'static str {
        "late"
    }
    fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
        cx.send_after(Duration::from_nanos(10), to, message);
        cx.fired();
    }
}

fn loud() -> (Loud, Arc<AtomicUsize>) {
    let heard = Arc::new(AtomicUsize::new(0));
    (Loud { heard: Arc::clone(&heard), rings_at: Time(10) }, heard)
}

/// An honest message; each number is another one.
fn truth(number: u64) -> Message {
    Message::Fetch(Fetch::Chain(Height(number)))
}

fn welcome() -> ReplicaMessage {
    ReplicaMessage::Welcome { epoch: Epoch(0), clock: Time(5), view: View(0) }
}

fn to(message: &Message, replicas: &[ReplicaId]) -> Vec<(ReplicaId, Message)> {
    replicas.iter().map(|replica| (*replica, message.clone())).collect()
}

/// Asserts that an adversary behind which `heard` counts is honest in all that it can do.
fn assert_honest(stage: &mut Stage, heard: &AtomicUsize) {
    let (fired, before) = (stage.byzantine.fired, heard.load(Ordering::Relaxed));
    assert_eq!(stage.broadcast(truth(1)), to(&truth(1), &[R1, R2, R3]));
    assert_eq!(stage.receive(R1, truth(2)), (true, Vec::new()));
    assert_eq!(stage.reply(welcome()), [welcome()]);
    assert_eq!(stage.timeout(stage.now.after(Duration::from_secs(1))), []);
    assert_eq!((stage.byzantine.fired, heard.load(Ordering::Relaxed)), (fired, before));
    // A time that is past and does nothing would wake the driver for ever.
    assert_eq!(stage.byzantine.poll_timeout(), None);
}

#[test]
fn during_is_honest_outside_of_its_window() {
    let (loud, heard) = loud();
    let mut stage = Stage::new(4, loud.during(views(3..5)), 1);
    for (view, is_inside) in [(0, false), (2, false), (3, true), (4, true), (5, false), (9, false)] {
        stage.status.view = View(view);
        if !is_inside {
            assert_honest(&mut stage, &heard);
            continue;
        }
        let before = stage.byzantine.fired;
        assert_eq!(stage.broadcast(truth(1)), to(&LIE, &[R1, R2, R3]));
        assert_eq!(stage.timeout(stage.now.after(Duration::from_secs(1))), to(&LIE, &[R1, R2, R3]));
        // What it holds back does not stay for ever.
        assert_eq!(stage.timeout(stage.now.after(Duration::from_nanos(5))), to(&LIE, &[R1, R2, R3]));
        assert_eq!(stage.receive(R1, truth(2)), (false, to(&LIE, &[R1])));
        assert!(stage.reply(welcome()).is_empty());
        assert_eq!(stage.byzantine.fired, before + 3 + 6 + 1 + 1);
    }
}

#[test]
fn what_was_held_back_in_a_window_leaves_after_it() {
    let mut stage = Stage::new(4, Late.during(views(..1)), 1);
    assert!(stage.send(R1, truth(1)).is_empty());
    stage.status.view = View(1);
    assert_eq!(stage.send(R1, truth(2)), to(&truth(2), &[R1]));
    assert_eq!(stage.timeout(Time(10)), to(&truth(1), &[R1]));
}

#[test]
fn toward_is_honest_to_everybody_else() {
    let (loud, heard) = loud();
    let mut stage = Stage::new(4, loud.toward([1, 3]), 1);
    let sent = [(R1, LIE), (R2, truth(1)), (R3, LIE)];
    assert_eq!(stage.broadcast(truth(1)), sent);
    assert_eq!(stage.byzantine.fired, 2);
    // The attack knows what others say, but can do nothing about it.
    assert_eq!(stage.receive(R2, truth(2)), (true, Vec::new()));
    assert_eq!((stage.byzantine.fired, heard.load(Ordering::Relaxed)), (2, 1));
    assert_eq!(stage.receive(R3, truth(2)), (false, to(&LIE, &[R3])));
    assert_eq!(stage.byzantine.fired, 3);
    assert_eq!(stage.reply(welcome()), [welcome()]);
    assert_eq!(stage.byzantine.fired, 3);
    assert_eq!(stage.timeout(Time(10)), to(&LIE, &[R1, R3]));
    assert_eq!(stage.timeout(Time(15)), to(&LIE, &[R1, R3]));
    assert_eq!(stage.byzantine.fired, 3 + 4);
}

#[test]
fn a_probability_strikes_that_share_of_the_messages() {
    let (loud, heard) = loud();
    let mut stage = Stage::new(4, loud.with_probability(0.3), 1);
    // Its timer runs, and strikes with the same share.
    for ring in 1..=1000 {
        stage.timeout(Time(ring * 1_000_000));
    }
    assert!((250..350).contains(&(stage.byzantine.fired / 6)));
    stage.timeout(stage.now.after(Duration::from_nanos(5)));
    let before = stage.byzantine.fired;
    let lies = (0..1000).filter(|number| stage.send(R1, truth(*number)) == to(&LIE, &[R1])).count();
    assert!((250..350).contains(&lies), "{lies}");
    let drops = (0..1000).filter(|number| !stage.receive(R1, truth(*number)).0).count();
    assert!((250..350).contains(&drops), "{drops}");
    assert_eq!(heard.load(Ordering::Relaxed), 1000, "it hears everything");
    let withheld = (0..1000).filter(|_| stage.reply(welcome()).is_empty()).count();
    assert!((250..350).contains(&withheld), "{withheld}");
    assert_eq!(stage.byzantine.fired - before, (lies + drops + withheld) as u64);
}

#[test]
fn times_is_honest_after_so_many_deviations() {
    let (loud, heard) = loud();
    let mut stage = Stage::new(4, loud.times(4), 1);
    assert_eq!(stage.broadcast(truth(1)), to(&LIE, &[R1, R2, R3]));
    assert_eq!(stage.receive(R1, truth(2)), (false, to(&LIE, &[R1])));
    assert_eq!(stage.byzantine.fired, 4);
    assert_honest(&mut stage, &heard);

    // One event may be several.
    let (loud, heard) = self::loud();
    let mut stage = Stage::new(4, loud.times(6), 1);
    assert_eq!(stage.timeout(Time(10)).len(), 3);
    assert_eq!(stage.timeout(Time(15)), to(&LIE, &[R1, R2, R3]));
    assert_eq!(stage.byzantine.fired, 6);
    assert_honest(&mut stage, &heard);
}

#[test]
fn then_begins_when_the_first_has_deviated_and_its_view_is_over() {
    let mut stage = Stage::new(4, loud().0.then(Attack::Silent), 1);
    for number in 0..3 {
        assert_eq!(stage.send(R1, truth(number)), to(&LIE, &[R1]));
    }
    stage.status.view = View(1);
    assert!(stage.send(R1, truth(9)).is_empty());
    stage.status.view = View(0);
    assert!(stage.send(R1, truth(9)).is_empty(), "the first does not come back");

    // Without a deviation the first goes on.
    let mut stage = Stage::new(4, Attack::MisplaceFirstBlock.then(Attack::Silent), 1);
    for view in 0..9 {
        stage.status.view = View(view);
        assert_eq!(stage.send(R1, truth(view)), to(&truth(view), &[R1]));
    }
}

#[test]
fn then_begins_when_a_window_or_a_number_of_times_is_over() {
    let mut stage = Stage::new(4, loud().0.during(views(1..3)).then(Attack::Silent), 1);
    let mut said = Vec::new();
    for view in 0..4 {
        stage.status.view = View(view);
        said.extend([stage.send(R1, truth(1)), stage.send(R1, truth(1))].map(|mut sent| sent.pop()));
    }
    let (truth_to, lie_to) = (Some((R1, truth(1))), Some((R1, LIE)));
    let expected = [&truth_to, &truth_to, &lie_to, &lie_to, &lie_to, &lie_to, &None, &None];
    assert_eq!(said.iter().collect::<Vec<_>>(), expected);

    // It need not have deviated.
    let mut stage = Stage::new(4, Attack::MisplaceFirstBlock.during(views(..2)).then(Attack::Silent), 1);
    assert_eq!(stage.send(R1, truth(1)), to(&truth(1), &[R1]));
    stage.status.view = View(2);
    assert!(stage.send(R1, truth(1)).is_empty());

    let mut stage = Stage::new(4, loud().0.times(2).then(Attack::Silent), 1);
    assert_eq!(stage.broadcast(truth(1)).len(), 2, "two lies, one silence");
}

#[test]
fn the_timer_of_whoever_has_its_turn_counts() {
    let mut stage = Stage::new(4, Attack::Silent.during(views(..1)).then(loud().0), 1);
    assert!(stage.timeout(Time(1000)).is_empty());
    stage.status.view = View(1);
    assert_eq!(stage.receive(R1, truth(1)), (false, to(&LIE, &[R1])));
    assert_eq!(stage.timeout(Time(2000)).len(), 3);
}

#[test]
fn and_puts_what_the_first_sends_through_the_second() {
    /// Says everything twice.
    #[derive(Debug)]
    struct Twice;
    impl Adversary for Twice {
        fn name(&self) -> &'static str {
            "twice"
        }
        fn on_send(&mut self, cx: &mut Cx<'_>, to: ReplicaId, message: Message) {
            cx.send(to, message.clone());
            cx.send(to, message);
            cx.fired();
        }
        fn on_receive(&mut self, cx: &mut Cx<'_>, from: ReplicaId, message: &Message) -> Verdict {
            cx.send(from, message.clone());
            Verdict::Deliver
        }
    }
    let (loud, heard) = loud();
    let mut stage = Stage::new(4, Twice.and(loud), 1);
    assert_eq!(stage.send(R1, truth(1)), to(&LIE, &[R1, R1]));
    assert_eq!(stage.byzantine.fired, 3);
    // What the first answers, what the second answers; and the second keeps it from the machine.
    assert_eq!(stage.receive(R2, truth(2)), (false, to(&LIE, &[R2, R2])));
    assert_eq!(heard.load(Ordering::Relaxed), 1);
    assert!(stage.reply(welcome()).is_empty());

    // The other way round the lies come twice, and the second hears what the first keeps back.
    let (loud, _) = self::loud();
    let mut stage = Stage::new(4, loud.and(Twice), 1);
    assert_eq!(stage.send(R1, truth(1)), to(&LIE, &[R1, R1]));
    assert_eq!(stage.receive(R2, truth(2)), (false, vec![(R2, LIE), (R2, LIE), (R2, truth(2))]));
}

#[test]
fn what_the_first_holds_back_goes_through_the_second_and_leaves_in_time() {
    let mut stage = Stage::new(4, Late.and(loud().0.during(views(..1))), 1);
    assert!(stage.send(R1, truth(1)).is_empty());
    assert!(stage.timeout(Time(9)).iter().all(|(_, message)| *message == LIE));
    assert!(stage.timeout(Time(10)).contains(&(R1, LIE)));
    let mut stage = Stage::new(4, Late.and(Late), 1);
    assert!(stage.send(R1, truth(1)).is_empty());
    assert!(stage.timeout(Time(19)).is_empty());
    assert_eq!(stage.timeout(Time(20)), to(&truth(1), &[R1]));
    assert_eq!(stage.byzantine.fired, 2);
}

#[test]
fn each_timer_of_a_pair_rings_alone() {
    let (mut slow, mut quick) = (loud().0, loud().0);
    (slow.rings_at, quick.rings_at) = (Time(1000), Time(50));
    let mut stage = Stage::new(4, slow.toward([1]).and(quick.toward([2])), 1);
    assert!(stage.timeout(Time(49)).is_empty());
    assert_eq!(stage.timeout(Time(50)), to(&LIE, &[R2]));
}

#[test]
fn deviations_are_counted_for_each_name() {
    let cluster = Cluster::new(4);
    let mut traitor = participant(&cluster, Attack::Silent.and(loud().0));
    assert_eq!(traitor.attack_name(), Some("silent"));
    traitor.handle(Time(20), Input::Message(Authenticated::from_channel(R1, LIE)));
    while traitor.poll_action().is_some() {}
    assert_eq!(traitor.fired(), 7);
    assert_eq!(traitor.fired_by_name().collect::<Vec<_>>(), [("loud", 7)]);
}

#[test]
fn ends_and_needs_follow_from_the_parts() {
    let ends = |adversary: Box<dyn Adversary>| [View(0), View(9)].map(|view| adversary.end(view));
    assert_eq!(ends(Attack::Silent.build()), [End::Never; 2]);
    assert_eq!(ends(Attack::Silent.during(views(3..9)).into()), [End::Later, End::Reached]);
    assert_eq!(ends(Attack::Silent.during(views(3..)).into()), [End::Never; 2]);
    assert_eq!(ends(Attack::Silent.times(1).into()), [End::Later; 2]);
    let windowed = || Attack::Silent.during(views(3..9)).toward([1]).with_probability(0.5);
    assert_eq!(ends(windowed().into()), [End::Later, End::Reached]);
    assert_eq!(ends(windowed().and(windowed()).into()), [End::Later, End::Reached]);
    assert_eq!(ends(windowed().and(Attack::Silent).into()), [End::Never; 2]);
    assert_eq!(ends(windowed().and(Attack::Silent.times(1)).into()), [End::Later; 2]);
    // It has not begun with the second.
    assert_eq!(ends(windowed().then(windowed()).into()), [End::Later; 2]);

    let primary = Needs { primary: true, ..Needs::OWN_KEY };
    assert_eq!(Attack::EquivocateProposals.needs(), primary);
    assert_eq!(Attack::Silent.needs(), Needs::OWN_KEY);
    let all = Needs { colluders: true, disk: true, primary: true };
    assert_eq!(primary.union(Needs { colluders: true, disk: true, primary: false }), all);
    assert_eq!(Needs::OWN_KEY.to_string(), "its own key");
    let text = "its own key, the keys of other replicas in one process, a disk, to be primary";
    assert_eq!(all.to_string(), text);
}

#[test]
fn limits_that_allow_nothing_are_refused() {
    for limit in [0.0, -0.5, 1.5, f64::NAN, f64::INFINITY] {
        assert!(crate::Probability::new(limit).is_err(), "{limit}");
    }
    assert!(crate::Views::new(View(3), Some(View(3))).is_err());
    assert_eq!(views(3..=5), views(3..6));
    let status = ReplicaStatus { view: View(5), ..ReplicaStatus::default() };
    assert!(views(3..=5).contains(status.view) && !views(..5).contains(status.view));
}
