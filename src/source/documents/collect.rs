//! What every place hands its documents to: the choice by path, and the bounds.

use super::{Document, Gathered, MAX_ENTRIES, MAX_UNPACKED, Take, Wanted, unfit};
use crate::source::error::{ErrorKind, SourceError};
use std::collections::HashSet;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes read between two looks at the cancel flag.
const STEP: u64 = 1 << 20;

/// What one source may have at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that are read of its documents, also of those that turn out too long.
    pub bytes: u64,
    /// Files of a folder or an archive, wanted or not.
    pub entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            bytes: MAX_UNPACKED,
            entries: MAX_ENTRIES,
        }
    }
}

/// Takes the wanted documents of one source.
pub struct Collector<'a> {
    wanted: &'a Wanted,
    cancel: &'a AtomicBool,
    take: &'a mut Take<'a>,
    seen: HashSet<String>,
    /// Bytes read so far.
    read: u64,
    pub limits: Limits,
    /// What it came to so far.
    pub gathered: Gathered,
}

impl<'a> Collector<'a> {
    pub fn new(wanted: &'a Wanted, cancel: &'a AtomicBool, take: &'a mut Take<'_>) -> Self {
        Collector {
            wanted,
            cancel,
            take,
            seen: HashSet::new(),
            read: 0,
            limits: Limits::default(),
            gathered: Gathered::default(),
        }
    }

    /// The path of a document below the wanted folder; `None` for one that is not wanted.
    pub fn wants(&self, path: &str) -> Option<String> {
        let parts = || path.split('/').filter(|part| !part.is_empty() && *part != ".");
        if parts().any(|part| part.starts_with('.')) {
            return None;
        }
        let mut rest = parts();
        for folder in self.wanted.folder.split('/').filter(|part| !part.is_empty()) {
            if rest.next() != Some(folder) {
                return None;
            }
        }
        let path = rest.collect::<Vec<_>>().join("/");
        (!path.is_empty() && self.wanted.files.matches_path(&path)).then_some(path)
    }

    /// `Err` once the work is to stop.
    pub fn check(&self) -> Result<(), SourceError> {
        match self.cancel.load(Ordering::Relaxed) {
            true => Err(SourceError::cancelled()),
            false => Ok(()),
        }
    }

    /// Reads a wanted document among others. `size` in bytes, where it is known.
    pub fn read(&mut self, path: String, size: Option<u64>, from: &mut dyn Read) -> Result<(), SourceError> {
        self.read_one(path, false, size, from)
    }

    /// Reads a document that is the whole source.
    pub fn read_alone(&mut self, path: String, from: &mut dyn Read) -> Result<(), SourceError> {
        self.read_one(path, true, None, from)
    }

    /// Counts something that is not read.
    pub fn leave_out(&mut self) {
        self.gathered.left_out += 1;
    }

    fn read_one(
        &mut self,
        path: String,
        alone: bool,
        size: Option<u64>,
        from: &mut dyn Read,
    ) -> Result<(), SourceError> {
        let longest = self.wanted.longest as u64;
        let mut content = Vec::new();
        let mut too_long = size.is_some_and(|size| size > longest);
        while !too_long {
            self.check()?;
            let n = from
                .take(STEP)
                .read_to_end(&mut content)
                .map_err(|e| read_error(&path, e))?;
            if n == 0 {
                break;
            }
            // An archive of bombs that are left out takes its time, too.
            self.read += n as u64;
            if self.read > self.limits.bytes {
                return Err(too_much(self.limits.bytes));
            }
            too_long = content.len() as u64 > longest;
        }
        if too_long && self.wanted.skip_longer {
            self.leave_out();
            return Ok(());
        }
        if too_long {
            return Err(unfit(format!("\"{path}\" is longer than {} MB", longest >> 20)).hint(
                "Split it, or leave it out by the option \"files\" of the source: {\"files\": [\"*\", \"!name\"]}.",
            ));
        }
        self.gathered.documents += 1;
        self.gathered.bytes += content.len() as u64;
        if !self.seen.insert(path.clone()) {
            return Err(unfit(format!("\"{path}\" is there twice"))
                .hint("An archive must have each file once: which one counts could not be told."));
        }
        (self.take)(Document { path, alone, content })
    }
}

/// The documents of a source, or what an archive unpacks to, are more than these bytes.
pub fn too_much(most: u64) -> SourceError {
    unfit(format!("it has more than {} MB", most >> 20)).hint(
        "Choose what is read by the options \"files\" and \"folder\" of the source, or make several sources of it.",
    )
}

/// What a reader's error means. Readers of stores carry a [`SourceError`]; unpackers have their own.
pub fn read_error(path: &str, e: io::Error) -> SourceError {
    match e.downcast::<SourceError>() {
        Ok(e) => e,
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            SourceError::new(ErrorKind::Io, format!("cannot read \"{path}\"")).detail(e.to_string())
        }
        Err(e) => unfit(format!("\"{path}\" is broken or cut off"))
            .detail(e.to_string())
            .hint("Check that it is whole."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::pattern::Patterns;

    fn wanted(folder: &str, files: &[&str]) -> Wanted {
        Wanted {
            files: Patterns::new(files),
            folder: folder.into(),
            longest: 4,
            skip_longer: false,
        }
    }

    #[test]
    fn paths_are_chosen_by_folder_and_pattern() {
        let wanted = wanted("infra/prod", &["*.tfstate", "main.json", "!old/*"]);
        let (cancel, mut take) = (AtomicBool::new(false), |_| Ok(()));
        let collector = Collector::new(&wanted, &cancel, &mut take);
        for (path, found) in [
            ("infra/prod/a.tfstate", Some("a.tfstate")),
            ("./infra//prod/x/a.tfstate", Some("x/a.tfstate")),
            ("infra/prod/x/main.json", Some("x/main.json")),
            ("infra/prod/old/a.tfstate", None),
            ("infra/prod/.terraform/a.tfstate", None),
            ("infra/a.tfstate", None),
            ("infra/prod", None),
            ("infra/prod/readme.md", None),
        ] {
            assert_eq!(collector.wants(path).as_deref(), found, "{path}");
        }
    }

    #[test]
    fn all_bytes_that_are_read_count_also_those_of_documents_that_are_left_out() {
        for skip_longer in [false, true] {
            let mut wanted = wanted("", &["*"]);
            wanted.skip_longer = skip_longer;
            let (cancel, mut take) = (AtomicBool::new(false), |_| Ok(()));
            let mut collector = Collector::new(&wanted, &cancel, &mut take);
            collector.limits.bytes = 10;
            collector.read("a".into(), None, &mut &b"1234"[..]).unwrap();
            if skip_longer {
                collector.read("b".into(), None, &mut &b"12345"[..]).unwrap();
                // Of a length that is known nothing is read.
                collector.read("c".into(), Some(5), &mut &b"12345"[..]).unwrap();
                assert_eq!((collector.gathered.left_out, collector.gathered.documents), (2, 1));
            } else {
                collector.read("b".into(), None, &mut &b"1234"[..]).unwrap();
                assert!(collector.read("c".into(), Some(5), &mut &b"12345"[..]).is_err());
            }
            let e = collector.read("d".into(), None, &mut &b"1234"[..]).unwrap_err();
            let hint = e.hint.as_deref().unwrap_or_default();
            assert!(e.is_permanent() && e.message.contains("more than"), "{e}");
            assert!(hint.contains("\"files\"") && hint.contains("\"folder\""), "{hint}");
        }
    }

    #[test]
    fn a_long_document_is_refused_or_left_out() {
        let mut wanted = wanted("", &["*"]);
        let cancel = AtomicBool::new(false);
        let mut take = |_| Ok(());
        let mut collector = Collector::new(&wanted, &cancel, &mut take);
        let e = collector.read("a".into(), None, &mut &b"12345"[..]).unwrap_err();
        assert!(e.is_permanent() && e.message.contains("longer"), "{e}");
        assert!(collector.read("b".into(), Some(1 << 40), &mut io::empty()).is_err());
        wanted.skip_longer = true;
        let mut collector = Collector::new(&wanted, &cancel, &mut take);
        collector.read("a".into(), None, &mut &b"12345"[..]).unwrap();
        collector.read("b".into(), None, &mut &b"1234"[..]).unwrap();
        let e = collector.read("b".into(), None, &mut &b"1"[..]).unwrap_err();
        assert!(e.message.contains("twice"));
        assert_eq!((collector.gathered.left_out, collector.gathered.bytes), (1, 5));
        cancel.store(true, Ordering::Relaxed);
        let mut take = |_| Ok(());
        let mut collector = Collector::new(&wanted, &cancel, &mut take);
        let e = collector.read("c".into(), None, &mut &b"1"[..]).unwrap_err();
        assert_eq!(e.kind, ErrorKind::Cancelled);
    }
}
