//! Ansible: a checkout of inventories, variables, roles and playbooks, read without running anything.

pub mod inventory;
pub mod tree;
pub mod value;
pub mod yaml;
