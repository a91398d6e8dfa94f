//! How is a plan kept, so that it still runs when the code has changed, or says why it does not? As JSON with the version of
//! the format, what it broke, and what wrote it.
//!
//! A new field of a plan has a default that means what plans meant before it; fields that went or changed their meaning make
//! a new version.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::observe::Violation;
use crate::plan::Plan;
use crate::validate::PlanError;

/// The version of the format that is written. All up to it are read.
pub const PLAN_FORMAT: u32 = 1;

/// A plan with what there is to know about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedPlan {
    /// The version of the format, see [`PLAN_FORMAT`].
    pub format: u32,
    /// What wrote it: program and version.
    pub written_by: String,
    /// What it broke when it was written; nothing if it is one that must pass.
    #[serde(default)]
    pub broke: Option<Broke>,
    /// What is of note about it: where it came from, which bug it shows.
    #[serde(default)]
    pub note: String,
    /// The plan.
    pub plan: Plan,
}

/// What a plan broke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broke {
    /// The name of the property.
    pub property: String,
    /// What happened instead.
    pub what: String,
}

/// What is known of a file before all of it is read.
#[derive(Deserialize)]
struct Head {
    format: u32,
    #[serde(default)]
    written_by: String,
}

impl SavedPlan {
    /// A plan that broke a property.
    #[must_use]
    pub fn new(plan: Plan, violation: &Violation, note: impl Into<String>) -> Self {
        let broke = Broke { property: violation.property.to_owned(), what: violation.what.clone() };
        Self { format: PLAN_FORMAT, written_by: written_by(), broke: Some(broke), note: note.into(), plan }
    }

    /// Reads a plan from JSON and checks that it can run.
    ///
    /// # Errors
    /// One sentence: what is wrong, or why this version cannot run it.
    pub fn parse(json: &str) -> Result<Self, PlanError> {
        let head: Head = serde_json::from_str(json)
            .map_err(|error| PlanError(format!("this is no saved plan: {}", sentence(&error))))?;
        if head.format > PLAN_FORMAT || head.format == 0 {
            let text = format!(
                "the plan has format {}, and {} reads formats up to {PLAN_FORMAT}",
                head.format,
                written_by()
            );
            return Err(PlanError(text));
        }
        let by = if head.written_by.is_empty() { "an unknown program" } else { &head.written_by };
        let saved: Self = serde_json::from_str(json).map_err(|error| {
            let (own, why) = (written_by(), sentence(&error));
            PlanError(format!("the plan, written by {by}, says what {own} does not understand: {why}"))
        })?;
        saved.plan.validate()?;
        Ok(saved)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or as [`Self::parse`].
    pub fn read(path: &Path) -> Result<Self, PlanError> {
        let name = path.display();
        let json =
            fs::read_to_string(path).map_err(|error| PlanError(format!("cannot read {name}: {error}")))?;
        Self::parse(&json).map_err(|PlanError(why)| PlanError(format!("{name}: {why}")))
    }

    /// The JSON text.
    ///
    /// # Panics
    /// Never: a plan is plain data.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a plan is plain data") + "\n"
    }

    /// Writes the plan to `NAME.json` in a directory, which is made if it is missing.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, directory: &Path, name: &str) -> io::Result<PathBuf> {
        fs::create_dir_all(directory)?;
        let path = directory.join(format!("{name}.json"));
        fs::write(&path, self.to_json())?;
        Ok(path)
    }
}

/// This program and its version.
fn written_by() -> String {
    format!("quorate {}", env!("CARGO_PKG_VERSION"))
}

fn sentence(error: &serde_json::Error) -> String {
    error.to_string().replace('\n', " ")
}
