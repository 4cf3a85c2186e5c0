//! CloudFormation templates, JSON or YAML with short tags: edges between logical ids.
//!
//! `Ref`, `Fn::GetAtt`, `Fn::Sub` and `DependsOn` make an edge when they name a resource of the template; parameters
//! and pseudo parameters (`AWS::Region`) make none. Reference:
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference.html>.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::yaml::{Documents, Tags};
use super::{Class, Edge, Evidence, Extracted, Reason, TopologyError, Unresolved, is_id, json, place, relation};

const FORMAT: &str = "CloudFormation template";

/// Reads a template, or the answer of `aws cloudformation get-template` with one inside.
///
/// # Errors
/// [`TopologyError::Syntax`], [`TopologyError::Limit`], [`TopologyError::Unsupported`] without resources.
pub fn edges(text: &str) -> Result<Extracted, TopologyError> {
    let mut template = read(text)?;
    // `aws cloudformation get-template` wraps it: JSON as an object, YAML as one text.
    if template.get("Resources").is_none()
        && let Some(body) = template.get_mut("TemplateBody").map(Value::take)
    {
        template = match body {
            Value::String(text) => read(&text)?,
            body => body,
        };
    }
    let Some(resources) = template.get("Resources").and_then(Value::as_object) else {
        return Err(TopologyError::Unsupported {
            format: FORMAT,
            what: "no Resources inside",
            hint: "Give the template itself, or the answer of `aws cloudformation get-template`.",
        });
    };
    let parameters = template.get("Parameters").and_then(Value::as_object);
    let mut found = Finder {
        resources,
        others: parameters
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .collect(),
        source: "",
        path: String::new(),
        conditional: 0,
        edges: Vec::new(),
        unresolved: Vec::new(),
    };
    for (name, resource) in resources {
        found.resource(name, resource);
    }
    Ok(Extracted::new(found.edges, found.unresolved))
}

/// JSON, or YAML with short tags.
fn read(text: &str) -> Result<Value, TopologyError> {
    if text.trim_start().starts_with('{') {
        return json::parse(text, FORMAT);
    }
    let document = Documents::new(text, Tags::Functions).next().transpose()?;
    Ok(document.unwrap_or_default())
}

struct Finder<'t> {
    resources: &'t Map<String, Value>,
    /// Parameters.
    others: BTreeSet<&'t str>,
    source: &'t str,
    /// Where in the source we are: `Properties.VpcId`.
    path: String,
    /// How many conditions are around this place.
    conditional: usize,
    edges: Vec<Edge>,
    unresolved: Vec<Unresolved>,
}

impl<'t> Finder<'t> {
    fn resource(&mut self, name: &'t str, resource: &'t Value) {
        self.source = name;
        self.path.clear();
        if !is_id(name) {
            return;
        }
        let Some(fields) = resource.as_object() else {
            // `Fn::ForEach::Name: [...]` writes resources when the template is processed.
            self.lost(name, Reason::Dynamic);
            return;
        };
        self.conditional = usize::from(fields.contains_key("Condition"));
        let waits = fields.get("DependsOn");
        let waits = waits
            .and_then(Value::as_array)
            .map_or_else(|| waits.into_iter().collect(), |list| list.iter().collect::<Vec<_>>());
        self.path.push_str("DependsOn");
        for target in waits.into_iter().filter_map(Value::as_str) {
            self.refer(target, Class::DependsOn);
        }
        for (field, value) in fields {
            if !matches!(field.as_str(), "DependsOn" | "Condition" | "Type") {
                field.clone_into(&mut self.path);
                self.walk(value);
            }
        }
    }

    /// Goes through a value. Parsers limit the depth to 128.
    fn walk(&mut self, value: &'t Value) {
        let length = self.path.len();
        match value {
            Value::Array(list) => {
                for (index, inner) in list.iter().enumerate() {
                    self.path.push_str(&format!("[{index}]"));
                    self.walk(inner);
                    self.path.truncate(length);
                }
            }
            Value::Object(fields) => {
                for (name, inner) in fields {
                    self.path.push('.');
                    self.path.push_str(name);
                    self.field(name, inner);
                    self.path.truncate(length);
                }
            }
            _ => {}
        }
    }

    fn field(&mut self, name: &str, inner: &'t Value) {
        match (name, inner) {
            ("Ref", Value::String(target)) => self.refer(target, Class::Reference),
            ("Fn::GetAtt", Value::String(target)) => self.refer(before_dot(target), Class::Reference),
            ("Fn::GetAtt", Value::Array(parts)) => {
                if let Some(target) = parts.first().and_then(Value::as_str) {
                    self.refer(before_dot(target), Class::Reference);
                }
                parts.iter().skip(1).for_each(|part| self.walk(part));
            }
            ("Fn::Sub", Value::String(text)) => self.substitute(text, &BTreeSet::new()),
            ("Fn::Sub", Value::Array(parts)) => {
                let variables = parts.get(1).and_then(Value::as_object);
                let names = variables.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
                if let Some(text) = parts.first().and_then(Value::as_str) {
                    self.substitute(text, &names);
                }
                parts.iter().skip(1).for_each(|part| self.walk(part));
            }
            ("Fn::ImportValue", Value::String(export)) => self.lost(export, Reason::External),
            ("Fn::ImportValue", _) => {
                self.lost("Fn::ImportValue", Reason::External);
                self.walk(inner);
            }
            ("Fn::If", _) => {
                self.conditional += 1;
                self.walk(inner);
                self.conditional -= 1;
            }
            _ => self.walk(inner),
        }
    }

    /// `${Name}` and `${Name.Attribute}`; `${!Name}` is literal text.
    fn substitute(&mut self, text: &str, own: &BTreeSet<&str>) {
        for piece in text.split("${").skip(1) {
            let Some((name, _)) = piece.split_once('}') else {
                continue;
            };
            let name = name.trim();
            if !name.starts_with('!') && !own.contains(name) {
                self.refer(before_dot(name), Class::Reference);
            }
        }
    }

    fn refer(&mut self, target: &str, class: Class) {
        if target == self.source || target.starts_with("AWS::") || self.others.contains(target) {
            return;
        }
        let Some(resource) = self.resources.get(target) else {
            self.lost(target, Reason::Undefined);
            return;
        };
        let mut evidence = Evidence::at(class, &self.path);
        evidence.conditional = self.conditional > 0 || resource.get("Condition").is_some();
        self.edges
            .push(Edge::new(self.source, relation::DEPENDS_ON, target, evidence));
    }

    fn lost(&mut self, reference: &str, reason: Reason) {
        self.unresolved.push(Unresolved {
            src: self.source.to_owned(),
            reference: crate::text::cut(reference, crate::urn::MAX_NAME_BYTES).to_owned(),
            reason,
            at: Some(place(&self.path)).filter(|path| !path.is_empty()),
        });
    }
}

fn before_dot(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = r#"
Parameters: {Zone: {Type: String}}
Resources:
  Vpc: {Type: AWS::EC2::VPC}
  Net:
    Type: AWS::EC2::Subnet
    Condition: Wide
    Properties:
      VpcId: !Ref Vpc
      Zone: !Ref Zone
      Region: !Ref AWS::Region
  App:
    Type: AWS::ECS::Service
    DependsOn: Vpc
    Properties:
      Subnets: [!Ref Net]
      Role: !GetAtt Role.Arn
      Policy: !GetAtt [Role, Arn]
      Text: !Sub "${Vpc} ${Vpc.Cidr} ${!Literal} ${AWS::StackName} ${Zone} ${Gone}"
      More: !Sub ["${Mine}-${Role.Arn}", {Mine: !Ref Net}]
      Peer: !If [Wide, !Ref Peer, !Ref "AWS::NoValue"]
      Other: {"Fn::ImportValue": shared-vpc}
  Role: {Type: AWS::IAM::Role}
  Peer: {Type: AWS::EC2::VPC}
"#;

    #[test]
    fn functions_name_resources() {
        let found = edges(YAML).unwrap();
        let told: Vec<_> = found
            .edges
            .iter()
            .map(|e| {
                format!(
                    "{} {} {:?} {} {}",
                    e.src,
                    e.dst,
                    e.evidence.class,
                    e.evidence.conditional,
                    e.evidence.at.join(" ")
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                "App Net Reference true Properties.More.Fn::Sub[1].Mine.Ref Properties.Subnets[0].Ref".replace("[1]", ""),
                "App Peer Reference true Properties.Peer.Fn::If[1].Ref".to_owned(),
                "App Role Reference false Properties.More.Fn::Sub Properties.Policy.Fn::GetAtt Properties.Role.Fn::GetAtt".to_owned(),
                "App Vpc Reference false DependsOn Properties.Text.Fn::Sub".to_owned(),
                "Net Vpc Reference true Properties.VpcId.Ref".to_owned(),
            ]
        );
        let lost: Vec<_> = found
            .unresolved
            .iter()
            .map(|u| (u.reference.as_str(), u.reason))
            .collect();
        assert_eq!(lost, [("Gone", Reason::Undefined), ("shared-vpc", Reason::External)]);
    }

    #[test]
    fn the_answer_of_get_template_is_unwrapped() {
        use crate::topology::Format;
        let plain = edges(YAML).unwrap();
        let text = serde_json::json!({"TemplateBody": YAML, "StagesAvailable": ["Original"]}).to_string();
        let object = r#"{"StagesAvailable":[],"TemplateBody":{"Resources":{"A":{"DependsOn":"B"},"B":{}}}}"#;
        let yaml = "StagesAvailable:\n- Original\nTemplateBody:\n  Resources:\n    A: {DependsOn: B}\n    B: {}\n";
        assert_eq!(edges(&text).unwrap(), plain);
        assert_eq!(edges(object).unwrap().edges.len(), 1);
        assert_eq!(edges(yaml).unwrap().edges.len(), 1);
        for answer in [text.as_str(), object, yaml] {
            assert_eq!(Format::detect(answer.as_bytes()), Ok(Format::CloudFormation));
        }
        for nothing in [
            r#"{"TemplateBody":null}"#,
            r#"{"TemplateBody":"x"}"#,
            r#"{"TemplateBody":{"TemplateBody":{}}}"#,
        ] {
            assert!(
                matches!(edges(nothing), Err(TopologyError::Unsupported { .. })),
                "{nothing}"
            );
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        assert!(matches!(edges("a: b"), Err(TopologyError::Unsupported { .. })));
        assert!(matches!(edges("{\"Resources\": {"), Err(TopologyError::Syntax { .. })));
    }
}
