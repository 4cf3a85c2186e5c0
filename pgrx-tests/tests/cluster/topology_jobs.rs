//! The jobs `topo-iac` and `topo-ansible`: what a run does, what it refuses, and what never leaks.

use crate::topology_scene::{SECRET, add, add_folder, assert_refused, open, run, server, start, state};
use blackbox::bridge::count;
use blackbox::session::Session;
use blackbox::web::{Response, Web};
use serde_json::{Value, json};
use std::fs;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Longest wait for a window that is tried again.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn what_looks_cut_off_closes_nothing() {
    let (_cluster, mut db, folder) = start();
    let names: Vec<String> = (0..20).map(|n| format!("s{n}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let path = folder.join("a.tfstate");
    fs::write(&path, state(&all)).expect("a state");
    fs::write(folder.join("b.tfstate"), state(&["b"])).expect("a state");
    add_folder(&mut db, "iac", &folder, &json!({"source": "shop"}));
    assert_eq!(run(&mut db, "topo-iac", "{}"), Value::Null);
    assert_eq!(open(&mut db, "shop"), 23);

    // The same once more writes nothing.
    let rows = "SELECT md5(string_agg(t::text || xmin::text, ',' ORDER BY t::text)) FROM topo_edge_time t";
    let before = db.text(rows);
    assert_eq!(run(&mut db, "topo-iac", "{}"), Value::Null);
    assert_eq!(db.text(rows), before);

    // Cut off in the middle: one of two documents.
    let whole = state(&all);
    fs::write(&path, &whole[..whole.len() / 2]).expect("half a state");
    assert_refused(&run(&mut db, "topo-iac", "{}"), "\"a.tfstate\" cannot be read");
    fs::write(&path, "").expect("an empty state");
    assert_refused(&run(&mut db, "topo-iac", "{}"), "\"a.tfstate\" cannot be read");
    // Shrunk by more than half.
    fs::write(&path, state(&["s1"])).expect("a small state");
    let error = run(&mut db, "topo-iac", "{}");
    assert_refused(&error, "would lose");
    assert!(
        error["hint"].as_str().is_some_and(|h| h.contains("accept_shrink")),
        "{error}"
    );
    let rows =
        db.rows("SELECT path, would_open, would_close, error FROM topo_discover('default', 'topo-iac') ORDER BY path");
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert!(rows[2][3].contains("would lose"), "{rows:?}");
    // Nothing there.
    fs::rename(&path, folder.join("a.old")).expect("it moves");
    fs::rename(folder.join("b.tfstate"), folder.join("b.old")).expect("it moves");
    assert_refused(&run(&mut db, "topo-iac", "{}"), "has no document");
    assert_eq!(open(&mut db, "shop"), 23, "nothing was closed");
    assert_eq!(
        db.text("SELECT count(*) FROM topo_edge_time WHERE NOT upper_inf(valid)"),
        "0"
    );

    // Told to, it takes what is there: once.
    fs::write(&path, state(&["s1"])).expect("a small state");
    assert_eq!(run(&mut db, "topo-iac", r#"{"accept_shrink": true}"#), Value::Null);
    assert_eq!(open(&mut db, "shop"), 2);
}

#[test]
fn a_window_that_waits_takes_what_it_is_told_later() {
    let (_cluster, mut db, folder) = start();
    let names: Vec<String> = (0..20).map(|n| format!("s{n}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let path = folder.join("a.tfstate");
    fs::write(&path, state(&all)).expect("a state");
    add_folder(&mut db, "iac", &folder, &json!({}));
    assert_eq!(run(&mut db, "topo-iac", "{}"), Value::Null);
    fs::write(&path, state(&["s1"])).expect("a small state");
    let queue = |db: &mut Session, args: &str| {
        db.int(&format!(
            "SELECT etl_enqueue('topo-iac', 'default', '2026-01-05 10:00Z', '2026-01-05 10:15Z', '{args}')"
        ))
    };
    assert_eq!(queue(&mut db, r#"{"note": 1}"#), 1);
    assert_eq!(queue(&mut db, "{}"), 0, "it waits already");
    assert_eq!(
        queue(&mut db, r#"{"accept_shrink": true}"#),
        1,
        "it is told something new"
    );
    assert_eq!(queue(&mut db, r#"{"accept_shrink": true}"#), 0, "it knows");
    assert_eq!(
        db.json("SELECT args FROM etl_job_run WHERE status = 'queued' AND job = 'topo-iac'"),
        json!({"note": 1, "accept_shrink": true})
    );
    db.exec("CALL etl_run()");
    assert_eq!(count(&mut db, "topo-iac", "success"), 2);
    assert_eq!(open(&mut db, "iac"), 2);
}

#[test]
fn one_broken_source_leaves_the_others_as_they_are() {
    let (_cluster, mut db, folder) = start();
    for name in ["one", "two"] {
        fs::create_dir(folder.join(name)).expect("a folder");
        fs::write(folder.join(name).join("x.tfstate"), state(&["a"])).expect("a state");
        add_folder(&mut db, name, &folder.join(name), &json!({}));
    }
    assert_eq!(run(&mut db, "topo-iac", "{}"), Value::Null);
    assert_eq!((open(&mut db, "one"), open(&mut db, "two")), (2, 2));
    // Each closes its own only.
    fs::write(folder.join("two/x.tfstate"), state(&["b"])).expect("a state");
    assert_eq!(run(&mut db, "topo-iac", "{}"), Value::Null);
    assert_eq!((open(&mut db, "one"), open(&mut db, "two")), (2, 2));
    assert_eq!(
        db.int("SELECT count(*) FROM topo_edge_time WHERE NOT upper_inf(valid)"),
        1
    );
    // All or nothing.
    fs::write(folder.join("one/x.tfstate"), state(&["a", "c"])).expect("a state");
    fs::write(folder.join("two/x.tfstate"), "{").expect("a broken state");
    assert_refused(&run(&mut db, "topo-iac", "{}"), "source \"two\"");
    assert_eq!((open(&mut db, "one"), open(&mut db, "two")), (2, 2));

    let twin = db
        .refused("SELECT etl_source_add(tenant => 'default', job => 'topo-ansible', server => 'one', options => '{}')");
    assert!(twin.message.contains("named \"one\" already"), "{twin}");
    for (options, said) in [
        (r#"{"filez": []}"#, "filez"),
        (r#"{"shrink": 2}"#, "between 0 and 1"),
        (r#"{"format": "ansible"}"#, "format"),
        (r#"{"folder": "../x"}"#, "path within"),
        (r#"{"files": []}"#, "not empty"),
    ] {
        let refusal = db.refused(&format!(
            "SELECT etl_source_add(tenant => 'default', job => 'topo-iac', server => 'one', options => '{options}')"
        ));
        assert!(refusal.message.contains(said) && !refusal.hint.is_empty(), "{refusal}");
    }
    db.exec("CREATE SERVER made FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'mock')");
    let refusal = db.refused("SELECT etl_source_add(tenant => 'default', job => 'topo-iac', server => 'made')");
    assert!(refusal.message.contains("records, not documents"), "{refusal}");
}

#[test]
fn older_windows_are_done_with_the_newest() {
    let (_cluster, mut db, folder) = start();
    fs::write(folder.join("a.tfstate"), state(&["a"])).expect("a state");
    add_folder(&mut db, "iac", &folder, &json!({}));
    assert_eq!(
        db.int("SELECT etl_enqueue('topo-iac', 'default', now() - interval '1 hour', now())"),
        db.int("SELECT count(*) FROM etl_job_run WHERE job = 'topo-iac'")
    );
    db.exec("CALL etl_run()");
    let coalesced = db.int("SELECT count(*) FROM etl_job_run WHERE stats ? 'coalesced_into'");
    assert!(coalesced >= 3, "{coalesced}");
    assert_eq!(count(&mut db, "topo-iac", "success"), coalesced + 1);
    assert!(db.is(
        "SELECT bool_and(lower(valid) BETWEEN now() - interval '5 minutes' AND clock_timestamp()) FROM topo_edge_time"
    ));
}

#[test]
fn a_document_that_cannot_be_read_fails_one_window_and_is_read_once() {
    let (_cluster, mut db, folder) = start();
    fs::write(folder.join("a.tfstate"), "{").expect("a broken state");
    add_folder(&mut db, "iac", &folder, &json!({}));
    db.exec("SELECT etl_enqueue('topo-iac', 'default', now() - interval '48 hours', now())");
    db.exec("CALL etl_run()");
    let outcome = |db: &mut Session| {
        db.rows(
            "SELECT status, count(*) > 1, sum(attempt) FROM etl_job_run WHERE job = 'topo-iac' GROUP BY 1 ORDER BY 1",
        )
    };
    assert_eq!(outcome(&mut db), [["cancelled", "t", "0"], ["failed", "f", "1"]]);
    assert!(db.is(
        "SELECT bool_and(c.error = f.error AND c.stats ->> 'coalesced_into' = f.run_id::text)
           FROM etl_job_run c, etl_job_run f WHERE c.status = 'cancelled' AND f.status = 'failed'"
    ));

    // One that a user cancelled stays so; what the bad document took along is done with the good one.
    db.exec("UPDATE etl_job_run SET stats = NULL WHERE run_id = (SELECT min(run_id) FROM etl_job_run)");
    fs::write(folder.join("a.tfstate"), state(&["a"])).expect("a state");
    db.exec("SELECT etl_retry(run_id) FROM etl_job_run WHERE status = 'failed'");
    db.exec("CALL etl_run()");
    assert_eq!(outcome(&mut db), [["cancelled", "f", "0"], ["success", "t", "2"]]);
    assert_eq!(open(&mut db, "iac"), 2);
}

#[test]
fn a_nul_in_a_document_fails_no_run() {
    let (_cluster, mut db, folder) = start();
    // In a name of an edge, in its evidence, and in a reference to what is not there.
    let odd = state(&["a\u{0}b"]).replace(r#"["aws_vpc.main"]"#, r#"["aws_vpc.main","aws_vpc.go\u0000ne"]"#);
    fs::write(folder.join("a.tfstate"), odd).expect("a state");
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"nodeName": "n\u{0}1", "containers": [
        {"name": "c\u{0}", "image": "i", "envFrom": [{"configMapRef": {"name": "con\u{0}f"}}]}]}});
    fs::write(folder.join("pod.json"), pod.to_string()).expect("a manifest");
    add_folder(&mut db, "iac", &folder, &json!({"files": ["*.tfstate", "pod.json"]}));
    assert_eq!(run(&mut db, "topo-iac", "{}"), Value::Null);
    assert_eq!(
        open(&mut db, "iac"),
        db.int("SELECT (stats #>> '{sources,0,edges}')::int FROM etl_job_run WHERE status = 'success'")
    );
    assert!(
        db.is("SELECT stats #>> '{sources,0,unresolved}' LIKE '%go_ne%' FROM etl_job_run WHERE status = 'success'")
    );
    assert!(db.is("SELECT bool_or(urn LIKE '%n_1' OR name LIKE '%n_1') FROM dim_resource"));
}

#[test]
fn two_sources_of_topology_that_are_added_at_once_do_not_get_one_name() {
    let (cluster, mut db, folder) = start();
    for name in ["one", "two"] {
        db.exec(&format!(
            "CREATE SERVER {name} FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'file', path '{}')",
            folder.display()
        ));
    }
    let named = json!({"source": "shop"});
    db.exec("BEGIN");
    add(&mut db, "topo-iac", "one", &named);
    let mut other = cluster.session("topo");
    let pid = other.pid();
    let adding = std::thread::spawn(move || {
        other.try_rows(
            r#"SELECT etl_source_add(tenant => 'default', job => 'topo-ansible', server => 'two', options => '{"source": "shop"}')"#,
        )
    });
    blackbox::wait_until("the second waits for the first", PATIENCE, || {
        adding.is_finished()
            || db.is(&format!(
                "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = {pid} AND NOT granted)"
            ))
    });
    db.exec("COMMIT");
    let refusal = adding
        .join()
        .expect("the other session")
        .expect_err("one name, two sources");
    assert_eq!(refusal.sqlstate, "23505", "{refusal}");
    assert!(refusal.message.contains("etl_source_topology_name"), "{refusal}");
    assert_eq!(db.int("SELECT count(*) FROM etl_source"), 1);
}

/// A source that is dropped leaves its edges; the notice says how to close them, and that works.
#[test]
fn what_a_dropped_source_declared_can_be_closed() {
    let (_cluster, mut db, folder) = start();
    fs::write(folder.join("a.tfstate"), state(&["a"])).expect("a state");
    add_folder(&mut db, "iac", &folder, &json!({"source": "shop"}));
    assert_eq!(run(&mut db, "topo-iac", "{}"), Value::Null);
    let edges = open(&mut db, "shop");
    assert!(edges > 0);
    db.notices();
    db.exec("SELECT etl_source_drop(source_id) FROM etl_source");
    let notices = db.notices();
    assert!(notices.iter().any(|n| n.contains("stays declared")), "{notices:?}");
    assert_eq!(open(&mut db, "shop"), edges);
    assert!(db.is(&format!(
        "SELECT closed = {edges} FROM topo_load('default', 'shop', '[]', force => true)"
    )));
    assert_eq!(open(&mut db, "shop"), 0);
}

#[test]
fn secrets_reach_no_table_and_no_log() {
    let (cluster, mut db, folder) = start();
    fs::write(folder.join("a.tfstate"), state(&["a"])).expect("a state");
    add_folder(&mut db, "iac", &folder, &json!({}));
    let web = Web::serve(|_| Response::plain(403, SECRET));
    assert_eq!(run(&mut db, "topo-iac", "{}"), Value::Null);
    // Broken where a secret is, and a server that refuses with one.
    let text = state(&["a"]);
    let at = text.find(SECRET).expect("the secret") + SECRET.len() + 1;
    fs::write(folder.join("a.tfstate"), &text[..at]).expect("a broken state");
    assert_refused(&run(&mut db, "topo-iac", "{}"), "cannot be read");
    fs::write(folder.join("a.tfstate"), &text).expect("a state");
    let url = format!("kind 'http', url '{}/x?sig={SECRET}'", web.endpoint());
    server(&mut db, "web", &url, &format!("token '{SECRET}'"));
    add(&mut db, "topo-iac", "web", &json!({}));
    let error = run(&mut db, "topo-iac", "{}");
    assert_eq!(error["sqlstate"], "28000", "{error}");
    for table in [
        "topo_edge_time",
        "dim_resource",
        "etl_job_run",
        "etl_reject",
        "topo_source_state",
    ] {
        assert_eq!(
            db.int(&format!(
                "SELECT count(*) FROM {table} t WHERE t::text LIKE '%{SECRET}%'"
            )),
            0,
            "{table}"
        );
    }
    let log = cluster.log();
    // Statements of this test that failed would be in it; none did.
    assert!(!log.contains(SECRET));
}

#[test]
fn a_kill_in_the_middle_leaves_nothing_and_the_next_run_has_all() {
    let (mut cluster, mut db, _) = start();
    let gate = Arc::new((Mutex::new((false, false)), Condvar::new()));
    let waiting = gate.clone();
    let web = Web::serve(move |_| {
        let (gate, changed) = &*waiting;
        let mut open = gate.lock().expect("the gate");
        open.0 = true;
        changed.notify_all();
        while !open.1 {
            open = changed.wait(open).expect("the gate");
        }
        Response::plain(200, &state(&["a"]))
    });
    server(
        &mut db,
        "web",
        &format!("kind 'http', url '{}/a.tfstate'", web.endpoint()),
        "username 'u', password 'p'",
    );
    add(&mut db, "topo-iac", "web", &json!({}));
    db.exec("SELECT etl_enqueue('topo-iac', 'default', now() - interval '1 second', now())");
    let mut runner = cluster.session("topo");
    let pid = runner.pid();
    let running = std::thread::spawn(move || runner.try_rows("CALL etl_run()"));
    {
        let (state, changed) = &*gate;
        let mut open = state.lock().expect("the gate");
        while !open.0 {
            open = changed.wait(open).expect("the gate");
        }
    }
    blackbox::cluster::signal(pid, libc::SIGKILL);
    assert!(running.join().expect("the runner").is_err());
    gate.0.lock().expect("the gate").1 = true;
    gate.1.notify_all();
    // Until the server has noticed it lets clients in that it then ends.
    blackbox::wait_until("the server restarts", PATIENCE, || {
        cluster.log().contains("reinitializing")
    });
    cluster.wait_for_connections();
    let mut db = cluster.session("topo");
    assert_eq!(db.int("SELECT count(*) FROM topo_edge_time"), 0);
    // A window whose runner died waits a little before it is tried again.
    blackbox::wait_until("the window has succeeded", PATIENCE, || {
        db.exec("CALL etl_run()");
        count(&mut db, "topo-iac", "success") == 1
    });
    assert_eq!(open(&mut db, "web"), 2);
    assert_eq!(count(&mut db, "topo-iac", "success"), 1);
}
