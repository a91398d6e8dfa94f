//! What does the log say, and is it intact?

use quorate_consensus::{Account, Record};
use quorate_store::{DirectoryFiles, DiskLog, LogIdentity, StoreError};
use serde::Serialize;

use super::{EMPTY_DIRECTORY, Gravity, Report};

/// The log as it was read.
#[derive(Clone, Debug, Serialize)]
pub struct LogState {
    /// The position of the first record that is held.
    pub first: u64,
    /// The position behind the last one.
    pub end: u64,
    /// Bytes of all records.
    pub bytes: u64,
    /// Segment files that are needed.
    pub segments: usize,
    /// Bytes of a torn tail, which a start would cut.
    pub torn_bytes: u64,
    /// Files that a start would remove.
    pub leftovers: Vec<String>,
    /// What the records say.
    pub account: Account,
}

/// Why reading stopped.
enum Trouble {
    Store(StoreError),
    /// A record is intact and means nothing.
    Record(String),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

pub(super) fn look(report: &mut Report, identity: LogIdentity) -> Option<LogState> {
    let files = DirectoryFiles::new(&report.directory.join("log"));
    let (mut account, mut bytes) = (Account::default(), 0);
    let read = DiskLog::inspect_records(&files, identity, |position, frame| {
        bytes += (frame.head.len() + frame.payload.len()) as u64;
        let record = Record::decode(&frame);
        account
            .add(&record.map_err(|why| Trouble::Record(format!("record {position} cannot be read: {why}")))?);
        Ok::<_, Trouble>(())
    });
    let found = match read {
        Ok(found) => found,
        Err(trouble) => {
            note_trouble(report, &trouble);
            return None;
        }
    };
    let log = LogState {
        first: found.first.0,
        end: found.end.0,
        bytes,
        segments: found.segments,
        torn_bytes: found.torn_bytes,
        leftovers: found.leftovers,
        account: account.finish(),
    };
    note_tail(report, &log);
    note_account(report, &log.account);
    Some(log)
}

fn note_trouble(report: &mut Report, trouble: &Trouble) {
    match trouble {
        Trouble::Store(error @ (StoreError::Damaged { .. } | StoreError::Missing { .. })) => {
            report.note(Gravity::Damaged, format!("the log: {error}"), EMPTY_DIRECTORY);
        }
        Trouble::Store(error) => report.refuse(Gravity::ToDo, &format_args!("the log: {error}")),
        Trouble::Record(what) => {
            report.note(Gravity::Damaged, format!("the log: {what}"), EMPTY_DIRECTORY);
        }
    }
}

/// While a replica writes, the end of its log looks torn.
fn note_tail(report: &mut Report, log: &LogState) {
    if log.torn_bytes > 0 && !report.is_in_use {
        let what = format!(
            "the log's tail is torn, as after a loss of power: a start cuts {} bytes behind record {}, which were never \
             durable",
            log.torn_bytes, log.end
        );
        report.note(Gravity::Healthy, what, "start the replica");
    }
}

fn note_account(report: &mut Report, account: &Account) {
    if let Some(height) = account.diverged {
        let what = format!("its state after height {height} or before differs from the others' (rule K2)");
        let to_do = "compare the dump with the others' states, then start the replica, and it fetches theirs";
        report.note(Gravity::ToDo, what, to_do);
    }
    if account.records == 1 && account.summary.is_none() && account.recovering.is_none() {
        report.note(Gravity::Healthy, "it was prepared and never started", "start the replica");
    }
    let Some(wished) = account.recovering else { return };
    let what = match (account.records, account.is_rolled_back, account.summary) {
        (0, ..) => "nothing says that this replica was prepared or ever ran: its disk was lost (rule D3)",
        (_, true, _) => "an older copy of its disk was put in place: it forgot what it signed (rule D3)",
        (1, _, Some(_)) => "it was restored from a saved snapshot and does not know what it signed (rule D3)",
        _ => "it lost its disk and was not let in again yet (rule D3)",
    };
    let what = match wished {
        Some(view) => format!("{what}; it waits for a certificate of view {view} or later"),
        None => what.to_owned(),
    };
    let to_do = "start it, or leave it running, with at least a quorum of the others: they let it in after a view change";
    report.note(Gravity::ToDo, what, to_do);
}
