//! Undefined values and what became of them.
//!
//! Ansible fails where an undefined value is used, except by `default()` and by tests for being defined. The engine has no
//! such value, so every undefined value that comes into being is noted, those two take the note off, and an evaluation
//! that ends with a note has no value.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use minijinja::value::{Object, ObjectRepr};
use minijinja::{Error, ErrorKind, State, Value};

use super::super::why::Why;
use super::session::Session;

/// An undefined value.
#[derive(Debug)]
pub(super) struct Missing {
    pub why: Why,
    session: Arc<Session>,
    handled: AtomicBool,
}

impl Missing {
    /// A new undefined value, noted in the evaluation that runs.
    pub fn value(session: &Arc<Session>, why: Why) -> Value {
        let missing = Arc::new(Missing {
            why,
            session: session.clone(),
            handled: AtomicBool::new(false),
        });
        session.note(missing.clone());
        Value::from_dyn_object(missing)
    }

    pub fn is_handled(&self) -> bool {
        self.handled.load(Ordering::Relaxed)
    }

    /// Takes the note off.
    pub fn handle(&self) {
        self.handled.store(true, Ordering::Relaxed);
    }
}

impl Object for Missing {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    /// What is below an undefined value is undefined.
    fn get_value(self: &Arc<Self>, _key: &Value) -> Option<Value> {
        self.handle();
        Some(Missing::value(&self.session, self.why.clone()))
    }

    fn is_true(self: &Arc<Self>) -> bool {
        false
    }

    fn call_method(
        self: &Arc<Self>,
        _state: &mut State<'_, '_>,
        _method: &str,
        _args: &[Value],
    ) -> Result<Value, Error> {
        Err(error(self.why.clone()))
    }

    fn render(self: &Arc<Self>, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}

/// The undefined value that this is, if it is one of ours.
pub(super) fn missing(value: &Value) -> Option<&Missing> {
    value.downcast_object_ref::<Missing>()
}

/// Whether Ansible has no value here; takes the note off.
pub(super) fn take_undefined(value: &Value) -> bool {
    match missing(value) {
        Some(missing) => {
            missing.handle();
            true
        }
        None => value.is_undefined(),
    }
}

/// An engine error that carries a cause.
pub(super) fn error(why: Why) -> Error {
    Error::new(ErrorKind::InvalidOperation, "no static value").with_source(why)
}

/// The cause of an engine error.
pub(super) fn why(error: &Error) -> Why {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut steps = 0;
    while let Some(current) = source.filter(|_| steps < 64) {
        if let Some(why) = current.downcast_ref::<Why>() {
            return why.clone();
        }
        source = current.source();
        steps += 1;
    }
    match error.kind() {
        ErrorKind::UndefinedError => Why::Undefined("undefined value".to_owned()),
        // Only the limit on the size of results stops writing.
        ErrorKind::OutOfFuel | ErrorKind::WriteFailure => Why::Budget,
        ErrorKind::SyntaxError => Why::Unsupported("template syntax".to_owned()),
        ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction => {
            // The detail of these names the filter, test or function, nothing else.
            Why::Unsupported(error.detail().unwrap_or("filter or function").to_owned())
        }
        ErrorKind::TemplateNotFound | ErrorKind::BadInclude => Why::Unsupported("included template".to_owned()),
        _ => Why::Unsupported("expression".to_owned()),
    }
}
