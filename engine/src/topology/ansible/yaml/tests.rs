use super::*;
use proptest::prelude::*;

fn json(text: &str) -> String {
    load(text.as_bytes()).unwrap().to_json().to_string()
}

#[test]
fn values_are_those_of_yaml_1_1() {
    assert_eq!(
        json("[yes, off, 0755, 0o17, 1_000, 12:30:45, 1.10, 1e3, 1.0e+3]"),
        r#"[true,false,493,"0o17",1000,45045,1.1,"1e3",1000.0]"#
    );
    assert_eq!(
        json("[~, null, 2024-02-29, 08, 0x1F, 1.2.3, -5, .5, \"yes\", 'no']"),
        r#"[null,null,"2024-02-29","08",31,"1.2.3",-5,0.5,"yes","no"]"#
    );
    assert_eq!(
        json("a: !!str 12\nb: 3:99\nc: 10:59"),
        r#"{"a":"12","b":"3:99","c":659}"#
    );
}

#[test]
fn json_keeps_its_order() {
    let value = load(b"{\"b\": [1, null], \"a\": 1.5}").unwrap();
    let keys: Vec<&str> = value.as_map().unwrap().keys().map(AsRef::as_ref).collect();
    assert_eq!(keys, ["b", "a"]);
}

#[test]
fn merge_keys_and_repeated_keys() {
    assert_eq!(
        json("x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  b: 3\n  b: 4"),
        r#"{"x":{"a":1,"b":2},"y":{"a":1,"b":4}}"#
    );
    assert_eq!(
        json("p: &p {a: 1}\nq: &q {a: 2, c: 3}\nr:\n  <<: [*p, *q]"),
        r#"{"p":{"a":1},"q":{"a":2,"c":3},"r":{"a":1,"c":3}}"#
    );
}

#[test]
fn tags_of_ansible() {
    let value =
        load(b"a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  3361\nb: !unsafe '{{ x }}'\nc: !unsafe\n  - '{{ y }}'\n")
            .unwrap();
    assert_eq!(value.get("a"), Some(&Value::Vault));
    assert_eq!(value.get("b"), Some(&Value::Unsafe("{{ x }}".into())));
    assert!(!value.has_template());
    assert!(is_vault(b"$ANSIBLE_VAULT;1.1;AES256\n6162"));
}

#[test]
fn quoted_text_without_indentation_is_read() {
    let text = "a:\n  b: \"{{ {\n'x': 1\n} | combine(y) }}\"\n  c: 2\n";
    assert_eq!(json(text), r#"{"a":{"b":"{{ { 'x': 1 } | combine(y) }}","c":2}}"#);
}

#[test]
fn block_text_at_the_end_of_a_file_keeps_what_is_there() {
    assert_eq!(json("a: |\n  x"), r#"{"a":"x"}"#);
    assert_eq!(json("a: |\n  x\n"), r#"{"a":"x\n"}"#);
}

#[test]
fn bombs_end_in_an_error() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let alias = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
    }
    assert!(matches!(load(bomb.as_bytes()), Err(TopologyError::Limit { .. })));
    for deep in [
        "[".repeat(10_000),
        "{a: ".repeat(10_000),
        (0..10_000).map(|at| format!("{}a:\n", " ".repeat(at))).collect(),
    ] {
        assert!(load(deep.as_bytes()).is_err());
    }
    assert!(matches!(load(b"a: &a [*a]"), Err(TopologyError::Syntax { .. })));
    assert_eq!(load(b"a: \xff"), Err(TopologyError::NotUtf8 { offset: 3 }));
}

proptest! {
    #[test]
    fn never_panics(text in "[-a-c0-9:{}\\[\\]&*!|>'\"#, \n\té]{0,60}") {
        let _ = load(text.as_bytes());
    }

    #[test]
    fn json_reads_back(numbers in prop::collection::vec(any::<i32>(), 0..8), word in "[a-z{}% ]{0,12}") {
        let value = serde_json::json!({ "list": numbers, "word": word });
        prop_assert_eq!(load(value.to_string().as_bytes()).unwrap().to_json(), value);
    }
}
