//! Archives: zip, tar and tar.gz, and documents packed by gzip. Told apart by their first bytes. Links are not followed;
//! an entry or a link that leads out of the archive is a reason to refuse it.

use super::collect::{Collector, read_error, too_much};
use super::unfit;
use crate::source::error::{SourceError, excerpt};
use engine::topology::ansible::tree::{normalize, parent};
use flate2::read::MultiGzDecoder;
use std::collections::HashSet;
use std::io::{self, Cursor, Read};
use tar::EntryType;
use zip::ZipArchive;

/// Bytes that tell what a document is packed as.
pub const HEAD: usize = 512;
/// Where a tar header has its mark, and the mark (POSIX ustar and GNU).
const TAR_MARK: (usize, &[u8]) = (257, b"ustar");
/// What ends every tar archive: two blocks of zeros.
const TAR_END: usize = 1024;
/// Longest target of a link that is looked at.
const MAX_TARGET: u64 = 4096;

/// How a document is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Zip,
    Tar,
    Gzip,
}

impl Packing {
    /// By the first [`HEAD`] bytes; `None` for what is not packed.
    pub fn of(head: &[u8]) -> Option<Packing> {
        let mark = head.get(TAR_MARK.0..).unwrap_or_default();
        if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
            Some(Packing::Zip)
        } else if head.starts_with(b"\x1f\x8b") {
            Some(Packing::Gzip)
        } else {
            mark.starts_with(TAR_MARK.1).then_some(Packing::Tar)
        }
    }
}

/// Hands over the documents in an archive, or the one that gzip packs. Where everything lies in one folder, as in the
/// archives that forges make of a repository, paths begin below it.
///
/// # Errors
/// `Document` for what is broken, cut off, too large or leads out of the archive; those of the collector.
pub fn unpack(name: &str, bytes: &[u8], packing: Packing, collector: &mut Collector<'_>) -> Result<(), SourceError> {
    match packing {
        Packing::Zip => zip(name, bytes, collector),
        Packing::Tar => tar(name, || bytes, collector),
        Packing::Gzip => {
            let most = collector.limits.bytes;
            let unpacked = || Bounded::new(MultiGzDecoder::new(bytes), most);
            let mut head = Vec::new();
            unpacked()
                .take(HEAD as u64)
                .read_to_end(&mut head)
                .map_err(|e| read_error(name, e))?;
            if Packing::of(&head) == Some(Packing::Tar) {
                return tar(name, unpacked, collector);
            }
            let name = name.strip_suffix(".gz").unwrap_or(name).to_string();
            collector.read_alone(name, &mut unpacked())
        }
    }
}

fn tar<R: Read>(name: &str, open: impl Fn() -> R, collector: &mut Collector<'_>) -> Result<(), SourceError> {
    let broken = |e| read_error(name, e);
    let mut paths = Vec::new();
    let mut end = Tail::new(open());
    for (nr, entry) in tar::Archive::new(&mut end).entries().map_err(broken)?.enumerate() {
        collector.check()?;
        if nr >= collector.limits.entries {
            return Err(too_many(name, collector.limits.entries));
        }
        let entry = entry.map_err(broken)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => paths.push(inside(name, &path)?),
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default();
                link(name, &path, &String::from_utf8_lossy(&target))?;
                collector.leave_out();
            }
            EntryType::Link => {
                let target = entry.link_name_bytes().unwrap_or_default();
                inside(name, &String::from_utf8_lossy(&target))?;
                collector.leave_out();
            }
            _ => {}
        }
    }
    if !end.is_marked().map_err(broken)? {
        return Err(unfit(format!("\"{name}\" is cut off"))
            .detail("The archive has no end mark.")
            .hint("Check that it is whole."));
    }
    let top = Top::of(&paths);
    for entry in tar::Archive::new(open()).entries().map_err(broken)? {
        collector.check()?;
        let mut entry = entry.map_err(broken)?;
        if !matches!(
            entry.header().entry_type(),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse
        ) {
            continue;
        }
        let path = inside(name, &String::from_utf8_lossy(&entry.path_bytes()))?;
        if let Some(path) = collector.wants(top.below(&path)) {
            let size = entry.size();
            collector.read(path, Some(size), &mut entry)?;
        }
    }
    Ok(())
}

fn zip(name: &str, bytes: &[u8], collector: &mut Collector<'_>) -> Result<(), SourceError> {
    let broken = |e: zip::result::ZipError| {
        unfit(format!("\"{name}\" cannot be unpacked"))
            .detail(excerpt(&e.to_string()))
            .hint("Check that it is whole, and that it is neither encrypted nor packed in an unusual way.")
    };
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    if archive.len() > collector.limits.entries {
        return Err(too_many(name, collector.limits.entries));
    }
    let mut paths = Vec::new();
    for index in 0..archive.len() {
        collector.check()?;
        let entry = archive.by_index(index).map_err(broken)?;
        let path = String::from_utf8_lossy(entry.name_raw()).into_owned();
        if entry.is_symlink() {
            let mut target = Vec::new();
            entry
                .take(MAX_TARGET)
                .read_to_end(&mut target)
                .map_err(|e| read_error(name, e))?;
            link(name, &path, &String::from_utf8_lossy(&target))?;
            collector.leave_out();
        } else if !entry.is_dir() {
            paths.push((index, inside(name, &path)?));
        }
    }
    let top = Top::of(paths.iter().map(|(_, path)| path));
    for (index, path) in &paths {
        if let Some(path) = collector.wants(top.below(path)) {
            let mut entry = archive.by_index(*index).map_err(broken)?;
            // What the entry says of its own size is checked by the reading.
            collector.read(path, None, &mut entry)?;
        }
    }
    Ok(())
}

/// The path of an entry, without `.` parts.
fn inside(archive: &str, path: &str) -> Result<String, SourceError> {
    // Also as other systems write paths.
    let climbs = path.starts_with('/') || path.contains('\0') || path.split(['/', '\\']).any(|part| part == "..");
    match normalize("", path) {
        Some(inside) if !climbs => Ok(inside),
        _ => Err(unfit(format!("an entry of \"{archive}\" leads out of it"))
            .detail(format!("Entry \"{}\".", excerpt(path)))
            .hint("No honest archive has such paths: check where it comes from.")),
    }
}

/// Refuses a link that leads out of the archive.
fn link(archive: &str, path: &str, target: &str) -> Result<(), SourceError> {
    let path = inside(archive, path)?;
    if target.starts_with(['/', '\\']) || normalize(parent(&path), target).is_none() {
        return Err(unfit(format!("a link in \"{archive}\" leads out of it"))
            .detail(format!("Link \"{}\".", excerpt(&path)))
            .hint("Links are not followed; leave this one out of the archive."));
    }
    Ok(())
}

fn too_many(archive: &str, most: usize) -> SourceError {
    unfit(format!("\"{archive}\" has more than {most} entries"))
        .hint("Make an archive of the files that matter, or give it unpacked: the option \"folder\" of the source then says which count.")
}

/// The folder that holds all of an archive, if there is one.
struct Top(String);

impl Top {
    fn of(paths: impl IntoIterator<Item = impl AsRef<str>>) -> Top {
        let mut tops = HashSet::new();
        for path in paths {
            tops.insert(path.as_ref().split_once('/').map(|(top, _)| format!("{top}/")));
            if tops.len() > 1 {
                return Top(String::new());
            }
        }
        Top(tops.into_iter().flatten().next().unwrap_or_default())
    }

    fn below<'p>(&self, path: &'p str) -> &'p str {
        path.strip_prefix(self.0.as_str()).unwrap_or(path)
    }
}

/// A reader that ends in an error behind so many bytes.
struct Bounded<R> {
    inner: R,
    most: u64,
    left: u64,
}

impl<R> Bounded<R> {
    fn new(inner: R, most: u64) -> Self {
        Bounded {
            inner,
            most,
            left: most,
        }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        let left = self.left.checked_sub(n as u64);
        self.left = left.ok_or_else(|| io::Error::other(too_much(self.most)))?;
        Ok(n)
    }
}

/// A reader that knows how many zeros it ended with.
struct Tail<R> {
    inner: R,
    zeros: usize,
}

impl<R: Read> Tail<R> {
    fn new(inner: R) -> Self {
        Tail { inner, zeros: 0 }
    }

    /// Reads what is left, and says whether a tar archive may end so.
    fn is_marked(&mut self) -> io::Result<bool> {
        io::copy(self, &mut io::sink())?;
        Ok(self.zeros >= TAR_END)
    }
}

impl<R: Read> Read for Tail<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        let read = buffer.get(..n).unwrap_or_default();
        let zeros = read.iter().rev().take_while(|b| **b == 0).count();
        self.zeros = if zeros == n { self.zeros + n } else { zeros };
        Ok(n)
    }
}

#[cfg(test)]
mod tests;
