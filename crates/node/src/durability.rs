//! What does a replica's log survive?

use serde::Deserialize;

/// What a replica's log survives. In a configuration file `durability = "sync"` or `"memory"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Durability {
    /// The log is on disk, and nothing that the replica promises leaves before a sync returned.
    #[default]
    Sync,
    /// The log is kept in this process: it survives the replica's restart, not the process's end.
    Memory,
}

impl Durability {
    /// Its name in files and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Memory => "memory",
        }
    }
}

impl std::fmt::Display for Durability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
