//! How does a state get to disk, to another replica, and into a digest?

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Write as _};

use crate::chunks::Joined;
use crate::{ChunkSink, chunk_stream};

/// A state that can be written down while it goes on changing.
///
/// Types that are `Clone + Serialize + Deserialize` have it already: freezing clones the state on
/// the thread that applies commands, which pauses for as long (a tenth of a second for 128 MiB in a
/// `BTreeMap` of kilobytes; `cargo bench -p quorate-services --bench snapshots` measures it), every snapshot
/// encodes and hashes all of it, and restoring holds the written and the read state in memory
/// together. A state too large for that leaves out `Clone` and implements this trait itself, over
/// structures that are shared until they change or that are on a disk.
pub trait Snapshot: Sized {
    /// Holds the state as it is now. What is frozen is unaffected by later commands.
    fn freeze(&mut self) -> Box<dyn Frozen>;

    /// Reads a state back: everything that [`Frozen::chunks`] gave, and nothing after it.
    ///
    /// # Errors
    /// [`RestoreError`] if the source fails or does not hold one whole state.
    fn restore(source: &mut dyn io::Read) -> Result<Self, RestoreError>;
}

/// A state as it was at one moment, ready to be written from another thread.
///
/// A state is written as chunks, so that what two snapshots share is kept, sent and hashed once. **The list
/// of chunks must be a function of the state alone**, never of how the state came about: the application root is its
/// digest, and replicas compare it. The chunks' bytes one after the other are what [`Snapshot::restore`] reads.
///
/// A state that is simply written hands its writing to [`chunk_stream`], which finds the chunks:
/// ```
/// # use quorate_machine::{ChunkSink, Frozen, chunk_stream};
/// # use std::io;
/// struct Total(u64);
///
/// impl Frozen for Total {
///     fn chunks(self: Box<Self>, out: &mut dyn ChunkSink) -> io::Result<()> {
///         chunk_stream(out, |out| out.write_all(&self.0.to_le_bytes()))
///     }
/// }
/// ```
/// A large state chooses its own chunks, a few kilobytes each, remembers the ids that [`ChunkSink::chunk`] gave
/// it, and offers those of what has not changed to [`ChunkSink::reuse`].
pub trait Frozen: Send {
    /// Gives the state to `out`, chunk by chunk, in the order in which it is to be read.
    ///
    /// # Errors
    /// Those of the sink, and those of the state's own source.
    fn chunks(self: Box<Self>, out: &mut dyn ChunkSink) -> io::Result<()>;

    /// Writes the state as one run of bytes: its chunks joined. Not to be overridden.
    ///
    /// # Errors
    /// Those of [`Frozen::chunks`] and of `out`.
    fn write(self: Box<Self>, out: &mut dyn io::Write) -> io::Result<()> {
        self.chunks(&mut Joined(out))
    }
}

/// Why a state could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The source could not be read.
    #[error("the snapshot cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The bytes are no state of this type.
    #[error("the snapshot holds no valid state: {0}")]
    Invalid(String),
}

impl<T: Clone + Serialize + DeserializeOwned + Send + 'static> Snapshot for T {
    fn freeze(&mut self) -> Box<dyn Frozen> {
        Box::new(Cloned(self.clone()))
    }

    fn restore(source: &mut dyn io::Read) -> Result<Self, RestoreError> {
        let mut bytes = Vec::new();
        source.read_to_end(&mut bytes)?;
        match postcard::take_from_bytes(&bytes) {
            Ok((state, [])) => Ok(state),
            Ok((_, rest)) => Err(RestoreError::Invalid(format!("{} bytes are left over", rest.len()))),
            Err(error) => Err(RestoreError::Invalid(error.to_string())),
        }
    }
}

/// The frozen form of states that are cloned.
struct Cloned<T>(T);

impl<T: Serialize + Send> Frozen for Cloned<T> {
    fn chunks(self: Box<Self>, out: &mut dyn ChunkSink) -> io::Result<()> {
        chunk_stream(out, |out| {
            // The encoder writes single bytes.
            let mut out = io::BufWriter::new(out);
            postcard::to_io(&self.0, &mut out).map_err(io::Error::other)?;
            out.flush()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root_of;
    use serde::Deserialize;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Notes {
        lines: Vec<String>,
        revision: u64,
    }

    fn notes() -> Notes {
        Notes { lines: vec!["first".into(), "second".into()], revision: 2 }
    }

    fn written(frozen: Box<dyn Frozen>) -> Vec<u8> {
        let mut bytes = Vec::new();
        frozen.write(&mut bytes).expect("memory takes it");
        bytes
    }

    #[test]
    fn a_frozen_state_does_not_follow_later_changes() {
        let mut state = notes();
        let frozen = state.freeze();
        state.lines.clear();
        assert_eq!(Notes::restore(&mut &written(frozen)[..]).expect("valid"), notes());
    }

    #[test]
    fn a_cut_or_lengthened_snapshot_is_refused() {
        let bytes = written(notes().freeze());
        assert!(matches!(Notes::restore(&mut &bytes[..bytes.len() - 1]), Err(RestoreError::Invalid(_))));
        let longer = [&bytes[..], &[0]].concat();
        let error = Notes::restore(&mut &longer[..]).expect_err("one byte too many");
        assert_eq!(error.to_string(), "the snapshot holds no valid state: 1 bytes are left over");
    }

    #[test]
    fn a_sink_that_fails_is_reported() {
        struct Full;
        impl io::Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert!(notes().freeze().write(&mut Full).is_err());
    }

    #[test]
    fn the_root_is_pinned_so_that_releases_agree() {
        assert_eq!(
            root_of(notes().freeze()).expect("hashes").to_string(),
            "956cd6e29969b1b373b925d884703c749d55cc0c91346b3953ba93e85176a244"
        );
    }
}
