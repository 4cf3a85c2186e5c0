//! Evaluations over one inventory: limits, cycles, and the record of what was read.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::Environment;

use super::super::value::{Value, is_template};
use super::super::why::Why;
use super::super::world::World;
use super::environment::{Limited, environment, tests_membership};
use super::format::{self, Emitted};
use super::frame::{self, Missing};
use super::objects::Root;
use super::scope::Scope;
use super::{lookups, nesting, source};

/// Variables in variables, at most.
const MAX_DEPTH: usize = 24;
/// Largest text of a template, in bytes.
const MAX_TEMPLATE: usize = 1 << 20;
/// Most endpoints that `set` builds in one template, and the most bytes of one.
const MAX_BUILT: usize = 1_000;
/// Most reads of groups noted for one evaluation.
const MAX_ACCESSES: usize = 10_000;
/// Instructions and bytes of all evaluations of one extraction together.
const MAX_WORK: u64 = 2_000_000_000;

/// How to treat hosts and unknown values; see the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Strict,
    Symbolic,
}

/// A group that was read while so many bytes of the result were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    pub at: usize,
    pub group: Arc<str>,
}

/// A rendered text.
#[derive(Clone, Debug)]
pub struct Rendered {
    pub text: String,
    /// In the order in which the groups were read.
    pub accesses: Vec<Access>,
    /// Endpoints that `set` built, with the groups that were read so far: [`Access::at`] is at most 0 in them.
    pub built: Vec<(String, Vec<Access>)>,
}

/// Evaluates templates over one inventory.
pub struct Session {
    pub world: Arc<World>,
    pub mode: Mode,
    /// By (trim_blocks, lstrip_blocks).
    environments: HashMap<(bool, bool), Environment<'static>>,
    run: Mutex<Run>,
    /// Bytes of the outermost result so far.
    written: Arc<AtomicUsize>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Run {
    /// Templates that are being evaluated: address of the text, host.
    active: Vec<(usize, Option<Arc<str>>)>,
    frames: Vec<Frame>,
    work: u64,
    accesses: Vec<Access>,
    built: Vec<(String, Vec<Access>)>,
    /// Values of variables in the outermost evaluation that runs, with the groups that they read. By scope, host and text:
    /// scopes of other hosts come and go, so an address alone is not enough.
    known: HashMap<Key, (minijinja::Value, Vec<Arc<str>>)>,
}

/// Scope and text by address, and the host.
type Key = (usize, usize, Option<Arc<str>>);

/// What became known while one template is evaluated.
#[derive(Default)]
struct Frame {
    /// Undefined values that came into being.
    notes: Vec<Arc<Missing>>,
    /// Whether the template tests membership (`x in y`).
    membership: bool,
    /// Why a variable that was read has no value; the engine keeps only that it has none.
    failure: Option<Why>,
}

impl Session {
    pub fn new(world: Arc<World>, mode: Mode) -> Arc<Session> {
        let mut environments = HashMap::new();
        for (trim, lstrip) in [(true, false), (true, true), (false, false), (false, true)] {
            environments.insert((trim, lstrip), environment(mode, trim, lstrip));
        }
        Arc::new(Session {
            world,
            mode,
            environments,
            run: Mutex::default(),
            written: Arc::default(),
        })
    }

    fn run(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the work that is allowed for one extraction is done, or nobody wants it any more.
    pub fn is_spent(&self) -> bool {
        self.world.is_stopped() || self.run().work >= MAX_WORK
    }

    pub(super) fn note(&self, missing: Arc<Missing>) {
        if let Some(frame) = self.run().frames.last_mut() {
            frame.notes.push(missing);
        }
    }

    /// Notes why a variable has no value, for the error that comes of using it.
    pub(super) fn fail(&self, why: Why) {
        if let Some(frame) = self.run().frames.last_mut() {
            frame.failure.get_or_insert(why);
        }
    }

    /// Whether an absent key must look absent (for `in`) rather than be an undefined value.
    pub(super) fn tests_membership(&self) -> bool {
        self.run().frames.last().is_some_and(|frame| frame.membership)
    }

    pub(super) fn read_group(&self, group: &Arc<str>, hosts: usize) {
        let at = self.written.load(Ordering::Relaxed);
        let mut run = self.run();
        run.work = run.work.saturating_add(hosts as u64);
        if self.mode == Mode::Symbolic && run.accesses.len() < MAX_ACCESSES {
            run.accesses.push(Access {
                at,
                group: group.clone(),
            });
        }
    }

    /// The value of a variable or argument, templates evaluated throughout. Text in the result is never a template.
    pub fn eval(self: &Arc<Self>, scope: &Arc<Scope>, value: &Value) -> Result<Value, Why> {
        if !value.has_template() && self.mode == Mode::Strict {
            return match value {
                Value::Vault => Err(Why::Vault("vault".to_owned())),
                other => Ok(other.clone()),
            };
        }
        self.evaluated(|| format::finalize(self, &scope.lazy(value)))
    }

    /// Like [`Session::eval`], with the groups that were read.
    pub fn eval_traced(self: &Arc<Self>, scope: &Arc<Scope>, value: &Value) -> (Result<Value, Why>, Vec<Access>) {
        self.begin();
        let result = self.eval(scope, value);
        (result, std::mem::take(&mut self.run().accesses))
    }

    /// Renders the text of a template file.
    pub fn render(self: &Arc<Self>, scope: &Arc<Scope>, text: &str) -> Result<Rendered, Why> {
        self.begin();
        let (trim, lstrip, body) = source::header(text);
        let text = self.expand(scope, body, (trim, lstrip), true)?.1;
        let mut run = self.run();
        Ok(Rendered {
            text,
            accesses: std::mem::take(&mut run.accesses),
            built: std::mem::take(&mut run.built),
        })
    }

    /// The line (from 1) at which rendering fails; `None` where it does not, or where the text does not compile.
    pub fn failing_line(self: &Arc<Self>, scope: &Arc<Scope>, text: &str) -> Option<usize> {
        let (trim, lstrip, body) = source::header(text);
        let skipped = text
            .len()
            .checked_sub(body.len())
            .and_then(|end| text.get(..end))?
            .matches('\n')
            .count();
        if !nesting::is_bounded(body) {
            return None;
        }
        let changed = self.prepared(body);
        let template = self
            .environments
            .get(&(trim, lstrip))?
            .template_from_str(&changed)
            .ok()?;
        let mut output = Limited {
            text: Vec::new(),
            written: None,
        };
        let root = minijinja::Value::from_object(Root::new(scope.clone()));
        let failed = template.render_captured_to(root, &mut output).err()?;
        failed.line().map(|line| line + skipped)
    }

    /// Whether a condition (`when`) holds.
    pub fn test(self: &Arc<Self>, scope: &Arc<Scope>, condition: &Value) -> Result<bool, Why> {
        let text = match condition {
            Value::Bool(flag) => return Ok(*flag),
            Value::Null => return Ok(true),
            Value::Str(text) => text.trim(),
            Value::List(all) => {
                for one in all.iter() {
                    if !self.test(scope, one)? {
                        return Ok(false);
                    }
                }
                return Ok(true);
            }
            _ => return Err(Why::Unsupported("condition".to_owned())),
        };
        if text.is_empty() {
            return Ok(true);
        }
        let expression = if is_template(text) {
            text.to_owned()
        } else {
            format!("{{{{ {text} }}}}")
        };
        let value = self.evaluated(|| {
            let (value, _) = self.expand(scope, &expression, (true, false), false)?;
            format::finalize(self, &value)
        })?;
        Ok(match &value {
            Value::Null => false,
            Value::Bool(flag) => *flag,
            Value::Int(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Str(text) | Value::Unsafe(text) => match text.as_ref() {
                "" | "False" | "false" | "no" | "off" | "0" => false,
                "True" | "true" | "yes" | "on" | "1" => true,
                // A bare variable that holds an expression.
                _ => return Err(Why::Unsupported("condition".to_owned())),
            },
            Value::List(list) => !list.is_empty(),
            Value::Map(map) => !map.is_empty(),
            Value::Vault => return Err(Why::Vault("vault".to_owned())),
        })
    }

    fn begin(&self) {
        self.written.store(0, Ordering::Relaxed);
        let mut run = self.run();
        run.accesses.clear();
        run.built.clear();
    }

    /// Notes a text that `set` built, where it holds a host and a port.
    pub(super) fn trace(&self, text: &str) {
        let mut chars = text.chars().peekable();
        let mut endpoint = false;
        while let Some(c) = chars.next() {
            endpoint |= format::token_of(c.encode_utf8(&mut [0; 4])).is_some() && chars.peek() == Some(&':');
        }
        let mut run = self.run();
        if endpoint && text.len() <= MAX_BUILT && run.built.len() < MAX_BUILT {
            let read: Vec<Access> = run
                .accesses
                .iter()
                .map(|access| Access {
                    at: 0,
                    group: access.group.clone(),
                })
                .collect();
            let known = run.built.iter().any(|(known, _)| known == text);
            if !known {
                run.built.push((text.to_owned(), read));
            }
        }
    }

    /// The text as the engine gets it.
    fn prepared(&self, text: &str) -> String {
        let text = source::with_mutable_lists(text);
        match self.mode {
            Mode::Strict => text.into_owned(),
            Mode::Symbolic => source::symbolic(&text, lookups::TRACE, |name| {
                let index = self
                    .world
                    .host_index(name)
                    .filter(|_| !self.world.members.contains_key(name))?;
                Some(format::token(index))
            }),
        }
    }

    /// Runs an evaluation in a frame of its own: undefined values left over are its failure.
    fn evaluated<T>(&self, work: impl FnOnce() -> Result<T, Why>) -> Result<T, Why> {
        self.framed(false, work)
    }

    fn framed<T>(&self, membership: bool, work: impl FnOnce() -> Result<T, Why>) -> Result<T, Why> {
        let mut run = self.run();
        if run.frames.is_empty() {
            run.known.clear();
        }
        run.frames.push(Frame {
            membership,
            ..Frame::default()
        });
        drop(run);
        let result = work();
        let frame = self.run().frames.pop().unwrap_or_default();
        let cause = match (&result, frame.failure) {
            (Err(Why::Unsupported(_)), Some(failure)) => Some(failure),
            _ => None,
        };
        let left = frame
            .notes
            .iter()
            .find(|missing| !missing.is_handled())
            .map(|missing| missing.why.clone());
        match (result, cause.or(left)) {
            (Err(first @ (Why::Budget | Why::Recursive | Why::Lookup(_) | Why::Vault(_))), _) => Err(first),
            (_, Some(why)) => Err(why),
            (result, None) => result,
        }
    }

    /// The value of a variable's template. Evaluated once for each outermost evaluation: variables in variables would cost
    /// exponential time otherwise.
    pub(super) fn variable(self: &Arc<Self>, scope: &Arc<Scope>, text: &Arc<str>) -> Result<minijinja::Value, Why> {
        let key = (Arc::as_ptr(scope) as usize, text.as_ptr() as usize, scope.host.clone());
        let before = {
            let mut run = self.run();
            if let Some((value, groups)) = run.known.get(&key).cloned() {
                let at = self.written.load(Ordering::Relaxed);
                run.accesses
                    .extend(groups.into_iter().map(|group| Access { at, group }));
                return Ok(value);
            }
            run.accesses.len()
        };
        let value = self.template(scope, text)?;
        let mut run = self.run();
        let groups = run
            .accesses
            .iter()
            .skip(before)
            .map(|access| access.group.clone())
            .collect();
        run.known.insert(key, (value.clone(), groups));
        Ok(value)
    }

    /// Evaluates one template text to an engine value.
    pub(super) fn template(self: &Arc<Self>, scope: &Arc<Scope>, text: &Arc<str>) -> Result<minijinja::Value, Why> {
        let key = (text.as_ptr() as usize, scope.host.clone());
        {
            let mut run = self.run();
            if run.active.contains(&key) {
                return Err(Why::Recursive);
            }
            if run.active.len() >= MAX_DEPTH {
                return Err(Why::Budget);
            }
            run.active.push(key);
        }
        let escaped = source::with_backslashes(text);
        let result = self.expand(scope, &escaped, (true, false), false);
        self.run().active.pop();
        result.map(|(value, _)| value)
    }

    /// The value and the text of a template.
    fn expand(
        self: &Arc<Self>,
        scope: &Arc<Scope>,
        text: &str,
        blocks: (bool, bool),
        outermost: bool,
    ) -> Result<(minijinja::Value, String), Why> {
        if text.len() > MAX_TEMPLATE || self.is_spent() || !nesting::is_bounded(text) {
            return Err(Why::Budget);
        }
        let environment = self.environments.get(&blocks).ok_or(Why::Budget)?;
        let membership = tests_membership(text);
        // Jinja2 drops a newline at the end; Ansible puts it back where the result is text.
        let newlines = text.len() - text.trim_end_matches('\n').len();
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = self.prepared(text);
        self.framed(membership, || {
            let template = environment
                .template_from_str(&text)
                .map_err(|error| frame::why(&error))?;
            let mut output = Limited {
                text: Vec::new(),
                written: outermost.then(|| self.written.clone()),
            };
            let root = minijinja::Value::from_object(Root::new(scope.clone()));
            let rendered = template.render_captured_to(root, &mut output);
            let captured = rendered.map_err(|error| frame::why(&error))?;
            let fuel = captured.state().fuel_levels().map_or(0, |(consumed, _)| consumed);
            let emitted = captured.state().get_extension::<Emitted>().cloned().unwrap_or_default();
            let mut text = String::from_utf8(output.text).map_err(|_| Why::Unsupported("text".to_owned()))?;
            let mut value = emitted.result(&text);
            let ended = |text: &str| text.len() - text.trim_end_matches('\n').len();
            if let Some(lacking) = value.as_str().and_then(|value| newlines.checked_sub(ended(value))) {
                value = minijinja::Value::from(format!("{}{}", value.as_str().unwrap_or(""), "\n".repeat(lacking)));
            }
            text.push_str(&"\n".repeat(newlines.saturating_sub(ended(&text))));
            let mut run = self.run();
            run.work = run.work.saturating_add(fuel + 32 + 2 * text.len() as u64);
            drop(run);
            Ok((value, text))
        })
    }
}
