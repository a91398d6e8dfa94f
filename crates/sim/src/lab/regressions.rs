//! Where are the plans that failed once, and which of them does a test run first?

use quorate_types::Digest;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::chart::Chart;
use crate::lab::TestPlan;

/// The plans of a package's tests that failed.
#[derive(Clone, Debug)]
pub(crate) struct Regressions {
    /// The package's directory.
    package: PathBuf,
}

/// A file, and the plan in it or why there is none.
pub(crate) type Regression = (PathBuf, Result<TestPlan, String>);

impl Regressions {
    pub(crate) fn beside(package: &Path) -> Self {
        Self { package: package.to_owned() }
    }

    /// The plans of a test, by their names.
    pub(crate) fn of(&self, test: &str) -> Vec<Regression> {
        let Ok(entries) = fs::read_dir(self.directory()) else { return Vec::new() };
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| is_of(path, test));
        paths.sort();
        let plans = paths.into_iter().map(|path| (self.shown(&path), Self::read(&path)));
        plans.filter(|(_, plan)| plan.as_ref().map_or(true, |plan| plan.test == test)).collect()
    }

    /// Reads one plan.
    pub(crate) fn read(path: &Path) -> Result<TestPlan, String> {
        let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    /// The file of this name, in this directory or in the package's.
    pub(crate) fn find(&self, path: &Path) -> PathBuf {
        let beside = self.package.join(path);
        if !path.exists() && beside.exists() { beside } else { path.to_owned() }
    }

    /// Writes a plan, and beside it the chart of its run as a Mermaid diagram. Gives its path as seen from the package.
    pub(crate) fn write(&self, plan: &TestPlan, chart: Option<&Chart>) -> io::Result<PathBuf> {
        let json = serde_json::to_string_pretty(plan)? + "\n";
        let digest = Digest::of_parts("quorate saved plan", &[json.as_bytes()]);
        let name = format!("{}-{:08x}.json", function(&plan.test), digest.short() >> 32);
        fs::create_dir_all(self.directory())?;
        let path = self.directory().join(name);
        fs::write(&path, json)?;
        if let Some(chart) = chart {
            fs::write(path.with_extension("mmd"), chart.mermaid())?;
        }
        Ok(self.shown(&path))
    }

    fn directory(&self) -> PathBuf {
        self.package.join("tests").join("regressions")
    }

    /// A path as a user of the package would write it.
    fn shown(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.package).unwrap_or(path).to_owned()
    }
}

/// The name of a test without its module.
pub(crate) fn function(test: &str) -> &str {
    test.rsplit("::").next().unwrap_or(test)
}

/// Names of functions hold no dash, so that no name is the beginning of another one's.
fn is_of(path: &Path, test: &str) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_prefix(function(test)).is_some_and(|rest| rest.starts_with('-') && rest.ends_with(".json"))
}
