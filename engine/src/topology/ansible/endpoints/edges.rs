//! Edges of one site.

use std::sync::Arc;

use super::super::playbook::{Site, SiteKind};
use super::super::world::World;
use super::scan::{Mention, Target, mentions, near_after, near_before};
use super::{comments, context};
use crate::topology::{Class, Edge, Evidence, names, relation};
use crate::urn::Resource;

/// Largest text that is looked into, in bytes.
const MAX_TEXT: usize = 4 << 20;

/// The edges that a site declares: from the host that gets the text to the hosts that it names.
pub fn edges_of(world: &World, site: &Site) -> Vec<Edge> {
    if site.text.len() > MAX_TEXT || site.text.is_empty() {
        return Vec::new();
    }
    match &site.kind {
        SiteKind::File { name } => file(world, site, name),
        SiteKind::Command => command(world, site),
        SiteKind::Value { path, neighbours } => value(world, site, path, neighbours),
    }
}

fn file(world: &World, site: &Site, name: &str) -> Vec<Edge> {
    if context::is_silent_file(name) || context::is_silent_file(&site.place) {
        return Vec::new();
    }
    let text = comments::blank(&site.text, name);
    let mut edges = Vec::new();
    for mention in mentions(world, &text) {
        let line = line_of(&text, mention.at);
        if context::is_other_line(line) || is_own_word(line) {
            continue;
        }
        edges.extend(edge(world, site, &mention, line, mention.port));
    }
    edges
}

/// A certificate's names, a shell's echo: lines that only mention.
fn is_own_word(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("echo ") || line.starts_with("<title") || line.starts_with("<h1")
}

/// In a command, only what is written like an endpoint counts.
fn command(world: &World, site: &Site) -> Vec<Edge> {
    let text = &site.text;
    let program = text
        .split_whitespace()
        .next()
        .unwrap_or("")
        .rsplit('/')
        .next()
        .unwrap_or("");
    if matches!(
        program,
        "ssh-keyscan" | "ssh" | "scp" | "rsync" | "ping" | "echo" | "iptables" | "ufw" | "firewall-cmd" | "sed"
    ) {
        return Vec::new();
    }
    let mut edges = Vec::new();
    for mention in mentions(world, text) {
        let before = near_before(text, mention.at);
        let word = before.rsplit(char::is_whitespace).next().unwrap_or("");
        let flag = match word.is_empty() {
            true => before.trim_end().rsplit(char::is_whitespace).next().unwrap_or(""),
            false => word,
        };
        let named = flag.starts_with('-') && context::is_endpoint_variable(flag.trim_matches(['-', '=', '"', '\'']));
        if mention.scheme.is_some() || mention.port.is_some() || named || flag == "-h" {
            edges.extend(edge(world, site, &mention, line_of(text, mention.at), mention.port));
        }
    }
    edges
}

fn value(world: &World, site: &Site, path: &[Arc<str>], neighbours: &[(Arc<str>, String)]) -> Vec<Edge> {
    if path.iter().any(|key| !context::is_endpoint_key(key)) {
        return Vec::new();
    }
    let key = path.last().map_or("", AsRef::as_ref);
    let mut edges = Vec::new();
    let text = site.text.trim();
    let shift = site.text.len() - site.text.trim_start().len();
    let mut found = mentions(world, text);
    // A text that is nothing but a host is one only where the key says so.
    let speaks = path.iter().any(|key| context::is_endpoint_variable(key));
    if found.is_empty() && speaks {
        let names = text.split([',', ' ']).map(str::trim).filter(|name| !name.is_empty());
        for name in names {
            if let Some(index) = world.host_named(name) {
                found.push(Mention {
                    target: Target::Name(index),
                    at: 0,
                    scheme: None,
                    port: None,
                });
            }
        }
    }
    for mention in found {
        let certain = mention.scheme.is_some() || mention.port.is_some();
        if !speaks && (!certain || context::is_other_line(line_of(text, mention.at))) {
            continue;
        }
        let port = mention.port.or_else(|| port_beside(key, neighbours));
        let at = Mention {
            at: mention.at + shift,
            ..mention
        };
        edges.extend(edge(world, site, &at, key, port));
    }
    edges
}

/// `REDIS_PORT` beside `REDIS_HOST`, `port` beside `host`.
fn port_beside(key: &str, neighbours: &[(Arc<str>, String)]) -> Option<u16> {
    let key = key.to_ascii_lowercase();
    let mut stem = key.as_str();
    loop {
        let wanted = if stem.is_empty() {
            "port".to_owned()
        } else {
            format!("{stem}_port")
        };
        if let Some((_, port)) = neighbours.iter().find(|(name, _)| name.eq_ignore_ascii_case(&wanted)) {
            return port.trim().parse().ok();
        }
        if stem.is_empty() {
            return None;
        }
        stem = stem.rsplit_once('_').map_or("", |(head, _)| head);
    }
}

/// The line around a place, as far as it is near.
fn line_of(text: &str, at: usize) -> &str {
    let before = near_before(text, at);
    let start = at - before.len() + before.rfind('\n').map_or(0, |newline| newline + 1);
    let after = near_after(text, at);
    let end = at + after.find('\n').unwrap_or(after.len());
    text.get(start..end).unwrap_or("")
}

/// The edge of one mention. Hosts that share an address cannot be told apart by it: there the groups are the ends.
fn edge(world: &World, site: &Site, mention: &Mention, words: &str, port: Option<u16>) -> Option<Edge> {
    let source = world.host_name(site.host)?;
    let port = port.or_else(|| mention.scheme.as_deref().and_then(context::default_port));
    let (class, index) = match &mention.target {
        Target::Token(index) if port.is_some() => (Class::Resolved, *index),
        Target::Token(index) => (Class::GroupRef, *index),
        Target::Name(index) => (Class::Literal, *index),
        Target::Outside { host, database } => {
            let mut edge = Edge::new(
                source.as_ref(),
                relation::DEPENDS_ON,
                host.as_str(),
                evidence(Class::Literal, site, mention, words, port),
            );
            edge.src_urn = Some(Resource::host(source).urn);
            let database = database.as_deref().zip(mention.scheme.as_deref());
            let database = database.and_then(|(database, scheme)| names::database_at(scheme, host, database));
            edge.dst_urn = Some(database.unwrap_or_else(|| Resource::host(host).urn));
            edge.evidence.dangling = true;
            return Some(edge);
        }
    };
    let target = world.host_name(index)?;
    let evidence = evidence(class, site, mention, words, port);
    let distinct = index != site.host && world.address(index) != world.address(site.host);
    if distinct {
        let mut edge = Edge::new(source.as_ref(), relation::DEPENDS_ON, target.as_ref(), evidence);
        edge.src_urn = Some(Resource::host(source).urn);
        edge.dst_urn = Some(Resource::host(target).urn);
        return Some(edge);
    }
    // A host that has its address for itself and names itself depends on nothing.
    if index == site.host && !world.shares_address(index) {
        return None;
    }
    let group = site.accesses.iter().rev().find(|access| {
        let members = world.members.get(&access.group);
        access.at <= mention.at && members.is_some_and(|hosts| hosts.contains(target))
    })?;
    let own = site.group.as_ref()?;
    if *own == group.group {
        return None;
    }
    let mut edge = Edge::new(own.as_ref(), relation::DEPENDS_ON, group.group.as_ref(), evidence);
    edge.evidence.props.insert("level", "group".to_owned());
    edge.src_urn = Some(Resource::service(own).urn);
    edge.dst_urn = Some(Resource::service(&group.group).urn);
    Some(edge)
}

fn evidence(class: Class, site: &Site, mention: &Mention, words: &str, port: Option<u16>) -> Evidence {
    let mut evidence = Evidence::at(class, site.place.as_str());
    evidence.conditional = site.conditional;
    if let Some(port) = port {
        evidence.props.insert("port", port.to_string());
    }
    if let Some(protocol) = context::protocol(mention.scheme.as_deref(), words, port) {
        evidence.props.insert("protocol", protocol.to_owned());
    }
    evidence
}
