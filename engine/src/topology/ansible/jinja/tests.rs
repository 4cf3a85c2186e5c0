use std::sync::Arc;

use super::super::tree::Tree;
use super::super::value::Value;
use super::super::why::Why;
use super::super::world::World;
use super::*;
use proptest::prelude::*;

const HOSTS: &str = "[web]\nw1 ansible_host=192.0.2.1\nw2\n[db]\nd1\n[db:vars]\ndb_port=5432\n";
const ALL: &str = "
port: 8080
url: 'http://{{ groups.web[0] }}:{{ port }}/x'
list: [1, '{{ port }}']
chain: '{{ nope.deeper.still | default(port) }}'
loop_a: '{{ loop_b }}'
loop_b: '{{ loop_a }}'
secret: !vault |
  $ANSIBLE_VAULT;1.1;AES256
  00
appended: \"{% set l = [] %}{% for h in groups['web'] %}{{ l.append(h ~ ':' ~ port) }}{% endfor %}{{ l | join(',') }}\"
other: '{{ hostvars[\"d1\"].db_port }}'
home: \"{{ lookup('env', 'X') | default('/tmp', true) }}/y\"
bomb0: 'xxxxxxxxxxxxxxxxxxxx'
bomb1: '{{ bomb0 }}{{ bomb0 }}{{ bomb0 }}{{ bomb0 }}{{ bomb0 }}{{ bomb0 }}{{ bomb0 }}{{ bomb0 }}{{ bomb0 }}{{ bomb0 }}'
bomb2: '{{ bomb1 }}{{ bomb1 }}{{ bomb1 }}{{ bomb1 }}{{ bomb1 }}{{ bomb1 }}{{ bomb1 }}{{ bomb1 }}{{ bomb1 }}{{ bomb1 }}'
bomb3: '{{ bomb2 }}{{ bomb2 }}{{ bomb2 }}{{ bomb2 }}{{ bomb2 }}{{ bomb2 }}{{ bomb2 }}{{ bomb2 }}{{ bomb2 }}{{ bomb2 }}'
bomb4: '{{ bomb3 }}{{ bomb3 }}{{ bomb3 }}{{ bomb3 }}{{ bomb3 }}{{ bomb3 }}{{ bomb3 }}{{ bomb3 }}{{ bomb3 }}{{ bomb3 }}'
bomb5: '{{ bomb4 }}{{ bomb4 }}{{ bomb4 }}{{ bomb4 }}{{ bomb4 }}{{ bomb4 }}{{ bomb4 }}{{ bomb4 }}{{ bomb4 }}{{ bomb4 }}'
bomb6: '{{ bomb5 }}{{ bomb5 }}{{ bomb5 }}{{ bomb5 }}{{ bomb5 }}{{ bomb5 }}{{ bomb5 }}{{ bomb5 }}{{ bomb5 }}{{ bomb5 }}'
";

fn session(mode: Mode) -> Arc<Session> {
    let mut tree = Tree::new();
    tree.insert("hosts", HOSTS.as_bytes().to_vec()).unwrap();
    tree.insert("group_vars/all.yml", ALL.as_bytes().to_vec()).unwrap();
    let world = World::load(&Arc::new(tree), "<root>", "hosts", "", &mut Vec::new()).unwrap();
    Session::new(Arc::new(world), mode)
}

fn eval(text: &str) -> Result<String, Why> {
    let session = session(Mode::Strict);
    let scope = Scope::host(&session, &Arc::from("w1"));
    session
        .eval(&scope, &Value::str(text))
        .map(|value| value.to_json().to_string())
}

#[track_caller]
fn same(text: &str, expected: &str) {
    assert_eq!(eval(text).as_deref(), Ok(expected), "{text}");
}

#[test]
fn one_expression_keeps_its_type_and_more_are_text() {
    same("{{ port }}", "8080");
    same("{{ port }} ", "\"8080 \"");
    same("{{ list }}", "[1,8080]");
    same("{{ list }}\n", "[1,8080]");
    same("{{ 'x' }}\n\n", "\"x\\n\\n\"");
    same("{{ list }}!", "\"[1, 8080]!\"");
    same("{% if false %}x{% endif %}", "null");
    same("{{ none }}a{{ true }}", "\"aTrue\"");
    same("{{ url }}", "\"http://w1:8080/x\"");
    same("{{ appended }}", "\"w1:8080,w2:8080\"");
    same("{{ 1.0 - 0.5 }}x{{ 2 / 1 }}", "\"0.5x2.0\"");
}

#[test]
fn variables_of_other_hosts_and_magic_ones() {
    same("{{ other }}", "5432");
    same(
        "{{ inventory_hostname }} {{ group_names }} {{ inventory_dir }}",
        "\"w1 ['web'] <root>\"",
    );
    same(
        "{{ groups['db'] | map('extract', hostvars, 'db_port') | list }}",
        "[5432]",
    );
    same("{{ 'db' in groups and 'nope' not in groups }}", "true");
    same("{{ home }}", "\"/tmp/y\"");
}

#[test]
fn undefined_values_fail_except_where_asked_for() {
    same("{{ chain }}", "8080");
    same("{{ a | default(b) | default('c') }}", "\"c\"");
    same("{{ port | default(nope) }}", "8080");
    same("{{ groups.nope | default([]) }}", "[]");
    same("{{ nope is defined }}", "false");
    same("{{ nope.x is undefined or nope.y }}", "true");
    same("{{ (port == 8080) | ternary('yes', nope) }}", "\"yes\"");
    for text in [
        "{{ nope }}",
        "{{ 'a' ~ nope }}",
        "{{ nope == 'x' }}",
        "{{ nope | lower }}",
        "{% if nope %}a{% else %}b{% endif %}",
        "{% for x in nope %}{% endfor %}ok",
        "{{ groups['nope'] | length }}",
        "{{ [nope] }}",
        "{{ port.nope ~ 'x' }}",
        "{{ hostvars['nope'].x }}",
        "{{ list[7] }}",
    ] {
        assert!(
            matches!(eval(text), Err(Why::Undefined(_) | Why::Unsupported(_))),
            "{text}: {:?}",
            eval(text)
        );
    }
    assert!(matches!(eval("{{ ansible_default_ipv4.address }}"), Err(Why::Fact(_))));
    assert!(matches!(eval("{{ lookup('pipe', 'date') }}"), Err(Why::Lookup(_))));
    assert!(matches!(eval("{{ secret }}"), Err(Why::Vault(_))));
    assert!(matches!(eval("{{ port | nofilter }}"), Err(Why::Unsupported(_))));
}

#[test]
fn cycles_and_bombs_end() {
    assert!(matches!(eval("{{ loop_a }}"), Err(Why::Recursive)));
    assert!(matches!(eval("{{ bomb6 }}"), Err(Why::Budget)));
    assert!(eval("{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}").is_err());
    assert!(eval(&format!("{{{{ {} }}}}", "(".repeat(20_000))).is_err());
    assert!(eval(&format!("{{{{ {}1 }}}}", "not ".repeat(20_000))).is_err());
    // What is just within the bound is followed, and the stack holds.
    assert!(eval(&format!("{{{{ {}1 }}}}", "not ".repeat(240))).is_ok());
    assert!(eval(&format!("{{{{ 1{} }}}}", " + 1".repeat(240))).is_ok());
}

#[test]
fn long_chains_of_deep_expressions_do_not_overflow_the_stack() {
    let mut vars = String::new();
    for at in 0..60 {
        vars.push_str(&format!("c{at}: \"{{{{ {}c{} }}}}\"\n", "not ".repeat(240), at + 1));
    }
    let mut tree = Tree::new();
    tree.insert("hosts", b"h1\n".to_vec()).unwrap();
    tree.insert("group_vars/all.yml", vars.into_bytes()).unwrap();
    let world = World::load(&Arc::new(tree), "<root>", "hosts", "", &mut Vec::new()).unwrap();
    let session = Session::new(Arc::new(world), Mode::Strict);
    let scope = Scope::host(&session, &Arc::from("h1"));
    assert_eq!(session.eval(&scope, &Value::str("{{ c0 }}")), Err(Why::Budget));
}

#[test]
fn filters_of_ansible() {
    same(
        "{{ {'b': 1, 'a': [true, 'é']} | to_json }}",
        r#""{\"b\": 1, \"a\": [true, \"\\u00e9\"]}""#,
    );
    same("{{ {'a': 1} | combine({'b': 2}) }}", r#"{"a":1,"b":2}"#);
    same("{{ 'a-b' | regex_replace('^(.)-', '\\1+') }}", "\"a+b\"");
    same(
        "{{ 'yes' | bool }} {{ 'x' | bool }} {{ '12' | int + 1 }}",
        "\"True False 13\"",
    );
    same("{{ [1, [2, [3]]] | flatten }}", "[1,2,3]");
    same("{{ {'a': 1} | dict2items }}", r#"[{"key":"a","value":1}]"#);
    same("{{ 'eA==' | b64decode }} {{ 'x' | b64encode }}", "\"x eA==\"");
    same("{{ '/a/b.c' | basename }} {{ '/a/b.c' | dirname }}", "\"b.c /a\"");
    same("{{ 'a,b'.split(',') | union(['b', 'c']) | join('-') }}", "\"a-b-c\"");
    same("{{ 'a.b' is match('a') and 'ba' is search('a') }}", "true");
}

#[test]
fn symbolic_reading_marks_hosts() {
    let session = session(Mode::Symbolic);
    let scope = Scope::host(&session, &Arc::from("w1"));
    let text = "{% for h in groups['web'] %}{{ hostvars[h]['ansible_' + ansible_default_ipv4.interface].ipv4.address }}:{{ port }};{% endfor %}{{ nope.x }}{{ groups.db | first }}{{ hostvars['w1'].ansible_host }}";
    let rendered = session.render(&scope, text).unwrap();
    let named: Vec<Option<usize>> = rendered.text.split(|c: char| c.is_ascii()).map(token_of).collect();
    assert_eq!(named.iter().flatten().copied().collect::<Vec<_>>(), [0, 1]);
    assert!(
        rendered
            .text
            .ends_with(&['\u{f0002}', '\u{f0000}'].iter().collect::<String>())
    );
    let groups: Vec<&str> = rendered.accesses.iter().map(|access| access.group.as_ref()).collect();
    assert_eq!(groups, ["web", "db"]);
    assert!(rendered.accesses[1].at > rendered.accesses[0].at);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn never_panics(text in "[{}%|a-c0-9 .'\\[\\]()~+*-]{0,40}") {
        let _ = eval(&text);
        let _ = eval(&format!("{{{{ {text} }}}}"));
    }

    #[test]
    fn text_without_templates_is_itself(text in "[a-z0-9 :/._-]{0,40}") {
        prop_assert_eq!(eval(&text), Ok(serde_json::Value::from(text.as_str()).to_string()));
    }
}
