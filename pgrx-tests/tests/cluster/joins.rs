//! One machine under several names, and a Service with the load balancer that was made for it: joined by what both are
//! known as, whatever the order of loads, and never by guessing.

use blackbox::bridge::{add_openobserve, bridge, enqueue, run};
use blackbox::cluster::Cluster;
use blackbox::openobserve::{Dataset, OpenObserve, Store};
use blackbox::session::Session;
use blackbox::telemetry::{SECOND, T0, span};
use serde_json::{Value, json};
use std::fs;

const SECRET: &str = "hunter2-Sesame";

/// An EC2 instance in a security group, and another in front of which nothing stands.
fn state(resources: &[Value]) -> String {
    let mut all = vec![
        json!({"mode": "managed", "type": "aws_security_group", "name": "web", "instances": [{"attributes": {"id": "sg-1"}}]}),
    ];
    all.extend_from_slice(resources);
    json!({"version": 4, "terraform_version": "1.9.0", "serial": 1, "lineage": "l", "outputs": {}, "resources": all})
        .to_string()
}

fn instance(name: &str, id: &str, address: &str) -> Value {
    let private_dns = format!("ip-{}.eu-west-1.compute.internal", address.replace('.', "-"));
    json!({"mode": "managed", "type": "aws_instance", "name": name, "instances": [{
        "attributes": {"id": id, "private_ip": address, "private_dns": private_dns, "public_ip": "", "password_data": SECRET,
                       "vpc_security_group_ids": ["sg-1"]},
        "dependencies": ["aws_security_group.web"]}]})
}

/// The load balancer, and the record that leads to it.
fn balancer(address: &str) -> [Value; 2] {
    [
        json!({"mode": "managed", "type": "aws_lb", "name": "front", "instances": [{
            "attributes": {"id": "arn:aws:lb/front", "arn": "arn:aws:lb/front", "dns_name": address}}]}),
        json!({"mode": "managed", "type": "aws_route53_record", "name": "shop", "instances": [{
            "attributes": {"id": "Z1_shop", "name": "shop"}, "dependencies": ["aws_lb.front"]}]}),
    ]
}

/// `kubectl get nodes,pods,services -o json`
fn cluster_list(node: &str, provider_id: &str, address: &str, balancer: &str) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {"kind": "Node", "metadata": {"name": node}, "spec": {"providerID": provider_id},
         "status": {"addresses": [{"type": "InternalIP", "address": address}]}},
        {"kind": "Pod", "metadata": {"name": "web-1", "namespace": "shop", "labels": {"app": "web"}}, "spec": {"nodeName": node, "containers": []}},
        {"kind": "Service", "metadata": {"name": "web", "namespace": "shop"}, "spec": {"type": "LoadBalancer", "selector": {"app": "web"}},
         "status": {"loadBalancer": {"ingress": [{"hostname": balancer}]}}}]})
    .to_string()
}

fn checkout(inventory: &str) -> String {
    json!({"hosts": inventory, "site.yml": "- hosts: all\n  roles: [agent]\n", "roles/agent/tasks/main.yml": "- debug: {msg: x}\n"})
        .to_string()
}

/// Loads what a file declares, with what its things are known as.
fn load(db: &mut Session, source: &str, content: &str, format: &str, at: &str) -> Vec<String> {
    db.rows(&format!(
        "SELECT opened, closed, unchanged FROM topo_load('default', '{source}', at => '{at}', force => true, edges => (
            SELECT coalesce(jsonb_agg(jsonb_build_object('src', coalesce(src_urn, src), 'dst', coalesce(dst_urn, dst), 'relation', relation)), '[]')
            FROM topo_extract($f${content}$f$, '{format}')), identities => (
            SELECT coalesce(jsonb_agg(jsonb_build_object('urn', coalesce(urn, thing), 'role', role, 'known_as', known_as)), '[]')
            FROM topo_identities($f${content}$f$, '{format}')))"
    ))
    .remove(0)
}

const TEN: &str = "2026-01-05 10:00Z";
const HALF_PAST: &str = "2026-01-05 10:30Z";
const NODE: &str = "ip-10-0-0-1.eu-west-1.compute.internal";
const JOINS: &str = "SELECT j FROM (SELECT concat_ws(' ', src_urn, relation, dst_urn) COLLATE \"C\" AS j FROM topology_joins('default')) ORDER BY j";

fn sources() -> [(&'static str, String, &'static str); 3] {
    let mut resources = vec![instance("a", "i-1", "10.0.0.1"), instance("b", "i-2", "10.0.0.2")];
    resources.extend(balancer("front-1.elb.example.com"));
    [
        ("terraform", state(&resources), "terraform_state"),
        (
            "k8s",
            cluster_list(NODE, "aws:///eu-west-1a/i-1", "10.0.0.1", "front-1.elb.example.com"),
            "kubernetes",
        ),
        (
            "ansible",
            checkout("[web]\nweb-a ansible_host=10.0.0.1\nweb-b ansible_host=10.0.0.2\n"),
            "ansible",
        ),
    ]
}

#[test]
fn one_machine_is_one_whoever_speaks_of_it_and_in_any_order() {
    let cluster = Cluster::without_workers();
    let files = sources();
    for (i, order) in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
        .iter()
        .enumerate()
    {
        let mut db = bridge(&cluster, &format!("order{i}"));
        // Its own logs call the machine by its short name.
        db.exec("INSERT INTO dim_resource (tenant_id, urn, type, name) VALUES (1, 'urn:host:ip-10-0-0-1', 'host', 'ip-10-0-0-1')");
        for &n in order {
            let (source, content, format) = &files[n];
            load(&mut db, source, content, format, TEN);
        }
        assert_eq!(
            db.column(JOINS),
            [
                "urn:aws:arn%3Aaws%3Alb%2Ffront ROUTES_TO urn:svc:web".to_owned(),
                "urn:aws:i-1 SAME_AS urn:host:ip-10-0-0-1".to_owned(),
                format!("urn:aws:i-1 SAME_AS urn:host:{NODE}"),
                "urn:aws:i-1 SAME_AS urn:host:web-a".to_owned(),
                "urn:aws:i-2 SAME_AS urn:host:web-b".to_owned(),
                format!("urn:host:{NODE} SAME_AS urn:host:web-a"),
            ],
            "{order:?}"
        );
        assert_eq!(
            db.rows(&format!(
                "SELECT known_as, sources, valid_from = '{TEN}', valid_to FROM topology_joins('default') WHERE dst_urn = 'urn:host:{NODE}'"
            )),
            [[
                "{urn:aws:i-1,urn:host:10.0.0.1,urn:host:ip-10-0-0-1.eu-west-1.compute.internal}",
                "{k8s,terraform}",
                "t",
                "<null>"
            ]],
            "{order:?}"
        );
        // What stands on the security group: the instance, and what runs on it under its other names.
        let stands = "SELECT r FROM (SELECT concat_ws(' ', urn, depth) COLLATE \"C\" AS r FROM blast_radius('default', 'urn:aws:sg-1', 2)) ORDER BY r";
        assert_eq!(
            db.column(stands),
            [
                "urn:aws:i-1 1".to_owned(),
                "urn:aws:i-2 1".to_owned(),
                "urn:host:ip-10-0-0-1 1".to_owned(),
                format!("urn:host:{NODE} 1"),
                "urn:host:web-a 1".to_owned(),
                "urn:host:web-b 1".to_owned(),
                "urn:k8s:pod:shop/web-1 2".to_owned(),
                "urn:topo:ansible/role%3Aagent 2".to_owned(),
                "urn:topo:ansible/web 2".to_owned(),
            ],
            "{order:?}"
        );
        // By any of the names, also that of telemetry.
        for name in [NODE, "ip-10-0-0-1", "web-a"] {
            assert_eq!(
                db.column(&format!(
                    "SELECT urn FROM blast_radius('default', 'urn:host:{name}', 1) WHERE depth = 1 ORDER BY 1"
                )),
                [
                    "urn:k8s:pod:shop/web-1",
                    "urn:topo:ansible/role%3Aagent",
                    "urn:topo:ansible/web"
                ],
                "{name}"
            );
        }
        // From the record in the DNS over the load balancer and the Pod to the security group.
        assert_eq!(
            db.rows(
                "SELECT * FROM topology_path('default', 'urn:topo:terraform/aws_route53_record.shop', 'urn:aws:sg-1')"
            ),
            [
                ["0", "urn:topo:terraform/aws_route53_record.shop", "<null>", "<null>"],
                ["1", "urn:aws:arn%3Aaws%3Alb%2Ffront", "DEPENDS_ON", "terraform"],
                ["2", "urn:svc:web", "ROUTES_TO", "k8s, terraform"],
                ["3", "urn:k8s:pod:shop/web-1", "SELECTS", "k8s"],
                ["4", &format!("urn:host:{NODE}"), "RUNS_ON", "k8s"],
                ["5", "urn:aws:i-1", "SAME_AS", "k8s, terraform"],
                ["6", "urn:aws:sg-1", "DEPENDS_ON", "terraform"],
            ]
        );
        assert_eq!(
            db.rows("SELECT step, relation FROM topology_path('default', 'urn:host:web-a', 'urn:aws:i-1')")
                .len(),
            2
        );
        // A Pod that fails is felt at the load balancer, one that is not there not at the Pod.
        assert!(
            db.column("SELECT urn FROM blast_radius('default', 'urn:k8s:pod:shop/web-1', 9)")
                .contains(&"urn:topo:terraform/aws_route53_record.shop".to_owned())
        );
        assert_eq!(
            db.column("SELECT urn FROM blast_radius('default', 'urn:aws:arn%3Aaws%3Alb%2Ffront', 9)"),
            ["urn:topo:terraform/aws_route53_record.shop"]
        );
        // Edges are what their sources declared, and those that follow are told beside them.
        assert_eq!(
            db.column("SELECT DISTINCT relation FROM topology_at('default') WHERE source LIKE '%,%' ORDER BY 1"),
            ["ROUTES_TO", "SAME_AS"]
        );
        assert_eq!(
            db.int("SELECT count(*) FROM topology_at('default')"),
            db.int("SELECT count(*) FROM topo_edge_time WHERE upper_inf(valid)") + 6
        );
        assert!(
            db.text("SELECT topology_dot('default')")
                .contains("[label=\"SAME_AS\", style=dashed, dir=none]")
        );
        assert_eq!(
            db.int(&format!(
                "SELECT count(*) FROM topo_identity_time t WHERE t::text LIKE '%{SECRET}%'"
            )),
            0
        );
        // Once more: nothing is written.
        let versions = "SELECT string_agg(xmin::text || ctid::text, ',' ORDER BY ctid) FROM topo_identity_time";
        let before = db.text(versions);
        for (source, content, format) in &files {
            assert_eq!(load(&mut db, source, content, format, HALF_PAST)[..2], ["0", "0"]);
        }
        assert_eq!(db.text(versions), before);
    }
}

#[test]
fn an_address_of_two_joins_nothing_and_what_was_is_remembered() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "ambiguous");
    let nodes = |node: &str| cluster_list(node, "", "10.0.0.1", "front-1.elb.example.com");
    load(
        &mut db,
        "terraform",
        &state(&[instance("a", "i-1", "10.0.0.1")]),
        "terraform_state",
        TEN,
    );
    load(&mut db, "k8s", &nodes("n1"), "kubernetes", TEN);
    assert_eq!(db.column(JOINS), ["urn:aws:i-1 SAME_AS urn:host:n1"]);
    let edges =
        "SELECT string_agg(t::text || xmin::text, ',' ORDER BY t::text) FROM topo_edge_time t WHERE source <> 'other'";
    let before = db.text(edges);
    // Another network has the same address.
    let at = HALF_PAST;
    load(
        &mut db,
        "other",
        &state(&[instance("x", "i-9", "10.0.0.1")]),
        "terraform_state",
        at,
    );
    assert_eq!(db.column(JOINS), Vec::<String>::new());
    assert_eq!(
        db.column("SELECT known_as FROM topo_identity_time WHERE upper_inf(valid) AND role = 'instance' GROUP BY 1 HAVING count(DISTINCT resource_id) > 1 ORDER BY 1"),
        [
            "urn:host:10.0.0.1",
            "urn:host:ip-10-0-0-1",
            "urn:host:ip-10-0-0-1.eu-west-1.compute.internal"
        ]
    );
    // As it was, and how it changed. No edge was written for it.
    assert_eq!(
        db.column("SELECT src_urn || ' ' || dst_urn FROM topology_joins('default', '2026-01-05 10:10Z')"),
        ["urn:aws:i-1 urn:host:n1"]
    );
    let changes = "SELECT change, relation, src_urn, dst_urn FROM topology_diff('default', '2026-01-05 10:10Z', '2026-01-05 10:40Z') WHERE relation = 'SAME_AS'";
    assert_eq!(db.rows(changes), [["closed", "SAME_AS", "urn:aws:i-1", "urn:host:n1"]]);
    let radius = |db: &mut Session, at: &str| {
        db.column(&format!(
            "SELECT urn FROM blast_radius('default', 'urn:aws:i-1', 1, '{at}')"
        ))
    };
    assert_eq!(radius(&mut db, "2026-01-05 10:10Z"), ["urn:k8s:pod:shop/web-1"]);
    assert_eq!(radius(&mut db, "2026-01-05 10:40Z"), Vec::<String>::new());
    assert_eq!(db.text(edges), before);
    // The id of the cloud tells them apart.
    load(
        &mut db,
        "k8s",
        &cluster_list("n1", "aws:///eu-west-1a/i-1", "10.0.0.1", ""),
        "kubernetes",
        "2026-01-05 10:45Z",
    );
    assert_eq!(db.column(JOINS), ["urn:aws:i-1 SAME_AS urn:host:n1"]);
    load(&mut db, "k8s", &nodes("n1"), "kubernetes", "2026-01-05 10:50Z");
    assert_eq!(db.column(JOINS), Vec::<String>::new());
    // When the other network goes, or its machine has another address, the join is back.
    load(
        &mut db,
        "other",
        &state(&[instance("x", "i-9", "10.0.0.9")]),
        "terraform_state",
        "2026-01-05 10:55Z",
    );
    assert_eq!(db.column(JOINS), ["urn:aws:i-1 SAME_AS urn:host:n1"]);
    // Evidence for two machines: neither.
    load(
        &mut db,
        "k8s",
        &cluster_list("n1", "aws:///eu-west-1a/i-9", "10.0.0.1", ""),
        "kubernetes",
        "2026-01-05 10:56Z",
    );
    assert_eq!(db.column(JOINS), Vec::<String>::new());
    // Two Services at one load balancer.
    let mut resources = balancer("front-1.elb.example.com").to_vec();
    resources.push(instance("a", "i-1", "10.0.0.1"));
    load(
        &mut db,
        "terraform",
        &state(&resources),
        "terraform_state",
        "2026-01-05 10:57Z",
    );
    load(&mut db, "k8s", &nodes("n2"), "kubernetes", "2026-01-05 10:57Z");
    let routes = "SELECT count(*) FROM topology_joins('default') WHERE relation = 'ROUTES_TO'";
    assert_eq!(db.int(routes), 1);
    db.exec(
        "SELECT topo_load('default', 'more', '[]', identities =>
            '[{\"urn\": \"urn:k8s:svc:shop/other\", \"role\": \"service\", \"known_as\": \"urn:balancer:front-1.elb.example.com\"}]')",
    );
    assert_eq!(db.int(routes), 0);
    // A load is all that its source declares, so one that names nothing takes the names back.
    db.exec("SELECT topo_load('default', 'more', '[]')");
    assert_eq!(db.int(routes), 1);
}

#[test]
fn identities_that_cannot_be_read_are_refused() {
    let cluster = Cluster::without_workers();
    let mut db = bridge(&cluster, "refused");
    let good = r#"{"urn": "urn:host:a", "role": "node", "known_as": "urn:aws:i-1"}"#;
    for (identities, what) in [
        ("NULL".to_owned(), "not NULL"),
        ("'{}'".to_owned(), "not object"),
        (format!("'[{good}, 1]'"), "identity 2 is not an object"),
        (format!("'[{}]'", good.replace("node", "cat")), "\"role\""),
        (
            format!("'[{}]'", good.replace("urn:aws:i-1", "10.0.0.1")),
            "\"known_as\"",
        ),
        (
            format!(
                "'[{}]'",
                good.replace("urn:aws:i-1", &format!("urn:{}", "x".repeat(1000)))
            ),
            "1000 bytes",
        ),
        (format!("'[{}]'", good.replace("urn:host:a", "")), "\"urn\""),
        (format!("'[{}]'", good.replace("\"role\"", "\"rôle\"")), "\"role\""),
    ] {
        let error = db.refused(&format!(
            "SELECT topo_load('default', 's', '[]', identities => {identities})"
        ));
        assert!(
            error.sqlstate == "22023" && error.message.contains(what) && error.hint.contains("known_as"),
            "{identities}: {error}"
        );
    }
    db.exec(&format!(
        "SELECT topo_load('default', 's', '[]', '{HALF_PAST}', identities => '[{good}]')"
    ));
    let error = db.refused(&format!(
        "SELECT topo_load('default', 's', '[]', '{TEN}', identities => '[{good}]')"
    ));
    assert!(error.sqlstate == "55000" && error.detail.contains("1 names"), "{error}");
    db.exec(&format!("SELECT topo_load('default', 's', '[]', '{TEN}')"));
    // What has a password is masked, as ends of edges are.
    db.exec(&format!(
        "SELECT topo_load('default', 's', '[]', identities => '[{{\"urn\": \"http://u:{SECRET}@h/\", \"role\": \"host\", \"known_as\": \"urn:http://u:{SECRET}@h/\"}}]')"
    ));
    assert_eq!(
        db.int(&format!("SELECT count(*) FROM topo_identity_time i JOIN dim_resource r USING (resource_id) WHERE concat(i, r) LIKE '%{SECRET}%'")),
        0
    );
    let mut reader = {
        db.exec("CREATE ROLE look LOGIN IN ROLE observe_bridge_reader");
        cluster.session_as("look", "refused")
    };
    assert_eq!(reader.int("SELECT count(*) FROM topology_joins('default')"), 0);
    assert_eq!(
        reader.refused("SELECT topo_load('default', 's', '[]')").sqlstate,
        "42501"
    );
}

#[test]
fn jobs_keep_what_files_say_and_a_restored_database_has_it() {
    let cluster = Cluster::without_workers();
    let folder = cluster.make_folder("sources");
    cluster.set("observe_bridge.file_roots", &folder.to_string_lossy());
    let mut db = cluster.database("jobs");
    db.exec("CREATE EXTENSION observe_bridge");
    let [(_, terraform, _), (_, nodes, _), _] = sources();
    let hosts = "[web]\nweb-a ansible_host=10.0.0.1\n";
    for (name, path, content) in [
        ("terraform", "shop.tfstate", terraform.as_str()),
        ("k8s", "nodes.json", nodes.as_str()),
        ("ansible", "hosts", hosts),
    ] {
        let path = folder.join(name).join(path);
        fs::create_dir(folder.join(name)).expect("a folder");
        fs::write(path, content).expect("a file");
        let job = if name == "ansible" { "topo-ansible" } else { "topo-iac" };
        db.exec(&format!(
            "CREATE SERVER {name} FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'file', path '{}');
             SELECT etl_source_add(tenant => 'default', job => '{job}', server => '{name}', options => '{{}}')",
            folder.join(name).display()
        ));
    }
    let run = |db: &mut Session| {
        for job in ["topo-iac", "topo-ansible"] {
            db.exec(&format!(
                "SELECT etl_enqueue('{job}', 'default', now() - interval '1 second', now())"
            ));
        }
        db.exec("CALL etl_run()");
        assert_eq!(
            db.column("SELECT error FROM etl_job_run WHERE status <> 'success'"),
            Vec::<String>::new()
        );
    };
    run(&mut db);
    let expected = [
        "urn:aws:arn%3Aaws%3Alb%2Ffront ROUTES_TO urn:svc:web".to_owned(),
        format!("urn:aws:i-1 SAME_AS urn:host:{NODE}"),
        "urn:aws:i-1 SAME_AS urn:host:web-a".to_owned(),
        format!("urn:host:{NODE} SAME_AS urn:host:web-a"),
    ];
    assert_eq!(db.column(JOINS), expected);
    assert_eq!(
        db.rows("SELECT would_open, would_close FROM topo_discover('default', 'topo-iac') WHERE path IS NULL"),
        [["0", "0"], ["0", "0"]]
    );
    assert_eq!(db.column(JOINS), expected, "looking takes nothing back");
    let mut restored = cluster.copy("jobs", "restored");
    assert_eq!(restored.column(JOINS), expected);
    // The machine has moved.
    let moved = hosts.replace("10.0.0.1", "10.0.0.2");
    fs::write(folder.join("ansible").join("hosts"), moved).expect("a file");
    run(&mut db);
    assert_eq!(
        db.column(JOINS),
        [
            expected[0].as_str(),
            expected[1].as_str(),
            "urn:aws:i-2 SAME_AS urn:host:web-a"
        ]
    );
    // Without the extension the facts stay, and one that is created again goes on with them.
    db.exec("DROP EXTENSION observe_bridge CASCADE; CREATE EXTENSION observe_bridge");
    assert_eq!(
        db.int("SELECT count(*) FROM topology_joins('default') WHERE relation = 'SAME_AS'"),
        2
    );
    db.exec(
        "SELECT topo_load('default', name, '[]', force => true) FROM unnest('{terraform,k8s,ansible}'::text[]) AS name",
    );
    assert_eq!(db.column(JOINS), Vec::<String>::new());
    db.exec("INSERT INTO dim_tenant (code) VALUES ('second')");
    db.exec("SELECT topo_load('second', 's', '[]', identities => '[{\"urn\": \"urn:host:a\", \"role\": \"node\", \"known_as\": \"urn:aws:i-1\"}]')");
    assert_eq!(
        db.text("SELECT etl_tenant_drop('second') ->> 'topo_identity_time'"),
        "1"
    );
}

#[test]
fn calls_of_a_service_on_a_machine_are_what_its_instance_is_declared_to_depend_on() {
    let cluster = Cluster::without_workers();
    let mut store = Store::default();
    for (id, peer) in [
        ("000000000000000a", "db"),
        ("000000000000000b", "web"),
        ("000000000000000c", "pay"),
    ] {
        let call = span(T0 + SECOND, &format!("{:032x}", 1), id, "", "shop", 1000, false)
            .with("span_kind", Some(json!("3")))
            .with("peer_service", Some(json!(peer)));
        store.add(Dataset::Traces, "default", call);
    }
    let oo = OpenObserve::serve(store);
    let mut db = bridge(&cluster, "drift");
    add_openobserve(&mut db, &oo);
    enqueue(&mut db, T0, 1);
    run(&mut db);
    // The state knows instances and a load balancer, the inventory which groups are on which machine, the cluster its Service.
    let mut shop = instance("shop", "i-1", "10.0.0.1");
    shop["instances"][0]["dependencies"] = json!(["aws_instance.db", "aws_lb.front", "aws_instance.idle"]);
    let mut resources = vec![
        shop,
        instance("db", "i-2", "10.0.0.2"),
        instance("idle", "i-3", "10.0.0.3"),
    ];
    resources.extend(balancer("front-1.elb.example.com"));
    resources.push(
        json!({"mode": "managed", "type": "kubernetes_service_v1", "name": "web", "instances": [{
        "attributes": {"id": "shop/web"}, "dependencies": ["aws_lb.front"]}]}),
    );
    load(&mut db, "terraform", &state(&resources), "terraform_state", TEN);
    let inventory =
        "[shop]\nm1 ansible_host=10.0.0.1\n[db]\nm2 ansible_host=10.0.0.2\n[idle]\nm3 ansible_host=10.0.0.3\n";
    let drift = "SELECT drift, src_urn, dst_urn FROM topology_drift('default')";
    let undeclared = ["db", "pay", "web"].map(|peer| format!("observed_not_declared urn:svc:shop urn:svc:{peer}"));
    let told = |db: &mut Session| db.rows(drift).iter().map(|row| row.join(" ")).collect::<Vec<_>>();
    assert_eq!(told(&mut db), undeclared);
    load(&mut db, "ansible", &checkout(inventory), "ansible", TEN);
    load(
        &mut db,
        "k8s",
        &cluster_list("n9", "", "10.0.0.9", "front-1.elb.example.com"),
        "kubernetes",
        TEN,
    );
    assert_eq!(
        told(&mut db),
        [
            "declared_not_observed urn:aws:i-1 urn:aws:i-3",
            "observed_not_declared urn:svc:shop urn:svc:pay"
        ]
    );
}
