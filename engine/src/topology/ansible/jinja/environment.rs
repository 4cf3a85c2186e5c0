//! The engine as Ansible needs it, and the bounds of one evaluation.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior};

use super::super::why::Why;
use super::session::Mode;
use super::{filters, format, lookups, methods};

/// Largest result of a template, in bytes.
const MAX_OUTPUT: usize = 4 << 20;
/// Instructions of one evaluation.
const FUEL: u64 = 200_000;

/// The word `in` outside of `for ... in`.
pub(super) fn tests_membership(text: &str) -> bool {
    let mut ins = 0_usize;
    let mut fors = 0_usize;
    for word in text.split(|c: char| !(c.is_alphanumeric() || c == '_')) {
        match word {
            "in" => ins += 1,
            "for" => fors += 1,
            _ => {}
        }
    }
    ins > fors
}

/// A result that cannot grow without bound.
pub(super) struct Limited {
    pub text: Vec<u8>,
    /// Told of the length, where someone asks how far the result is.
    pub written: Option<Arc<AtomicUsize>>,
}

impl Write for Limited {
    fn write(&mut self, more: &[u8]) -> std::io::Result<usize> {
        if self.text.len() + more.len() > MAX_OUTPUT {
            return Err(std::io::Error::other(Why::Budget));
        }
        self.text.extend_from_slice(more);
        if let Some(written) = &self.written {
            written.store(self.text.len(), Ordering::Relaxed);
        }
        Ok(more.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(super) fn environment(mode: Mode, trim: bool, lstrip: bool) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(match mode {
        Mode::Strict => UndefinedBehavior::Strict,
        Mode::Symbolic => UndefinedBehavior::Chainable,
    });
    let mut syntax = SyntaxConfig::builder();
    syntax
        .trim_blocks(trim)
        .lstrip_blocks(lstrip)
        .keep_trailing_newline(true);
    if let Ok(syntax) = syntax.build() {
        environment.set_syntax(syntax);
    }
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(64);
    environment.set_formatter(format::emit);
    environment.set_unknown_method_callback(methods::call);
    filters::add(&mut environment);
    lookups::add(&mut environment);
    environment
}
