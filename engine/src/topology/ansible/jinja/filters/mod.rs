//! Filters and tests of Ansible. What is not here and not in the engine makes an expression unresolved.

mod data;
mod json;
mod text;

use std::sync::Arc;

use minijinja::value::Rest;
use minijinja::{Environment, Error, State, Value};

use super::super::value as written;
use super::super::why::Why;
use super::format::convert;
use super::frame::{error, missing, take_undefined};

pub(super) fn add(environment: &mut Environment<'static>) {
    for name in ["default", "d"] {
        environment.add_filter(name, default);
    }
    environment.add_filter("mandatory", |value: Value| value);
    environment.add_filter("ternary", ternary);
    environment.add_test("defined", |value: &Value| !take_undefined(value));
    environment.add_test("undefined", take_undefined);
    for name in ["truthy", "falsy"] {
        environment.add_test(name, move |value: &Value| value.is_true() == (name == "truthy"));
    }
    text::add(environment);
    data::add(environment);
    json::add(environment);
    // Their results depend on chance, time or a locale; the engine's are not Ansible's.
    for name in ["random", "shuffle", "pprint", "tojson", "safe", "escape", "e"] {
        environment.remove_filter(name);
    }
}

/// `default(value, fallback, true)`: takes the note off whatever it drops.
fn default(_state: &State, value: &Value, args: Rest<Value>) -> Result<Value, Error> {
    let mut fallback = Value::from("");
    let mut lax = false;
    for (at, arg) in args.iter().enumerate() {
        if arg.is_kwargs() {
            if let Ok(given) = arg.get_attr("default_value")
                && !given.is_undefined()
            {
                fallback = given;
            }
            lax |= arg.get_attr("boolean").is_ok_and(|flag| flag.is_true());
        } else if at == 0 {
            fallback = arg.clone();
        } else {
            lax = arg.is_true();
        }
    }
    if take_undefined(value) || (lax && !value.is_true()) {
        return Ok(fallback);
    }
    // The fallback may be undefined itself: nobody asks for it.
    if let Some(missing) = missing(&fallback) {
        missing.handle();
    }
    Ok(value.clone())
}

/// `ternary(yes, no)`, and a third for null.
fn ternary(value: Value, yes: Value, no: Value, null: Option<Value>) -> Value {
    let (kept, dropped) = match (&null, value.is_none()) {
        (Some(null), true) => (null.clone(), vec![yes, no]),
        _ if value.is_true() => (yes, [Some(no), null].into_iter().flatten().collect()),
        _ => (no, [Some(yes), null].into_iter().flatten().collect()),
    };
    for dropped in &dropped {
        if let Some(missing) = missing(dropped) {
            missing.handle();
        }
    }
    kept
}

/// A value out of the engine, for filters that work on whole values.
fn whole(value: &Value) -> Result<written::Value, Error> {
    convert(value, 0).map_err(error)
}

/// The text of an argument: text, numbers and flags as Python writes them.
fn text_of(value: &Value) -> Result<Arc<str>, Error> {
    if let Some(missing) = missing(value) {
        return Err(error(missing.why.clone()));
    }
    if value.is_undefined() {
        return Err(error(Why::Undefined("undefined value".to_owned())));
    }
    if let Some(text) = value.as_str() {
        return Ok(Arc::from(text));
    }
    let mut text = String::new();
    super::format::python_str(value, &mut text, 0)?;
    Ok(Arc::from(text))
}

fn unsupported(name: &str) -> Error {
    error(Why::Unsupported(name.to_owned()))
}
