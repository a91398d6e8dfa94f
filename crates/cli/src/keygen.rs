//! How does one get a key? `quorate keygen` draws one from the system's randomness.

use anyhow::Result;
use clap::Args;
use quorate::types::{SecretKey, hex};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::files;

/// Where to put the key.
#[derive(Args, Clone, Debug)]
pub(crate) struct Keygen {
    /// The file for the secret key, readable by its owner alone. Must not exist.
    #[arg(long, value_name = "FILE", default_value = "quorate.key")]
    out: PathBuf,
    /// Prints one JSON object instead of the public key alone.
    #[arg(long)]
    json: bool,
}

impl Keygen {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let key = SecretKey::from_seed(rand::random());
        files::write_key(&self.out, &key)?;
        let public = hex::encode(&key.public().0);
        let mut out = std::io::stdout();
        if self.json {
            writeln!(out, "{}", serde_json::json!({ "public": public, "file": self.out }))?;
        } else {
            writeln!(out, "{public}")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
