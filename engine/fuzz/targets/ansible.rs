//! Checkouts of Ansible: an inventory in INI, one in YAML, variables and a playbook of any bytes.
#![no_main]

use engine::topology::ansible::tree::Tree;
use engine::topology::ansible::{Options, extract};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

fuzz_target!(|data: &[u8]| {
    // Parts are parted by a byte that no text has.
    let mut parts = data.split(|b| *b == 0xff);
    let mut tree = Tree::new();
    for path in [
        "hosts",
        "inventory/hosts.yml",
        "group_vars/all.yml",
        "site.yml",
        "roles/web/tasks/main.yml",
    ] {
        let content = parts.next().unwrap_or_default();
        tree.insert(path, content.to_vec()).expect("a good path");
    }
    let tree = Arc::new(tree);
    for options in [
        Options::default(),
        Options {
            inventories: vec!["hosts".to_owned()],
            playbooks: vec!["site.yml".to_owned()],
            ..Options::default()
        },
    ] {
        if let Ok(report) = extract(&tree, &options) {
            for edge in &report.extracted.edges {
                assert!(!edge.src.is_empty() && !edge.dst.is_empty(), "{edge:?}");
            }
        }
    }
});
