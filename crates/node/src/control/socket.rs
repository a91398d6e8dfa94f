//! Where does a replica take orders? At a socket that only its owner can open, and that says whether a
//! replica runs here already.

use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::Permissions;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::path_in;
use crate::{Error, Result};

/// A socket that is bound and not yet served. The file goes when this is dropped.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Binds `control.sock` in a directory. What a dead process left there is replaced.
    pub(crate) fn bind(directory: &Path) -> Result<Self> {
        let path = path_in(directory);
        let address = SockAddr::unix(&path).map_err(|_| {
            problem(
                &path,
                "its path is longer than the system allows, about 100 bytes; choose a shorter `dir`",
            )
        })?;
        remove_if_dead(&path)?;
        let listener = listen(&address, &path).map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => taken(&path),
            _ => problem(&path, &format!("it cannot be made: {error}; check the directory's rights")),
        })?;
        Ok(Self { listener, path })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // A file that stays is replaced by the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Nobody can connect before it listens, and when it does the mode is right already.
fn listen(address: &SockAddr, path: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(address)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A socket whose process is gone refuses connections.
fn remove_if_dead(path: &Path) -> Result {
    match UnixStream::connect(path) {
        Ok(_) => Err(taken(path)),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| {
                use std::os::unix::fs::FileTypeExt as _;
                found.file_type().is_socket()
            });
            if !is_socket {
                return Err(problem(path, "something else has this name; move it away"));
            }
            std::fs::remove_file(path)
                .map_err(|error| problem(path, &format!("a dead one cannot be removed: {error}; remove it")))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // Full queues and missing rights say that somebody is there.
        Err(_) => Err(taken(path)),
    }
}

fn taken(path: &Path) -> Error {
    problem(path, "another process runs on this directory; stop it, or give this replica a `dir` of its own")
}

fn problem(path: &Path, problem: &str) -> Error {
    Error::Control { path: path.to_owned(), problem: problem.to_owned() }
}

/// Connections that wait to be accepted.
const BACKLOG: i32 = 16;
