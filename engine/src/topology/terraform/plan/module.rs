//! The `configuration` of a plan as a flat list of modules.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::topology::{TopologyError, is_id};

/// Most modules, and most references in all expressions.
const MAX_MODULES: usize = 100_000;

#[derive(Deserialize)]
pub struct File {
    pub configuration: Option<Configuration>,
}

#[derive(Deserialize)]
pub struct Configuration {
    pub root_module: Option<Module>,
}

#[derive(Default, Deserialize)]
pub struct Module {
    #[serde(default)]
    resources: Vec<Resource>,
    #[serde(default)]
    module_calls: BTreeMap<String, Call>,
    #[serde(default)]
    outputs: BTreeMap<String, Output>,
}

#[derive(Deserialize)]
struct Resource {
    address: String,
    #[serde(default)]
    expressions: Value,
    #[serde(default)]
    count_expression: Value,
    #[serde(default)]
    for_each_expression: Value,
    #[serde(default)]
    provisioners: Value,
    #[serde(default)]
    depends_on: Vec<String>,
}

#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    expressions: Value,
    #[serde(default)]
    count_expression: Value,
    #[serde(default)]
    for_each_expression: Value,
    #[serde(default)]
    depends_on: Vec<String>,
    module: Option<Module>,
}

#[derive(Deserialize)]
struct Output {
    #[serde(default)]
    expression: Value,
    #[serde(default)]
    depends_on: Vec<String>,
}

/// A module of the tree, with references as texts.
#[derive(Default)]
pub struct Node {
    /// `module.a.module.b.`, or nothing for the root.
    pub prefix: String,
    pub parent: Option<usize>,
    pub resources: Vec<Block>,
    pub children: BTreeMap<String, usize>,
    /// Expressions of the call, by variable.
    pub variables: BTreeMap<String, Vec<String>>,
    pub outputs: BTreeMap<String, Block>,
    /// Of the call: `count` and `for_each`, which everything inside waits for.
    pub repeats: Vec<String>,
    pub depends_on: Vec<String>,
}

/// Something with references: a resource or an output.
pub struct Block {
    pub name: String,
    pub references: Vec<String>,
    pub depends_on: Vec<String>,
}

/// All modules; the root is the first.
pub struct Tree {
    pub modules: Vec<Node>,
}

impl Tree {
    /// # Errors
    /// [`TopologyError::Limit`] beyond 100,000 modules.
    pub fn new(root: &Module) -> Result<Tree, TopologyError> {
        let mut tree = Tree {
            modules: vec![Node::default()],
        };
        let mut todo = vec![(0, root)];
        while let Some((index, module)) = todo.pop() {
            let mut children = BTreeMap::new();
            let prefix = tree
                .modules
                .get(index)
                .map(|node| node.prefix.clone())
                .unwrap_or_default();
            let names = module.resources.iter().map(|resource| &resource.address);
            if (index > 0 && !is_id(&prefix)) || !names.chain(module.module_calls.keys()).all(|name| is_id(name)) {
                return Err(TopologyError::Unsupported {
                    format: "Terraform plan as JSON",
                    what: "an address is longer than any that Terraform writes",
                    hint: "Check that the file comes from `terraform show -json`.",
                });
            }
            for (name, call) in &module.module_calls {
                let Some(inner) = &call.module else {
                    continue;
                };
                if tree.modules.len() >= MAX_MODULES {
                    return Err(TopologyError::Limit {
                        what: "modules",
                        limit: MAX_MODULES,
                    });
                }
                let prefix = format!("{prefix}module.{name}.");
                children.insert(name.clone(), tree.modules.len());
                todo.push((tree.modules.len(), inner));
                tree.modules.push(Node {
                    prefix,
                    parent: Some(index),
                    variables: by_field(&call.expressions),
                    repeats: all(&[&call.count_expression, &call.for_each_expression]),
                    depends_on: call.depends_on.clone(),
                    ..Node::default()
                });
            }
            if let Some(node) = tree.modules.get_mut(index) {
                node.children = children;
                node.resources = module.resources.iter().map(Block::resource).collect();
                node.outputs = module
                    .outputs
                    .iter()
                    .map(|(name, output)| (name.clone(), Block::output(name, output)))
                    .collect();
            }
        }
        Ok(tree)
    }
}

impl Block {
    fn resource(resource: &Resource) -> Block {
        Block {
            name: resource.address.clone(),
            references: all(&[
                &resource.expressions,
                &resource.count_expression,
                &resource.for_each_expression,
                &resource.provisioners,
            ]),
            depends_on: resource.depends_on.clone(),
        }
    }

    fn output(name: &str, output: &Output) -> Block {
        Block {
            name: name.to_owned(),
            references: all(&[&output.expression]),
            depends_on: output.depends_on.clone(),
        }
    }
}

fn by_field(expressions: &Value) -> BTreeMap<String, Vec<String>> {
    let fields = expressions.as_object().into_iter().flatten();
    fields
        .map(|(name, expression)| (name.clone(), all(&[expression])))
        .collect()
}

fn all(expressions: &[&Value]) -> Vec<String> {
    let mut found = Vec::new();
    expressions
        .iter()
        .for_each(|expression| collect(expression, &mut found));
    found.sort_unstable();
    found.dedup();
    found
}

/// The `references` anywhere inside, without those that only repeat the one before in a shorter form: Terraform lists
/// `module.m.out`, then `module.m`. serde_json limits the depth to 128.
fn collect(expression: &Value, found: &mut Vec<String>) {
    match expression {
        Value::Object(fields) => {
            if let Some(Value::Array(references)) = fields.get("references") {
                let mut longest = "";
                for reference in references.iter().filter_map(Value::as_str) {
                    let shorter = longest
                        .strip_prefix(reference)
                        .is_some_and(|rest| rest.starts_with(['.', '[']));
                    if !shorter {
                        longest = reference;
                        found.push(reference.to_owned());
                    }
                }
            }
            let inner = fields
                .iter()
                .filter(|(name, _)| !matches!(name.as_str(), "references" | "constant_value"));
            inner.for_each(|(_, inner)| collect(inner, found));
        }
        Value::Array(list) => list.iter().for_each(|inner| collect(inner, found)),
        _ => {}
    }
}
