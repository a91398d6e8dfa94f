//! How does one use the key-value store from a shell? `put`, `get`, `delete` and `cas`, each one request that
//! so many replicas answer alike that one of them is honest.

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use clap::Args;
use quorate::config::{ClusterConfig, read_key};
use quorate::{Client, ClientOptions, Submitted};
use quorate_services::kv::{Command, KeyValue, Reply};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::exit::ANSWER_IS_NO;
use crate::files;

/// Which cluster to ask, and as whom.
#[derive(Args, Clone, Debug)]
struct Access {
    /// The cluster's `cluster.json`; by default QUORATE_CLUSTER, or the one in this or a parent directory.
    #[arg(long, value_name = "PATH")]
    cluster: Option<PathBuf>,
    /// The client's secret key; by default `client.key` beside the cluster's file.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// After how many seconds the outcome counts as unknown.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    deadline: u64,
    /// Prints one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// What to set.
#[derive(Args, Clone, Debug)]
pub(crate) struct Put {
    /// The key.
    #[arg(value_name = "KEY")]
    key_name: String,
    /// Its new value.
    value: String,
    #[command(flatten)]
    access: Access,
}

/// What to read.
#[derive(Args, Clone, Debug)]
pub(crate) struct Get {
    /// The key.
    #[arg(value_name = "KEY")]
    key_name: String,
    #[command(flatten)]
    access: Access,
}

/// What to remove.
#[derive(Args, Clone, Debug)]
pub(crate) struct Delete {
    /// The key.
    #[arg(value_name = "KEY")]
    key_name: String,
    #[command(flatten)]
    access: Access,
}

/// What to compare with, and what to set.
#[derive(Args, Clone, Debug)]
pub(crate) struct Cas {
    /// The key.
    #[arg(value_name = "KEY")]
    key_name: String,
    /// What it must have now.
    #[arg(long, conflicts_with = "absent", required_unless_present = "absent")]
    expected: Option<String>,
    /// It must not exist now.
    #[arg(long)]
    absent: bool,
    /// Its new value; without one the key is removed.
    value: Option<String>,
    #[command(flatten)]
    access: Access,
}

impl Put {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        self.access.run(Command::Put { key: bytes_of(&self.key_name), value: bytes_of(&self.value) })
    }
}

impl Get {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        self.access.run(Command::Get { key: bytes_of(&self.key_name) })
    }
}

impl Delete {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        self.access.run(Command::Delete { key: bytes_of(&self.key_name) })
    }
}

impl Cas {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let [expected, value] = [&self.expected, &self.value].map(|text| text.as_deref().map(bytes_of));
        self.access.run(Command::Cas { key: bytes_of(&self.key_name), expected, value })
    }
}

impl Access {
    /// Submits one command and prints the reply.
    fn run(&self, command: Command) -> Result<ExitCode> {
        let path = files::find_cluster(self.cluster.as_deref())?;
        let cluster = ClusterConfig::read(&path)?;
        let key_path = self.key.clone().unwrap_or_else(|| path.with_file_name(files::CLIENT_KEY));
        let key = read_key(&key_path, None)?;
        let options =
            ClientOptions { deadline: Duration::from_secs(self.deadline), ..ClientOptions::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let submitted = runtime.block_on(async {
            let client = Client::<KeyValue>::start(&cluster.genesis, &cluster.replicas, key, &options)?;
            let submitted = client.submit(command).await;
            client.close().await;
            anyhow::Ok(submitted?)
        })?;
        self.print(submitted, &mut std::io::stdout().lock())
    }

    fn print(&self, submitted: Submitted<Reply>, out: &mut impl Write) -> Result<ExitCode> {
        let height = submitted.height;
        let (code, json) = match &submitted.reply {
            Reply::Done => (ExitCode::SUCCESS, serde_json::json!({ "done": true, "height": height })),
            Reply::Deleted(found) => {
                (code_of(*found), serde_json::json!({ "deleted": found, "height": height }))
            }
            Reply::Value(value) => {
                (code_of(value.is_some()), serde_json::json!({ "value": text_of(value)?, "height": height }))
            }
            Reply::Differs(value) => (
                ANSWER_IS_NO.into(),
                serde_json::json!({ "done": false, "value": text_of(value)?, "height": height }),
            ),
            Reply::TooLong => bail!("the store takes no key or value of this length; nothing changed"),
        };
        if self.json {
            writeln!(out, "{json}")?;
        } else {
            print_text(&submitted.reply, out)?;
        }
        Ok(code)
    }
}

/// Values go to standard output, alone; everything else is for people.
fn print_text(reply: &Reply, out: &mut impl Write) -> Result<()> {
    let mut notes = std::io::stderr();
    match reply {
        Reply::Value(Some(value)) => {
            out.write_all(value)?;
            writeln!(out)?;
        }
        Reply::Value(None) | Reply::Deleted(false) => writeln!(notes, "there is no such key")?,
        Reply::Differs(Some(value)) => {
            writeln!(notes, "nothing changed: the present value is {}", String::from_utf8_lossy(value))?;
        }
        Reply::Differs(None) => writeln!(notes, "nothing changed: there is no such key")?,
        Reply::Done | Reply::Deleted(true) | Reply::TooLong => {}
    }
    Ok(())
}

fn code_of(is_yes: bool) -> ExitCode {
    if is_yes { ExitCode::SUCCESS } else { ANSWER_IS_NO.into() }
}

fn text_of(value: &Option<Bytes>) -> Result<Option<&str>> {
    let text = value.as_deref().map(std::str::from_utf8).transpose();
    text.context("the value is no text, so it has no JSON; ask without --json")
}

fn bytes_of(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
