//! Inputs that are broken, hostile or just long: they end in an error or in edges, never in a crash, and say nothing
//! of what is secret.

use engine::topology::{Extracted, Format, TopologyError, extract};
use proptest::prelude::*;

const STATE: &str = r#"{"version":4,"terraform_version":"1.9.0","resources":[
  {"mode":"managed","type":"random_password","name":"p","instances":[{"attributes":{"id":"none","result":"hunter2-id"}}]},
  {"module":"module.a[\"x\"]","mode":"managed","type":"aws_vpc","name":"v","instances":[{"attributes":{"id":"vpc-1"}}]},
  {"module":"module.a[\"y\"]","mode":"managed","type":"aws_vpc","name":"v","instances":[{"attributes":{"id":"vpc-2"}}]},
  {"module":"module.a[\"x\"]","mode":"managed","type":"aws_subnet","name":"s","instances":[
    {"index_key":0,"attributes":{"id":"subnet-1","vpc_id":"vpc-1"},"dependencies":["module.a.aws_vpc.v"]},
    {"index_key":1,"attributes":{"id":"subnet-2"},"dependencies":["module.a.aws_vpc.v"]},
    {"index_key":2,"deposed":"01234567","attributes":{"id":"subnet-3","vpc_id":"vpc-1"},"dependencies":["module.a.aws_vpc.v"]}]},
  {"mode":"managed","type":"aws_db_instance","name":"d","instances":[{"attributes":{"id":"hunter2-id","identifier":"hunter2-id",
     "engine":"postgres","name":"shop","password":"hunter2-id","net":"subnet-1"},
     "sensitive_attributes":[[{"type":"get_attr","value":"password"}]],
     "dependencies":["module.a.aws_subnet.s","module.a.aws_vpc.v","random_password.p","module.gone.x.y"]}]}]}"#;
const PLAN: &str = r#"{"format_version":"1.2","planned_values":{},"configuration":{"root_module":{
  "resources":[{"address":"a.b","expressions":{"x":[{"y":{"references":["module.m.out","module.m","var.v","local.l"]}}]}},
               {"address":"a.c","depends_on":["module.m"]}],
  "module_calls":{"m":{"expressions":{"in":{"references":["module.m.out","module.m"]},"other":{"references":["a.c.id","a.c"]}},
    "module":{"resources":[{"address":"d.e","expressions":{"z":{"references":["var.in","var.other"]}}}],
      "outputs":{"out":{"expression":{"references":["d.e.id","d.e"]}},"more":{"expression":{"references":["var.in"]}}}}}}}}}"#;
const PULUMI: &str = r#"{"version":3,"deployment":{"resources":[{"urn":"u1","outputs":{"password":"hunter2"}},
  {"urn":"u2","parent":"u1","dependencies":["u1"],"propertyDependencies":{"vpc":["u1"],"n":null}},{"urn":"u3","delete":true,"parent":"u1"}]}}"#;
const TEMPLATE: &str =
    "Resources:\n  A: {Type: T}\n  B: {Properties: {X: !GetAtt A.Arn, Y: !Sub '${A}-${!x}', P: hunter2}}\n";
const ANSWER: &str =
    r#"{"DBInstances":[{"DBInstanceIdentifier":"d","DBClusterIdentifier":"c","MasterUserPassword":"hunter2"}]}"#;
const MANIFEST: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: db}\nspec: {selector: {app: db}}\n---\napiVersion: v1
kind: Pod\nmetadata: {name: db, labels: {app: db}}\nspec: {nodeName: n1}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: web}
spec:\n  containers:\n  - env:\n    - {name: PW, value: hunter2}\n    - {name: DB, value: 'postgres://u:hunter2@db:5432/x'}
    - {name: NEXT, value: '$(DB)'}\n    - {name: GONE_ADDR, value: 'gone:1'}\n";
const INPUTS: [&str; 6] = [STATE, PLAN, PULUMI, TEMPLATE, ANSWER, MANIFEST];

fn read(content: &[u8]) -> Result<Extracted, TopologyError> {
    extract(content, Format::detect(content)?)
}

fn told(content: &str) -> Vec<String> {
    read(content.as_bytes())
        .unwrap()
        .edges
        .iter()
        .map(|e| format!("{} {} {}", e.src, e.relation, e.dst))
        .collect()
}

#[test]
fn topology_inputs_of_these_tests_are_sound() {
    assert_eq!(
        told(STATE),
        [
            "aws_db_instance.d DEPENDS_ON module.a[\"x\"].aws_subnet.s[0]",
            "aws_db_instance.d DEPENDS_ON module.a[\"y\"].aws_vpc.v",
            "aws_db_instance.d DEPENDS_ON random_password.p",
            "module.a[\"x\"].aws_subnet.s[0] DEPENDS_ON module.a[\"x\"].aws_vpc.v",
            "module.a[\"x\"].aws_subnet.s[1] DEPENDS_ON module.a[\"x\"].aws_vpc.v",
        ]
    );
    assert_eq!(
        told(PLAN),
        [
            "a.b DEPENDS_ON module.m.d.e",
            "a.c DEPENDS_ON module.m.d.e",
            "module.m.d.e DEPENDS_ON a.c"
        ]
    );
    assert_eq!(told(PULUMI), ["u2 DEPENDS_ON u1", "u2 PART_OF u1"]);
    assert_eq!(
        told(MANIFEST),
        [
            "Pod/default/db RUNS_ON Node/n1",
            "Pod/default/web DEPENDS_ON Service/default/db",
            "Pod/default/web DEPENDS_ON Service/default/gone",
            "Service/default/db SELECTS Pod/default/db"
        ]
    );
}

#[test]
fn topology_never_says_what_is_secret() {
    for input in INPUTS {
        let found = read(input.as_bytes()).unwrap();
        assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
    }
    // A value of the wrong type, in the words of the parser, would be quoted.
    for broken in [
        r#"{"version":"hunter2","lineage":"x"}"#,
        r#"{"version":4,"lineage":"x","resources":"hunter2"}"#,
    ] {
        let error = read(broken.as_bytes()).unwrap_err();
        assert!(
            !format!("{error:?} {error} {}", error.hint()).contains("hunter2"),
            "{error}"
        );
    }
    let error = read(b"apiVersion: v1\nkind: Pod\nx: \"hunter2").unwrap_err();
    assert!(!format!("{error:?} {error}").contains("hunter2"), "{error}");
}

#[test]
fn topology_of_deep_inputs_is_an_error() {
    let state = r#"{"version":4,"lineage":"x","resources":"#;
    let module = r#"{"child_modules":["#;
    for deep in [
        format!("{state}{}", "[".repeat(10_000)),
        format!("{state}{}{}", "[".repeat(10_000), "]".repeat(10_000) + "}"),
        format!(
            r#"{{"format_version":"1","values":{{"root_module":{}"#,
            module.repeat(10_000)
        ),
        format!(
            r#"{{"kind":"List","items":[{}"#,
            r#"{"kind":"List","items":["#.repeat(10_000)
        ),
        format!("{{\"Resources\":{}", "{\"a\":".repeat(10_000)),
        format!("apiVersion: v1\nkind: Pod\nspec: {}", "[".repeat(10_000)),
        format!(
            "apiVersion: v1\nkind: Pod\nspec: {}x{}",
            "{a: ".repeat(10_000),
            "}".repeat(10_000)
        ),
        format!("Resources: {}", "- ".repeat(10_000)),
        format!("Resources: {}a", "!Sub [".repeat(10_000)),
    ] {
        assert!(read(deep.as_bytes()).is_err(), "{}", &deep[..60]);
    }
}

#[test]
fn topology_of_huge_inputs_is_an_error() {
    let huge = format!("{{\"version\":4,\"lineage\":\"{}", "x".repeat(200 << 20));
    assert!(matches!(
        read(huge.as_bytes()),
        Err(TopologyError::Limit { what: "bytes", .. })
    ));
    // 5,000 instances on either side and nothing that says which belongs to which.
    let instances =
        |depends: &str| vec![format!(r#"{{"attributes":{{}},"dependencies":[{depends}]}}"#); 5000].join(",");
    let wide = format!(
        r#"{{"version":4,"lineage":"x","resources":[{{"type":"a","name":"b","instances":[{}]}},{{"type":"c","name":"d","instances":[{}]}}]}}"#,
        instances(""),
        instances(r#""a.b""#)
    );
    assert!(matches!(read(wide.as_bytes()), Err(TopologyError::Limit { .. })));
}

#[test]
fn topology_of_cut_inputs_never_panics() {
    for input in INPUTS {
        for end in 0..input.len() {
            let _ = read(&input.as_bytes()[..end]);
        }
    }
}

#[test]
fn topology_of_circles_keeps_what_is_declared() {
    let state = r#"{"version":4,"lineage":"x","resources":[
      {"type":"t","name":"a","instances":[{"dependencies":["t.b","t.c"]}]},
      {"type":"t","name":"b","instances":[{"dependencies":["t.c"]}]},
      {"type":"t","name":"c","instances":[{"dependencies":["t.b"]}]}]}"#;
    assert_eq!(
        told(state),
        [
            "t.a DEPENDS_ON t.b",
            "t.a DEPENDS_ON t.c",
            "t.b DEPENDS_ON t.c",
            "t.c DEPENDS_ON t.b"
        ]
    );
}

proptest! {
    #[test]
    fn topology_of_random_bytes_never_panics(content in prop::collection::vec(any::<u8>(), 0..200)) {
        for format in Format::ALL {
            let _ = extract(&content, format);
        }
        let _ = Format::detect(&content);
    }

    #[test]
    fn topology_of_mutated_inputs_never_panics(
        which in 0..INPUTS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), "[\\[\\]{}\",:&*!|<>a-z0-9 \n-]{0,4}"), 1..8),
    ) {
        let mut text: Vec<char> = INPUTS[which].chars().collect();
        for (at, with) in changes {
            let at = at.index(text.len());
            text.splice(at..(at + 1).min(text.len()), with.chars());
            if text.is_empty() {
                break;
            }
        }
        let text: String = text.into_iter().collect();
        for format in Format::ALL {
            if let Ok(found) = extract(text.as_bytes(), format) {
                let sorted = Extracted::new(found.edges.clone(), found.unresolved.clone());
                prop_assert_eq!(found, sorted);
            }
        }
    }

    #[test]
    fn topology_of_json_and_yaml_documents_is_the_same(separator in prop::sample::select(vec!["\n", "\n---\n", "\n--- \n"])) {
        let pod = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"nodeName":"n1"}}"#;
        let node = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1"}}"#;
        let documents = [pod, node].join(separator);
        prop_assert_eq!(told(&documents), ["Pod/default/a RUNS_ON Node/n1"]);
    }

    #[test]
    fn topology_does_not_depend_on_the_order_of_documents(order in Just((0..3usize).collect::<Vec<_>>()).prop_shuffle()) {
        let documents: Vec<&str> = MANIFEST.split("---\n").collect();
        let shuffled: Vec<&str> = order.iter().map(|&index| documents[index]).collect();
        prop_assert_eq!(read(shuffled.join("---\n").as_bytes()), read(MANIFEST.as_bytes()));
    }
}
