use super::super::extract::{Options, Report, extract};
use super::super::inventory::Inventory;
use super::*;
use std::sync::Arc;

fn read(files: &[(&str, &[u8])]) -> Report {
    let mut tree = Tree::new();
    for (path, content) in files {
        tree.insert(path, content.to_vec()).unwrap();
    }
    extract(&Arc::new(tree), &Options::default()).unwrap()
}

fn unresolved(report: &Report) -> Vec<(&str, Reason)> {
    let entries = report.extracted.unresolved.iter();
    entries.map(|entry| (entry.src.as_str(), entry.reason)).collect()
}

/// The hosts of each inventory.
fn hosts(report: &Report) -> Vec<Vec<String>> {
    let names = |inventory: &Arc<Inventory>| inventory.hosts.keys().map(ToString::to_string).collect();
    report.worlds.iter().map(|world| names(&world.inventory)).collect()
}

#[test]
fn no_inventory_is_lost_silently() {
    let report = read(&[
        ("hosts", b"[web]\nw1\n"),
        ("prod.aws_ec2.yml", b"plugin: aws_ec2\n"),
        ("inventory/consul.py", b"#!/usr/bin/env python3\n"),
        ("stage/hosts.yml", b"$ANSIBLE_VAULT;1.1;AES256\n3031\n"),
        // No inventories: by their names or folders, they could be anything.
        ("scripts/deploy", b"#!/bin/sh\n"),
        ("secrets.yml", b"$ANSIBLE_VAULT;1.1;AES256\n3031\n"),
        ("group_vars/hosts", b"$ANSIBLE_VAULT;1.1;AES256\n3031\n"),
        ("roles/x/files/inventory", b"#!/bin/sh\n"),
    ]);
    assert_eq!(hosts(&report), [["w1"]]);
    assert_eq!(
        unresolved(&report),
        [
            ("inventory/consul.py", Reason::Dynamic),
            ("prod.aws_ec2.yml", Reason::Dynamic),
            ("stage/hosts.yml", Reason::Vault),
        ]
    );
}

#[test]
fn files_of_a_folder_that_need_each_other_are_one_inventory() {
    let report = read(&[
        ("prod/01-hosts", b"[web]\nw1\n[db]\nd1\n"),
        ("prod/02-groups", b"[site:children]\nweb\ndb\n"),
        ("stage/groups", b"[site:children]\nnowhere\n"),
    ]);
    assert_eq!(hosts(&report), [["w1", "d1"]]);
    assert!(report.worlds[0].inventory.groups.contains_key("site"));
    assert_eq!(unresolved(&report), [("stage/groups", Reason::Undefined)]);
}

#[test]
fn the_inventory_of_ansible_cfg_is_the_one() {
    let files: [(&str, &[u8]); 5] = [
        (
            "ansible.cfg",
            b"[defaults]\ninventory = env/prod, /etc/ansible/hosts ; both\n",
        ),
        ("env/prod/hosts", b"[web]\np1\n"),
        ("env/prod/cloud.yml", b"plugin: aws_ec2\n"),
        ("env/stage/hosts", b"[web]\ns1\n"),
        ("site.yml", b"- hosts: web\n  roles: []\n"),
    ];
    let report = read(&files);
    assert_eq!(hosts(&report), [["p1"]]);
    assert_eq!(
        unresolved(&report),
        [
            ("ansible.cfg", Reason::External),
            ("env/prod/cloud.yml", Reason::Dynamic),
            ("env/stage/hosts", Reason::External),
        ]
    );
    // What it names is elsewhere: all that is there counts.
    let mut elsewhere = files;
    elsewhere[0].1 = b"[defaults]\ninventory = /etc/ansible/hosts\n";
    assert_eq!(hosts(&read(&elsewhere)), [["p1"], ["s1"]]);
    elsewhere[0].1 = b"[defaults]\ninventory = .\n";
    assert_eq!(hosts(&read(&elsewhere)), [["p1"], ["s1"]]);
}

#[test]
fn a_template_that_is_no_text_is_not_evaluated() {
    let report = read(&[
        ("hosts", b"[web]\nw1\n"),
        (
            "site.yml",
            b"- hosts: web\n  tasks:\n  - template: {src: logo.j2, dest: /x}\n",
        ),
        ("templates/logo.j2", b"\xff\xfe\x00"),
    ]);
    assert_eq!(unresolved(&report), [("templates/logo.j2", Reason::Unsupported)]);
}

#[test]
fn a_named_inventory_that_is_not_in_its_file_is_reported_once() {
    let report = read(&[
        (
            "ansible.cfg",
            b"[defaults]\ninventory = cloud.yml,inventory.py,vault.yml,hosts\n",
        ),
        ("cloud.yml", b"plugin: aws_ec2\n"),
        ("inventory.py", b"print('{}')\n"),
        ("vault.yml", b"$ANSIBLE_VAULT;1.1;AES256\n3031\n"),
        ("hosts", b"[web]\nw1\n"),
    ]);
    assert_eq!(hosts(&report), [["w1"]]);
    assert_eq!(
        unresolved(&report),
        [
            ("cloud.yml", Reason::Dynamic),
            ("inventory.py", Reason::Dynamic),
            ("vault.yml", Reason::Vault),
        ]
    );
}

#[test]
fn an_inventory_that_is_named_again_is_read_once() {
    for names in ["hosts,hosts,./hosts", ".,.,./.", "hosts,.", ".,hosts"] {
        let config = format!("[defaults]\ninventory = {names}\n");
        let report = read(&[("ansible.cfg", config.as_bytes()), ("hosts", b"[web]\nw1\n")]);
        assert_eq!(hosts(&report), [["w1"]], "{names}");
    }
}

#[test]
fn a_folder_that_does_not_help_is_tried_once() {
    let mut tree = Tree::new();
    for path in ["stage/a", "stage/b"] {
        tree.insert(path, b"[site:children]\nnowhere\n".to_vec()).unwrap();
    }
    let (mut tried, mut found) = (BTreeMap::new(), Discovered::default());
    join_folder(&tree, "stage/a", &mut tried, &mut found);
    // Would help if the folder was read again.
    tree.insert("stage/0", b"[nowhere]\nw1\n".to_vec()).unwrap();
    join_folder(&tree, "stage/b", &mut tried, &mut found);
    assert_eq!(found.inventories, [""; 0]);
    assert_eq!(found.withheld.len(), 2);
}

#[test]
fn a_folder_that_is_one_inventory_has_those_below_it() {
    let report = read(&[
        ("inv/a/02-groups", b"[all_web:children]\nweb\n"),
        ("inv/a/01-hosts", b"[web]\nw2\n"),
        ("inv/02-groups", b"[site:children]\nweb\n"),
        ("inv/01-hosts", b"[web]\nw1\n"),
    ]);
    assert_eq!(report.worlds.len(), 1);
    assert_eq!(hosts(&report)[0].len(), 2);
}
