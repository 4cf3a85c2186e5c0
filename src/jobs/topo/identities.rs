//! What things are known as, as `topo_load` takes it: a JSON array, written as it comes.

use super::edges::{MAX_END, end};
use crate::backend::json::replace_nul;
use crate::error::{Error, Result};
use engine::topology::Identity;
use serde_json::json;

/// Longest name that `topo_load` takes, bytes.
const MAX_NAME: usize = 1000;

/// A growing array of identities.
#[derive(Debug)]
pub struct Identities {
    /// Always a whole array.
    json: String,
}

impl Identities {
    pub fn new() -> Self {
        Identities { json: "[]".to_string() }
    }

    /// Adds what was found. A thing without a URN belongs to `scope`. What is too long to be a key names nothing.
    ///
    /// # Errors
    /// `Internal`, if one cannot be written as JSON.
    pub fn add(&mut self, found: Vec<Identity>, scope: &str) -> Result<()> {
        for identity in found {
            let thing = end(identity.urn, identity.thing, scope);
            if thing.len() > MAX_END || identity.known_as.len() > MAX_NAME {
                continue;
            }
            let mut value = json!({ "urn": thing, "role": identity.role, "known_as": identity.known_as });
            replace_nul(&mut value);
            let text = serde_json::to_string(&value).map_err(|e| Error::Internal(e.to_string()))?;
            // Between the brackets.
            self.json.pop();
            if self.json.len() > 1 {
                self.json.push(',');
            }
            self.json.push_str(&text);
            self.json.push(']');
        }
        Ok(())
    }

    /// The array.
    pub fn json(&self) -> &str {
        &self.json
    }
}
