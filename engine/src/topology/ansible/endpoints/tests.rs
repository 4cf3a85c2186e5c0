use std::sync::Arc;

use super::super::tree::Tree;
use super::super::{Options, Report, extract};
use proptest::prelude::*;

const HOSTS: &str = "[lb]\nlb1\n[web]\nweb1 ansible_host=192.0.2.1\nweb2 ansible_host=192.0.2.2\n[db]\ndb1\ndb2\n";

fn read(files: &[(&str, &str)]) -> Report {
    let mut tree = Tree::new();
    if !files.iter().any(|(path, _)| *path == "hosts") {
        tree.insert("hosts", HOSTS.as_bytes().to_vec()).unwrap();
    }
    for (path, text) in files {
        tree.insert(path, text.as_bytes().to_vec()).unwrap();
    }
    extract(&Arc::new(tree), &Options::default()).unwrap()
}

/// `src>dst:port` of application edges.
fn edges(report: &Report) -> Vec<String> {
    let own = report
        .extracted
        .edges
        .iter()
        .filter(|edge| edge.relation == "DEPENDS_ON");
    own.map(|edge| {
        let port = edge
            .evidence
            .props
            .get("port")
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        format!("{}>{}{port}", edge.src, edge.dst)
    })
    .collect()
}

/// Edges of a template that one role puts on a group.
fn template(group: &str, dest: &str, text: &str) -> Vec<String> {
    let play = format!("- hosts: {group}\n  tasks:\n    - template: {{src: t.j2, dest: {dest}}}\n");
    edges(&read(&[("site.yml", &play), ("templates/t.j2", text)]))
}

/// Edges of a task on a group.
fn task(group: &str, text: &str) -> Vec<String> {
    edges(&read(&[(
        "site.yml",
        &format!("- hosts: {group}\n  tasks:\n    - {text}\n"),
    )]))
}

#[test]
fn backends_of_proxies() {
    let nginx = "upstream app {\n{% for h in groups['web'] %}\n  server {{ h }}:{{ 8000 + loop.index }};\n{% endfor %}\n}\nserver { server_name {{ groups.web[0] }}; proxy_pass http://app; }\n";
    assert_eq!(
        template("lb", "/etc/nginx/x.conf", nginx),
        ["lb1>web1:8001", "lb1>web2:8002"]
    );
    let haproxy = "backend app\n{% for h in groups['web'] %}\n  server {{ hostvars[h].ansible_hostname }} {{ hostvars[h]['ansible_' + nic].ipv4.address }}:80 check\n{% endfor %}\n  listen x {{ hostvars['web1'].ansible_host }}:9\n";
    assert_eq!(
        template("lb", "/etc/haproxy.cfg", haproxy),
        ["lb1>web1:80", "lb1>web2:80"]
    );
    let varnish =
        "backend a {\n  .host = \"192.0.2.1\";\n  .port = \"80\";\n}\n/* backend b { .host = \"192.0.2.2\"; } */\n";
    assert_eq!(template("lb", "/etc/x.vcl", varnish), ["lb1>web1:80"]);
}

#[test]
fn connection_strings_of_every_kind() {
    assert_eq!(
        template("web", "/a.conf", "url = postgresql://app:pw@{{ groups.db[0] }}/x\n"),
        ["web1>db1:5432", "web2>db1:5432"]
    );
    assert_eq!(
        template("lb", "/a.conf", "dsn=host={{ groups.db | last }} port=6432\n"),
        ["lb1>db2:6432"]
    );
    assert_eq!(
        template(
            "lb",
            "/a.php",
            "$m->addServer('{{ groups['db'][1] }}', 11211); // {{ groups.db[0] }}\n"
        ),
        ["lb1>db2:11211"]
    );
    assert_eq!(
        template(
            "lb",
            "/a.conf",
            "u = jdbc:mysql://db1:3307/x\nn = http://db2.example.org/\n"
        ),
        ["lb1>db1:3307"]
    );
    assert_eq!(
        template("lb", "/a.conf", "q = amqp://u:p@mq.example.org:5672/\n"),
        ["lb1>mq.example.org:5672"]
    );
    assert_eq!(
        template(
            "lb",
            "/a.conf",
            "{% set l = '' %}{% for h in groups.db %}{% set l = l + h + ':' ~ 7777 %}{% if loop.last %}c = {{ l }}{% endif %}{% endfor %}"
        ),
        ["lb1>db1:7777", "lb1>db2:7777"]
    );
}

#[test]
fn what_is_no_dependency() {
    for text in [
        "# http://db1:80/\n",
        "-A INPUT -s {{ groups.db[0] }} -j ACCEPT\n",
        "allow {{ groups.db[0] }};\n",
        "server_name {{ groups.db[0] }};\n",
        "return 301 https://{{ groups.db[0] }}/x;\n",
        "ServerName {{ groups.db[0] }}\n",
        "see https://github.com/x/y\n",
        "me = {{ inventory_hostname }}:80\n",
    ] {
        assert_eq!(template("lb", "/etc/a.conf", text), Vec::<String>::new(), "{text}");
    }
    assert_eq!(
        template("lb", "/etc/hosts", "{% for h in groups.all %}{{ h }}\n{% endfor %}"),
        Vec::<String>::new()
    );
    assert_eq!(
        task("lb", "get_url: {url: 'http://{{ groups.db[0] }}/x', dest: /x}"),
        Vec::<String>::new()
    );
    assert_eq!(task("lb", "debug: {msg: 'http://db1:80'}"), Vec::<String>::new());
}

#[test]
fn arguments_facts_and_commands() {
    assert_eq!(
        task(
            "web",
            "docker_container: {name: a, env: {REDIS_HOST: '{{ groups.db | first }}', REDIS_PORT: 6379}}"
        ),
        ["web1>db1:6379", "web2>db1:6379"]
    );
    assert_eq!(
        task(
            "lb",
            "set_fact: {kafka_hosts: \"{{ groups.db | map('regex_replace', '$', ':9092') | join(',') }}\"}"
        ),
        ["lb1>db1:9092", "lb1>db2:9092"]
    );
    assert_eq!(
        task("lb", "command: k3s agent --server https://{{ groups.web[0] }}:6443"),
        ["lb1>web1:6443"]
    );
    assert_eq!(task("lb", "shell: scp x {{ groups.web[0] }}:/x"), Vec::<String>::new());
    assert_eq!(
        task("db", "uri: {url: 'http://web2:8080/'}\n      delegate_to: lb1"),
        ["lb1>web2:8080"]
    );
    assert_eq!(
        task(
            "lb",
            "set_fact: {peer: '{{ ports[inventory_hostname] }}'}\n      vars: {ports: {lb1: 'db1:99'}}"
        ),
        ["lb1>db1:99"]
    );
}

#[test]
fn conditions_decide_where_they_can() {
    let task = |when: &str| {
        let play = format!(
            "- hosts: lb\n  vars: {{mode: a}}\n  tasks:\n    - set_fact: {{db_host: '{{{{ groups.db[0] }}}}'}}\n      when: {when}\n"
        );
        read(&[("site.yml", &play)])
    };
    assert_eq!(edges(&task("mode == 'b'")), Vec::<String>::new());
    assert_eq!(edges(&task("inventory_hostname in groups['db']")), Vec::<String>::new());
    let certain = task("mode == 'a'");
    let open = task("ansible_os_family == 'Debian'");
    let conditional = |report: &Report| {
        report
            .extracted
            .edges
            .iter()
            .find(|edge| edge.relation == "DEPENDS_ON")
            .map(|edge| edge.evidence.conditional)
    };
    assert_eq!((conditional(&certain), conditional(&open)), (Some(false), Some(true)));
}

#[test]
fn hosts_on_one_address_are_told_apart_by_group() {
    let hosts = "[web]\nw1 ansible_host=10.0.0.1\n[db]\nd1 ansible_host=10.0.0.1\n[cache]\nd1\n";
    let play = "- hosts: web\n  tasks:\n    - template: {src: t.j2, dest: /x.conf}\n";
    let text = "a={{ hostvars[groups['db'][0]].ansible_host }}:5432\nb={{ groups['cache'][0] }}:6379\nc={{ groups.web[0] }}:1\n";
    assert_eq!(
        edges(&read(&[("hosts", hosts), ("site.yml", play), ("templates/t.j2", text)])),
        ["web>cache:6379", "web>db:5432"]
    );
}

#[test]
fn roles_dependencies_defaults_and_includes() {
    let report = read(&[
        (
            "site.yml",
            "- import_playbook: sub/a.yml\n- import_playbook: site.yml\n",
        ),
        (
            "sub/a.yml",
            "- hosts: lb:!web\n  roles:\n    - {role: app, port: 81}\n    - gone.role\n",
        ),
        ("sub/roles/app/meta/main.yml", "dependencies: [base]\n"),
        ("sub/roles/app/defaults/main.yml", "port: 80\n"),
        (
            "sub/roles/app/tasks/main.yml",
            "- include_tasks: '{{ x }}.yml'\n  loop: [one]\n  loop_control: {loop_var: x}\n- include_tasks: '{{ unknown }}'\n",
        ),
        ("sub/roles/app/tasks/one.yml", "- template: src=a.j2 dest=/a.conf\n"),
        (
            "sub/roles/app/templates/a.j2",
            "u=http://{{ groups.web[0] }}:{{ port }}/\n",
        ),
        (
            "sub/roles/base/tasks/main.yml",
            "- block:\n    - set_fact: {db_host: db2}\n",
        ),
    ]);
    assert_eq!(edges(&report), ["lb1>db2", "lb1>web1:81"]);
    assert_eq!(report.plays.len(), 1);
    assert_eq!(report.plays[0].roles, ["app", "gone.role"]);
    let named: Vec<&str> = report
        .extracted
        .unresolved
        .iter()
        .map(|entry| entry.reference.as_str())
        .collect();
    assert!(
        named.contains(&"role: gone.role") && named.contains(&"include_tasks") && named.contains(&"import_playbook"),
        "{named:?}"
    );
    let runs = report
        .extracted
        .edges
        .iter()
        .any(|edge| edge.src == "role:app" && edge.relation == "RUNS_ON" && edge.dst == "lb1");
    assert!(runs);
}

#[test]
fn a_database_outside_is_called_as_traces_call_it() {
    let urn = |url: &str| {
        let play = format!("- hosts: lb\n  tasks:\n    - docker_container: {{env: {{DATABASE_URL: '{url}'}}}}\n");
        let found = read(&[("site.yml", &play)]).extracted.edges;
        let edge = found.into_iter().find(|edge| edge.relation == "DEPENDS_ON").unwrap();
        format!("{} {}", edge.dst, edge.dst_urn.unwrap())
    };
    for (url, expected) in [
        (
            "postgresql://app:pw@X.example.com:5433/shop?a=b",
            "x.example.com urn:db:postgres:x.example.com/shop",
        ),
        (
            "mysql://x.example.com/shop",
            "x.example.com urn:db:mysql:x.example.com/shop",
        ),
        (
            "mongodb://x.example.com/shop",
            "x.example.com urn:db:mongodb:x.example.com/shop",
        ),
        // No database, or one that only a part of the text is.
        ("postgres://x.example.com", "x.example.com urn:host:x.example.com"),
        ("postgres://x.example.com/a%2Fb", "x.example.com urn:host:x.example.com"),
        ("redis://x.example.com/0", "x.example.com urn:host:x.example.com"),
        (
            "postgres://first.last:12/word,more@x.example.com/shop",
            "first.last urn:host:first.last",
        ),
    ] {
        assert_eq!(urn(url), expected, "{url}");
    }
}

#[test]
fn secrets_are_given_out_nowhere() {
    let vault = "$ANSIBLE_VAULT;1.1;AES256\n66336d6531\n";
    let report = read(&[
        (
            "hosts",
            "[web]\nw1 db_password=hunter2a api_url=https://u:hunter2b@d1:443/x\n[db]\nd1\n[db:vars]\ntoken=hunter2c\n",
        ),
        ("group_vars/web/vault.yml", vault),
        (
            "group_vars/web/main.yml",
            "x: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  hunter2d\ndb_url: postgres://u:hun@ter2e/hunter2f@d1/x\ny: \"{{ 'hunter2g' | nofilter }}\"\n",
        ),
        ("files/key", "hunter2h"),
        (
            "site.yml",
            "- hosts: web\n  vars: {k: \"{{ lookup('password', 'files/key') }}\"}\n  tasks:\n    - template: {src: t.j2, dest: /x.conf}\n    - command: \"login --password hunter2i {{ nothing.hunter | hunter2('hunter2j') }}\"\n    - uri: {url: 'redis://:hunter2k@d1:6379/0'}\n    - set_fact: {broker_url: 'amqp://u:pw@hunter2l.example@mq.example.org/'}\n",
        ),
        (
            "templates/t.j2",
            "a=mysql://u:{{ db_password }}@d1/x\npassword={{ k }}\n{{ token.x }}\nmongodb://a:hunter2m@d1:1\n",
        ),
        ("broken.yml", "- hosts: web\n  tasks: [{x: 'hunter2n}]\n"),
    ]);
    assert_eq!(edges(&report), ["w1>d1:1"]);
    let out = format!("{:?} {:?}", report.extracted, report.plays);
    assert!(!out.contains("hunter2"), "{out}");
}

#[test]
fn hostile_checkouts_end() {
    let nested: String = (0..5_000).map(|at| format!("{}- block:\n", "  ".repeat(at))).collect();
    let report = read(&[
        (
            "site.yml",
            "- hosts: web\n  roles: [a]\n  tasks:\n    - include_tasks: t.yml\n    - include_tasks: deep.yml\n- hosts: '~(a{1000}){1000}'\n- hosts: 'web[1:'\n",
        ),
        ("cut.yml", "- hosts: [web\n  tasks:\n"),
        ("t.yml", "- include_tasks: t.yml\n- include_tasks: t.yml\n"),
        ("deep.yml", &nested),
        ("roles/a/meta/main.yml", "dependencies: [b]\n"),
        ("roles/b/meta/main.yml", "dependencies: [a]\n"),
        (
            "roles/a/tasks/main.yml",
            "- set_fact: {x: '{{ x }}{{ x }}'}\n  loop: '{{ range(100000) | list }}'\n",
        ),
    ]);
    let reported: Vec<&str> = report
        .extracted
        .unresolved
        .iter()
        .map(|entry| entry.src.as_str())
        .collect();
    for file in ["cut.yml", "deep.yml", "site.yml", "t.yml"] {
        assert!(reported.contains(&file), "{file} {reported:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn any_template_and_task_is_read(text in "[{}%a-c :/@.,='\"\\[\\]#\n|0-9-]{0,60}") {
        let play = format!("- hosts: lb\n  tasks:\n    - template: {{src: t.j2, dest: /x}}\n    - {text}\n");
        read(&[("site.yml", &play), ("templates/t.j2", &text)]);
    }

    #[test]
    fn edges_do_not_depend_on_the_order_of_files(order in Just(vec![0_usize, 1, 2]).prop_shuffle()) {
        let files = [
            ("a.yml", "- hosts: lb\n  tasks: [{set_fact: {db_host: db1}}]\n"),
            ("b.yml", "- hosts: web\n  tasks: [{set_fact: {db_host: db2}}]\n"),
            ("c.yml", "- hosts: db\n  tasks: [{set_fact: {master_host: db1}}]\n"),
        ];
        let shuffled: Vec<(&str, &str)> = order.iter().map(|at| files[*at]).collect();
        prop_assert_eq!(edges(&read(&shuffled)), ["db2>db1", "lb1>db1", "web1>db2", "web2>db2"]);
    }
}
