//! A checkout in memory: paths and bytes. Nothing here touches a file system.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::topology::TopologyError;

/// Most files of one tree.
pub const MAX_FILES: usize = 200_000;
/// Most bytes of one tree, all files together.
pub const MAX_BYTES: usize = 512 << 20;
/// Longest path in bytes.
const MAX_PATH: usize = 4096;

/// Files by path. Paths are relative to the root, parts separated by `/`, without `.` and `..`.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    files: BTreeMap<String, Arc<[u8]>>,
    dirs: BTreeSet<String>,
    bytes: usize,
}

impl Tree {
    pub fn new() -> Tree {
        Tree::default()
    }

    /// Adds a file. A path that leads out of the tree is left out. Fails where the tree becomes too large.
    pub fn insert(&mut self, path: &str, content: impl Into<Arc<[u8]>>) -> Result<(), TopologyError> {
        let content = content.into();
        let Some(path) = normalize("", path).filter(|path| !path.is_empty() && path.len() <= MAX_PATH) else {
            return Ok(());
        };
        self.bytes = self.bytes.saturating_add(content.len());
        if self.bytes > MAX_BYTES {
            return Err(TopologyError::Limit {
                what: "bytes in a tree of files",
                limit: MAX_BYTES,
            });
        }
        if self.files.len() >= MAX_FILES {
            return Err(TopologyError::Limit {
                what: "files in a tree",
                limit: MAX_FILES,
            });
        }
        let mut dir = parent(&path);
        while !dir.is_empty() && self.dirs.insert(dir.to_owned()) {
            dir = parent(dir);
        }
        self.files.insert(path, content);
        Ok(())
    }

    /// All paths, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    pub fn is_file(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Whether some file lies below this path. The root is a folder.
    pub fn is_dir(&self, path: &str) -> bool {
        path.is_empty() || self.dirs.contains(path)
    }

    pub fn bytes(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(AsRef::as_ref)
    }

    /// The text of a file; `None` where it is absent or not UTF-8.
    pub fn text(&self, path: &str) -> Option<&str> {
        std::str::from_utf8(self.bytes(path)?).ok()
    }

    /// Names in a folder, sorted: (name, whether it is a folder).
    pub fn list(&self, dir: &str) -> Vec<(&str, bool)> {
        let start = if dir.is_empty() {
            String::new()
        } else {
            format!("{dir}/")
        };
        let mut names: BTreeMap<&str, bool> = BTreeMap::new();
        let folders = self.dirs.range(start.clone()..).map(|path| (path, true));
        let files = self.files.range(start.clone()..).map(|(path, _)| (path, false));
        for (path, folder) in folders.take_while(|(path, _)| path.starts_with(&start)) {
            if let Some(name) = path
                .get(start.len()..)
                .filter(|name| !name.is_empty() && !name.contains('/'))
            {
                names.insert(name, folder);
            }
        }
        for (path, folder) in files.take_while(|(path, _)| path.starts_with(&start)) {
            if let Some(name) = path.get(start.len()..).filter(|name| !name.contains('/')) {
                names.entry(name).or_insert(folder);
            }
        }
        names.into_iter().collect()
    }
}

/// The folder of a path; empty for the root.
pub fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// The last part of a path.
pub fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// The extension with its dot, as Python's `os.path.splitext` cuts it: empty for `.hidden` and for names without one.
pub fn extension(path: &str) -> &str {
    let name = file_name(path);
    match name.rfind('.') {
        Some(at) if !name[..at].trim_start_matches('.').is_empty() => &name[at..],
        _ => "",
    }
}

/// Joins and resolves `.` and `..`. `None` where the path leads out of the tree.
pub fn normalize(base: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    let from_root = path.starts_with('/');
    let both = if from_root { ["", path] } else { [base, path] };
    for part in both.iter().flat_map(|text| text.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Joins a folder and a name; the folder may be the root.
pub fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() {
        name.to_owned()
    } else {
        format!("{dir}/{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_files_are_listed_once() {
        let mut tree = Tree::new();
        for path in ["a/b/c.yml", "./a/d.yml", "a/b.yml", "../out", "e"] {
            tree.insert(path, b"x".to_vec()).unwrap();
        }
        assert_eq!(tree.list("a"), vec![("b", true), ("b.yml", false), ("d.yml", false)]);
        assert_eq!(tree.list(""), vec![("a", true), ("e", false)]);
        assert!(tree.is_dir("a/b") && !tree.is_dir("a/b.yml") && tree.is_file("e"));
        assert_eq!(tree.paths().count(), 4);
    }

    #[test]
    fn paths_are_resolved_inside_the_tree_only() {
        assert_eq!(normalize("a/b", "../c.yml").as_deref(), Some("a/c.yml"));
        assert_eq!(normalize("a", "../../c"), None);
        assert_eq!(extension("x/.hidden"), "");
        assert_eq!(extension("x/a.tar.gz"), ".gz");
    }
}
