//! The instances of a Terraform state, whichever of its two formats they came from.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use serde_json::value::RawValue;

use super::address::Address;
use crate::topology::{Reason, TopologyError, Unresolved, is_id, json::Text};

/// Most instances read from one state.
const MAX_INSTANCES: usize = 2_000_000;

/// One resource instance.
pub struct Instance<'a> {
    pub address: String,
    /// Index of its configuration resource.
    pub resource: usize,
    pub module: ModulePath,
    pub kind: Text<'a>,
    pub attributes: Option<&'a RawValue>,
    /// `sensitive_attributes` (a list of paths) or `sensitive_values` (a tree with `true` at the marks).
    pub sensitive: Option<&'a RawValue>,
    /// Indices into [`State::names`]: the dependencies as written.
    pub dependencies: Vec<u32>,
}

/// Where each module call on the way to an instance ends in its address.
pub type ModulePath = Vec<usize>;

/// A resource block of the configuration.
pub struct Resource {
    pub config: String,
    /// Names of the module calls around it.
    pub modules: Vec<String>,
    pub instances: Vec<usize>,
}

/// A state.
#[derive(Default)]
pub struct State<'a> {
    pub instances: Vec<Instance<'a>>,
    pub resources: Vec<Resource>,
    /// Configuration addresses that dependencies name; each text once.
    pub names: Vec<String>,
    /// References that cannot even be read.
    pub broken: Vec<Unresolved>,
    by_config: BTreeMap<String, usize>,
    by_name: HashMap<String, u32>,
}

impl<'a> State<'a> {
    /// Adds an instance; one whose address cannot be read is noted as broken and left out.
    pub fn add(
        &mut self,
        address: String,
        kind: Text<'a>,
        attributes: Option<&'a RawValue>,
        sensitive: Option<&'a RawValue>,
        dependencies: Vec<u32>,
    ) -> Result<(), TopologyError> {
        let Some(parsed) = Address::parse(&address).filter(|_| is_id(&address)) else {
            self.broken.push(broken(&address));
            return Ok(());
        };
        if self.instances.len() >= MAX_INSTANCES {
            return Err(TopologyError::Limit {
                what: "resource instances",
                limit: MAX_INSTANCES,
            });
        }
        let (modules, module) = parsed.modules.into_iter().unzip();
        let index = self.instances.len();
        let resource = match self.by_config.get(&parsed.config) {
            Some(&resource) => resource,
            None => {
                self.by_config.insert(parsed.config.clone(), self.resources.len());
                self.resources.push(Resource {
                    config: parsed.config,
                    modules,
                    instances: Vec::new(),
                });
                self.resources.len() - 1
            }
        };
        if let Some(resource) = self.resources.get_mut(resource) {
            resource.instances.push(index);
        }
        self.instances.push(Instance {
            address,
            resource,
            module,
            kind,
            attributes,
            sensitive,
            dependencies,
        });
        Ok(())
    }

    /// The index of a dependency's text. Instance keys are dropped: what Terraform records has none, and what versions
    /// before 0.12.14 recorded names the whole resource as well.
    pub fn name(&mut self, text: &str) -> u32 {
        if let Some(&index) = self.by_name.get(text) {
            return index;
        }
        let config = Address::parse(text).map_or_else(|| text.to_owned(), |address| address.config);
        let index = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(config);
        self.by_name.insert(text.to_owned(), index);
        index
    }

    /// The configuration resources that each of [`State::names`] means: one, or all inside of a module.
    pub fn targets(&self) -> Vec<Vec<usize>> {
        let inside = |module: &str| -> Vec<usize> {
            let prefix = format!("{module}.");
            self.by_config
                .range(prefix.clone()..)
                .take_while(|(config, _)| config.starts_with(&prefix))
                .map(|(_, &index)| index)
                .collect()
        };
        let is_module = |name: &str| {
            let words: Vec<&str> = name.split('.').collect();
            words.len().is_multiple_of(2) && words.iter().step_by(2).all(|word| *word == "module")
        };
        self.names
            .iter()
            .map(|name| match self.by_config.get(name) {
                Some(&index) => vec![index],
                None if is_module(name) => inside(name),
                None => Vec::new(),
            })
            .collect()
    }
}

fn broken(address: &str) -> Unresolved {
    Unresolved {
        src: crate::text::cut(address, crate::urn::MAX_NAME_BYTES).to_owned(),
        reference: "address".to_owned(),
        reason: Reason::Broken,
        at: None,
    }
}
