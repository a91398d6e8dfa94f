//! Does an attack test work in a crate outside of this workspace, as docs/attack-your-service.md writes it? The crate is made of
//! that page's snippets.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

const PAGE: &str = include_str!("../docs/attack-your-service.md");
const CRATES: [&str; 10] = [
    "quorate",
    "quorate-attack",
    "quorate-consensus",
    "quorate-machine",
    "quorate-macros",
    "quorate-node",
    "quorate-sim",
    "quorate-store",
    "quorate-transport",
    "quorate-types",
];
const TEST: &str = "every_order_is_paid_once";

#[test]
fn a_user_finds_a_bug_replays_it_and_mends_it() {
    let till = Till::write();

    // The bug is found, and told as the page says.
    let found = till.test(&[]);
    let told = text(&found);
    assert!(!found.status.success(), "{told}");
    for line in snippet("text", 0).lines().filter(|line| !line.is_empty()) {
        assert!(told.contains(line.trim_end()), "`{line}` stands on the page, but was not told:\n{told}");
    }
    let plans = till.plans();
    let [plan] = &plans[..] else { panic!("one plan is saved, not {plans:?}") };
    let name = plan.file_name().and_then(|name| name.to_str()).expect("a file of this name");
    assert!(PAGE.contains(name), "{name} is not the one on the page");
    assert!(plan.with_extension("mmd").exists(), "a diagram lies beside it");

    // One seed and one plan are replayed alone; the plan runs first from now on.
    let property = told.lines().find(|line| line.starts_with("property: ")).expect("a property is told");
    let relative = format!("tests/regressions/{name}");
    let replays = [&[("QUORATE_PLAN", &*relative)][..], &[("QUORATE_SEED", seed(&told))], &[]];
    for (variables, sign) in replays.into_iter().zip(["failed before", "the whole run", "failed before"]) {
        let replayed = text(&till.test(variables));
        assert!(replayed.contains(property) && replayed.contains(sign), "{variables:?}: {replayed}");
    }
    assert_eq!(till.plans().len(), 1, "the same failure is saved once");

    // Mended as the page says, it passes with the plan and with all seeds.
    till.mend();
    let mended = till.test(&[]);
    assert!(mended.status.success(), "{}", text(&mended));
}

/// The crate of the page.
struct Till(PathBuf);

impl Till {
    fn write() -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("till");
        let _ = fs::remove_dir_all(&directory);
        let here = env!("CARGO_MANIFEST_DIR");
        let git = "git = \"https://github.com/quorate/quorate\"";
        let manifest = snippet("toml", 0).replace(git, &format!("path = \"{here}\""));
        // It lies below this workspace's directory, and is none of its members.
        // There, as here, this workspace's crates are not optimised: they need not be built again for that.
        let profiles = CRATES.map(|name| format!("[profile.dev.package.{name}]\nopt-level = 0\n"));
        write(&directory, "Cargo.toml", &(manifest + "\n[workspace]\n" + &profiles.concat()));
        // The same versions as here, so that nothing is downloaded and what is built already need not be built again.
        write(
            &directory,
            "Cargo.lock",
            &fs::read_to_string(Path::new(here).join("Cargo.lock")).expect("a lock file"),
        );
        write(&directory, "src/lib.rs", &snippet("rust", 0));
        write(&directory, "tests/attack.rs", &snippet("rust", 1));
        Self(directory)
    }

    fn mend(&self) {
        let path = self.0.join("src/lib.rs");
        let source = fs::read_to_string(&path).expect("the service");
        let (mended, is_wrong) = (snippet("rust", 2), |line: &&str| line.contains("#[serde(skip)]"));
        assert_eq!(source.lines().filter(is_wrong).count(), 1, "there is one mistake");
        assert!(
            source.contains(mended.trim_end()),
            "the page leaves this line as it was, without its attribute"
        );
        let lines: Vec<&str> = source.lines().filter(|line| !is_wrong(line)).collect();
        fs::write(path, lines.join("\n") + "\n").expect("a file can be written");
    }

    fn test(&self, variables: &[(&str, &str)]) -> Output {
        let test = env::current_exe().expect("this test has a path");
        let target = test.ancestors().nth(3).expect("it lies in target/PROFILE/deps");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["test", "--offline", "--test", "attack", TEST]).current_dir(&self.0);
        cargo.env("CARGO_TARGET_DIR", target).env("RUST_BACKTRACE", "0");
        cargo.env_remove("QUORATE_SEED").env_remove("QUORATE_PLAN").envs(variables.iter().copied());
        cargo.output().expect("cargo runs")
    }

    fn plans(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.0.join("tests/regressions")).into_iter().flatten();
        let paths = entries.map(|entry| entry.expect("a directory can be read").path());
        paths.filter(|path| path.extension().is_some_and(|end| end == "json")).collect()
    }
}

fn write(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    fs::create_dir_all(path.parent().expect("a directory")).expect("a directory can be made");
    fs::write(path, text).expect("a file can be written");
}

/// The page's snippets of a language, by their number.
fn snippet(language: &str, number: usize) -> String {
    let fence = format!("```{language}\n");
    let mut snippets = PAGE.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    snippets.nth(number).unwrap_or_else(|| panic!("the page has no {language} snippet {number}")).to_owned()
}

fn seed(told: &str) -> &str {
    let line = told.lines().find_map(|line| line.strip_prefix("seed: "));
    line.expect("a seed is told").trim()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
