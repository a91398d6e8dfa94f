//! Which attacks are there, and which can run on a process? `quorate attack list`.

use anyhow::Result;
use clap::Args;
use quorate::Attack;
use quorate::lab::Venue;
use std::io::Write as _;
use std::process::ExitCode;

/// How to show them.
#[derive(Args, Clone, Debug)]
pub(super) struct List {
    /// Prints one JSON array instead of a table.
    #[arg(long)]
    json: bool,
}

/// One attack. The names in JSON are a contract.
#[derive(serde::Serialize)]
struct Entry {
    name: String,
    does: &'static str,
    needs: String,
    /// Why it cannot run over a control socket; `null` if it can.
    refused: Option<&'static str>,
}

impl List {
    pub(super) fn run(&self) -> Result<ExitCode> {
        let entry = |attack: &Attack| Entry {
            name: attack.to_string(),
            does: attack.describe(),
            needs: attack.needs().to_string(),
            refused: Venue::ControlSocket.refusal(attack.needs()),
        };
        let entries: Vec<Entry> = Attack::ALL.iter().map(entry).collect();
        let out = &mut std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(&entries)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        for Entry { name, does, needs, refused } in entries {
            writeln!(out, "{name}\n    {does}\n    needs {needs}")?;
            match refused {
                Some(why) => writeln!(out, "    not here: {why}")?,
                None => writeln!(out, "    runs here: quorate attack --replica N {name}")?,
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
