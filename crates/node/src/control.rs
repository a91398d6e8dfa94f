//! How does an operator talk to one running replica? Over the socket `control.sock` in its directory.
//!
//! Who may open the file may command the replica, so its mode is 0600. Both ends speak lines of JSON, one
//! request and one answer at a time:
//!
//! ```text
//! {"command":"status"}                                    {"ok":{"replica":0,"is_running":true, ..}}
//! {"command":"trail"}                                     {"ok":{"blocks":[[1,"5d.."], ..],"states":[]}}
//! {"command":"attack","attack":"silent","seed":42}        {"ok":true}
//! {"command":"attack","attack":null}                      {"ok":true}
//! {"command":"cut","peers":[2,3]}                         {"ok":true}
//! {"command":"heal"}                                      {"ok":true}
//! {"command":"stop"}                                      {"ok":true}, then the end of the stream
//! {"command":"sing"}                                      {"error":"unknown variant `sing`, .."}
//! ```

mod client;
mod server;
mod socket;

use quorate_types::ReplicaId;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

pub use client::ControlClient;
pub(crate) use server::ControlServer;
pub(crate) use socket::ControlSocket;

/// What is asked of a replica. Unknown fields are mistakes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
enum Request {
    /// Say how it is doing. The braces make further fields a mistake, as everywhere.
    Status {},
    /// Say what it executed lately.
    Trail {},
    /// Turn traitor with this attack, or honest again without one. All the attack's randomness comes from the seed,
    /// which is drawn if none is named.
    Attack { attack: Option<String>, seed: Option<u64> },
    /// Cut these replicas off until `heal`.
    Cut { peers: Vec<ReplicaId> },
    /// End all cuts.
    Heal {},
    /// Stop. The stream ends when the replica has ended.
    Stop {},
}

/// What a replica answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    /// Done; the status where that was asked for, else `true`.
    Ok(serde_json::Value),
    /// Refused, in one sentence.
    Error(String),
}

/// The socket in a replica's directory.
fn path_in(directory: &Path) -> PathBuf {
    directory.join("control.sock")
}

/// Most bytes of a request with its end of line.
const REQUEST_BYTES_MAX: usize = 4096;
/// Most bytes of an answer with its end of line. A status of 128 replicas with every reason is far below.
const ANSWER_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests;
