//! A task: which module it calls, with what, how often and where.

use std::sync::Arc;

use super::super::value::{Map, Value};

/// Keys of a task that are not its module.
const KEYWORDS: &[&str] = &[
    "action",
    "any_errors_fatal",
    "args",
    "async",
    "become",
    "become_exe",
    "become_flags",
    "become_method",
    "become_user",
    "changed_when",
    "check_mode",
    "collections",
    "connection",
    "debugger",
    "delay",
    "delegate_facts",
    "delegate_to",
    "diff",
    "environment",
    "failed_when",
    "ignore_errors",
    "ignore_unreachable",
    "listen",
    "local_action",
    "loop",
    "loop_control",
    "module_defaults",
    "name",
    "no_log",
    "notify",
    "poll",
    "port",
    "register",
    "remote_user",
    "retries",
    "run_once",
    "sudo",
    "sudo_user",
    "tags",
    "throttle",
    "timeout",
    "until",
    "vars",
    "when",
    "block",
    "rescue",
    "always",
    "first_available_file",
];

/// A module call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// The module's short name: `template` for `ansible.builtin.template`.
    pub module: String,
    pub args: Arc<Map>,
    /// Free text: a command line, or a file for `include_tasks`.
    pub free: Option<Value>,
}

/// The module call of a task; `None` for blocks and for what is no task.
pub(super) fn call(task: &Map) -> Option<Call> {
    let (module, value) = match task.get("action").or_else(|| task.get("local_action")) {
        Some(Value::Map(action)) => {
            let module = action.get("module")?.as_str()?;
            (module.to_owned(), Value::Map(action.clone()))
        }
        Some(action) => {
            let (module, rest) = action.as_str()?.split_once(' ').unwrap_or((action.as_str()?, ""));
            (module.to_owned(), Value::str(rest))
        }
        None => {
            let plain = |key: &str| !KEYWORDS.contains(&key) && !key.starts_with("with_");
            let (module, value) = task.iter().find(|(key, _)| plain(key))?;
            (module.to_string(), value.clone())
        }
    };
    let module = module.rsplit('.').next().unwrap_or_default().to_owned();
    let mut args = Map::new();
    let mut free = None;
    match &value {
        Value::Map(map) => args = map.as_ref().clone(),
        Value::Str(text) if is_command(&module) => free = Some(Value::Str(text.clone())),
        Value::Str(text) => {
            let rest = assignments(text, &mut args);
            if !rest.is_empty() {
                free = Some(Value::str(rest));
            }
        }
        _ => {}
    }
    if let Some(Value::Map(more)) = task.get("args") {
        args.extend(more.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    Some(Call {
        module,
        args: Arc::new(args),
        free,
    })
}

/// Modules whose argument is a command line.
pub(super) fn is_command(module: &str) -> bool {
    matches!(module, "command" | "shell" | "raw" | "script" | "expect")
}

/// Splits `src=a dest="b c"` into assignments; what is none is given back. Template expressions hold together.
fn assignments(text: &str, args: &mut Map) -> String {
    let mut free: Vec<&str> = Vec::new();
    for word in words(text) {
        match word.split_once('=') {
            Some((key, value)) if !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '_') => {
                let inner = |quote| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
                let value = inner('"').or_else(|| inner('\'')).unwrap_or(value);
                args.insert(Arc::from(key), Value::str(value));
            }
            _ => free.push(word),
        }
    }
    free.join(" ")
}

/// Words separated by blanks, where quotes and `{{ }}` hold together.
fn words(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = None;
    let mut quote: Option<char> = None;
    let mut braces = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => braces += 1,
            '}' => braces = braces.saturating_sub(1),
            _ => {}
        }
        if braces == 0 && matches!(c, '"' | '\'') {
            quote = match quote {
                None => Some(c),
                Some(open) if open == c => None,
                other => other,
            };
        }
        if c.is_whitespace() && quote.is_none() && braces == 0 {
            if let Some(from) = start.take() {
                found.push(text.get(from..at).unwrap_or_default());
            }
        } else if start.is_none() {
            start = Some(at);
        }
    }
    if let Some(from) = start {
        found.push(text.get(from..).unwrap_or_default());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Call {
        let task = super::super::super::yaml::load(text.as_bytes()).unwrap();
        call(task.as_map().unwrap()).unwrap()
    }

    #[test]
    fn modules_and_arguments_in_every_notation() {
        let call = parse("name: x\ntemplate: src={{ item.src }} dest=\"/a b\"\nwhen: y");
        assert_eq!(call.module, "template");
        assert_eq!(call.args["src"], Value::str("{{ item.src }}"));
        assert_eq!(call.args["dest"], Value::str("/a b"));
        let call = parse("ansible.builtin.include_tasks: a.yml");
        assert_eq!(
            (call.module.as_str(), call.free),
            ("include_tasks", Some(Value::str("a.yml")))
        );
        let call = parse("shell: run a=b | c\nargs: {chdir: /x}");
        assert_eq!(call.free, Some(Value::str("run a=b | c")));
        assert_eq!(call.args["chdir"], Value::str("/x"));
        assert_eq!(parse("action: copy src=a dest=b").module, "copy");
        assert_eq!(parse("local_action: {module: uri, url: x}").module, "uri");
    }
}
