//! The real machines in every state of a small scope: small ones here, all in the long run.

use quorate_sim::exhaustive::{Part, Scope, explore};

fn holds(scope: &Scope) -> Part {
    let part = explore(scope);
    println!("{scope:?} {part:#?}");
    assert_eq!(part.violation, None);
    part
}

#[test]
fn two_views() {
    for primaries in [[0, 1], [1, 0], [0, 0]] {
        assert!(holds(&Scope::two_views(primaries)).is_complete);
    }
}

#[test]
fn any_order() {
    assert!(holds(&Scope::any_order([0, 1], 5)).is_complete);
}
