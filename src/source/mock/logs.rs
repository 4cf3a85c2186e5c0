//! Log lines: templates filled with variables, spread evenly over each minute.

use std::ops::ControlFlow;

use engine::window::{MINUTE_US, Window};

use super::MockConfig;
use super::fleet::{Fleet, Service};
use super::rng::{Purpose, Rng};
use super::templates::{TEMPLATES, Template, Writer};
use super::vars::Var;

/// In how many of 1000 lines a host writes instead of a service.
const HOST_PER_MILLE: u64 = 15;

/// A log line, as visitors see it.
pub(super) struct LogView<'a> {
    /// UTC microseconds.
    pub(super) ts: i64,
    /// None when the host's own system writes.
    pub(super) service: Option<&'a Service>,
    pub(super) host: &'a str,
    pub(super) body: &'a str,
    /// The structured severity; None when the level stands in the body only.
    pub(super) severity: Option<&'static str>,
}

/// A part of a template.
enum Piece {
    Text(&'static str),
    Var(Var),
}

/// The templates one writer uses: running sums of their weights, and their places in [`TEMPLATES`].
struct Taste(Vec<(u64, usize)>);

impl Taste {
    /// The templates that `admits` says yes to, weighted by their own weight and `factor`.
    fn new(admits: impl Fn(Writer) -> bool, mut factor: impl FnMut() -> u64) -> Taste {
        let mut sum = 0;
        let admitted = TEMPLATES
            .iter()
            .enumerate()
            .filter(|(_, template)| admits(template.writer));
        Taste(
            admitted
                .map(|(index, template)| {
                    sum += u64::from(template.weight) * factor();
                    (sum, index)
                })
                .collect(),
        )
    }

    fn draw(&self, rng: &mut Rng) -> usize {
        let drawn = rng.below(self.0.last().map_or(0, |(sum, _)| *sum));
        let place = self.0.partition_point(|(sum, _)| *sum <= drawn);
        self.0.get(place).map_or(0, |(_, index)| *index)
    }
}

/// Calls `visit` for every line in `range`, in order of time, until it breaks.
pub(super) fn visit<B>(
    cfg: &MockConfig,
    fleet: &Fleet,
    range: Window,
    mut visit: impl FnMut(LogView<'_>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let templates: Vec<(&Template, Vec<Piece>)> = TEMPLATES.iter().map(|t| (t, pieces(t.text))).collect();
    let of_services: Vec<Taste> = (0u64..)
        .zip(&fleet.services)
        .map(|(index, s)| service_taste(cfg, index, s))
        .collect();
    let of_hosts = Taste::new(|writer| writer == Writer::Host, || 1);
    let rate = i64::from(cfg.logs_per_minute);
    let mut body = String::new();
    for minute in range.buckets(MINUTE_US) {
        for index in 0..rate {
            // Each line has a slot of its own in the minute.
            let slot = (index * MINUTE_US / rate, (index + 1) * MINUTE_US / rate);
            if minute + slot.1 <= range.from {
                continue;
            }
            if minute + slot.0 >= range.to {
                break;
            }
            let mut rng = Rng::new(cfg.seed, Purpose::Log, minute, index.cast_unsigned());
            let ts = minute + slot.0 + rng.below((slot.1 - slot.0).cast_unsigned()).cast_signed();
            if !range.contains(ts) {
                continue;
            }
            // Two draws: services near the entries are louder.
            let chosen = rng.index(fleet.services.len()).min(rng.index(fleet.services.len()));
            let by_host = rng.chance(HOST_PER_MILLE);
            let (Some(writer), Some(taste)) = (fleet.services.get(chosen), of_services.get(chosen)) else {
                continue;
            };
            let (service, taste) = if by_host {
                (None, &of_hosts)
            } else {
                (Some(writer), taste)
            };
            let Some((template, pieces)) = templates.get(taste.draw(&mut rng)) else {
                continue;
            };
            body.clear();
            for piece in pieces {
                match piece {
                    Piece::Text(text) => body.push_str(text),
                    Piece::Var(var) => var.render(&mut body, &mut rng, ts, service, fleet),
                }
            }
            let severity = if writer.lower_case {
                template.level.lower()
            } else {
                template.level.upper()
            };
            visit(LogView {
                ts,
                service,
                host: &writer.host,
                body: &body,
                severity: template.structured.then_some(severity),
            })?;
        }
    }
    ControlFlow::Continue(())
}

/// Services of one class write the same lines, but not equally often.
fn service_taste(cfg: &MockConfig, index: u64, service: &Service) -> Taste {
    let mut rng = Rng::new(cfg.seed, Purpose::LogTaste, 0, index);
    let admits = |writer| writer == Writer::Any || writer == Writer::Only(service.class);
    Taste::new(admits, || rng.between(1, 6))
}

/// Cuts a template at its variables. What only looks like a variable stays text.
fn pieces(text: &'static str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let (mut done, mut from) = (0, 0);
    while let Some((open, close)) = next_brackets(text, from) {
        from = close + 1;
        if let Some(var) = text.get(open + 1..close).and_then(Var::named) {
            pieces.extend(text.get(done..open).filter(|t| !t.is_empty()).map(Piece::Text));
            pieces.push(Piece::Var(var));
            done = from;
        }
    }
    pieces.extend(text.get(done..).filter(|t| !t.is_empty()).map(Piece::Text));
    pieces
}

/// The next `<` at or after `from`, and the `>` after it.
fn next_brackets(text: &str, from: usize) -> Option<(usize, usize)> {
    let open = from + text.get(from..)?.find('<')?;
    Some((open, open + text.get(open..)?.find('>')?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn templates_are_cut_at_their_variables() {
        let show = |text| {
            pieces(text)
                .iter()
                .map(|p| match p {
                    Piece::Text(t) => format!("[{t}]"),
                    Piece::Var(v) => format!("{v:?}"),
                })
                .collect::<String>()
        };
        assert_eq!(show("a <ip>:<port>"), "[a ]Ip[:]Port");
        assert_eq!(show("<ip>"), "Ip");
        assert_eq!(show("x < y <nothing> <ip"), "[x < y <nothing> <ip]");
        assert_eq!(show(""), "");
    }

    #[test]
    fn no_template_names_an_unknown_variable() {
        for (template, pieces) in TEMPLATES.iter().map(|t| (t, pieces(t.text))) {
            let left = pieces
                .iter()
                .any(|p| matches!(p, Piece::Text(t) if t.contains(['<', '>'])));
            assert!(!left, "{}", template.text);
        }
    }

    #[test]
    fn templates_are_distinct_and_their_json_is_json() {
        assert_eq!(
            TEMPLATES.iter().map(|t| t.text).collect::<BTreeSet<_>>().len(),
            TEMPLATES.len()
        );
        let cfg = MockConfig::default();
        let mut json = 0;
        let flow = visit(&cfg, &Fleet::new(&cfg), Window::new(0, MINUTE_US), |log| {
            if log.body.starts_with('{') {
                json += 1;
                assert!(
                    serde_json::from_str::<serde_json::Value>(log.body).is_ok(),
                    "{}",
                    log.body
                );
            }
            ControlFlow::<()>::Continue(())
        });
        assert!(flow.is_continue() && json > 50);
    }

    #[test]
    fn levels_are_as_in_life() {
        let cfg = MockConfig::default();
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        let flow = visit(&cfg, &Fleet::new(&cfg), Window::new(0, 4 * MINUTE_US), |log| {
            *counts.entry(log.severity.unwrap_or("none").to_lowercase()).or_default() += 1;
            ControlFlow::<()>::Continue(())
        });
        assert!(flow.is_continue());
        let all = f64::from(counts.values().sum::<u32>());
        let share = |names: &[&str]| f64::from(names.iter().filter_map(|n| counts.get(*n)).sum::<u32>()) / all;
        assert!(
            share(&["info"]) > 0.5 && (0.05..0.4).contains(&share(&["none"])),
            "{counts:?}"
        );
        assert!((0.02..0.12).contains(&share(&["warn", "warning"])), "{counts:?}");
        assert!((0.01..0.06).contains(&share(&["error"])), "{counts:?}");
        let fatal = share(&["fatal", "critical"]);
        assert!(fatal > 0.0 && fatal < 0.005, "{counts:?}");
    }
}
