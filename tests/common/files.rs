//! The configuration in the box with free ports, for tests of replicas that run from files.

use quorate::config::read_key;
use quorate::prelude::*;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::Journal;

/// The configuration in the box with free ports, in a directory of its own.
pub(crate) struct Files {
    directory: PathBuf,
}

impl Files {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("quorate-files-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let files = Self { directory: std::env::temp_dir().join(name) };
        std::fs::create_dir_all(&files.directory).expect("a directory");
        let held: Vec<UdpSocket> = (0..8).map(|_| UdpSocket::bind("127.0.0.1:0").expect("a port")).collect();
        let ports: Vec<u16> = held.iter().map(|socket| socket.local_addr().expect("bound").port()).collect();
        for entry in std::fs::read_dir(shipped()).expect("the box") {
            let path = entry.expect("an entry").path();
            let mut text = std::fs::read_to_string(&path).expect("a text");
            for (port, free) in (7000..7004).chain(7100..7104).zip(&ports) {
                text = text.replace(&format!(":{port}"), &format!(":{free}"));
            }
            std::fs::write(files.path(path.file_name().expect("a name")), text).expect("it writes");
        }
        files
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.join(name)
    }

    pub(crate) fn edit(&self, name: &str, edit: impl FnOnce(String) -> String) {
        let text = std::fs::read_to_string(self.path(name)).expect("it reads");
        let edited = edit(text.clone());
        assert_ne!(text, edited, "the edit of {name} does nothing");
        std::fs::write(self.path(name), edited).expect("it writes");
    }

    pub(crate) fn open_all(&self) -> Vec<Replica> {
        self.open_with(|_| Journal::default())
    }

    /// Each replica with a machine of its own.
    pub(crate) fn open_with(&self, make: fn(u32) -> Journal) -> Vec<Replica> {
        let open = |id| {
            let path = self.path(format!("replica-{id}.toml"));
            Replica::init(&path).expect("it is new");
            Replica::open(path, move || make(id)).expect("it opens")
        };
        (0..4).map(open).collect()
    }

    pub(crate) fn client(&self) -> Client<Journal> {
        let key = read_key(&self.path("client.key"), None).expect("it reads");
        Client::connect(self.path("cluster.json"), key).expect("it connects")
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // Left behind, it would do no harm either.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

pub(crate) fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/local")
}
