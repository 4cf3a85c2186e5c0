//! `terraform show -json` of a state: a tree of modules with whole addresses.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::model::State;
use crate::topology::{TopologyError, json, json::Text};

const FORMAT: &str = "Terraform state as JSON";

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    values: Option<Values<'a>>,
}

#[derive(Deserialize)]
struct Values<'a> {
    #[serde(borrow)]
    root_module: Option<Module<'a>>,
}

#[derive(Deserialize)]
struct Module<'a> {
    #[serde(borrow, default)]
    resources: Vec<Resource<'a>>,
    #[serde(borrow, default)]
    child_modules: Vec<Module<'a>>,
}

#[derive(Deserialize)]
struct Resource<'a> {
    #[serde(borrow)]
    address: Text<'a>,
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    values: Option<&'a RawValue>,
    #[serde(borrow)]
    sensitive_values: Option<&'a RawValue>,
    #[serde(borrow)]
    depends_on: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    deposed_key: Option<Text<'a>>,
}

/// Reads the output of `terraform show -json` for a state. An empty state has no `values`.
///
/// # Errors
/// [`TopologyError::Syntax`].
pub fn read(text: &str) -> Result<State<'_>, TopologyError> {
    let file: File = json::parse(text, FORMAT)?;
    let mut state = State::default();
    let mut modules: Vec<Module> = file.values.and_then(|values| values.root_module).into_iter().collect();
    while let Some(module) = modules.pop() {
        for resource in module.resources {
            if resource.deposed_key.is_some() {
                continue;
            }
            let dependencies = resource
                .depends_on
                .unwrap_or_default()
                .iter()
                .map(|name| state.name(name.as_str()))
                .collect();
            let address = resource.address.0.into_owned();
            state.add(
                address,
                resource.kind,
                resource.values,
                resource.sensitive_values,
                dependencies,
            )?;
        }
        modules.extend(module.child_modules);
    }
    Ok(state)
}
