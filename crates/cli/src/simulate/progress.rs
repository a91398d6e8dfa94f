//! How does an interrupted run go on where it was? Its progress is a file, replaced as a whole after each part.

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::ErrorKind;
use std::path::Path;

/// Reads the progress; `None` if there is no file yet or none is kept.
pub(crate) fn load<T: DeserializeOwned>(path: Option<&Path>) -> Result<Option<T>> {
    let Some(path) = path else { return Ok(None) };
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let what = || format!("{} holds other progress; name another file", path.display());
    serde_json::from_str(&text).map(Some).with_context(what)
}

/// Writes the progress, if it is kept.
pub(crate) fn save(path: Option<&Path>, progress: &impl Serialize) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let new = path.with_extension("new");
    let written = std::fs::write(&new, serde_json::to_string(progress)?);
    written
        .and_then(|()| std::fs::rename(&new, path))
        .with_context(|| format!("cannot write {}", path.display()))
}
