//! Does the first example do what the README says? It runs as a program of its own.

use std::process::Command;

#[test]
fn the_first_twenty_lines_print_5_and_7_and_the_evidence() {
    let output = example().output().expect("the example runs");
    let (printed, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{errors}");

    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[..2], ["5", "7"], "{printed}");
    assert!(lines[2].starts_with("equivocation by replica 0: two blocks in view 0"), "{printed}");
    assert_eq!(lines.iter().filter(|line| line.contains(" signed ")).count(), 2, "{printed}");
    assert_eq!(lines.len(), 5, "{printed}");
}

/// The example beside this test, as `cargo test` builds both; by way of cargo if only this test was asked for.
fn example() -> Command {
    let test = std::env::current_exe().expect("this test has a path");
    let built = test.ancestors().nth(2).expect("it lies in target/PROFILE/deps").join("examples/counter");
    if built.exists() {
        return Command::new(built);
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["run", "--quiet", "--locked", "--example", "counter"])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    cargo
}
