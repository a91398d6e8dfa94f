//! How does a seed combine attacks? Some traitors limit theirs, make two at once or one after the other.

use quorate_attack::combinators::{Probability, Views};
use quorate_attack::{Attack, Part, Spec};
use quorate_types::{ReplicaId, View};
use std::num::NonZeroU64;

use crate::plan::Traitor;
use crate::stream::Stream;

/// How many of a thousand traitors combine attacks.
const COMBINED: u32 = 300;

/// Puts combinations that begin with the attack of a traitor in its place, now and then.
pub(crate) fn combine(random: &mut Stream, replicas: u16, traitors: &mut [Traitor]) {
    for traitor in traitors {
        let Some(first) = traitor.attack.parts().next().map(|part| part.attack) else { continue };
        if random.chance(COMBINED) {
            traitor.attack = draw_spec(random, replicas, first);
        }
    }
}

fn draw_spec(random: &mut Stream, replicas: u16, attack: Attack) -> Spec {
    let part = |random: &mut Stream, attack| limited(random, replicas, attack);
    let first = part(random, attack);
    let other = random.pick(Attack::ALL);
    let phases = match random.below(4) {
        0 => vec![vec![first, part(random, other)]],
        1 => vec![vec![first], vec![part(random, other)]],
        _ => vec![vec![first]],
    };
    Spec::new(phases).expect("two attacks with all limits are within every bound")
}

fn limited(random: &mut Stream, replicas: u16, attack: Attack) -> Part {
    let mut part = Part::new(attack);
    if random.chance(400) {
        let first = random.pick(&[0, 0, 1, 3]);
        let last = View(first + random.below(4));
        let end = random.pick(&[None, Some(last.plus(1))]);
        part.views = Views::new(View(first), end).ok();
    }
    if random.chance(300) {
        let count = 1 + random.index(usize::from(replicas) - 1);
        let mut all: Vec<ReplicaId> = (0..replicas).map(ReplicaId).collect();
        random.shuffle(&mut all);
        part.toward = Some(all.into_iter().take(count).collect());
    }
    if random.chance(300) {
        part.probability = Probability::new(random.pick(&[0.02, 0.1, 0.5, 0.9])).ok();
    }
    if random.chance(200) {
        part.times = NonZeroU64::new(random.pick(&[1, 3, 20]));
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{AttackChoice, Plan};
    use crate::setup::Crypto;

    #[test]
    fn combinations_come_and_leave_everything_else_as_it_was() {
        let (mut combined, mut colluding) = (0, 0);
        for seed in 0..300 {
            let plan = Plan::generate(seed, 7, Crypto::Fast, &AttackChoice::All);
            let mut plain: Vec<Traitor> = plan.byzantine.clone();
            for traitor in &mut plain {
                let first = traitor.attack.parts().next().expect("an attack").attack;
                traitor.attack = first.into();
            }
            combined += usize::from(plain != plan.byzantine);
            colluding += usize::from(plan.colluding);
            assert!(!plan.colluding || plan.byzantine.len() > 1);
            let mut again = plain.clone();
            combine(&mut Stream::new(seed, "attack combinations"), 7, &mut again);
            assert_eq!(again, plan.byzantine, "seed {seed}");
        }
        assert!(combined > 30 && colluding > 10, "{combined} {colluding}");
    }
}
