//! `#[attack_test]`: how does a function become a test that runs under many seeds?
//!
//! Use it as `quorate::attack_test`, with the feature `lab` of `quorate`. What it expands to is in `expand.rs`; what its
//! arguments mean is in `arguments.rs`.

mod arguments;
mod expand;

use proc_macro::TokenStream;
use syn::parse_macro_input;

/// Turns a function over a simulated cluster into a test that runs under many seeds.
///
/// ```
/// use quorate::lab::*;
/// # use quorate::prelude::*;
/// #
/// # #[derive(Default, Clone, Serialize, Deserialize)]
/// # struct Counter { total: i64 }
/// #
/// # impl StateMachine for Counter {
/// #     type Command = i64; type Reply = i64; type Query = (); type Answer = i64;
/// #     fn apply(&mut self, add: i64, _: &Context) -> i64 { self.total += add; self.total }
/// #     fn query(&self, _: ()) -> i64 { self.total }
/// # }
///
/// #[quorate::attack_test(replicas = 4, seeds = 0..16)]
/// fn counts_everything_once(sim: &mut Sim<Counter>) -> SimResult {
///     let traitor = sim.byzantine(0, attack::equivocate_proposals());
///     for _ in 0..10 {
///         sim.client("alice").submit(1);
///     }
///     sim.run_until(views(2).or(seconds(5)))?;
///     sim.heal();
///     sim.check(safety())?
///        .check(live(5.requests()).within(seconds(10)))?
///        .check(evidence().against(traitor).none_against_honest())?
///        .check(fired("equivocate_proposals"))?;
///     sim.settle()?;
///     sim.check_state(|counter| counter.total == 10)
/// }
/// ```
///
/// # Arguments
/// All of them may be left out.
///
/// | argument | default | meaning |
/// |---|---|---|
/// | `replicas = 4` | 4 | how many replicas there are, from 4 to 128; (replicas - 1) / 3 of them may be traitors |
/// | `seeds = 0..256` | `0..256` | the seeds, each of which decides a run; any expression of type `Range<u64>` |
/// | `start = Ledger::funded` | `Default::default` | makes the state machine with which every replica begins: a function without arguments, or a closure that can be shared |
/// | `faults = "network"` | `"network"` | what goes wrong by itself, from the seed: `"none"`, `"network"` (delay, loss, duplication) or `"all"` (cuts, crashes and disks too); see `quorate::lab::Faults` |
///
/// # The function
/// Takes a `&mut Sim<S>`, where `S` is the state machine, and gives a `SimResult`. It may panic and assert as in any test.
/// Other attributes are kept, such as `#[should_panic]`.
///
/// # When it fails
/// A run fails with the error of the function, with the first invariant that breaks, with a panic, or if no command was
/// executed in it. The test also fails if an attack never deviated from the protocol under any of its seeds. It then tells the
/// property, the first bad event, the seed and the plan; the plan is made as small as it can be and saved in
/// `tests/regressions` of the package, from where it runs first from then on. `QUORATE_SEED=42 cargo test name` runs one seed,
/// `QUORATE_PLAN=tests/regressions/name-0123abcd.json cargo test name` one plan.
///
/// # Wrong arguments
/// ```compile_fail
/// # use quorate::lab::*;
/// #[quorate::attack_test(replicas = 3)] // four are the fewest that survive one traitor
/// fn too_few(sim: &mut Sim) -> SimResult { sim.check(safety()).map(drop) }
/// ```
/// ```compile_fail
/// # use quorate::lab::*;
/// #[quorate::attack_test(seed = 0..4)] // it is called `seeds`
/// fn misspelt(sim: &mut Sim) -> SimResult { sim.check(safety()).map(drop) }
/// ```
/// ```compile_fail
/// # use quorate::lab::*;
/// #[quorate::attack_test(faults = "some")] // none, network or all
/// fn unknown_faults(sim: &mut Sim) -> SimResult { sim.check(safety()).map(drop) }
/// ```
/// ```compile_fail
/// # use quorate::lab::*;
/// #[quorate::attack_test]
/// fn takes_nothing() -> SimResult { Ok(()) } // it must take the simulation
/// ```
#[proc_macro_attribute]
pub fn attack_test(arguments: TokenStream, function: TokenStream) -> TokenStream {
    let arguments = parse_macro_input!(arguments as arguments::Arguments);
    let function = parse_macro_input!(function as syn::ItemFn);
    expand::expand(&arguments, &function).unwrap_or_else(|error| error.to_compile_error()).into()
}
