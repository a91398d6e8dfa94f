//! Who runs a test cluster? This process starts one of its own kind for each replica, says which are up, and
//! ends them all when it ends. It restarts none: what a replica says in its log is to be read first.

use anyhow::{Context as _, Result, bail};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use super::layout::config_of;
use crate::files::CLUSTER;

/// Runs the cluster in a directory until this process is told to end, or no replica is left.
pub(crate) fn run(dir: &Path, as_json: bool) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Supervisor { dir: dir.to_owned(), as_json }.run())
}

struct Supervisor {
    dir: PathBuf,
    as_json: bool,
}

/// One replica's process.
struct Replica {
    index: usize,
    process: Child,
    /// Its end is the sign to stop, also when this process is killed.
    input: Option<ChildStdin>,
    log: PathBuf,
}

impl Supervisor {
    async fn run(self) -> Result<ExitCode> {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let count = self.count()?;
        let mut stops = Vec::new();
        let mut ends = JoinSet::new();
        for index in 0..count {
            let (replica, output) = self.start(index)?;
            let (stop, stopped) = tokio::sync::oneshot::channel();
            stops.push(stop);
            ends.spawn(watch(replica, output, stopped, self.as_json));
        }
        let mut is_told = false;
        while !ends.is_empty() {
            tokio::select! {
                ended = ends.join_next() => self.on_end(ended, is_told)?,
                _ = interrupt.recv() => is_told = true,
                _ = terminate.recv() => is_told = true,
            }
            if is_told {
                stops.clear();
            }
        }
        if is_told {
            return Ok(ExitCode::SUCCESS);
        }
        bail!("no replica is left; each one's log.txt says why")
    }

    /// Replicas of the cluster: their configurations are numbered without gaps.
    fn count(&self) -> Result<usize> {
        let count = (0..).take_while(|index| self.dir.join(config_of(*index)).is_file()).count();
        if count == 0 {
            let dir = self.dir.display();
            bail!("there is no test cluster in {dir}; make one with `quorate testnet init {dir}`");
        }
        if !self.as_json {
            println(&format!(
                "starting {count} replicas; use them from another shell:\n\n    \
                 quorate put --cluster {0} KEY VALUE\n    quorate get --cluster {0} KEY\n",
                self.dir.join(CLUSTER).display()
            ));
        }
        Ok(count)
    }

    fn start(&self, index: usize) -> Result<(Replica, ChildStdout)> {
        let program = std::env::current_exe().context("this program cannot find itself")?;
        let config = self.dir.join(config_of(index));
        let own = self.dir.join(format!("replica-{index}"));
        std::fs::create_dir_all(&own).with_context(|| format!("cannot make {}", own.display()))?;
        let log = own.join("log.txt");
        let file = open_log(&log)?;
        let mut command = Command::new(program);
        command.arg("replica").arg("--until-input-ends").arg("--config").arg(&config);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file).kill_on_drop(true);
        // Ctrl-C in a terminal reaches this process alone, which then stops the others in peace.
        command.process_group(0);
        let mut process = command.spawn().context("the system refuses a process")?;
        let input = process.stdin.take();
        let output = process.stdout.take().context("a process without output")?;
        Ok((Replica { index, process, input, log }, output))
    }

    fn on_end(
        &self,
        ended: Option<Result<Result<Ended>, tokio::task::JoinError>>,
        is_told: bool,
    ) -> Result<()> {
        let Some(ended) = ended else { return Ok(()) };
        let Ended { index, code, log } = ended??;
        let code_text = code.map_or_else(|| "a signal".to_owned(), |code| format!("code {code}"));
        let hint = if is_told { String::new() } else { format!("; see {}", log.display()) };
        let sentence = format!("replica {index} ended with {code_text}{hint}");
        say(
            self.as_json,
            &sentence,
            &serde_json::json!({ "event": "ended", "replica": index, "code": code }),
        );
        Ok(())
    }
}

struct Ended {
    index: usize,
    code: Option<i32>,
    log: PathBuf,
}

/// Passes on that a replica is up, and waits until it has ended, by itself or when it is told.
async fn watch(
    mut replica: Replica,
    output: ChildStdout,
    stopped: tokio::sync::oneshot::Receiver<std::convert::Infallible>,
    as_json: bool,
) -> Result<Ended> {
    let index = replica.index;
    let mut lines = BufReader::new(output).lines();
    let mut stopped = std::pin::pin!(stopped);
    let mut log = open_log(&replica.log)?;
    let code = loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) => {
                    writeln!(log, "{line}")?;
                    if line.contains(" serves, ") {
                        let json = serde_json::json!({ "event": "up", "replica": index });
                        say(as_json, &line, &json);
                    }
                }
                None => break replica.process.wait().await?.code(),
            },
            // The sender is dropped, never used.
            _ = &mut stopped, if replica.input.is_some() => drop(replica.input.take()),
            () = tokio::time::sleep(STOP_MAX), if replica.input.is_none() => {
                replica.process.kill().await?;
                break replica.process.wait().await?.code();
            }
        }
    };
    Ok(Ended { index, code, log: replica.log })
}

fn open_log(path: &Path) -> Result<File> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.with_context(|| format!("cannot write {}", path.display()))
}

fn say(as_json: bool, sentence: &str, json: &serde_json::Value) {
    if as_json { println(&json.to_string()) } else { println(sentence) }
}

/// The cluster goes on when nobody reads what this says.
fn println(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// How long a replica may take to stop before it is killed.
const STOP_MAX: Duration = Duration::from_secs(20);
