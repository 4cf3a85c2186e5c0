//! The formats, and how they are told apart: by the fields at the top, without reading what is below.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{TopologyError, aliyun, aws, json, json::Text, yaml};

/// A format of a single file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Terraform or OpenTofu state, version 4: direct edges between instances.
    TerraformState,
    /// `terraform show -json` of a state: the same edges.
    TerraformShow,
    /// `terraform show -json` of a plan: edges between resource blocks.
    TerraformPlan,
    /// Any of these three, as `terraform graph` draws it: edges between resource blocks, transitively reduced. Never
    /// detected, only asked for.
    TerraformGraph,
    Pulumi,
    CloudFormation,
    Aws,
    Aliyun,
    Kubernetes,
}

impl Format {
    pub const ALL: [Format; 9] = [
        Format::TerraformState,
        Format::TerraformShow,
        Format::TerraformPlan,
        Format::TerraformGraph,
        Format::Pulumi,
        Format::CloudFormation,
        Format::Aws,
        Format::Aliyun,
        Format::Kubernetes,
    ];

    /// The name that users write.
    pub fn name(self) -> &'static str {
        match self {
            Format::TerraformState => "terraform_state",
            Format::TerraformShow => "terraform_show",
            Format::TerraformPlan => "terraform_plan",
            Format::TerraformGraph => "terraform_graph",
            Format::Pulumi => "pulumi",
            Format::CloudFormation => "cloudformation",
            Format::Aws => "aws",
            Format::Aliyun => "aliyun",
            Format::Kubernetes => "kubernetes",
        }
    }

    /// The inverse of [`Format::name`].
    pub fn from_name(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The format of an input.
    ///
    /// # Errors
    /// [`TopologyError::UnknownFormat`], or why the input cannot be read at all.
    pub fn detect(content: &[u8]) -> Result<Format, TopologyError> {
        let text = json::text(content, json::MAX_STREAMED_BYTES)?;
        match text.trim_start().as_bytes().first() {
            None => Err(TopologyError::UnknownFormat("it is empty")),
            Some(b'{' | b'[') => of_json(text),
            Some(_) => of_yaml(text),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn of_json(text: &str) -> Result<Format, TopologyError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    // Several values in a row are a stream, which only Kubernetes has: the first one decides.
    let top = deserializer
        .deserialize_any(TopVisitor)
        .map_err(|error| json::syntax(&error, "JSON"))?;
    let has = |name: &str| top.kind(name).is_some();
    let is = |name: &str, kind: u8| top.kind(name) == Some(kind);
    let format = if has("AWSTemplateFormatVersion") || is("Resources", b'{') || has("TemplateBody") {
        Format::CloudFormation
    } else if is("deployment", b'{') || is("checkpoint", b'{') {
        Format::Pulumi
    } else if has("format_version") {
        let plan = ["planned_values", "resource_changes", "configuration"]
            .into_iter()
            .any(has);
        if plan {
            Format::TerraformPlan
        } else {
            Format::TerraformShow
        }
    } else if has("terraform_version") || has("lineage") {
        Format::TerraformState
    } else if has("kind") && (has("apiVersion") || has("items")) {
        Format::Kubernetes
    } else if aliyun::WRAPPERS.into_iter().any(|name| is(name, b'{'))
        || aliyun::OBJECTS.into_iter().any(|name| is(name, b'"'))
        // Lists as those of AWS, whose command line leaves the id of the request out.
        || (is("RequestId", b'"') && aliyun::LISTS.into_iter().any(|name| is(name, b'[')))
    {
        Format::Aliyun
    } else if aws::MARKS.into_iter().any(|name| is(name, b'[')) {
        Format::Aws
    } else {
        return Err(TopologyError::UnknownFormat(
            "the JSON has none of the fields that formats have at the top",
        ));
    };
    Ok(format)
}

fn of_yaml(text: &str) -> Result<Format, TopologyError> {
    let (mut version, mut kind, mut template) = (false, false, false);
    yaml::outer_keys(text, |key| {
        version |= key == "apiVersion";
        kind |= key == "kind";
        template |= matches!(key, "AWSTemplateFormatVersion" | "Resources" | "TemplateBody");
        template || (version && kind)
    });
    match (template, version && kind) {
        (true, _) => Ok(Format::CloudFormation),
        (_, true) => Ok(Format::Kubernetes),
        _ => Err(TopologyError::UnknownFormat(
            "it is neither JSON nor YAML of a known format",
        )),
    }
}

/// The fields at the top with the first byte of each value; of a list, those of its first element.
#[derive(Default)]
struct Top(Vec<(String, u8)>);

impl Top {
    fn kind(&self, name: &str) -> Option<u8> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, kind)| *kind)
    }
}

/// Longest list of fields looked at; no format has more at the top.
const MAX_FIELDS: usize = 256;

struct TopVisitor;

impl<'de> Visitor<'de> for TopVisitor {
    type Value = Top;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object or a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Top, A::Error> {
        let mut top = Top::default();
        while let Some((Text(name), value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
            if top.0.len() < MAX_FIELDS {
                top.0
                    .push((name.into_owned(), value.get().bytes().next().unwrap_or_default()));
            }
        }
        Ok(top)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Top, A::Error> {
        let first: Option<&'de RawValue> = seq.next_element()?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        let mut top = Top::default();
        if let Some(first) = first.filter(|first| first.get().starts_with('{')) {
            let mut deserializer = serde_json::Deserializer::from_str(first.get());
            top = deserializer.deserialize_map(TopVisitor).unwrap_or_default();
        }
        Ok(top)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_apart() {
        for (text, format) in [
            (
                r#"{"version":4,"terraform_version":"1.9.0","resources":[]}"#,
                Format::TerraformState,
            ),
            (
                r#"{"version":3,"terraform_version":"0.11.0","modules":[]}"#,
                Format::TerraformState,
            ),
            (r#"{"format_version":"1.0","values":{}}"#, Format::TerraformShow),
            (
                r#"{"format_version":"1.0","terraform_version":"1.9.0"}"#,
                Format::TerraformShow,
            ),
            (
                r#"{"format_version":"1.2","planned_values":{},"prior_state":{}}"#,
                Format::TerraformPlan,
            ),
            (r#"{"version":3,"deployment":{}}"#, Format::Pulumi),
            (r#"{"version":3,"checkpoint":{"latest":{}}}"#, Format::Pulumi),
            (r#"{"Resources":{}}"#, Format::CloudFormation),
            (
                "AWSTemplateFormatVersion: '2010-09-09'\nResources: {}",
                Format::CloudFormation,
            ),
            (r#"{"LoadBalancers":[]}"#, Format::Aws),
            (r#"[{"SecurityGroups":[]},{"Vpcs":[]}]"#, Format::Aws),
            (r#"{"LoadBalancers":{"LoadBalancer":[]}}"#, Format::Aliyun),
            (r#"{"LoadBalancerId":"lb-1"}"#, Format::Aliyun),
            (r#"{"RequestId":"r","Listeners":[]}"#, Format::Aliyun),
            (r#"{"Listeners":[]}"#, Format::Aws),
            (r#"{"SecurityGroups":{"SecurityGroup":[]}}"#, Format::Aliyun),
            (
                r#"{"SecurityGroupId":"sg-1","Permissions":{"Permission":[]}}"#,
                Format::Aliyun,
            ),
            (r#"{"SecurityGroupRules":[]}"#, Format::Aws),
            (r#"{"kind":"List","items":[]}"#, Format::Kubernetes),
            (
                "{\"kind\":\"Pod\",\"apiVersion\":\"v1\"}\n{\"kind\":\"Pod\"}",
                Format::Kubernetes,
            ),
            ("# c\n---\napiVersion: v1\nkind: Pod", Format::Kubernetes),
        ] {
            assert_eq!(Format::detect(text.as_bytes()), Ok(format), "{text}");
            assert_eq!(Format::from_name(format.name()), Some(format));
        }
    }

    #[test]
    fn what_is_unknown_says_so() {
        for text in ["", "  \n", "{}", "[]", "[1]", "hello", "- hosts: all", "a: b"] {
            assert!(
                matches!(Format::detect(text.as_bytes()), Err(TopologyError::UnknownFormat(_))),
                "{text}"
            );
        }
        assert_eq!(Format::detect(b"a\xff"), Err(TopologyError::NotUtf8 { offset: 1 }));
        assert!(matches!(Format::detect(b"{\"a\":"), Err(TopologyError::Syntax { .. })));
    }
}
