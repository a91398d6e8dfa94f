//! How are a log's files kept on a real disk?

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::Files;

/// Files in a directory of the operating system.
///
/// Two files stay open, the one that was written last and the one that was read last: a log writes at its end
/// only.
#[derive(Debug)]
pub struct DirectoryFiles {
    path: PathBuf,
    written: Option<(String, File)>,
    read: RefCell<Option<(String, File)>>,
}

impl DirectoryFiles {
    /// The files in a directory that exists.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), written: None, read: RefCell::new(None) }
    }

    fn writer(&mut self, name: &str) -> io::Result<&mut File> {
        open(&mut self.written, name, || OpenOptions::new().write(true).open(self.path.join(name)))
    }
}

impl Files for DirectoryFiles {
    fn list(&self) -> io::Result<Vec<String>> {
        let entry_name =
            |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
        fs::read_dir(&self.path)?.map(entry_name).collect()
    }

    fn length(&self, name: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.path.join(name))?.len())
    }

    fn read(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut kept = self.read.borrow_mut();
        let file = open(&mut kept, name, || File::open(self.path.join(name)))?;
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(buffer)
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create_new(true).open(self.path.join(name))?;
        self.written = Some((name.to_owned(), file));
        Ok(())
    }

    fn write(&mut self, name: &str, offset: u64, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let file = self.writer(name)?;
        file.seek(SeekFrom::Start(offset))?;
        // Empty parts in front would make a complete write look like one that cannot go on.
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            match file.write_vectored(parts) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut parts, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn set_length(&mut self, name: &str, length: u64) -> io::Result<()> {
        self.writer(name)?.set_len(length)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        // The length is part of what makes the bytes readable, so this makes it durable too; times are not.
        self.writer(name)?.sync_data()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.written.take_if(|(kept, _)| kept == name);
        self.read.get_mut().take_if(|(kept, _)| kept == name);
        fs::remove_file(self.path.join(name))
    }

    fn sync_directory(&mut self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// The file that is kept open if it has this name; else another is opened and kept in its place.
fn open<'a>(
    kept: &'a mut Option<(String, File)>,
    name: &str,
    open: impl FnOnce() -> io::Result<File>,
) -> io::Result<&'a mut File> {
    if kept.as_ref().is_none_or(|(kept, _)| kept != name) {
        *kept = None;
    }
    let (_, file) = match kept {
        Some(file) => file,
        None => kept.insert((name.to_owned(), open()?)),
    };
    Ok(file)
}
