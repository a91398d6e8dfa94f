//! What does a data directory say about itself? Five lines that a person can read too.

use quorate_types::{Digest, PublicKey, hex};

use crate::{LogIdentity, Owner};

/// The format that is written, and the newest that is read.
pub(crate) const FORMAT_VERSION: u32 = 1;
/// More bytes than any identity has.
pub(crate) const BYTES_MAX: u64 = 1024;

/// Why bytes are not an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// They are not intact.
    Damaged,
    /// They were written in a newer format.
    NewerFormat(u32),
}

/// The text of an identity.
pub(crate) fn print(identity: &LogIdentity) -> String {
    let LogIdentity { owner: Owner { cluster, replica }, mark } = identity;
    let lines = format!(
        "Quorate data directory, format {FORMAT_VERSION}\ncluster {}\nreplica {}\nmark {mark:016x}\n",
        hex::encode(&cluster.0),
        hex::encode(&replica.0),
    );
    // In every format the last line is the checksum of all others, so that a flipped bit is not taken for a
    // newer format.
    format!("{lines}checksum {:08x}\n", crc32fast::hash(lines.as_bytes()))
}

/// Reads an identity.
pub(crate) fn parse(bytes: &[u8]) -> Result<LogIdentity, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|_| Fault::Damaged)?;
    let (lines, checksum) = text.rsplit_once("checksum ").ok_or(Fault::Damaged)?;
    if checksum != format!("{:08x}\n", crc32fast::hash(lines.as_bytes())) {
        return Err(Fault::Damaged);
    }
    let (first, rest) = lines.split_once('\n').ok_or(Fault::Damaged)?;
    let version =
        first.strip_prefix("Quorate data directory, format ").and_then(|version| version.parse().ok());
    match version.ok_or(Fault::Damaged)? {
        FORMAT_VERSION => parse_lines(rest).ok_or(Fault::Damaged),
        version => Err(Fault::NewerFormat(version)),
    }
}

fn parse_lines(text: &str) -> Option<LogIdentity> {
    let mut lines = text.lines();
    let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(' ');
    let cluster = Digest(hex::decode(value("cluster")?)?);
    let replica = PublicKey(hex::decode(value("replica")?)?);
    let mark = u64::from_str_radix(value("mark")?, 16).ok()?;
    let identity = LogIdentity { owner: Owner { cluster, replica }, mark };
    lines.next().is_none().then_some(identity)
}
