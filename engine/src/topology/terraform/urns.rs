//! `urn:` names of instances, from the few attributes that say what a thing is called outside of Terraform.

use std::borrow::Cow;

use hashbrown::HashMap;

use super::attributes::pick;
use super::model::{Instance, State};
use super::secrets::Secrets;
use crate::topology::{Edge, names};

/// Virtual machines whose `name` is the host's name.
const HOSTS: [&str; 9] = [
    "google_compute_instance",
    "openstack_compute_instance_v2",
    "azurerm_linux_virtual_machine",
    "azurerm_windows_virtual_machine",
    "digitalocean_droplet",
    "hcloud_server",
    "libvirt_domain",
    "proxmox_vm_qemu",
    "vsphere_virtual_machine",
];

/// Sets the URNs of edges. An attribute that equals a secret of the state is not used.
pub fn name(edges: &mut [Edge], state: &State<'_>, secrets: &Secrets) {
    let named = state
        .instances
        .iter()
        .filter_map(|instance| Some((instance.address.as_str(), urn(instance, secrets)?)));
    let urns: HashMap<&str, String> = named.collect();
    for edge in edges {
        edge.src_urn = urns.get(edge.src.as_str()).cloned();
        edge.dst_urn = urns.get(edge.dst.as_str()).cloned();
    }
}

fn urn(instance: &Instance<'_>, secrets: &Secrets) -> Option<String> {
    let kind = instance.kind.as_str();
    match kind {
        "aws_db_instance" => database(instance, secrets, ["identifier", "db_name", "name"]),
        "aws_rds_cluster" => database(instance, secrets, ["cluster_identifier", "database_name", ""]),
        _ if HOSTS.contains(&kind) => {
            let [name] = open(instance, secrets, ["name"]);
            name.map(|name| names::host(&name))
        }
        _ if kind.starts_with("aws_") => {
            let [id, arn] = open(instance, secrets, ["id", "arn"]);
            id.and_then(|id| names::aws(&id))
                .or_else(|| arn.and_then(|arn| names::aws(&arn)))
        }
        _ if kind.starts_with("alicloud_") => {
            let [id] = open(instance, secrets, ["id"]);
            id.and_then(|id| names::aliyun(&id))
        }
        _ => {
            // The provider's ids are `namespace/name`; its kinds are written `stateful_set_v1`.
            let kind = kind.strip_prefix("kubernetes_")?;
            let kind = kind.strip_suffix("_v1").unwrap_or(kind).replace('_', "");
            let [id] = open(instance, secrets, ["id"]);
            let id = id?;
            let (namespace, name) = id.split_once('/')?;
            Some(names::kubernetes(
                if kind == "service" { "Service" } else { &kind },
                Some(namespace),
                name,
            ))
        }
    }
}

/// A database by cluster and name; by its ARN when no name says which database it holds.
fn database(instance: &Instance<'_>, secrets: &Secrets, [cluster, name, old_name]: [&str; 3]) -> Option<String> {
    let [cluster, name, old_name, engine, arn] = open(instance, secrets, [cluster, name, old_name, "engine", "arn"]);
    cluster
        .zip(name.or(old_name))
        .zip(engine)
        .and_then(|((cluster, name), engine)| names::database(&engine, &cluster, &name))
        .or_else(|| arn.and_then(|arn| names::aws(&arn)))
}

/// Attributes that are no secrets.
fn open<'a, const N: usize>(instance: &Instance<'a>, secrets: &Secrets, names: [&str; N]) -> [Option<Cow<'a, str>>; N] {
    pick(instance.attributes, names).map(|value| value.filter(|value| !secrets.contains(value)))
}
