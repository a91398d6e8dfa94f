//! How does a state get to disk, to another replica, and into a digest?

use quorate_types::{Digest, DigestBuilder};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Write as _};

/// A state that can be written down while it goes on changing.
///
/// Types that are `Clone + Serialize + Deserialize` have it already: freezing clones the state on
/// the thread that applies commands, which pauses for as long, and restoring holds the written and
/// the read state in memory together. A state too large for that leaves out `Clone` and implements
/// this trait itself, over persistent or on-disk structures.
pub trait Snapshot: Sized {
    /// Holds the state as it is now. What is frozen is unaffected by later commands.
    fn freeze(&mut self) -> Box<dyn Frozen>;

    /// Reads a state back: everything that [`Frozen::write`] wrote, and nothing after it.
    ///
    /// # Errors
    /// [`RestoreError`] if the source fails or does not hold one whole state.
    fn restore(source: &mut dyn io::Read) -> Result<Self, RestoreError>;
}

/// A state as it was at one moment, ready to be written from another thread.
pub trait Frozen: Send {
    /// Writes the state. Equal states write equal bytes: the application root is their digest.
    ///
    /// # Errors
    /// Those of the sink, and those of the state's own source.
    fn write(self: Box<Self>, out: &mut dyn io::Write) -> io::Result<()>;
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

/// The application root: the digest of what a frozen state writes, computed as it is written.
///
/// # Errors
/// Those of [`Frozen::write`].
pub fn root_of(frozen: Box<dyn Frozen>) -> io::Result<Digest> {
    let mut hasher = RootHasher { digest: DigestBuilder::new(ROOT_DOMAIN), part: Vec::new() };
    frozen.write(&mut hasher)?;
    Ok(hasher.finish())
}

/// The frozen form of states that are cloned.
struct Cloned<T>(T);

impl<T: Serialize + Send> Frozen for Cloned<T> {
    fn write(self: Box<Self>, out: &mut dyn io::Write) -> io::Result<()> {
        // The encoder writes single bytes.
        let mut out = io::BufWriter::new(out);
        postcard::to_io(&self.0, &mut out).map_err(io::Error::other)?;
        out.flush()
    }
}

/// Hashes parts of one fixed length, so that the digest does not depend on how the writes were cut.
struct RootHasher {
    digest: DigestBuilder,
    part: Vec<u8>,
}

impl RootHasher {
    fn finish(mut self) -> Digest {
        self.digest.part(&self.part);
        self.digest.finish()
    }
}

impl io::Write for RootHasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(ROOT_PART_BYTES - self.part.len());
        self.part.extend_from_slice(&bytes[..taken]);
        if self.part.len() == ROOT_PART_BYTES {
            self.digest.part(&self.part);
            self.part.clear();
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const ROOT_DOMAIN: &str = "quorate application root";
/// The length in which a state is hashed, part of what the root means.
const ROOT_PART_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
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

    /// Writes the same bytes in pieces of a given length.
    struct Pieces(Vec<u8>, usize);
    impl Frozen for Pieces {
        fn write(self: Box<Self>, out: &mut dyn io::Write) -> io::Result<()> {
            self.0.chunks(self.1).try_for_each(|piece| out.write_all(piece))
        }
    }

    #[test]
    fn the_root_depends_on_the_bytes_and_not_on_how_they_are_written() {
        let bytes: Vec<u8> = (0..=255).cycle().take(2 * ROOT_PART_BYTES + 17).collect();
        let root = |bytes: &[u8], piece| root_of(Box::new(Pieces(bytes.to_vec(), piece))).expect("hashes");
        let whole = root(&bytes, bytes.len());
        assert_eq!(root(&bytes, 1), whole);
        assert_eq!(root(&bytes, 1000), whole);
        assert_ne!(root(&bytes[1..], 1000), whole);
        assert_ne!(root(&bytes[..ROOT_PART_BYTES], 7), root(&bytes[..ROOT_PART_BYTES - 1], 7));
    }

    #[test]
    fn the_root_is_pinned_so_that_releases_agree() {
        assert_eq!(
            root_of(notes().freeze()).expect("hashes").to_string(),
            "a103c3b21b5691330fd8d3b943989f0d38c4a0513a963c6bc4864ae7f36bb23e"
        );
    }
}
