//! Module calls and variables: the sites that they yield.

use std::sync::Arc;

use super::super::super::jinja::Scope;
use super::super::super::tree::parent;
use super::super::super::value::{Map, Value};
use super::super::SiteKind;
use super::super::task::{Call, is_command};
use super::context::{Context, HostRun};
use super::values::Sites;
use super::{Walk, salvage};
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
            // Not UTF-8.
            return self.report(&path, "template", Reason::Unsupported);
        };
        let name = self.dest(call, &scope).unwrap_or_else(|| path.clone());
        self.file(text, &path, name, &scope, sites);
    }

    /// The name of the file that is written, as far as it is known; comments depend on it.
    fn dest(&self, call: &Call, scope: &Arc<Scope>) -> Option<String> {
        let dest = call.args.get("dest").or_else(|| call.args.get("path"))?;
        let dest = self.symbolic.eval(scope, dest).ok()?;
        dest.as_str()
            .filter(|dest| !dest.ends_with('/') && !dest.is_empty())
            .map(str::to_owned)
    }

    /// Renders a template; lines that fail are left out, and what they lack is reported.
    fn file(&mut self, text: &str, path: &str, name: String, scope: &Arc<Scope>, sites: &mut Sites) {
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
        let dir = parent(&context.file);
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
}
