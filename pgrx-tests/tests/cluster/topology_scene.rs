//! What the tests of the jobs `topo-iac` and `topo-ansible` begin with.

use blackbox::cluster::Cluster;
use blackbox::session::Session;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// In states and tokens; no table, log line or error may show it.
pub const SECRET: &str = "hunter2-Sesame";

/// A Terraform state: a network, these subnets in it, and a database with a secret.
pub fn state(subnets: &[&str]) -> String {
    let mut resources = vec![
        json!({"mode": "managed", "type": "aws_vpc", "name": "main", "instances": [{"attributes": {"id": "vpc-1"}}]}),
        json!({"mode": "managed", "type": "aws_db_instance", "name": "db", "instances": [{
            "attributes": {"id": "db-1", "password": SECRET, "copy": format!("postgres://u:{SECRET}@db/shop"), "vpc_id": "vpc-1"},
            "sensitive_attributes": [[{"type": "get_attr", "value": "password"}]],
            "dependencies": ["aws_vpc.main"]}]}),
    ];
    resources.extend(subnets.iter().map(|name| {
        json!({"mode": "managed", "type": "aws_subnet", "name": name, "instances": [{
            "attributes": {"id": format!("subnet-{name}"), "vpc_id": "vpc-1"}, "dependencies": ["aws_vpc.main"]}]})
    }));
    json!({"version": 4, "terraform_version": "1.9.0", "serial": 1, "lineage": "l", "outputs": {}, "resources": resources})
        .to_string()
}

/// A database without workers, and a folder that servers of kind `file` may read.
pub fn start() -> (Cluster, Session, PathBuf) {
    let cluster = Cluster::without_workers();
    let folder = cluster.make_folder("states");
    cluster.set("observe_bridge.file_roots", &folder.to_string_lossy());
    let mut db = cluster.database("topo");
    db.exec("CREATE EXTENSION observe_bridge");
    (cluster, db, folder)
}

pub fn server(db: &mut Session, name: &str, options: &str, mapping: &str) {
    db.exec(&format!(
        "CREATE SERVER {name} FOREIGN DATA WRAPPER observe_bridge OPTIONS ({options});
         CREATE USER MAPPING FOR CURRENT_USER SERVER {name} OPTIONS ({mapping})"
    ));
}

pub fn add(db: &mut Session, job: &str, server: &str, options: &Value) {
    db.exec(&format!(
        "SELECT etl_source_add(tenant => 'default', job => '{job}', server => '{server}', options => '{options}')"
    ));
}

/// A folder as a source of `topo-iac`.
pub fn add_folder(db: &mut Session, name: &str, path: &Path, options: &Value) {
    db.exec(&format!(
        "CREATE SERVER {name} FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'file', path '{}')",
        path.display()
    ));
    add(db, "topo-iac", name, options);
}

/// Runs a job now, with these args; the error of its run, or null.
pub fn run(db: &mut Session, job: &str, args: &str) -> Value {
    db.exec(&format!(
        "SELECT etl_enqueue('{job}', 'default', now() - interval '1 second', now(), '{args}')"
    ));
    db.exec("CALL etl_run()");
    db.json(&format!(
        "SELECT coalesce(error, 'null') FROM etl_job_run WHERE job = '{job}' ORDER BY window_from DESC LIMIT 1"
    ))
}

/// Open edges of a source.
pub fn open(db: &mut Session, source: &str) -> i64 {
    db.int(&format!(
        "SELECT count(*) FROM topo_edge_time WHERE source = '{source}' AND upper_inf(valid)"
    ))
}

pub fn assert_refused(error: &Value, what: &str) {
    assert!(
        error["message"].as_str().is_some_and(|m| m.contains(what)),
        "{what} was expected: {error}"
    );
    assert_eq!(error["permanent"], true, "{error}");
    assert!(error["hint"].is_string(), "{error}");
    assert!(!error.to_string().contains(SECRET), "{error}");
}
