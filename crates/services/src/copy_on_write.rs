//! How is a large state frozen without a pause, and written without writing it all? As a hash table whose
//! buckets are shared with its frozen forms until they change.
//!
//! Every bucket is a chunk of its own, of about 4 KiB, and remembers its id while it is unchanged. The number of
//! buckets follows from the bytes in the table alone, and linear hashing splits or joins one bucket at a time.
//! So equal tables have equal chunks whatever their history, and a change moves one chunk.

use bytes::Bytes;
use quorate::types::Digest;
use quorate::{CHUNK_BYTES_MAX, ChunkId, ChunkSink, Frozen, RestoreError};
use std::io::{self, BufReader, Read};
use std::sync::{Arc, OnceLock};

/// A map of bytes to bytes that freezes by cloning one pointer per 64 buckets: a millisecond for
/// gigabytes. The first change in a group afterwards clones its pointers, and the first in a bucket its entries.
#[derive(Debug)]
pub struct CopyOnWriteMap {
    /// An entry stands in the bucket that [`bucket_of`] says.
    buckets: Buckets,
    len: u64,
    /// What all entries are long when written.
    bytes: u64,
}

impl Default for CopyOnWriteMap {
    fn default() -> Self {
        let mut buckets = Buckets::default();
        buckets.push(Bucket::default());
        Self { buckets, len: 0, bytes: 0 }
    }
}

impl CopyOnWriteMap {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&Bytes> {
        let bucket = self.buckets.bucket(bucket_of(key, self.buckets.count));
        bucket.find(key).ok().map(|index| &bucket.entries[index].1)
    }

    /// Sets a key's value, and gives the value before.
    pub fn insert(&mut self, key: Bytes, value: Bytes) -> Option<Bytes> {
        let bucket = bucket_of(&key, self.buckets.count);
        self.bytes += written_bytes(&key, &value);
        let before = match self.buckets.bucket(bucket).find(&key) {
            Ok(index) => {
                let before = std::mem::replace(&mut self.buckets.entries_mut(bucket)[index].1, value);
                self.bytes -= written_bytes(&key, &before);
                Some(before)
            }
            Err(index) => {
                self.buckets.entries_mut(bucket).insert(index, (key, value));
                self.len += 1;
                None
            }
        };
        self.resize();
        before
    }

    /// Removes a key, and gives the value that it had.
    pub fn remove(&mut self, key: &[u8]) -> Option<Bytes> {
        let bucket = bucket_of(key, self.buckets.count);
        let index = self.buckets.bucket(bucket).find(key).ok()?;
        let (key, value) = self.buckets.entries_mut(bucket).remove(index);
        self.bytes -= written_bytes(&key, &value);
        self.len -= 1;
        self.resize();
        Some(value)
    }

    /// How many keys there are.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Holds the table as it is now.
    #[must_use]
    pub fn freeze(&self) -> Box<dyn Frozen> {
        Box::new(self.buckets.clone())
    }

    /// Reads a table back, in memory of its own size.
    ///
    /// # Errors
    /// Those of the source, and [`RestoreError::Invalid`] if an entry is cut off or stands there twice.
    pub fn restore(source: &mut dyn Read) -> Result<Self, RestoreError> {
        let mut source = BufReader::new(source);
        let mut map = Self::default();
        while let Some((key, value)) = read_entry(&mut source)? {
            if map.insert(key, value).is_some() {
                return Err(RestoreError::Invalid("a key stands there twice".to_owned()));
            }
        }
        Ok(map)
    }

    /// Gives the table the number of buckets that its bytes ask for.
    fn resize(&mut self) {
        let wanted = usize::try_from(self.bytes / BUCKET_BYTES).unwrap_or(usize::MAX).max(1);
        while self.buckets.count < wanted {
            self.buckets.split();
        }
        while self.buckets.count > wanted {
            self.buckets.join();
        }
    }
}

/// All buckets, in groups, both shared with frozen forms until they change.
#[derive(Clone, Debug, Default)]
struct Buckets {
    /// All but the last group are full.
    groups: Vec<Arc<Vec<Arc<Bucket>>>>,
    count: usize,
}

impl Buckets {
    fn bucket(&self, index: usize) -> &Bucket {
        &self.groups[index / GROUP_BUCKETS][index % GROUP_BUCKETS]
    }

    /// A bucket's entries, to be changed: copied if a frozen form shares them.
    fn entries_mut(&mut self, index: usize) -> &mut Vec<(Bytes, Bytes)> {
        let group = Arc::make_mut(&mut self.groups[index / GROUP_BUCKETS]);
        let bucket = Arc::make_mut(&mut group[index % GROUP_BUCKETS]);
        bucket.ids.take();
        &mut bucket.entries
    }

    fn push(&mut self, bucket: Bucket) {
        if self.count.is_multiple_of(GROUP_BUCKETS) {
            self.groups.push(Arc::default());
        }
        Arc::make_mut(&mut self.groups[self.count / GROUP_BUCKETS]).push(Arc::new(bucket));
        self.count += 1;
    }

    fn pop(&mut self) -> Option<Arc<Bucket>> {
        let bucket = Arc::make_mut(self.groups.last_mut()?).pop()?;
        self.count -= 1;
        if self.count.is_multiple_of(GROUP_BUCKETS) {
            self.groups.pop();
        }
        Some(bucket)
    }

    /// Adds a bucket, with the entries that belong there now and were in the bucket that it splits off.
    fn split(&mut self) {
        let (added, from) = (self.count, splits_from(self.count));
        let mut moved = Vec::new();
        if !self.bucket(from).entries.is_empty() {
            let kept = self.entries_mut(from);
            (*kept, moved) = kept.drain(..).partition(|(key, _)| bucket_of(key, added + 1) == from);
        }
        self.push(Bucket { entries: moved, ids: OnceLock::new() });
    }

    /// Undoes the last split.
    fn join(&mut self) {
        let Some(last) = self.pop() else { return };
        if !last.entries.is_empty() {
            let entries = self.entries_mut(splits_from(self.count));
            entries.extend(last.entries.iter().cloned());
            entries.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        }
    }
}

/// The entries whose keys hash alike, by key.
#[derive(Clone, Debug, Default)]
struct Bucket {
    entries: Vec<(Bytes, Bytes)>,
    /// The ids of its chunks, once they were written: one, unless many keys hash alike or a value is large.
    ids: OnceLock<Box<[ChunkId]>>,
}

impl Bucket {
    /// Where a key is, or would be.
    fn find(&self, key: &[u8]) -> Result<usize, usize> {
        self.entries.binary_search_by(|(present, _)| present[..].cmp(key))
    }

    /// Gives its chunks, those that did not change by their ids. `scratch` saves allocations.
    fn give(&self, out: &mut dyn ChunkSink, scratch: &mut Vec<u8>) -> io::Result<()> {
        scratch.clear();
        let Some(ids) = self.ids.get() else {
            self.write(scratch);
            let given: io::Result<Box<[ChunkId]>> =
                scratch.chunks(CHUNK_BYTES_MAX).map(|chunk| out.chunk(chunk)).collect();
            // Another frozen form may have written the same bucket, with the same ids.
            let _ = self.ids.set(given?);
            return Ok(());
        };
        for (index, id) in ids.iter().enumerate() {
            if !out.reuse(id)? {
                if scratch.is_empty() {
                    self.write(scratch);
                }
                let start = index * CHUNK_BYTES_MAX;
                out.chunk(&scratch[start..scratch.len().min(start + CHUNK_BYTES_MAX)])?;
            }
        }
        Ok(())
    }

    fn write(&self, out: &mut Vec<u8>) {
        for (key, value) in &self.entries {
            for length in [key.len(), value.len()] {
                let length = u32::try_from(length).expect("a command is shorter than 4 GiB");
                out.extend(length.to_le_bytes());
            }
            out.extend_from_slice(key);
            out.extend_from_slice(value);
        }
    }
}

impl Frozen for Buckets {
    fn chunks(self: Box<Self>, out: &mut dyn ChunkSink) -> io::Result<()> {
        let mut scratch = Vec::new();
        self.groups
            .iter()
            .flat_map(|group| group.iter())
            .try_for_each(|bucket| bucket.give(out, &mut scratch))
    }
}

/// In which of `count` buckets a key stands: where the low bits of its hash say, with one bit less where that
/// bucket is not there yet.
fn bucket_of(key: &[u8], count: usize) -> usize {
    // Keys come from clients. Whoever seeks collisions on purpose makes one bucket long and slow; it still has
    // chunks of an allowed length.
    let hash = Digest::of_bytes(key).short();
    let below = count.next_power_of_two() as u64;
    let bucket = (hash % below) as usize;
    if bucket < count { bucket } else { splits_from(bucket) }
}

/// The bucket that holds the entries of bucket `index` before there is one.
const fn splits_from(index: usize) -> usize {
    index - (1 << index.ilog2())
}

const fn written_bytes(key: &Bytes, value: &Bytes) -> u64 {
    (LENGTHS_BYTES + key.len() + value.len()) as u64
}

fn read_entry(source: &mut impl Read) -> Result<Option<(Bytes, Bytes)>, RestoreError> {
    let lengths = read_bytes(source, LENGTHS_BYTES as u64)?;
    match lengths[..] {
        [] => Ok(None),
        [k0, k1, k2, k3, v0, v1, v2, v3] => {
            let mut part = |length: [u8; 4]| {
                let length = u32::from_le_bytes(length);
                let bytes = read_bytes(source, length.into())?;
                if bytes.len() as u64 == u64::from(length) { Ok(bytes) } else { Err(cut_off()) }
            };
            Ok(Some((part([k0, k1, k2, k3])?, part([v0, v1, v2, v3])?)))
        }
        _ => Err(cut_off()),
    }
}

/// So many bytes, or what is left. A length that lies does not make it allocate.
fn read_bytes(source: &mut impl Read, length: u64) -> io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(length.min(CHUNK_BYTES_MAX as u64) as usize);
    source.take(length).read_to_end(&mut bytes)?;
    Ok(bytes.into_boxed_slice().into())
}

fn cut_off() -> RestoreError {
    RestoreError::Invalid("the last entry is cut off".to_owned())
}

/// What a bucket holds on average. Smaller ones make a change cheaper and the list of chunks longer.
const BUCKET_BYTES: u64 = 4096;
const LENGTHS_BYTES: usize = 8;
/// So many buckets are cloned where one of them changes; all buckets divided by it when the table is frozen.
const GROUP_BUCKETS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_moves_only_into_the_bucket_that_a_split_adds() {
        for number in 0..200_u32 {
            let key = number.to_le_bytes();
            for count in 1..70 {
                let (before, after) = (bucket_of(&key, count), bucket_of(&key, count + 1));
                assert!(before < count);
                assert!(after == before || (after == count && before == splits_from(count)));
            }
        }
    }
}
