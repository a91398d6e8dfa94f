//! Do plans that once broke a property keep it? They lie in `plans`: found by campaigns, or shrunk from seeded bugs.

use quorate_sim::{SavedPlan, run};
use std::path::{Path, PathBuf};

fn saved() -> Vec<(PathBuf, SavedPlan)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
    let files = std::fs::read_dir(&directory).expect("the directory is there");
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("it can be read").path()).collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let saved = SavedPlan::read(&path).unwrap_or_else(|error| panic!("{error}"));
            (path, saved)
        })
        .collect()
}

#[test]
fn saved_plans_break_nothing_any_more() {
    let plans = saved();
    assert!(!plans.is_empty(), "there is no plan");
    for (path, saved) in plans {
        let report = run(&saved.plan);
        let path = path.display();
        assert_eq!(report.violation, None, "{path}: {}", saved.note);
        assert!(report.commits > 0, "{path} commits nothing");
    }
}

#[test]
fn a_saved_plan_reads_back_as_it_was_written() {
    for (path, saved) in saved() {
        assert_eq!(SavedPlan::parse(&saved.to_json()), Ok(saved), "{}", path.display());
    }
}
