//! YAML as Ansible reads it: YAML 1.1 values (PyYAML's `SafeLoader`), `!vault`, `!unsafe`, merge keys, the last of
//! repeated keys. Built on parser events, so that nesting and aliases are bounded before anything is built.

mod build;
mod repair;
mod scalar;

use super::value::Value;
use crate::topology::TopologyError;

/// Name of the format in errors.
const FORMAT: &str = "ansible YAML";
/// Largest file in bytes.
const MAX_BYTES: usize = 32 << 20;
/// Largest file that is repaired: every repair reads it again.
const MAX_REPAIRED: usize = 1 << 20;
/// Most repairs of one file.
const MAX_REPAIRS: usize = 64;
/// How a file begins that is encrypted as a whole.
const VAULT_HEADER: &[u8] = b"$ANSIBLE_VAULT;";

/// Whether a file is encrypted as a whole.
pub fn is_vault(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(VAULT_HEADER)
}

/// The first document of a file, null where it is empty. JSON is read as well.
pub fn load(bytes: &[u8]) -> Result<Value, TopologyError> {
    if bytes.len() > MAX_BYTES {
        return Err(TopologyError::Limit {
            what: "bytes in a YAML file",
            limit: MAX_BYTES,
        });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| TopologyError::NotUtf8 {
        offset: error.valid_up_to(),
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with(['{', '['])
        && let Ok(value) = serde_json::from_str(text)
    {
        return Ok(value);
    }
    let mut failed = match build::document(text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if text.len() > MAX_REPAIRED {
        return Err(failed);
    }
    let mut repaired = text.to_owned();
    for _ in 0..MAX_REPAIRS {
        let TopologyError::Syntax { line, .. } = failed else {
            break;
        };
        let Some(next) = repair::pad_quoted(&repaired, line) else {
            break;
        };
        repaired = next;
        match build::document(&repaired) {
            Ok(value) => return Ok(value),
            // The same or an earlier place again: padding does not help.
            Err(TopologyError::Syntax { line: again, .. }) if again <= line => break,
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

#[cfg(test)]
mod tests;
