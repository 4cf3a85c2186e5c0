//! A repository on this machine, read where it lies: loose objects, packs with their indexes, references.

use super::objects::{MAX_OBJECT, Objects, broken, missing, verify};
use super::pack::Pack;
use crate::source::documents::{MAX_ARCHIVE, unfit};
use crate::source::error::{ErrorKind, SourceError};
use crate::source::file::{self, FileConfig, Place};
use flate2::read::ZlibDecoder;
use gix_hash::{ObjectId, oid};
use gix_object::Kind;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Longest reference, `HEAD` included.
const MAX_REFERENCE_FILE: u64 = 4096;
/// Most references that are followed to an object.
const MAX_HOPS: usize = 5;

/// An open repository.
pub struct Repository {
    place: Place,
    /// The folder with `HEAD` and `objects`.
    folder: PathBuf,
    packs: Vec<Pack>,
}

impl Repository {
    /// Opens a bare repository, or the one in the folder `.git` of a checkout.
    ///
    /// # Errors
    /// Those of [`Place::new`]; `Document` for what is no repository, or one that borrows from another.
    pub fn open(config: &FileConfig) -> Result<Repository, SourceError> {
        let place = file::place(config)?;
        let inner = place.path().join(".git");
        let folder = if inner.is_dir() {
            inner
        } else {
            place.path().to_path_buf()
        };
        if !folder.join("HEAD").is_file() || !folder.join("objects").is_dir() {
            return Err(unfit(format!("\"{}\" is no git repository", config.path.display()))
                .hint("Point url at a bare repository or at a checkout that holds its own folder .git."));
        }
        if folder.join("objects/info/alternates").exists() {
            return Err(unfit("the git repository borrows objects from another")
                .hint("Make it whole: git repack -a -d, then remove objects/info/alternates."));
        }
        let mut repository = Repository {
            place,
            folder,
            packs: Vec::new(),
        };
        repository.open_packs()?;
        Ok(repository)
    }

    fn open_packs(&mut self) -> Result<(), SourceError> {
        let folder = self.folder.join("objects/pack");
        let Ok(listing) = fs::read_dir(&folder) else {
            return Ok(());
        };
        let mut names: Vec<PathBuf> = listing.filter_map(|entry| Some(entry.ok()?.path())).collect();
        names.sort();
        let mut room = MAX_ARCHIVE as u64;
        for index in names.iter().filter(|path| path.extension().is_some_and(|e| e == "idx")) {
            let index_bytes = self.file(index, room)?;
            room -= index_bytes.len() as u64;
            let pack_bytes = self.file(&index.with_extension("pack"), room)?;
            room -= pack_bytes.len() as u64;
            self.packs.push(Pack::indexed(pack_bytes, index_bytes)?);
        }
        Ok(())
    }

    /// The object that a branch, a tag, a commit or HEAD stands for.
    ///
    /// # Errors
    /// `Config` for a reference that does not exist.
    pub fn resolve(&self, reference: Option<&str>) -> Result<ObjectId, SourceError> {
        let name = reference.unwrap_or("HEAD");
        if let Ok(id) = ObjectId::from_hex(name.as_bytes()) {
            return Ok(id);
        }
        let candidates = match name {
            "HEAD" => vec![name.to_string()],
            full if full.starts_with("refs/") => vec![full.to_string()],
            short => vec![format!("refs/heads/{short}"), format!("refs/tags/{short}")],
        };
        for name in candidates {
            if let Some(id) = self.follow(name)? {
                return Ok(id);
            }
        }
        Err(no_reference(name))
    }

    fn follow(&self, mut name: String) -> Result<Option<ObjectId>, SourceError> {
        let packed = self.text("packed-refs", MAX_ARCHIVE as u64)?.unwrap_or_default();
        for _ in 0..MAX_HOPS {
            let found = match self.text(&name, MAX_REFERENCE_FILE)? {
                Some(text) => text,
                None => {
                    let line = packed
                        .lines()
                        .find_map(|line| line.strip_suffix(name.as_str())?.strip_suffix(' '));
                    match line {
                        Some(id) => id.to_string(),
                        None => return Ok(None),
                    }
                }
            };
            match found.trim().strip_prefix("ref: ") {
                Some(next) if super::is_reference(next) => name = next.to_string(),
                Some(_) => return Ok(None),
                None => return Ok(ObjectId::from_hex(found.trim().as_bytes()).ok()),
            }
        }
        Ok(None)
    }

    /// A small file of the repository as text; `None` if it is not there.
    fn text(&self, name: &str, most: u64) -> Result<Option<String>, SourceError> {
        let path = self.folder.join(name);
        if !path.is_file() {
            return Ok(None);
        }
        let bytes = self.file(&path, most)?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The whole of a file below the roots, at most `most` bytes.
    fn file(&self, path: &Path, most: u64) -> Result<Vec<u8>, SourceError> {
        let (mut file, size) = self.place.open(path)?;
        if size > most {
            return Err(unfit("the git repository is too large to be read where it lies").hint(
                "Clone it without its history (git clone --depth 1 --bare), or give a url that begins with https://.",
            ));
        }
        let mut bytes = Vec::new();
        let failed = |e: std::io::Error| {
            SourceError::new(ErrorKind::Io, format!("cannot read \"{}\"", path.display())).detail(e.to_string())
        };
        file.by_ref().take(size).read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    /// An object that has a file of its own: zlib over kind, size, a NUL and the content.
    fn loose(&self, id: &oid, out: &mut Vec<u8>) -> Result<Option<Kind>, SourceError> {
        let hex = id.to_string();
        let (folder, name) = hex.split_at(2);
        let path = self.folder.join("objects").join(folder).join(name);
        if !path.is_file() {
            return Ok(None);
        }
        let packed = self.file(&path, MAX_OBJECT as u64)?;
        let unreadable = || broken(format!("Object {id} cannot be read."));
        out.clear();
        ZlibDecoder::new(packed.as_slice())
            .take(MAX_OBJECT as u64 + 1)
            .read_to_end(out)
            .map_err(|_| unreadable())?;
        let end = out.iter().position(|b| *b == 0).ok_or_else(unreadable)?;
        let head = out.get(..end).unwrap_or_default();
        let kind = head.split(|b| *b == b' ').next().unwrap_or_default();
        let kind = Kind::from_bytes(kind).map_err(|_| unreadable())?;
        out.drain(..=end);
        verify(id, kind, out)?;
        Ok(Some(kind))
    }
}

impl Objects for Repository {
    fn read(&mut self, id: &oid, out: &mut Vec<u8>) -> Result<Kind, SourceError> {
        if let Some(kind) = self.loose(id, out)? {
            return Ok(kind);
        }
        match self.packs.iter_mut().find(|pack| pack.has(id)) {
            Some(pack) => pack.read(id, out),
            None => Err(missing(id)),
        }
    }
}

/// A reference that does not exist.
pub fn no_reference(name: &str) -> SourceError {
    SourceError::config(
        format!("the git repository has no \"{name}\""),
        "Name a branch, a tag or a commit in the option ref of the server.",
    )
}
