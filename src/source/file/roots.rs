//! The fence: files are read below `observe_bridge.file_roots` only, whatever links say.

use super::FileConfig;
use super::folder::failed;
use crate::source::error::SourceError;
use crate::source::objects::Layout;
use crate::source::objects::object::vanished;
use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// The source's path with links resolved, and the roots below which files may be opened.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    base: PathBuf,
    roots: Vec<PathBuf>,
    /// Whether a listing came upon a link: then one file may have several keys.
    pub(super) links: AtomicBool,
}

impl Place {
    /// # Errors
    /// `Config` when the path does not exist, is not below a root, or is of the wrong kind for the layout.
    pub fn new(config: &FileConfig) -> Result<Place, SourceError> {
        // A root that does not exist allows nothing.
        let roots: Vec<PathBuf> = config.roots.iter().filter_map(|r| fs::canonicalize(r).ok()).collect();
        // Outside the roots no answer may tell what exists: the path as written is checked first.
        let climbs = config.path.components().any(|c| c == Component::ParentDir);
        if climbs || !config.roots.iter().chain(&roots).any(|r| config.path.starts_with(r)) {
            return Err(outside(&config.path));
        }
        let path = fs::canonicalize(&config.path).map_err(|e| {
            SourceError::config(
                format!("cannot find \"{}\"", config.path.display()),
                "Check the option path of the server, and that the user that runs PostgreSQL may read it.",
            )
            .detail(e.to_string())
        })?;
        if !roots.iter().any(|r| path.starts_with(r)) {
            return Err(outside(&config.path));
        }
        let is_file = path.is_file();
        if is_file && config.arrangement.layout != Layout::Plain {
            return Err(SourceError::config(
                format!(
                    "\"{}\" is a file, and this layout needs a folder",
                    config.path.display()
                ),
                "Point path at the folder, or use layout plain.",
            ));
        }
        let base = path
            .parent()
            .filter(|_| is_file)
            .map_or_else(|| path.clone(), Path::to_path_buf);
        Ok(Place {
            path,
            base,
            roots,
            links: AtomicBool::new(false),
        })
    }

    /// The source's path, links resolved: a folder, or one file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that keys are relative to.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Opens a regular file below a root. Gives the file and its size.
    ///
    /// # Errors
    /// `Gone` (transient) when it does not exist, `Config` when a link leads outside the roots, `Io`.
    pub fn open(&self, path: &Path) -> Result<(File, u64), SourceError> {
        let found = |e: io::Error| match e.kind() {
            io::ErrorKind::NotFound => vanished(&path.display().to_string()),
            _ => failed("open", path, &e),
        };
        let real = fs::canonicalize(path).map_err(found)?;
        if !self.roots.iter().any(|r| real.starts_with(r)) {
            return Err(outside(path));
        }
        // Asked before opening: opening a pipe would block.
        if !fs::metadata(&real).map_err(found)?.is_file() {
            return Err(failed("open", path, &io::Error::other("it is not a regular file")));
        }
        let file = File::open(&real).map_err(found)?;
        let size = file.metadata().map_err(found)?.len();
        Ok((file, size))
    }
}

fn outside(path: &Path) -> SourceError {
    SourceError::config(
        format!("\"{}\" is not below observe_bridge.file_roots", path.display()),
        "A superuser must add its folder to observe_bridge.file_roots; symbolic links are resolved first.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::error::ErrorKind;
    use crate::source::file::testing::config;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_outside_the_roots_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let (root, other) = (dir.path().join("root"), dir.path().join("root2"));
        fs::create_dir_all(root.join("in")).unwrap();
        fs::create_dir_all(&other).unwrap();
        fs::write(other.join("secret.ndjson"), "{}").unwrap();
        fs::write(root.join("in/logs.ndjson"), "{}").unwrap();
        symlink(&other, root.join("link")).unwrap();
        symlink(other.join("secret.ndjson"), root.join("in/logs-link.ndjson")).unwrap();

        let roots = vec![root.clone(), dir.path().join("absent")];
        let denied = |path: PathBuf, roots: &[PathBuf]| {
            let e = Place::new(&config(path, roots.to_vec(), Layout::Plain)).unwrap_err();
            assert!(
                e.is_permanent() && e.message.contains("observe_bridge.file_roots"),
                "{e:?}"
            );
        };
        denied(other.clone(), &roots);
        denied(root.join("link"), &roots);
        denied(root.join("in/../../root2"), &roots);
        denied(other.join("absent"), &roots);
        denied(root.join("in/../../absent"), &roots);
        denied(root.join("in"), &[]);

        let place = Place::new(&config(root.join("in"), roots.clone(), Layout::Plain)).unwrap();
        assert!(place.open(&root.join("in/logs.ndjson")).is_ok());
        assert_eq!(
            place.open(&root.join("in/logs-link.ndjson")).unwrap_err().kind,
            ErrorKind::Config
        );
        assert_eq!(
            place.open(&root.join("in/../../root2/secret.ndjson")).unwrap_err().kind,
            ErrorKind::Config
        );
        assert_eq!(place.open(&root.join("in")).unwrap_err().kind, ErrorKind::Io);
        let gone = place.open(&root.join("in/gone.ndjson")).unwrap_err();
        assert!(gone.kind == ErrorKind::Gone && gone.is_transient());
    }

    #[test]
    fn one_file_is_a_place_in_the_plain_layout_only() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("logs.ndjson");
        fs::write(&file, "").unwrap();
        let roots = vec![dir.path().to_path_buf()];
        let plain = config(file.clone(), roots.clone(), Layout::Plain);
        let place = Place::new(&plain).unwrap();
        assert_eq!(place.base(), place.path().parent().unwrap());
        let hive = config(file, roots, Layout::Hive);
        assert!(Place::new(&hive).unwrap_err().message.contains("needs a folder"));
    }
}
