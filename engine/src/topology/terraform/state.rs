//! The state file, version 4 (`terraform state pull`, OpenTofu): resources with instances.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::address::push_key;
use super::model::State;
use crate::topology::{TopologyError, json, json::Text};

const FORMAT: &str = "Terraform state";

#[derive(Deserialize)]
struct File<'a> {
    version: u64,
    #[serde(borrow, default)]
    resources: Vec<Resource<'a>>,
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

#[derive(Deserialize)]
struct Resource<'a> {
    #[serde(borrow)]
    module: Option<Text<'a>>,
    #[serde(borrow)]
    mode: Option<Text<'a>>,
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    instances: Vec<Instance<'a>>,
}

#[derive(Deserialize)]
struct Instance<'a> {
    index_key: Option<Value>,
    #[serde(borrow)]
    deposed: Option<Text<'a>>,
    #[serde(borrow)]
    attributes: Option<&'a RawValue>,
    #[serde(borrow)]
    attributes_flat: Option<&'a RawValue>,
    #[serde(borrow)]
    sensitive_attributes: Option<&'a RawValue>,
    #[serde(borrow)]
    dependencies: Option<Vec<Text<'a>>>,
    /// Before 0.12.14, relative to the module.
    #[serde(borrow)]
    depends_on: Option<Vec<Text<'a>>>,
}

/// Reads a state. Deposed objects are left out: they are on their way to destruction, not part of the current graph.
///
/// # Errors
/// [`TopologyError::Unsupported`] for other versions, [`TopologyError::Syntax`] for what is no state.
pub fn read(text: &str) -> Result<State<'_>, TopologyError> {
    let file: File = match json::parse(text, FORMAT) {
        Ok(file) => file,
        // An older version has resources of another shape; say so instead of "unexpected type".
        Err(error) => {
            return Err(json::parse(text, FORMAT)
                .and_then(|v: Version| supported(v.version))
                .err()
                .unwrap_or(error));
        }
    };
    supported(file.version)?;
    let mut state = State::default();
    for resource in file.resources {
        let module = resource.module.as_ref().map_or("", Text::as_str);
        let mut base = module.to_owned();
        if !base.is_empty() {
            base.push('.');
        }
        let relative = module_config(module);
        if resource.mode.as_ref().is_some_and(|mode| mode.as_str() == "data") {
            base.push_str("data.");
        }
        base.push_str(resource.kind.as_str());
        base.push('.');
        base.push_str(resource.name.as_str());
        for instance in resource.instances {
            if instance.deposed.is_some_and(|key| !key.as_str().is_empty()) {
                continue;
            }
            let mut address = base.clone();
            push_key(&mut address, instance.index_key.as_ref());
            let mut dependencies: Vec<u32> = instance
                .dependencies
                .unwrap_or_default()
                .iter()
                .map(|name| state.name(name.as_str()))
                .collect();
            for name in instance.depends_on.unwrap_or_default() {
                dependencies.push(state.name(&format!("{relative}{}", name.as_str())));
            }
            state.add(
                address,
                resource.kind.clone(),
                instance.attributes.or(instance.attributes_flat),
                instance.sensitive_attributes,
                dependencies,
            )?;
        }
    }
    Ok(state)
}

fn supported(version: u64) -> Result<(), TopologyError> {
    if version == 4 {
        return Ok(());
    }
    Err(TopologyError::Unsupported {
        format: FORMAT,
        what: "only version 4 is read",
        hint: "Run `terraform apply -refresh-only` or `terraform state pull` with Terraform 0.12 or later.",
    })
}

/// `module.a["x"]` as the prefix `module.a.` of configuration addresses.
fn module_config(module: &str) -> String {
    super::address::Address::parse(module).map_or_else(String::new, |address| address.config + ".")
}
