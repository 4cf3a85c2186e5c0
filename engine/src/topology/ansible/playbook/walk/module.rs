//! Module calls and variables: the sites that they yield.

use std::sync::Arc;

use super::super::super::jinja::Access;
use super::super::super::value::{Map, Value};
use super::super::super::why::Why;
use super::super::task::{Call, is_command};
use super::super::{Site, SiteKind};
use super::Walk;
use super::context::{Context, HostRun};
use crate::topology::Reason;

/// Modules whose arguments say nothing about what the host talks to later: packages, downloads, messages, files.
const SILENT: &[&str] = &[
    "add_host",
    "apk",
    "apt",
    "apt_key",
    "apt_repository",
    "assert",
    "assemble",
    "async_status",
    "cron",
    "debconf",
    "debug",
    "dnf",
    "fail",
    "fetch",
    "file",
    "find",
    "firewalld",
    "gem",
    "get_url",
    "getent",
    "git",
    "group",
    "group_by",
    "homebrew",
    "hostname",
    "iptables",
    "known_hosts",
    "meta",
    "npm",
    "package",
    "pacman",
    "pause",
    "ping",
    "pip",
    "reboot",
    "rpm_key",
    "seboolean",
    "selinux",
    "service",
    "set_stats",
    "setup",
    "slurp",
    "stat",
    "subversion",
    "synchronize",
    "sysctl",
    "systemd",
    "tempfile",
    "timezone",
    "ufw",
    "unarchive",
    "user",
    "wait_for_connection",
    "yum",
    "yum_repository",
    "zypper",
    "docker_image",
    "docker_login",
    "authorized_key",
    "openssl_certificate",
    "x509_certificate",
    "openssl_csr",
    "mysql_user",
    "postgresql_user",
    "postgresql_pg_hba",
];
/// Largest static file that is looked into, in bytes.
const MAX_FILE: usize = 256 << 10;
/// How often a text is rendered again without the line that failed.
const MAX_SALVAGE: usize = 40;

impl Walk<'_> {
    /// Yields the sites of a module call and takes over what it sets.
    pub(super) fn module(
        &mut self,
        task: &Arc<Map>,
        call: &Call,
        context: &Context,
        strict: &Context,
        run: &mut HostRun,
    ) {
        // What runs elsewhere is that host's.
        let index = match (task.contains_key("local_action"), task.get("delegate_to")) {
            (true, _) => return,
            (false, None) => run.index,
            (false, Some(target)) => {
                let scope = strict.scope(&self.strict, run, false);
                let host = self.strict.eval(&scope, target).ok();
                let host = host
                    .as_ref()
                    .and_then(Value::as_str)
                    .and_then(|name| self.world.host_index(name));
                let Some(index) = host.filter(|_| call.module != "set_fact") else {
                    return;
                };
                index
            }
        };
        let own = index == run.index;
        let group = run.group.clone().filter(|_| own);
        let mut sites = Sites {
            index,
            group,
            conditional: context.conditional,
            found: Vec::new(),
        };
        match call.module.as_str() {
            "set_fact" => self.set_fact(call, context, strict, run, &mut sites),
            "template" | "win_template" => self.template(call, context, run, &mut sites),
            "copy" | "blockinfile" | "lineinfile" | "ini_file" => self.content(call, context, run, &mut sites),
            module if is_command(module) => {
                if let Some(line) = &call.free {
                    self.command(line, context, run, &mut sites);
                }
                for key in ["cmd", "stdin"] {
                    if let Some(line) = call.args.get(key) {
                        self.command(line, context, run, &mut sites);
                    }
                }
            }
            module if SILENT.contains(&module) => {}
            _ => {
                let scope = context.scope(&self.symbolic, run, true);
                let args = Value::Map(call.args.clone());
                self.values(&args, &mut Vec::new(), &context.file, &scope, &mut sites);
            }
        }
        if let Some(environment) = task.get("environment") {
            let scope = context.scope(&self.symbolic, run, true);
            self.values(
                environment,
                &mut vec![Arc::from("environment")],
                &context.file,
                &scope,
                &mut sites,
            );
        }
        for site in sites.found {
            self.yield_site(site);
        }
    }

    /// Yields the sites of variables that a play, a role or a file gives.
    pub(super) fn variables(&mut self, vars: &Map, file: &str, context: &Context, run: &HostRun) {
        let scope = context.scope(&self.symbolic, run, true);
        let mut sites = Sites {
            index: run.index,
            group: run.group.clone(),
            conditional: context.conditional,
            found: Vec::new(),
        };
        self.values(
            &Value::Map(Arc::new(vars.clone())),
            &mut Vec::new(),
            file,
            &scope,
            &mut sites,
        );
        for site in sites.found {
            self.yield_site(site);
        }
    }

    fn set_fact(&mut self, call: &Call, context: &Context, strict: &Context, run: &mut HostRun, sites: &mut Sites) {
        let symbolic = context.scope(&self.symbolic, run, true);
        let plain = strict.scope(&self.strict, run, false);
        self.values(
            &Value::Map(call.args.clone()),
            &mut Vec::new(),
            &context.file,
            &symbolic,
            sites,
        );
        let mut facts = Vec::new();
        for (key, value) in call.args.iter().filter(|(key, _)| key.as_ref() != "cacheable") {
            let marked = self.symbolic.eval(&symbolic, value).unwrap_or(Value::Null);
            let known = if context.conditional {
                Value::Vault
            } else {
                self.strict.eval(&plain, value).unwrap_or(Value::Vault)
            };
            facts.push((key.clone(), marked, known));
        }
        for (key, marked, known) in facts {
            // Under an undecided condition the old value may still be it.
            if !context.conditional || !run.symbolic_facts.contains_key(&key) {
                run.symbolic_facts.insert(key.clone(), marked);
            }
            run.strict_facts.insert(key, known);
        }
    }

    fn template(&mut self, call: &Call, context: &Context, run: &HostRun, sites: &mut Sites) {
        let scope = context.scope(&self.symbolic, run, true);
        let src = call.args.get("src").map(|src| self.symbolic.eval(&scope, src));
        let Some(Ok(src)) = src else {
            return self.report(&context.file, "template", Reason::Dynamic);
        };
        let Some(path) = src.as_str().and_then(|src| self.source(src, "templates", context)) else {
            return self.report(&context.file, "template", Reason::External);
        };
        let tree = self.world.tree.clone();
        let Some(text) = tree.text(&path) else {
            return self.report(&path, "template", Reason::Broken);
        };
        let name = self.dest(call, &scope).unwrap_or_else(|| path.clone());
        self.file(text, &path, name, &scope, sites);
    }

    /// The name of the file that is written, as far as it is known; comments depend on it.
    fn dest(&self, call: &Call, scope: &Arc<super::super::super::jinja::Scope>) -> Option<String> {
        let dest = call.args.get("dest").or_else(|| call.args.get("path"))?;
        let dest = self.symbolic.eval(scope, dest).ok()?;
        dest.as_str()
            .filter(|dest| !dest.ends_with('/') && !dest.is_empty())
            .map(str::to_owned)
    }

    /// Renders a template; lines that fail are left out, and what they lack is reported.
    fn file(
        &mut self,
        text: &str,
        path: &str,
        name: String,
        scope: &Arc<super::super::super::jinja::Scope>,
        sites: &mut Sites,
    ) {
        let mut text = text.to_owned();
        for _ in 0..MAX_SALVAGE {
            match self.symbolic.render(scope, &text) {
                Ok(rendered) => {
                    let place = path.to_owned();
                    for (text, accesses) in rendered.built {
                        let path = vec![Arc::from("set")];
                        let kind = SiteKind::Value {
                            path,
                            neighbours: Arc::default(),
                        };
                        sites.push(kind, text, accesses, place.clone());
                    }
                    sites.push(SiteKind::File { name }, rendered.text, rendered.accesses, place);
                    return;
                }
                Err(why) => {
                    self.report(path, why.name(), why.reason());
                    let Some(less) = salvage::without_failing(&self.symbolic, scope, &text) else {
                        return;
                    };
                    text = less;
                }
            }
        }
    }

    /// Files whose content stands in the task, and static files.
    fn content(&mut self, call: &Call, context: &Context, run: &HostRun, sites: &mut Sites) {
        let scope = context.scope(&self.symbolic, run, true);
        let name = self.dest(call, &scope).unwrap_or_default();
        let written = ["content", "block", "line", "value"]
            .iter()
            .find_map(|key| call.args.get(*key));
        if let Some(written) = written {
            let (value, accesses) = self.symbolic.eval_traced(&scope, written);
            if let Ok(value) = value
                && let Some(text) = value.as_str()
            {
                let kind = SiteKind::File { name };
                sites.push(
                    kind,
                    text.to_owned(),
                    accesses,
                    format!("{}: {}", context.file, call.module),
                );
            }
            return;
        }
        let Some(Ok(src)) = call.args.get("src").map(|src| self.symbolic.eval(&scope, src)) else {
            return;
        };
        let Some(path) = src.as_str().and_then(|src| self.source(src, "files", context)) else {
            return;
        };
        let tree = self.world.tree.clone();
        if let Some(text) = tree
            .text(&path)
            .filter(|text| text.len() <= MAX_FILE && !text.starts_with("$ANSIBLE_VAULT"))
        {
            let name = if name.is_empty() { path.clone() } else { name };
            sites.push(SiteKind::File { name }, text.to_owned(), Vec::new(), path);
        }
    }

    /// A file of the role or beside the playbook.
    fn source(&self, src: &str, sub: &str, context: &Context) -> Option<String> {
        let role = context.play.role_path.as_deref();
        let dir = super::super::super::tree::parent(&context.file);
        role.into_iter().chain([dir]).find_map(|dir| self.near(dir, sub, src))
    }

    fn command(&mut self, line: &Value, context: &Context, run: &HostRun, sites: &mut Sites) {
        let scope = context.scope(&self.symbolic, run, true);
        let (value, accesses) = self.symbolic.eval_traced(&scope, line);
        match value {
            Ok(value) => {
                if let Some(text) = value.as_str() {
                    sites.push(
                        SiteKind::Command,
                        text.to_owned(),
                        accesses,
                        format!("{}: command", context.file),
                    );
                }
            }
            Err(why) => self.report(&format!("{}: command", context.file), why.name(), why.reason()),
        }
    }

    /// Yields every text below a value, with the keys that lead to it.
    fn values(
        &mut self,
        value: &Value,
        path: &mut Vec<Arc<str>>,
        file: &str,
        scope: &Arc<super::super::super::jinja::Scope>,
        sites: &mut Sites,
    ) {
        match value {
            Value::Map(map) => {
                let neighbours = self.neighbours(map, scope);
                for (key, inner) in map.iter() {
                    path.push(key.clone());
                    match inner {
                        Value::Str(_) | Value::Unsafe(_) => self.value(inner, path, &neighbours, file, scope, sites),
                        _ => self.values(inner, path, file, scope, sites),
                    }
                    path.pop();
                }
            }
            Value::List(list) => {
                for inner in list.iter() {
                    self.values(inner, path, file, scope, sites);
                }
            }
            Value::Str(_) | Value::Unsafe(_) => self.value(value, path, &Arc::default(), file, scope, sites),
            _ => {}
        }
    }

    /// Ports and schemes that stand beside a host.
    fn neighbours(
        &mut self,
        map: &Map,
        scope: &Arc<super::super::super::jinja::Scope>,
    ) -> Arc<Vec<(Arc<str>, String)>> {
        let mut found = Vec::new();
        for (key, value) in map.iter() {
            let name = key.to_ascii_lowercase();
            if !["port", "proto", "scheme"].iter().any(|word| name.contains(word)) {
                continue;
            }
            if let Ok(value) = self.symbolic.eval(scope, value) {
                let text = match &value {
                    Value::Int(number) => number.to_string(),
                    other => other.as_str().unwrap_or_default().to_owned(),
                };
                found.push((key.clone(), text));
            }
        }
        Arc::new(found)
    }

    fn value(
        &mut self,
        value: &Value,
        path: &[Arc<str>],
        neighbours: &Arc<Vec<(Arc<str>, String)>>,
        file: &str,
        scope: &Arc<super::super::super::jinja::Scope>,
        sites: &mut Sites,
    ) {
        let place = format!("{file}: {}", path.join("."));
        let (result, accesses) = self.symbolic.eval_traced(scope, value);
        match result {
            Ok(Value::Unsafe(text) | Value::Str(text)) => {
                let kind = SiteKind::Value {
                    path: path.to_vec(),
                    neighbours: neighbours.clone(),
                };
                sites.push(kind, text.to_string(), accesses, place);
            }
            // A list or mapping of an expression: its texts stand for themselves.
            Ok(Value::List(list)) => {
                for text in list.iter().filter_map(Value::as_str) {
                    let kind = SiteKind::Value {
                        path: path.to_vec(),
                        neighbours: Arc::default(),
                    };
                    sites.push(kind, text.to_owned(), accesses.clone(), place.clone());
                }
            }
            Ok(_) | Err(Why::Undefined(_)) => {}
            Err(why) => self.report(&place, why.name(), why.reason()),
        }
    }
}

/// Sites of one call.
struct Sites {
    index: usize,
    group: Option<Arc<str>>,
    conditional: bool,
    found: Vec<Site>,
}

impl Sites {
    fn push(&mut self, kind: SiteKind, text: String, accesses: Vec<Access>, place: String) {
        let conditional = self.conditional;
        let site = Site {
            host: self.index,
            group: self.group.clone(),
            kind,
            text,
            accesses,
            place,
            conditional,
        };
        self.found.push(site);
    }
}

/// Which part of a template fails.
mod salvage {
    use std::sync::Arc;

    use super::super::super::super::jinja::{Scope, Session};

    /// The text without the first expression that fails when evaluated alone; `None` where no single one does.
    pub(super) fn without_failing(session: &Arc<Session>, scope: &Arc<Scope>, text: &str) -> Option<String> {
        let line = session.failing_line(scope, text)?;
        let start = text.split_inclusive('\n').take(line - 1).map(str::len).sum::<usize>();
        let end = text.get(start..)?.find('\n').map_or(text.len(), |at| start + at);
        let found = text.get(start..end)?;
        let mut kept = String::with_capacity(found.len());
        let mut rest = found;
        while let Some((head, tail)) = rest.split_once("{{") {
            kept.push_str(head);
            let (code, after) = tail.split_once("}}").unwrap_or((tail, ""));
            // An address fact that cannot be named still says whose it is.
            if let Some(host) = fact_of(code) {
                kept.push_str(&format!("{{{{{host}}}}}"));
            }
            rest = after;
        }
        kept.push_str(rest);
        (kept.len() < found.len()).then(|| format!("{}{kept}{}", &text[..start], &text[end..]))
    }

    /// `x` in `hostvars[x]['ansible_' ...`.
    fn fact_of(code: &str) -> Option<&str> {
        let (_, inner) = code.split_once("hostvars[")?;
        let (host, rest) = inner.split_once(']')?;
        let plain = host.chars().all(|c| c.is_alphanumeric() || c == '_');
        (plain && rest.contains("ansible_")).then_some(host)
    }
}
