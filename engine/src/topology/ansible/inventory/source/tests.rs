use super::*;
use crate::topology::ansible::value::Value;
use proptest::prelude::*;

fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::new();
    for (path, text) in files {
        tree.insert(path, text.as_bytes().to_vec()).unwrap();
    }
    tree
}

fn read(text: &str) -> Result<Inventory, TopologyError> {
    load(&tree(&[("hosts", text)]), "hosts", &mut Vec::new())
}

fn members(inventory: &Inventory, group: &str) -> Vec<String> {
    inventory.members().unwrap()[group]
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn ini_hosts_groups_children_and_variables() {
    let inventory = read(
        "lone:2200\n[site:children] # all of it\nweb\ndb\n[web]\nw[1:2] port=80 note=\"a b\" # c\n[db]\nd1\n[web:vars]\nport=8080\nflag=True\n",
    )
    .unwrap();
    assert_eq!(members(&inventory, "site"), ["w1", "w2", "d1"]);
    assert_eq!(members(&inventory, "ungrouped"), ["lone"]);
    assert_eq!(members(&inventory, "all"), ["lone", "w1", "w2", "d1"]);
    assert_eq!(inventory.hosts["lone"].vars["ansible_port"], Value::Int(2200));
    assert_eq!(inventory.hosts["w1"].vars["note"], Value::str("a b"));
    assert_eq!(inventory.groups["web"].vars["flag"], Value::Bool(true));
    assert_eq!(inventory.groups["web"].depth, 2);
    assert_eq!(
        inventory.groups_of("w1").iter().map(AsRef::as_ref).collect::<Vec<_>>(),
        ["site", "web"]
    );
}

#[test]
fn yaml_says_the_same() {
    let inventory = read(
        "all:\n  hosts: lone:2200\n  children:\n    site:\n      children:\n        web:\n          hosts:\n            w[1:2]: {port: 80}\n          vars: {port: 8080}\n        db: {hosts: {d1: }}\n",
    )
    .unwrap();
    assert_eq!(members(&inventory, "site"), ["w1", "w2", "d1"]);
    assert_eq!(members(&inventory, "ungrouped"), ["lone"]);
    assert_eq!(inventory.hosts["lone"].vars["ansible_port"], Value::Int(2200));
    assert_eq!(inventory.groups["web"].depth, 2);
}

#[test]
fn depth_then_priority_then_name_decide() {
    let inventory = read("[b]\nh\n[a]\nh\n[c]\nh\n[a:vars]\nansible_group_priority=10\n[deep:children]\nc\n").unwrap();
    let order: Vec<String> = inventory.groups_of("h").iter().map(ToString::to_string).collect();
    assert_eq!(order, ["b", "deep", "a", "c"]);
}

#[test]
fn what_is_wrong_is_an_error_that_shows_no_content() {
    for text in [
        "[a:children]\nmissing\n",
        "[missing:vars]\na=1\n",
        "[a:children]\nb\n[b:children]\na\n",
        "[a:children]\na\n",
        "[a:hunter2]\n",
        "host hunter2\n",
        "host a='hunter2\n",
        "host[1:999999999]\n",
        "[a b]\n",
        "all: [hunter2]\nhosts: 1\n\t- x\n",
        "#!/bin/sh\necho hunter2\n",
    ] {
        let error = read(text).expect_err(text);
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{text}");
    }
}

#[test]
fn a_folder_is_read_in_order_and_goes_on_past_broken_files() {
    let tree = tree(&[
        ("inv/01-a", "[web]\nw1\n"),
        ("inv/02-b.yml", "web: {hosts: {w2: }}\n"),
        ("inv/03-broken", "[x:children]\nnone\n"),
        ("inv/notes.md", "# no inventory"),
        ("inv/group_vars/web.yml", "a: 1"),
    ]);
    let mut unresolved = Vec::new();
    let inventory = load(&tree, "inv", &mut unresolved).unwrap();
    assert_eq!(members(&inventory, "web"), ["w1", "w2"]);
    assert_eq!(
        unresolved.iter().map(|entry| entry.src.as_str()).collect::<Vec<_>>(),
        ["inv/03-broken"]
    );
    assert!(!inventory.groups.contains_key("x"));
}

#[test]
fn what_leads_to_an_inventory_is_left_out_of_a_folder_and_reported() {
    let tree = tree(&[
        ("inv/hosts", "[web]\nw1\n"),
        (
            "inv/cloud.aws_ec2.yml",
            "plugin: amazon.aws.aws_ec2\nregions: [eu-central-1]\n",
        ),
        ("inv/script", "#!/bin/sh\necho {}\n"),
        ("inv/consul.py", "import json\n"),
        ("inv/secret.yml", "$ANSIBLE_VAULT;1.1;AES256\n3031\n"),
        // A host by that name is none.
        ("inv/static.yml", "plugin: {hosts: {w2: }}\n"),
    ]);
    let mut unresolved = Vec::new();
    let inventory = load(&tree, "inv", &mut unresolved);
    let mut reasons: Vec<(&str, Reason)> = unresolved.iter().map(|u| (u.src.as_str(), u.reason)).collect();
    reasons.sort_unstable();
    assert_eq!(
        reasons,
        [
            ("inv/cloud.aws_ec2.yml", Reason::Dynamic),
            ("inv/consul.py", Reason::Dynamic),
            ("inv/script", Reason::Dynamic),
            ("inv/secret.yml", Reason::Vault),
        ]
    );
    assert_eq!(members(&inventory.unwrap(), "all"), ["w1", "w2"]);
}

#[test]
fn inventories_are_told_from_other_files() {
    let tree = tree(&[
        ("hosts", "[web]\nw1\n"),
        ("ansible.cfg", "[defaults]\nroles_path=x\n"),
        ("site.yml", "- hosts: all\n  tasks: []\n"),
        ("inv.yml", "web: {hosts: {w2: }}\n"),
        ("cloud.aws_ec2.yml", "plugin: aws_ec2\n"),
        ("roles/x/tasks/hosts", "[web]\nw1\n"),
        ("README", "Some prose.\n"),
    ]);
    let found: Vec<&str> = tree.paths().filter(|path| is_inventory_file(&tree, path)).collect();
    assert_eq!(found, ["hosts", "inv.yml"]);
}

proptest! {
    #[test]
    fn never_panics(text in "[\\[\\]a-c0-9:=#;,'\"{} \n-]{0,80}") {
        let _ = read(&text);
    }

    #[test]
    fn every_host_is_in_all_once(groups in prop::collection::vec(prop::collection::vec(0_u8..9, 0..6), 1..5)) {
        let mut text = String::new();
        for (at, hosts) in groups.iter().enumerate() {
            text.push_str(&format!("[g{at}]\n"));
            for host in hosts {
                text.push_str(&format!("h{host}\n"));
            }
        }
        let inventory = read(&text).unwrap();
        let mut all = members(&inventory, "all");
        all.sort();
        let mut expected: Vec<String> = groups.concat().iter().map(|host| format!("h{host}")).collect();
        expected.sort();
        expected.dedup();
        prop_assert_eq!(all, expected);
    }
}
