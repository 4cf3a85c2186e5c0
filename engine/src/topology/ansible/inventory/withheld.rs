//! Inventories that a file does not hold, but leads to: programs, settings of plugins, encrypted files.

use super::super::tree::{Tree, extension, file_name};
use super::super::yaml as yaml_file;
use super::source::{FORMAT, may_be_inventory};
use crate::topology::{Reason, TopologyError};

/// Why a file that stands for an inventory has none in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    Program,
    Plugin,
    Vault,
}

impl Withheld {
    /// Looks at a file of a folder of inventories, or one that is named.
    pub fn of(path: &str, bytes: &[u8]) -> Option<Withheld> {
        if bytes.starts_with(b"#!") || extension(path) == ".py" {
            return Some(Withheld::Program);
        }
        if yaml_file::is_vault(bytes) {
            return Some(Withheld::Vault);
        }
        // Parsing is what costs.
        let may_be_settings = is_yaml(path) && std::str::from_utf8(bytes).is_ok_and(|text| text.contains("plugin"));
        let data = may_be_settings.then(|| yaml_file::load(bytes).ok()).flatten()?;
        data.get("plugin")?.as_str().map(|_| Withheld::Plugin)
    }

    /// Looks at any file of a checkout: programs and encrypted files are inventories by their name or their folder only.
    pub fn found(tree: &Tree, path: &str) -> Option<Withheld> {
        if !may_be_inventory(path) {
            return None;
        }
        let withheld = Withheld::of(path, tree.bytes(path)?)?;
        let name = file_name(path);
        let stem = name.split('.').next().unwrap_or(name);
        let folder = path
            .split('/')
            .rev()
            .skip(1)
            .any(|part| matches!(part, "inventory" | "inventories"));
        let named = folder || matches!(stem, "hosts" | "inventory");
        (named || withheld == Withheld::Plugin).then_some(withheld)
    }

    /// For `Unresolved`.
    pub fn reason(self) -> Reason {
        match self {
            Withheld::Program | Withheld::Plugin => Reason::Dynamic,
            Withheld::Vault => Reason::Vault,
        }
    }

    /// For a file that is named as the inventory.
    pub fn error(self) -> TopologyError {
        let stored = "Store the output of ansible-inventory --list --yaml, and name that file.";
        let (what, hint) = match self {
            Withheld::Program => ("a program that writes the inventory", stored),
            Withheld::Plugin => ("the settings of an inventory plugin", stored),
            Withheld::Vault => (
                "encrypted with vault",
                "Name an inventory that is not encrypted; encrypted variables are reported as unresolved.",
            ),
        };
        TopologyError::Unsupported {
            format: FORMAT,
            what,
            hint,
        }
    }
}

/// Whether the file is YAML or JSON by its name.
pub(super) fn is_yaml(path: &str) -> bool {
    matches!(extension(path), ".yml" | ".yaml" | ".json")
}
