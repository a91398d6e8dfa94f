//! The real machines in every state of a small scope: small ones here, all in the long run.

use quorate_sim::exhaustive::{Scope, explore};

#[test]
fn small_scopes_hold() {
    for scope in [Scope::one_view(1), Scope::any_order([1, 2], 4)] {
        let part = explore(&scope);
        assert_eq!(part.violation, None);
        assert!(part.is_complete, "{part:?}");
    }
}
