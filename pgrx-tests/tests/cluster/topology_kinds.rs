//! The jobs `topo-iac` and `topo-ansible`: every kind of server, archive and checkout.

use crate::topology_scene::{SECRET, add, add_folder, assert_refused, open, run, server, start, state};
use blackbox::cluster::output;
use blackbox::s3::{ACCESS_KEY, BUCKET, S3, SECRET_KEY};
use blackbox::session::Session;
use blackbox::web::{Request, Response, Web};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

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
