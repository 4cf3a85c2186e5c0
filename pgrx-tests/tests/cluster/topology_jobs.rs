//! The jobs `topo-iac` and `topo-ansible`: every kind of server, what is refused, and what never leaks.

use blackbox::bridge::count;
use blackbox::cluster::{Cluster, output};
use blackbox::s3::{ACCESS_KEY, BUCKET, S3, SECRET_KEY};
use blackbox::session::Session;
use blackbox::web::{Request, Response, Web};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Longest wait for a window that is tried again.
const PATIENCE: Duration = Duration::from_secs(60);
/// In states and tokens; no table, log line or error may show it.
const SECRET: &str = "hunter2-Sesame";

/// A Terraform state: a network, these subnets in it, and a database with a secret.
fn state(subnets: &[&str]) -> String {
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
fn start() -> (Cluster, Session, PathBuf) {
    let cluster = Cluster::without_workers();
    let folder = cluster.make_folder("states");
    cluster.set("observe_bridge.file_roots", &folder.to_string_lossy());
    let mut db = cluster.database("topo");
    db.exec("CREATE EXTENSION observe_bridge");
    (cluster, db, folder)
}

fn server(db: &mut Session, name: &str, options: &str, mapping: &str) {
    db.exec(&format!(
        "CREATE SERVER {name} FOREIGN DATA WRAPPER observe_bridge OPTIONS ({options});
         CREATE USER MAPPING FOR CURRENT_USER SERVER {name} OPTIONS ({mapping})"
    ));
}

fn add(db: &mut Session, job: &str, server: &str, options: &Value) {
    db.exec(&format!(
        "SELECT etl_source_add(tenant => 'default', job => '{job}', server => '{server}', options => '{options}')"
    ));
}

/// A folder as a source of `topo-iac`.
fn add_folder(db: &mut Session, name: &str, path: &Path, options: &Value) {
    db.exec(&format!(
        "CREATE SERVER {name} FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'file', path '{}')",
        path.display()
    ));
    add(db, "topo-iac", name, options);
}

/// Runs a job now, with these args; the error of its run, or null.
fn run(db: &mut Session, job: &str, args: &str) -> Value {
    db.exec(&format!(
        "SELECT etl_enqueue('{job}', 'default', now() - interval '1 second', now(), '{args}')"
    ));
    db.exec("CALL etl_run()");
    db.json(&format!(
        "SELECT coalesce(error, 'null') FROM etl_job_run WHERE job = '{job}' ORDER BY window_from DESC LIMIT 1"
    ))
}

/// Open edges of a source.
fn open(db: &mut Session, source: &str) -> i64 {
    db.int(&format!(
        "SELECT count(*) FROM topo_edge_time WHERE source = '{source}' AND upper_inf(valid)"
    ))
}

fn assert_refused(error: &Value, what: &str) {
    assert!(
        error["message"].as_str().is_some_and(|m| m.contains(what)),
        "{what} was expected: {error}"
    );
    assert_eq!(error["permanent"], true, "{error}");
    assert!(error["hint"].is_string(), "{error}");
    assert!(!error.to_string().contains(SECRET), "{error}");
}

fn tar_gz(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, path, content.as_bytes())
            .expect("an entry");
    }
    builder.into_inner().expect("an archive").finish().expect("gzip")
}

fn zip_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (path, content) in files {
        writer
            .start_file(*path, zip::write::SimpleFileOptions::default())
            .expect("an entry");
        writer.write_all(content.as_bytes()).expect("its content");
    }
    writer.finish().expect("an archive").into_inner()
}

/// Makes a bare repository of these files; `false` where git is not installed.
fn repository(folder: &Path, files: &[(&str, &str)]) -> bool {
    if Command::new("git").arg("--version").output().is_err() {
        println!("skipped: git is not installed");
        return false;
    }
    let checkout = folder.join("checkout");
    for (path, content) in files {
        let path = checkout.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("a file");
    }
    let git = |arguments: &[&str]| {
        output(
            Command::new("git")
                .args([
                    "-c",
                    "user.name=t",
                    "-c",
                    "user.email=t@example.com",
                    "-c",
                    "init.defaultBranch=main",
                ])
                .args(arguments)
                .current_dir(&checkout),
        )
    };
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "one"]);
    // A second commit, so that the pack has differences and the first commit is not wanted.
    let (path, content) = files[0];
    fs::write(checkout.join(path), format!("{content}\n")).expect("a file");
    git(&["commit", "-q", "-a", "-m", "two"]);
    git(&["tag", "-a", "v1", "-m", "annotated"]);
    git(&["clone", "-q", "--bare", ".", "../infra.git"]);
    git(&["-C", "../infra.git", "repack", "-q", "-a", "-d"]);
    true
}

#[test]
fn every_kind_of_server_gives_the_same_edges() {
    let (_cluster, mut db, folder) = start();
    let states = [
        ("repo/prod/a.tfstate", state(&["x", "y"])),
        ("repo/test/b.tfstate", state(&["z"])),
    ];
    let files: Vec<(&str, &str)> = states.iter().map(|(path, text)| (*path, text.as_str())).collect();
    for (path, text) in &files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a state");
    }
    fs::write(folder.join("repo/README.md"), "not a state").expect("a file");
    fs::write(folder.join("all.tar.gz"), tar_gz(&files)).expect("an archive");
    fs::write(folder.join("all.zip"), zip_of(&files)).expect("an archive");
    let mut servers = Vec::new();
    for (name, path) in [("folder", "repo"), ("tgz", "all.tar.gz"), ("zip", "all.zip")] {
        let path = folder.join(path);
        servers.push((name, format!("kind 'file', path '{}'", path.display()), String::new()));
    }
    let s3 = S3::serve();
    for (path, text) in &files {
        s3.put(path, text.as_bytes());
    }
    s3.put("all.zip", &zip_of(&files));
    let keys = format!("access_key_id '{ACCESS_KEY}', secret_access_key '{SECRET_KEY}'");
    for (name, prefix) in [("bucket", "repo/"), ("object", "all.zip")] {
        let options = format!(
            "kind 's3', endpoint '{}', bucket '{BUCKET}', prefix '{prefix}'",
            s3.endpoint()
        );
        servers.push((name, options, keys.clone()));
    }
    let archive = tar_gz(&files);
    let web = Web::serve(move |request| match request.authorization.as_deref() {
        Some(token) if token == format!("Bearer {SECRET}") => Response {
            status: 200,
            headers: Vec::new(),
            body: archive.clone(),
        },
        _ => Response::plain(401, "no"),
    });
    let url = format!("kind 'http', url '{}/all.tar.gz?sig={SECRET}'", web.endpoint());
    servers.push(("web", url, format!("token '{SECRET}'")));
    let below: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.strip_prefix("repo/").expect("a path"), *text))
        .collect();
    let git_folder = folder.join("git");
    fs::create_dir(&git_folder).expect("a folder");
    let mut git = None;
    if repository(&git_folder, &below) {
        let local = format!("kind 'git', url 'file://{}/infra.git'", git_folder.display());
        servers.push(("local", local, String::new()));
        let checkout = format!("kind 'git', url 'file://{}/checkout', ref 'v1'", git_folder.display());
        servers.push(("loose", checkout, String::new()));
        // Basic oauth2:hunter2-Sesame
        git = Web::serve_git(&git_folder, "Basic b2F1dGgyOmh1bnRlcjItU2VzYW1l");
        if let Some(git) = &git {
            let url = format!("kind 'git', url '{}/infra.git'", git.endpoint());
            servers.push(("remote", url.clone(), format!("token '{SECRET}'")));
            servers.push(("tag", format!("{url}, ref 'v1'"), format!("token '{SECRET}'")));
        }
    }
    for (name, options, mapping) in &servers {
        if mapping.is_empty() {
            db.exec(&format!(
                "CREATE SERVER {name} FOREIGN DATA WRAPPER observe_bridge OPTIONS ({options})"
            ));
        } else {
            server(&mut db, name, options, mapping);
        }
        add(&mut db, "topo-iac", name, &json!({}));
    }
    let error = run(&mut db, "topo-iac", "{}");
    assert_eq!(error, Value::Null, "{error}");
    for (name, ..) in &servers {
        let found = db.column(&format!(
            "SELECT replace(s.urn, 'urn:topo:{name}%2F', '') || ' ' || relation || ' ' || d.name
               FROM topo_edge_time t JOIN dim_resource s ON s.resource_id = src_resource_id
               JOIN dim_resource d ON d.resource_id = dst_resource_id
              WHERE source = '{name}' AND upper_inf(valid) ORDER BY 1"
        ));
        assert_eq!(found.len(), 5, "{name}: {found:?}");
        assert!(found[0].contains("prod%2Fa.tfstate/"), "{name}: {found:?}");
    }
    drop(git);
}

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

/// A document at an address, and what was asked for and sent.
#[derive(Default)]
struct Page {
    content: String,
    etag: Option<&'static str>,
    modified: Option<&'static str>,
    /// `If-None-Match` or `If-Modified-Since` of the newest request.
    asked: Option<String>,
    statuses: Vec<u16>,
}

impl Page {
    fn answer(&mut self, request: &Request) -> Response {
        self.asked = request.if_none_match.clone().or(request.if_modified_since.clone());
        let tag = self.etag.or(self.modified);
        let status = if self.asked.is_some() && self.asked.as_deref() == tag {
            304
        } else {
            200
        };
        self.statuses.push(status);
        let mut response = Response::plain(status, if status == 200 { &self.content } else { "" });
        response.headers.push(("date", "Mon, 05 Jan 2026 12:00:00 GMT".into()));
        response.headers.extend(self.etag.map(|tag| ("etag", tag.into())));
        response
            .headers
            .extend(self.modified.map(|at| ("last-modified", at.into())));
        response
    }
}

#[test]
fn a_document_that_is_not_modified_is_not_sent() {
    let (_cluster, mut db, _) = start();
    let page = Arc::new(Mutex::new(Page {
        content: state(&["a"]),
        etag: Some("\"one\""),
        ..Page::default()
    }));
    let served = page.clone();
    let web = Web::serve(move |request| served.lock().expect("the page").answer(request));
    let url = format!("kind 'http', url '{}/a.tfstate'", web.endpoint());
    server(&mut db, "web", &url, "token 'x'");
    add(&mut db, "topo-iac", "web", &json!({}));
    // The header that a run sends, and the status that it gets.
    let asks = |db: &mut Session| {
        let error = run(db, "topo-iac", "{}");
        let page = page.lock().expect("the page");
        (page.asked.clone(), page.statuses.last().copied(), error == Value::Null)
    };
    let with = |tag: &str, status| (Some(tag.to_string()), Some(status), true);
    let whole = (None, Some(200), true);
    let change = |content: String, etag| {
        let mut page = page.lock().expect("the page");
        (page.content, page.etag) = (content, etag);
    };
    let versions = "SELECT string_agg(t::text || xmin::text, ',' ORDER BY t::text) FROM topo_edge_time t";
    assert_eq!(asks(&mut db), whole);
    let before = db.text(versions);
    assert_eq!(asks(&mut db), with("\"one\"", 304));
    assert_eq!(asks(&mut db), with("\"one\"", 304));
    assert_eq!(db.text(versions), before, "nothing was written");
    assert_eq!(
        db.json(
            "SELECT stats #> '{sources,0}' FROM etl_job_run WHERE job = 'topo-iac' ORDER BY window_from DESC LIMIT 1"
        ),
        json!({
            "source": "web", "server": "web", "edges": 2, "edges_left_out": 0, "formats": {},
            "opened": 0, "closed": 0, "unchanged": 2,
            "read": {"documents": 0, "bytes": 0, "requests": 1, "left_out": 0, "not_modified": true},
            "unresolved": {"count": 0, "reasons": {}, "examples": []},
        })
    );
    // topo_discover() looks for itself.
    assert_eq!(
        db.rows(
            "SELECT path, edges, would_open, would_close FROM topo_discover('default', 'topo-iac') WHERE path IS NULL"
        ),
        [["<null>", "2", "0", "0"]]
    );
    change(state(&["a", "b"]), Some("\"two\""));
    assert_eq!(asks(&mut db), with("\"one\"", 200));
    assert_eq!(open(&mut db, "web"), 3);
    assert_eq!(asks(&mut db), with("\"two\"", 304));

    // After a run that was refused the whole is read, though it is the one that was loaded.
    change("{".into(), Some("\"broken\""));
    assert_eq!(asks(&mut db), (Some("\"two\"".into()), Some(200), false));
    change(state(&["a", "b"]), Some("\"two\""));
    assert_eq!(asks(&mut db), whole);
    assert_eq!(asks(&mut db), with("\"two\"", 304));
    // So it is where the same document might give other edges, and where edges are not those of the document.
    for change in [
        "UPDATE etl_source SET options = '{\"format\": \"terraform_state\"}'",
        "UPDATE topo_source_state SET reading = reading + 1",
        "INSERT INTO urn_rule (rule, applies_to, template) VALUES ('mine', 'topology', 'urn:x:{k8s.service.name}')",
        "DELETE FROM topo_edge_time WHERE ctid = (SELECT min(ctid) FROM topo_edge_time)",
        "SELECT topo_load('default', 'web', '[{\"src\": \"a\", \"dst\": \"b\", \"relation\": \"R\"}]', force => true)",
        "ALTER SERVER web OPTIONS (SET url 'http://localhost:1/')",
    ] {
        db.exec(change);
        if change.starts_with("ALTER") {
            db.exec(&format!(
                "ALTER SERVER web OPTIONS (SET url '{}/a.tfstate?new')",
                web.endpoint()
            ));
        }
        assert_eq!(asks(&mut db), whole, "{change}");
        assert_eq!(open(&mut db, "web"), 3, "{change}");
        assert_eq!(asks(&mut db), with("\"two\"", 304), "{change}");
    }
    // By a date, where there is no tag.
    const AT: &str = "Mon, 05 Jan 2026 11:00:00 GMT";
    change(state(&["c"]), None);
    page.lock().expect("the page").modified = Some(AT);
    assert_eq!(asks(&mut db), with("\"two\"", 200));
    assert_eq!(asks(&mut db), with(AT, 304));
    // What is said unasked says nothing.
    page.lock().expect("the page").modified = None;
    assert_eq!(asks(&mut db), with(AT, 200));
    assert_eq!(asks(&mut db), whole);
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

#[test]
fn hostile_and_huge_documents_are_refused() {
    let (_cluster, mut db, folder) = start();
    fs::write(folder.join("x.zip"), zip_of(&[("../evil.tfstate", "{}")])).expect("an archive");
    add_folder(&mut db, "iac", &folder.join("x.zip"), &json!({}));
    assert_refused(&run(&mut db, "topo-iac", "{}"), "leads out of it");
    let huge = fs::File::create(folder.join("x.zip")).expect("a file");
    huge.set_len(200 << 20).expect("a huge one");
    assert_refused(&run(&mut db, "topo-iac", "{}"), "longer than 128 MB");
    assert_eq!(db.int("SELECT count(*) FROM topo_edge_time"), 0);
}

#[test]
fn a_checkout_of_ansible() {
    let (_cluster, mut db, folder) = start();
    let files = [
        ("infra/inventory/hosts", "[web]\nweb1\nweb2\n[db]\ndb1\n"),
        ("infra/site.yml", "- hosts: web\n  roles: [nginx]\n"),
        ("infra/roles/nginx/tasks/main.yml", "- debug: msg=hello\n"),
        ("infra/group_vars/web.yml", "db_url: postgres://app@db1:5432/shop\n"),
    ];
    fs::write(folder.join("infra.zip"), zip_of(&files)).expect("an archive");
    let options = format!("kind 'file', path '{}'", folder.join("infra.zip").display());
    db.exec(&format!(
        "CREATE SERVER playbooks FOREIGN DATA WRAPPER observe_bridge OPTIONS ({options})"
    ));
    add(&mut db, "topo-ansible", "playbooks", &json!({}));
    let found = db.rows("SELECT path, edges, error FROM topo_discover('default', 'topo-ansible') WHERE path IS NULL");
    assert_eq!(db.int("SELECT count(*) FROM topo_edge_time"), 0, "nothing was stored");
    let error = run(&mut db, "topo-ansible", "{}");
    assert_eq!(error, Value::Null, "{error}");
    assert_eq!(open(&mut db, "playbooks").to_string(), found[0][1]);
    assert!(db.is(
        "SELECT count(*) = 2 FROM topo_edge_time t JOIN dim_resource r ON r.resource_id = t.dst_resource_id
          WHERE relation = 'RUNS_ON' AND r.urn IN ('urn:host:web1', 'urn:host:web2')"
    ));
}

/// What leads to an inventory, or is no text, is reported: the rest of the folder counts.
#[test]
fn what_is_not_static_in_a_checkout_refuses_nothing() {
    let (_cluster, mut db, folder) = start();
    let files: [(&str, &[u8]); 7] = [
        ("inventory/hosts", b"[web]\nweb1\n"),
        ("inventory/cloud.aws_ec2.yml", b"plugin: aws_ec2\n"),
        ("inventory/consul", b"#!/bin/sh\n"),
        ("inventory/hidden.yml", b"$ANSIBLE_VAULT;1.1;AES256\n3031\n"),
        ("site.yml", b"- hosts: web\n  roles: [logo]\n"),
        ("roles/logo/tasks/main.yml", b"- template: {src: logo.png, dest: /x}\n"),
        ("roles/logo/templates/logo.png", b"\xff\xfe"),
    ];
    for (path, content) in files {
        let path = folder.join("infra").join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("a file");
    }
    db.exec(&format!(
        "CREATE SERVER playbooks FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'file', path '{}')",
        folder.join("infra").display()
    ));
    add(
        &mut db,
        "topo-ansible",
        "playbooks",
        &json!({"inventories": ["inventory"]}),
    );
    assert_eq!(run(&mut db, "topo-ansible", "{}"), Value::Null);
    assert_eq!(
        open(&mut db, "playbooks"),
        4,
        "two groups below all, the host, the role"
    );
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
