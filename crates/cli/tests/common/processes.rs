//! A cluster of real processes in a directory of its own, which can be killed and started again one by one.
//! Whatever runs ends with the test, also with one that fails or is killed.

use quorate::config::{ClusterConfig, read_key};
use quorate::types::ReplicaId;
use quorate::{Client, ClientOptions, ControlClient, Durability, Status};
use quorate_services::kv::KeyValue;
use rustix::process::Signal;
use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

use super::{PATIENCE, until};

/// The processes, and the directory with their files.
pub(crate) struct Processes {
    pub(crate) directory: PathBuf,
    replicas: Vec<Option<Child>>,
}

impl Processes {
    /// The files of four replicas with free ports, settled for tests. None runs yet.
    pub(crate) fn new(durability: Durability) -> Self {
        let processes = Self::with_defaults(durability);
        processes.settle();
        processes
    }

    /// The files of four replicas as the program writes them.
    pub(crate) fn with_defaults(durability: Durability) -> Self {
        let processes = Self { directory: new_directory(), replicas: vec![None, None, None, None] };
        let output = quorate(&["testnet", "init", processes.dir(), "--durability", durability.name()]);
        assert!(output.status.success(), "{output:?}");
        processes
    }

    /// Checkpoints come soon, and a replica may lose its memory often.
    fn settle(&self) {
        self.edit("genesis.json", "\"checkpoint_interval\": 1024", "\"checkpoint_interval\": 64");
        for index in 0..self.replicas.len() {
            self.edit(&format!("replica-{index}.toml"), "\nreplicas", TIMING);
        }
        self.prepare_again();
    }

    /// Checkpoints come after so many blocks, and the window spans three of them. Only before the first start.
    pub(crate) fn space_checkpoints(&self, interval: u64) {
        let edit = |name: &str, before: u64, after: u64| {
            self.edit("genesis.json", &format!("\"{name}\": {before}"), &format!("\"{name}\": {after}"));
        };
        edit("checkpoint_interval", 1024, interval);
        edit("window", 4096, interval * 3);
        self.prepare_again();
    }

    /// What is in genesis is part of the cluster's identity, so that a change of it needs new directories.
    fn prepare_again(&self) {
        for index in 0..self.replicas.len() {
            std::fs::remove_dir_all(self.path(format!("replica-{index}"))).expect("it was prepared");
            let output = quorate(&["init", "--config", &self.config(index)]);
            assert!(output.status.success(), "{output:?}");
        }
    }

    /// Starts one replica, which serves when this returns.
    pub(crate) fn start(&mut self, index: usize) {
        self.try_start(index).unwrap_or_else(|output| panic!("replica {index} does not start: {output:?}"));
    }

    /// Starts one replica, or gives what it said when it ended instead.
    pub(crate) fn try_start(&mut self, index: usize) -> Result<(), Output> {
        self.spawn(index, Command::new(PROGRAM))
    }

    /// Starts one replica on a disk where no file grows beyond so many KiB.
    pub(crate) fn start_with_full_disk(&mut self, index: usize, kibibytes: u64) {
        let mut command = Command::new("bash");
        let limits = format!("trap '' XFSZ; ulimit -f {kibibytes}; exec \"$0\" \"$@\"");
        command.args(["-c", &limits, PROGRAM]);
        self.spawn(index, command)
            .unwrap_or_else(|output| panic!("replica {index} does not start: {output:?}"));
    }

    fn spawn(&mut self, index: usize, mut command: Command) -> Result<(), Output> {
        assert!(self.replicas[index].is_none(), "replica {index} runs");
        let log = self.path(format!("replica-{index}.log"));
        let log_file = OpenOptions::new().create(true).append(true).open(&log).expect("a log");
        let mut child = command
            .args(["replica", "--until-input-ends", "--config", &self.config(index)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .expect("the program runs");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, serves) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            // Reads on to the end, so that the process is never blocked by what it says.
            while output.read_line(&mut line).is_ok_and(|count| count > 0) {
                if line.contains(" serves, ") {
                    let _ = sender.send(());
                }
                line.clear();
            }
        });
        match serves.recv_timeout(PATIENCE) {
            Ok(()) => {
                self.replicas[index] = Some(child);
                Ok(())
            }
            Err(_) => {
                let _ = child.kill();
                let status = child.wait().expect("it is a child");
                Err(Output { status, stdout: Vec::new(), stderr: std::fs::read(log).expect("a log") })
            }
        }
    }

    pub(crate) fn start_all(&mut self) {
        (0..self.replicas.len()).for_each(|index| self.start(index));
    }

    /// Kills one replica as a loss of power would, and waits until it is gone.
    pub(crate) fn kill(&mut self, index: usize) {
        let mut child = self.replicas[index].take().unwrap_or_else(|| panic!("replica {index} is not there"));
        child.kill().expect("it is a child");
        child.wait().expect("it is a child");
    }

    /// Stops one replica where it stands, as a machine that is suspended; nobody is told.
    pub(crate) fn pause(&self, index: usize) {
        rustix::process::kill_process(self.pid(index), Signal::STOP).expect("it is a child");
    }

    /// Lets it go on.
    pub(crate) fn resume(&self, index: usize) {
        rustix::process::kill_process(self.pid(index), Signal::CONT).expect("it is a child");
    }

    /// Waits for the end of a replica that was told to end.
    pub(crate) async fn ended(&mut self, index: usize) -> ExitStatus {
        let mut child = self.replicas[index].take().unwrap_or_else(|| panic!("replica {index} is not there"));
        until("it ends", || std::future::ready(child.try_wait().expect("it is a child"))).await
    }

    /// What a replica has logged.
    pub(crate) fn log(&self, index: usize) -> String {
        let bytes = std::fs::read(self.path(format!("replica-{index}.log"))).expect("it has one");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(crate) fn pid(&self, index: usize) -> rustix::process::Pid {
        rustix::process::Pid::from_child(self.replicas[index].as_ref().expect("it runs"))
    }

    pub(crate) fn running(&self) -> Vec<usize> {
        (0..self.replicas.len()).filter(|index| self.replicas[*index].is_some()).collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.replicas.len()
    }

    /// The replica's control socket.
    pub(crate) async fn control(&self, index: usize) -> quorate::Result<ControlClient> {
        ControlClient::connect(self.path(format!("replica-{index}"))).await
    }

    pub(crate) async fn status(&self, index: usize) -> quorate::Result<Status> {
        self.control(index).await?.status().await
    }

    /// Waits until a running replica's status meets a condition.
    pub(crate) async fn wait_for(
        &self,
        index: usize,
        what: &str,
        condition: impl Fn(&Status) -> bool,
    ) -> Status {
        let condition = &condition;
        until(&format!("replica {index} {what}"), || async move {
            let status = self.status(index).await.expect("it runs");
            assert_eq!(status.halted, None, "replica {index}");
            condition(&status).then_some(status)
        })
        .await
    }

    /// Waits until a replica takes part and is connected to all that run.
    pub(crate) async fn wait_until_ready(&self, index: usize) -> Status {
        let others = self.running().len() - 1;
        self.wait_for(index, "is ready", |status| !status.is_recovering && status.connected.len() >= others)
            .await
    }

    /// The primary as most running replicas see it.
    pub(crate) async fn primary(&self) -> usize {
        let mut views: Vec<(u64, ReplicaId)> = Vec::new();
        for index in self.running() {
            let status = self.status(index).await.expect("it runs");
            views.push((status.view.0, status.primary));
        }
        views.iter().max().expect("one runs").1.index()
    }

    /// A client with the key in the box, or another one.
    pub(crate) fn client(&self, key: Option<quorate::types::SecretKey>) -> Client<KeyValue> {
        let cluster = ClusterConfig::read(self.path("cluster.json")).expect("it reads");
        let key = key.unwrap_or_else(|| read_key(&self.path("client.key"), None).expect("it reads"));
        Client::start(&cluster.genesis, &cluster.replicas, key, &ClientOptions::default()).expect("a socket")
    }

    /// Runs the program against this cluster.
    pub(crate) fn quorate(&self, args: &[&str]) -> Output {
        let cluster = self.path("cluster.json");
        let output = Command::new(PROGRAM).args(args).env("QUORATE_CLUSTER", cluster).output();
        output.expect("the program runs")
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.join(name)
    }

    pub(crate) fn config(&self, index: usize) -> String {
        text_of(&self.path(format!("replica-{index}.toml")))
    }

    pub(crate) fn dir(&self) -> &str {
        self.directory.to_str().expect("text")
    }

    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(name)).expect("it reads");
        assert!(text.contains(from), "{name} has no {from:?}");
        std::fs::write(self.path(name), text.replace(from, to)).expect("it writes");
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in self.replicas.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let kept = self.directory.display();
            std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("logs are kept in {kept}\n")).ok();
        } else {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}

/// Views are given up sooner than by default, so that kills follow each other quickly.
const TIMING: &str = "\ntiming.wish_interval_ms = 1\ntiming.view_timeout_max_ms = 2000\nreplicas";

/// Runs the program to its end.
pub(crate) fn quorate(args: &[&str]) -> Output {
    Command::new(PROGRAM).args(args).output().expect("the program runs")
}

/// A directory that does not exist yet, with a short path: a socket's may have about 100 bytes.
pub(crate) fn new_directory() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("quorate-{}-{number}", std::process::id()))
}

pub(crate) fn text_of(path: &Path) -> String {
    path.to_str().expect("text").to_owned()
}

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_quorate");
