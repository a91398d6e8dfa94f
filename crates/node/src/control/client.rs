//! How does a program command a running replica? With one typed call for each request.

use quorate_types::ReplicaId;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{ANSWER_BYTES_MAX, Answer, Request, path_in};
use crate::{Error, Result, Status, Trail};

/// The asking end of a replica's control socket.
#[derive(Debug)]
pub struct ControlClient {
    stream: BufReader<UnixStream>,
    path: PathBuf,
}

impl ControlClient {
    /// Connects to the replica that runs on a directory.
    ///
    /// # Errors
    /// [`Error::Control`] if none does, or if it belongs to somebody else.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn connect(directory: impl AsRef<Path>) -> Result<Self> {
        let path = path_in(directory.as_ref());
        match UnixStream::connect(&path).await {
            Ok(stream) => Ok(Self { stream: BufReader::new(stream), path }),
            Err(error) => Err(Error::Control { problem: not_connected(&error), path }),
        }
    }

    /// How the replica is doing.
    ///
    /// # Errors
    /// [`Error::Control`] if it ends meanwhile or does not answer.
    pub async fn status(&mut self) -> Result<Status> {
        let value = self.ask(&Request::Status {}).await?;
        serde_json::from_value(value).map_err(|error| {
            self.problem(format!("its status is none: {error}; does it run another version?"))
        })
    }

    /// What it executed lately.
    ///
    /// # Errors
    /// [`Error::Control`] if it ends meanwhile or does not answer.
    pub async fn trail(&mut self) -> Result<Trail> {
        let value = self.ask(&Request::Trail {}).await?;
        serde_json::from_value(value).map_err(|error| {
            self.problem(format!("its trail is none: {error}; does it run another version?"))
        })
    }

    /// Turns it into a traitor that runs this attack, written as in `equivocate-proposals@views=3..6`. All the attack's
    /// randomness comes from `seed`.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is no such attack, if it needs more than the replica's own key, or if its genesis does
    /// not say `test: true`; [`Error::Control`].
    pub async fn attack(&mut self, attack: &str, seed: u64) -> Result {
        self.ask(&Request::Attack { attack: Some(attack.to_owned()), seed: Some(seed) }).await.map(drop)
    }

    /// Makes it honest again.
    ///
    /// # Errors
    /// As [`ControlClient::attack`].
    pub async fn honest(&mut self) -> Result {
        self.ask(&Request::Attack { attack: None, seed: None }).await.map(drop)
    }

    /// Cuts it off from other replicas, in both directions, until [`ControlClient::heal`].
    ///
    /// # Errors
    /// [`Error::Refused`] if one of them does not exist or is this one; [`Error::Control`].
    pub async fn cut(&mut self, peers: &[ReplicaId]) -> Result {
        self.ask(&Request::Cut { peers: peers.to_vec() }).await.map(drop)
    }

    /// Ends all cuts.
    ///
    /// # Errors
    /// [`Error::Control`].
    pub async fn heal(&mut self) -> Result {
        self.ask(&Request::Heal {}).await.map(drop)
    }

    /// Stops it, and waits until its threads have ended.
    ///
    /// # Errors
    /// [`Error::Control`], also if it does not end in time.
    pub async fn stop(mut self) -> Result {
        self.ask(&Request::Stop {}).await?;
        let mut rest = Vec::new();
        match timeout(STOP_MAX, self.stream.read_to_end(&mut rest)).await {
            // A stream that breaks has ended too.
            Ok(_) => Ok(()),
            Err(_) => Err(self.problem(format!("the replica did not end within {STOP_MAX:?}; see its log"))),
        }
    }

    async fn ask(&mut self, request: &Request) -> Result<serde_json::Value> {
        let answer = match timeout(ANSWER_MAX, self.exchange(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                return Err(self.problem(format!("the replica does not answer: {error}; see its log")));
            }
            Err(_) => {
                return Err(self.problem(format!("no answer within {ANSWER_MAX:?}; see the replica's log")));
            }
        };
        match answer {
            Answer::Ok(value) => Ok(value),
            Answer::Error(why) => Err(Error::Refused { why }),
        }
    }

    async fn exchange(&mut self, request: &Request) -> io::Result<Answer> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.stream.write_all(&line).await?;
        line.clear();
        (&mut self.stream).take(ANSWER_BYTES_MAX as u64).read_until(b'\n', &mut line).await?;
        if line.is_empty() {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "it ended"));
        }
        Ok(serde_json::from_slice(&line)?)
    }

    fn problem(&self, problem: String) -> Error {
        Error::Control { path: self.path.clone(), problem }
    }
}

fn not_connected(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            "no replica runs on this directory; start it with `quorate replica --config FILE`".to_owned()
        }
        ErrorKind::PermissionDenied => {
            "it belongs to another user; ask as the user that runs the replica".to_owned()
        }
        _ => format!("it cannot be opened: {error}; check the path"),
    }
}

/// How long a replica may take to answer: its core may be busy, or its machine.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long it may take to end. It waits for a command that runs.
const STOP_MAX: Duration = Duration::from_secs(30);
