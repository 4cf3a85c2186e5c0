//! Reads a window from OpenObserve's search API: the lists of streams, pages cut by time, then parents in the margins.

mod api;
mod density;
mod page;
mod replay;
mod split;
mod streams;

pub use replay::replay;

use super::error::{ErrorKind, SourceError};
use super::options::Selection;
use super::{Context, FetchStats, Fetched, Locator, margin, pool};
use api::Api;
use engine::aggregate::Aggregator;
use engine::record::Dataset;
use engine::window::Window;
use page::{Fetch, Target, Task, Worker};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

/// Options of a server of kind `openobserve` and its user mapping.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenObserveConfig {
    /// `http(s)://host[:port][/base/path]`.
    pub endpoint: String,
    pub org: String,
    pub username: Option<String>,
    pub password: Option<String>,
}

impl fmt::Debug for OpenObserveConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenObserveConfig")
            .field("endpoint", &self.endpoint)
            .field("org", &self.org)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .finish()
    }
}

/// Fetches `window`; see [`super::fetch`].
pub fn fetch(
    config: &OpenObserveConfig,
    selection: &Selection,
    server: &str,
    window: Window,
    ctx: &Context,
) -> Result<Fetched, SourceError> {
    let api = Api::new(config, server, ctx.http_timeout)?;
    let fetch = Fetch {
        api: &api,
        selection,
        window,
        parents: None,
    };
    let lists = selection.datasets().map(Task::List).collect();
    let workers = work(&fetch, lists, ctx)?;

    let mut aggregator = Aggregator::new(window);
    let mut seen: BTreeMap<Dataset, BTreeMap<String, density::Seen>> = BTreeMap::new();
    let mut stats = FetchStats::default();
    let mut traces = Vec::new();
    for worker in workers {
        if let Some(a) = worker.aggregator {
            aggregator.merge(a);
        }
        for ((dataset, stream), part) in worker.seen {
            seen.entry(dataset).or_default().entry(stream).or_default().add(part);
        }
        traces.extend(worker.parents);
        stats.pages += worker.pages;
    }
    stats.pages += parents(&fetch, &traces, &mut aggregator, ctx)?;
    let mut locators = Vec::new();
    for (dataset, streams) in &seen {
        for (stream, part) in streams {
            density::remember((api.base().to_string(), *dataset, stream.clone()), *part);
            stats.add_records(*dataset, part.rows);
        }
        locators.push(locator(*dataset, streams, server, config, window));
    }
    stats.requests = api.client().requests();
    stats.bytes = api.client().bytes();
    Ok(Fetched {
        aggregator,
        locators,
        stats,
    })
}

/// Works `tasks` on the threads of the context.
fn work(fetch: &Fetch<'_>, tasks: Vec<Task>, ctx: &Context) -> Result<Vec<Worker>, SourceError> {
    let task = |task, worker: &mut Worker, queue: &pool::Queue<'_, Task>| fetch.task(task, worker, queue);
    pool::run(tasks, ctx.concurrency, &ctx.cancel, Worker::default, task, || {
        fetch.api.client().interrupt()
    })
}

/// Looks for parents outside the window, nearest first, until none is missing. Returns the pages read.
fn parents(
    fetch: &Fetch<'_>,
    targets: &[Arc<Target>],
    aggregator: &mut Aggregator,
    ctx: &Context,
) -> Result<u64, SourceError> {
    let mut pages = 0;
    let s = fetch.selection;
    for step in margin::steps(fetch.window, s.parent_margin_before_us, s.parent_margin_after_us) {
        if targets.is_empty() || aggregator.unresolved_parents() == 0 {
            break;
        }
        let sink = Mutex::new(&mut *aggregator);
        let margin = Fetch {
            parents: Some(&sink),
            ..*fetch
        };
        let tasks = targets
            .iter()
            .flat_map(|t| step.iter().flat_map(|range| margin.first_pages(t, *range)))
            .collect();
        pages += work(&margin, tasks, ctx)?.into_iter().map(|w| w.pages).sum::<u64>();
    }
    Ok(pages)
}

/// The way back to the rows of one dataset in the window. The SQL is complete for one stream, and has `{stream}` in
/// its place for several, which the attributes list with their rows.
fn locator(
    dataset: Dataset,
    streams: &BTreeMap<String, density::Seen>,
    server: &str,
    config: &OpenObserveConfig,
    window: Window,
) -> Locator {
    let name = match streams.keys().next() {
        Some(one) if streams.len() == 1 => page::quoted(one),
        _ => "{stream}".to_string(),
    };
    let Window { from, to } = window;
    let rows: BTreeMap<&String, u64> = streams.iter().map(|(name, seen)| (name, seen.rows)).collect();
    Locator {
        dataset,
        bucket: server.to_string(),
        object_key: String::new(),
        t_from: from,
        t_to: to,
        query_hint: Some(format!(
            "SELECT * FROM {name} WHERE _timestamp >= {from} AND _timestamp < {to}"
        )),
        attributes: json!({ "org": config.org, "streams": rows }),
    }
}

/// An answer that could not be decoded: the window is tried again.
fn undecodable(api: &Api<'_>, what: &str, e: &engine::decode::DecodeError) -> SourceError {
    let cut =
        SourceError::new(ErrorKind::BadResponse, "the answer is cut short or not valid JSON").detail(e.to_string());
    api.named(cut, what)
}
