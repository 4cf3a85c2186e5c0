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

/// Queues and topics: the kind, the system as spans name it, and the attribute with the destination.
const QUEUES: [(&str, &str, &str); 10] = [
    ("aws_sqs_queue", "aws_sqs", "name"),
    ("aws_sns_topic", "aws.sns", "name"),
    ("kafka_topic", "kafka", "name"),
    ("confluent_kafka_topic", "kafka", "topic_name"),
    ("aiven_kafka_topic", "kafka", "topic_name"),
    ("alicloud_alikafka_topic", "kafka", "topic"),
    ("google_pubsub_topic", "gcp_pubsub", "name"),
    ("azurerm_servicebus_queue", "servicebus", "name"),
    ("azurerm_servicebus_topic", "servicebus", "name"),
    ("azurerm_eventhub", "eventhubs", "name"),
];

/// Databases on a server that a resource of its own is: the kind, the engine, and the attributes with the server's name
/// (or an id that ends with it) and the database's.
const DATABASES: [(&str, &str, &str, &str); 5] = [
    (
        "azurerm_postgresql_flexible_server_database",
        "postgres",
        "server_id",
        "name",
    ),
    ("azurerm_postgresql_database", "postgres", "server_name", "name"),
    ("azurerm_mysql_flexible_database", "mysql", "server_name", "name"),
    ("azurerm_mysql_database", "mysql", "server_name", "name"),
    ("azurerm_mssql_database", "sqlserver", "server_id", "name"),
];

/// Caches, which clients name by address: the kind, the system as spans name it, and the attributes with the address.
const CACHES: [(&str, &str, [&str; 2]); 3] = [
    (
        "aws_elasticache_replication_group",
        "redis",
        ["primary_endpoint_address", "configuration_endpoint_address"],
    ),
    ("aws_elasticache_cluster", "memcached", ["cluster_address", ""]),
    ("azurerm_redis_cache", "redis", ["hostname", ""]),
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

/// The URN of an instance.
pub fn urn(instance: &Instance<'_>, secrets: &Secrets) -> Option<String> {
    let kind = instance.kind.as_str();
    if let Some(urn) = called(instance, secrets) {
        return Some(urn);
    }
    match kind {
        "aws_db_instance" => database(instance, secrets, ["identifier", "db_name", "name"]),
        "alicloud_db_database" => {
            let [instance, name] = open(instance, secrets, ["instance_id", "name"]);
            instance
                .zip(name)
                .and_then(|(instance, name)| names::aliyun_database(&instance, &name))
        }
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

/// What spans call, by the name that they give it.
fn called(instance: &Instance<'_>, secrets: &Secrets) -> Option<String> {
    let kind = instance.kind.as_str();
    if let Some((_, system, name)) = QUEUES.iter().find(|(known, ..)| *known == kind) {
        let [name] = open(instance, secrets, [*name]);
        return name
            .filter(|name| !name.is_empty())
            .map(|name| names::queue(system, &name));
    }
    if let Some((_, engine, server, name)) = DATABASES.iter().find(|(known, ..)| *known == kind) {
        let [server, name] = open(instance, secrets, [*server, *name]);
        let server = server
            .as_deref()?
            .rsplit('/')
            .next()
            .filter(|server| !server.is_empty())?;
        return names::database(engine, server, &name?);
    }
    let (_, system, addresses) = CACHES.iter().find(|(known, ..)| *known == kind)?;
    let mut addresses = open(instance, secrets, *addresses).into_iter().flatten();
    addresses
        .find(|address| !address.is_empty())
        .map(|address| names::cache(system, &address))
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::topology::{Format, extract};

    /// The URN of a resource with these attributes.
    fn urn(kind: &str, attributes: &Value) -> Option<String> {
        let instance = |attributes: &Value, dependencies: &[&str]| json!([{"attributes": attributes, "dependencies": dependencies}]);
        let state = json!({"version": 4, "lineage": "x", "resources": [
            {"type": kind, "name": "a", "instances": instance(attributes, &[])},
            {"type": "t", "name": "b", "instances": instance(&json!({}), &[&format!("{kind}.a")])},
        ]});
        let found = extract(state.to_string().as_bytes(), Format::TerraformState)
            .unwrap()
            .edges;
        found.into_iter().next().unwrap().dst_urn
    }

    #[test]
    fn what_spans_call_has_the_name_that_they_use() {
        for (kind, attributes, expected) in [
            (
                "aws_sqs_queue",
                json!({"name": "orders", "arn": "arn:aws:sqs:x", "id": "https://sqs.x/1/orders"}),
                "urn:queue:aws_sqs:orders",
            ),
            (
                "aws_sns_topic",
                json!({"name": "orders", "arn": "arn:aws:sns:x"}),
                "urn:queue:aws.sns:orders",
            ),
            ("kafka_topic", json!({"name": "a/b"}), "urn:queue:kafka:a%2Fb"),
            (
                "google_pubsub_topic",
                json!({"name": "orders", "id": "projects/p/topics/orders"}),
                "urn:queue:gcp_pubsub:orders",
            ),
            (
                "alicloud_alikafka_topic",
                json!({"topic": "orders", "id": "alikafka-1:orders"}),
                "urn:queue:kafka:orders",
            ),
            (
                "aws_elasticache_replication_group",
                json!({"primary_endpoint_address": "", "configuration_endpoint_address": "clustercfg.c.x.cache.amazonaws.com", "arn": "arn:x"}),
                "urn:db:redis:clustercfg.c.x.cache.amazonaws.com",
            ),
            (
                "azurerm_postgresql_flexible_server_database",
                json!({"name": "shop", "server_id": "/subscriptions/1/flexibleServers/main"}),
                "urn:db:postgres:main/shop",
            ),
            (
                "azurerm_mysql_flexible_database",
                json!({"name": "shop", "server_name": "main"}),
                "urn:db:mysql:main/shop",
            ),
            (
                "alicloud_db_database",
                json!({"name": "shop", "instance_id": "pgm-1"}),
                "urn:db:postgres:pgm-1/shop",
            ),
        ] {
            assert_eq!(urn(kind, &attributes).as_deref(), Some(expected), "{kind}");
        }
    }

    #[test]
    fn what_says_too_little_keeps_the_name_of_its_cloud() {
        assert_eq!(
            urn("aws_sqs_queue", &json!({"arn": "arn:q"})).as_deref(),
            Some("urn:aws:arn%3Aq")
        );
        assert_eq!(
            urn("aws_elasticache_replication_group", &json!({"arn": "arn:c"})).as_deref(),
            Some("urn:aws:arn%3Ac")
        );
        for (kind, attributes) in [
            ("alicloud_db_database", json!({"name": "shop", "instance_id": "rm-1"})),
            ("azurerm_mssql_database", json!({"name": "shop", "server_id": "/x/"})),
            ("google_sql_database", json!({"name": "shop", "instance": "main"})),
        ] {
            assert_eq!(urn(kind, &attributes), None, "{kind}");
        }
    }

    #[test]
    fn a_name_that_is_a_secret_is_not_used() {
        let attributes = json!({"name": "hunter2", "password": "hunter2"});
        assert_eq!(urn("aws_sqs_queue", &attributes), None);
    }
}
