//! Who answers at the control socket? A thread of its own, which a busy core does not silence and which no
//! client can fill: lines, connections and waits are bounded.

use quorate_types::ReplicaId;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::{Answer, ControlSocket, REQUEST_BYTES_MAX, Request};
use crate::node::Node;

/// The serving end of a control socket. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct ControlServer {
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the requests are about.
struct Desk {
    node: Node,
    /// Who can be cut off.
    others: Vec<ReplicaId>,
}

impl ControlServer {
    /// Serves a socket on behalf of a replica.
    pub(crate) fn start(socket: ControlSocket, node: Node, others: Vec<ReplicaId>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _entered = runtime.enter();
            UnixListener::from_std(socket.listener.try_clone()?)?
        };
        let (end, ended) = oneshot::channel();
        let name = format!("replica-{}-control", node.id());
        let desk = Arc::new(Desk { node, others });
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept_all(&listener, &desk) => {}
                    // However the other end goes, this is over.
                    _ = ended => {}
                }
            });
            drop(socket);
        })?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it was told when it happened.
            let _ = thread.join();
        }
    }
}

async fn accept_all(listener: &UnixListener, desk: &Arc<Desk>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            // Out of descriptors: some will be given back.
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let desk = Arc::clone(desk);
                tokio::spawn(async move {
                    // What ends a connection is the client's business.
                    let _ = serve(stream, &desk).await;
                    drop(place);
                });
            }
            Err(_) => {
                let why = format!("{CONNECTIONS_MAX} connections are open already; close one");
                let line = line_of(&Answer::Error(why));
                // There is room for one line in a new socket; if not, closing it says enough.
                let _ = timeout(ACCEPT_AGAIN, stream.write_all(&line)).await;
            }
        }
    }
}

/// Answers one line after the other until the client is done, says nothing for long, or cannot be
/// understood any more.
async fn serve(stream: UnixStream, desk: &Desk) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = (&mut read).take(REQUEST_BYTES_MAX as u64);
        if timeout(IDLE_MAX, bounded.read_until(b'\n', &mut line)).await?? == 0 {
            return Ok(());
        }
        let request = request_of(&line);
        let is_stop = request == Ok(Request::Stop {});
        let answer = match request {
            Ok(request) => desk.answer(request).await,
            Err(why) => Err(why),
        };
        let answer = answer.unwrap_or_else(Answer::Error);
        timeout(IDLE_MAX, write.write_all(&line_of(&answer))).await??;
        if is_stop {
            // Answered before: once the replica has ended, the process may.
            let _ = desk.node.stop().await;
        }
        if is_stop || !line.ends_with(b"\n") {
            return Ok(());
        }
    }
}

fn request_of(line: &[u8]) -> Result<Request, String> {
    if line.ends_with(b"\n") {
        serde_json::from_slice(line).map_err(|error| {
            format!("this is not a request: {error}; send {{\"command\":\"status\"}} or another")
        })
    } else if line.len() < REQUEST_BYTES_MAX {
        Err("the request ends without an end of line; end it with one".to_owned())
    } else {
        Err(format!(
            "a request has at most {REQUEST_BYTES_MAX} bytes with its end of line; send a shorter one"
        ))
    }
}

impl Desk {
    async fn answer(&self, request: Request) -> Result<Answer, String> {
        match request {
            Request::Status {} => {
                let status = serde_json::to_value(self.node.status().await);
                return status.map(Answer::Ok).map_err(|error| error.to_string());
            }
            Request::Trail {} => {
                let trail = self.node.trail().await.map_err(|error| error.to_string())?;
                return serde_json::to_value(trail).map(Answer::Ok).map_err(|error| error.to_string());
            }
            Request::Attack { attack, seed } => self.attack(attack.as_deref(), seed).await?,
            Request::Cut { peers } => {
                for peer in &peers {
                    self.check_peer(*peer)?;
                }
                for peer in peers {
                    self.node.set_cut(peer, true).await;
                }
            }
            Request::Heal {} => {
                for peer in &self.others {
                    self.node.set_cut(*peer, false).await;
                }
            }
            Request::Stop {} => {}
        }
        Ok(Answer::Ok(true.into()))
    }

    #[cfg(feature = "lab")]
    async fn attack(&self, attack: Option<&str>, seed: Option<u64>) -> Result<(), String> {
        let Some(attack) = attack else {
            return self.node.repent().await.map_err(|error| error.to_string());
        };
        let spec = attack.parse::<quorate_attack::Spec>().map_err(|error| error.to_string())?;
        let seed = seed.unwrap_or_else(rand::random);
        let turn = crate::driver::Turn { adversary: spec.build(), colluders: Vec::new(), seed };
        self.node.attack(turn, crate::Venue::ControlSocket).await.map_err(|error| error.to_string())
    }

    #[cfg(not(feature = "lab"))]
    #[expect(clippy::unused_async, reason = "with feature `lab` it waits")]
    async fn attack(&self, _: Option<&str>, _: Option<u64>) -> Result<(), String> {
        Err("this program was built without attacks; build it with the feature `lab`".to_owned())
    }

    fn check_peer(&self, peer: ReplicaId) -> Result<(), String> {
        if self.others.contains(&peer) {
            return Ok(());
        }
        if peer == self.node.id() {
            return Err(format!("replica {peer} is this one; name the others"));
        }
        Err(format!("there is no replica {peer}; this cluster has replicas 0 to {}", self.others.len()))
    }
}

fn line_of(answer: &Answer) -> Vec<u8> {
    // A value of strings and numbers always has a text.
    let mut line = serde_json::to_vec(answer).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Clients at a time.
const CONNECTIONS_MAX: usize = 16;
/// How long a client may say nothing, or take nothing.
const IDLE_MAX: Duration = Duration::from_secs(60);
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
