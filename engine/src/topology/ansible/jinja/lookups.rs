//! Lookup plugins that need nothing but the tree, and functions.

use std::sync::Arc;

use minijinja::value::{Kwargs, Rest};
use minijinja::{Environment, Error, State, Value as Engine};

use super::super::tree::join;
use super::super::value::{Value, is_template};
use super::super::why::Why;
use super::format::convert;
use super::frame::{Missing, error};
use super::objects::{MutableList, MutableMap, scope_of};
use super::scope::Scope;
use super::session::Mode;
use super::source::{NEW_LIST, NEW_MAP};

/// Name of the function that shows what `set` built.
pub(super) const TRACE: &str = "__trace";

pub(super) fn add(environment: &mut Environment<'static>) {
    environment.add_function(
        "lookup",
        |state: &State, name: &str, terms: Rest<Engine>, options: Kwargs| {
            lookup(state, name, &terms.0, &options).map(|mut found| match found.len() {
                1 => found.remove(0),
                // A lookup of several terms joins their texts.
                _ => Engine::from(found.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
            })
        },
    );
    for name in ["query", "q"] {
        environment.add_function(
            name,
            |state: &State, name: &str, terms: Rest<Engine>, options: Kwargs| {
                lookup(state, name, &terms.0, &options).map(Engine::from)
            },
        );
    }
    environment.add_function(TRACE, |state: &State, value: &Engine| {
        if let (Some(scope), Some(text)) = (scope_of(state), value.as_str()) {
            scope.session.trace(text);
        }
        Engine::from(())
    });
    environment.add_function(NEW_LIST, || Engine::from_object(MutableList::default()));
    environment.add_function(NEW_MAP, || Engine::from_object(MutableMap::default()));
}

/// The values of the terms. Environment variables are those of an empty environment: Ansible gives an empty text for one
/// that is not set.
fn lookup(state: &State, name: &str, terms: &[Engine], options: &Kwargs) -> Result<Vec<Engine>, Error> {
    let plugin = name.rsplit('.').next().unwrap_or(name);
    let unknown = || error(Why::Lookup(plugin.to_owned()));
    let scope = scope_of(state).ok_or_else(unknown)?;
    let mut found = Vec::new();
    for term in terms {
        let term = embedded(&scope, term)?;
        found.push(match plugin {
            "env" => match options.get::<Option<Engine>>("default")? {
                Some(value) => value,
                None => Engine::from(""),
            },
            "file" => Engine::from(file(&scope, &term).ok_or_else(unknown)?.trim_end()),
            "password" => {
                let path = term.split_whitespace().next().unwrap_or("");
                let text = file(&scope, path).ok_or_else(unknown)?;
                let line = text.lines().next().unwrap_or("");
                Engine::from(line.split(" salt=").next().unwrap_or(line))
            }
            "vars" => match (scope.written(&term), options.get::<Option<Engine>>("default")?) {
                (Some(_), _) => scope.variable(&term).ok_or_else(unknown)?,
                (None, Some(value)) => value,
                (None, None) if scope.session.mode == Mode::Strict => {
                    Missing::value(&scope.session, Why::Undefined(term.to_string()))
                }
                (None, None) => Engine::UNDEFINED,
            },
            _ => return Err(unknown()),
        });
    }
    options.assert_all_used().map_err(|_| unknown())?;
    Ok(found)
}

/// The text of a term. Templates inside of terms are evaluated, as Ansible still does.
fn embedded(scope: &Arc<Scope>, term: &Engine) -> Result<Arc<str>, Error> {
    let text: Arc<str> = match convert(term, 0).map_err(error)? {
        Value::Str(text) | Value::Unsafe(text) => text,
        other => Arc::from(other.to_json().to_string()),
    };
    if !is_template(&text) {
        return Ok(text);
    }
    let value = scope.session.template(scope, &text).map_err(error)?;
    Ok(Arc::from(value.to_string()))
}

/// A file of the tree, as lookups find it: in `files` of the role, in the role, in `files` beside the playbook, beside it.
fn file<'a>(scope: &'a Scope, path: &str) -> Option<&'a str> {
    let world = &scope.session.world;
    let role = scope.play.role_path.as_deref();
    let bases = role.into_iter().chain(std::iter::once(world.playbook_dir.as_str()));
    for base in bases {
        for dir in [join(base, "files"), base.to_owned()] {
            if let Some(text) = world.tree_path(&dir, path).and_then(|path| world.tree.text(&path)) {
                return (!text.starts_with("$ANSIBLE_VAULT;")).then_some(text);
            }
        }
    }
    None
}
