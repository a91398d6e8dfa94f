//! What can be done to a disk from outside: damage, earlier images, too little room.

use quorate_store::{Fault, FaultyDisk};

use super::Disk;
use super::witness::Witness;

/// A disk as it was at a moment: log and states.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    log: quorate_store::Image,
    states: quorate_store::Image,
    witness: Witness,
    mark: u64,
}

/// Which of a replica's two directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The records.
    Log,
    /// The snapshots.
    States,
}

impl Disk {
    /// Whether what had been durable may be gone.
    pub(crate) const fn is_doubtful(&self) -> bool {
        self.witness.is_doubtful
    }

    pub(crate) const fn files(&self, part: Part) -> &FaultyDisk {
        match part {
            Part::Log => &self.log_files,
            Part::States => &self.state_files,
        }
    }

    /// Lets a fault happen to the operation that comes so many operations from now.
    pub(crate) fn plan(&mut self, part: Part, after: u64, fault: Fault) {
        self.witness.is_doubtful |= !matches!(fault, Fault::PowerLoss | Fault::Failure | Fault::Full);
        let files = self.files(part);
        files.plan(files.operations() + after, fault);
    }

    /// Sends the write that comes so many operations from now to another place.
    pub(crate) fn misdirect(&mut self, part: Part, after: u64, place: u64) {
        let list = self.files(part).list();
        let files = list.len().max(1) as u64;
        let chosen = usize::try_from(place % files).ok().and_then(|index| list.get(index));
        if let Some((file, length)) = chosen {
            let offset = place / files % length.max(&1);
            self.plan(part, after, Fault::Misdirected { file: file.clone(), offset });
        }
    }

    /// Flips one bit of all that lies there.
    pub(crate) fn flip(&mut self, part: Part, bit: u64) {
        self.witness.is_doubtful = true;
        let files = self.files(part);
        let bits: u64 = files.list().iter().map(|(_, length)| length * 8).sum();
        let mut bit = bit % bits.max(1);
        for (file, length) in files.list() {
            if bit < length * 8 {
                return files.flip(&file, bit);
            }
            bit -= length * 8;
        }
    }

    /// Leaves room for so many bytes more, or as many as are wanted.
    pub(crate) fn limit(&self, room: Option<u64>) {
        self.log_files.set_bytes_max(room.map(|room| self.log_files.bytes() + room));
        self.state_files.set_bytes_max(room.map(|room| self.state_files.bytes() + room));
    }

    /// No planned fault happens any more, and there is room.
    pub(crate) fn heal(&self) {
        self.log_files.forget_faults();
        self.state_files.forget_faults();
        self.limit(None);
    }

    pub(crate) fn image(&self) -> Image {
        let (log, states) = (self.log_files.image(), self.state_files.image());
        Image { log, states, witness: self.witness.clone(), mark: self.identity.mark }
    }

    /// Goes back to an earlier image.
    pub(crate) fn roll_back(&mut self, image: &Image) {
        self.close();
        self.log_files.roll_back(&image.log);
        self.state_files.roll_back(&image.states);
        self.witness = image.witness.clone();
        self.witness.is_doubtful = true;
        self.identity.mark = image.mark;
    }
}
