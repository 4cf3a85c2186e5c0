//! Reads windows from OpenObserve's search API: the lists of streams, pages cut by time, then parents in the margins.

mod api;
mod count;
mod density;
mod hits;
mod hosts;
mod page;
mod plain;
mod replay;
mod rows;
pub mod search;
mod split;
mod streams;
mod sweep;

pub use replay::replay;

use super::count::Counts;
use super::error::{ErrorKind, SourceError};
use super::fetch::{self, Request};
use super::http::{self, Route};
use super::rows::Each;
use super::{Context, FetchStats, Locator, pool};
use api::Api;
use engine::aggregate::Aggregator;
use engine::decode::ReadError;
use engine::record::Dataset;
use engine::window::Window;
use page::{Fetch, Found, Target, Task, Worker};
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
    /// Sent as `Authorization: Bearer`, instead of a username with a password.
    pub token: Option<String>,
    pub route: Route,
}

impl fmt::Debug for OpenObserveConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenObserveConfig")
            .field("endpoint", &self.endpoint)
            .field("org", &self.org)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("route", &self.route)
            .finish()
    }
}

/// Reads one organization of one server; see [`fetch::Reader`].
pub struct Reader<'a> {
    api: Api<'a>,
    config: &'a OpenObserveConfig,
    request: Request<'a>,
    /// How to search each selected trace stream for parents; known once the records are read.
    traces: Vec<Arc<Target>>,
    stats: FetchStats,
}

impl<'a> Reader<'a> {
    /// # Errors
    /// Those of [`Api::new`].
    pub fn new(config: &'a OpenObserveConfig, request: Request<'a>) -> Result<Self, SourceError> {
        Ok(Reader {
            api: Api::new(config, request.server, request.ctx.http_timeout)?,
            config,
            request,
            traces: Vec::new(),
            stats: FetchStats::default(),
        })
    }

    fn fetch<'f>(&'f self, parents: Option<&'f Mutex<&'f mut Aggregator>>) -> Fetch<'f> {
        Fetch {
            api: &self.api,
            selection: self.request.selection,
            windows: self.request.windows,
            masker: &self.request.ctx.masker,
            parents,
        }
    }
}

impl fetch::Reader for Reader<'_> {
    fn records(&mut self) -> Result<(Aggregator, Vec<Locator>), SourceError> {
        let Request {
            selection,
            windows,
            server,
            ctx,
        } = self.request;
        let lists = selection.datasets().map(Task::List).collect();
        let workers = work(&self.fetch(None), lists, ctx)?;
        let mut aggregator = self.request.aggregator();
        let mut found: BTreeMap<Dataset, BTreeMap<String, Found>> = BTreeMap::new();
        for worker in workers {
            if let Some(a) = worker.aggregator {
                aggregator.merge(a);
            }
            for ((dataset, stream), part) in worker.found {
                found.entry(dataset).or_default().entry(stream).or_default().add(&part);
            }
            self.traces.extend(worker.parents);
            self.stats.pages += worker.pages;
        }
        let mut locators = Vec::new();
        for (dataset, streams) in &found {
            for (stream, part) in streams {
                // A range without time, as is asked for where only streams are wanted, tells nothing of a stream.
                if part.seen.span_us > 0 {
                    density::remember((self.api.base().to_string(), *dataset, stream.clone()), part.seen);
                }
                self.stats.add_records(*dataset, part.seen.rows);
            }
            for (i, window) in windows.iter().enumerate() {
                let of_window = |counts: fn(&Found) -> &[u64]| -> BTreeMap<&String, u64> {
                    let count = |part| counts(part).get(i).copied().unwrap_or(0);
                    streams.iter().map(|(name, part)| (name, count(part))).collect()
                };
                let mut rejected = of_window(|part| &part.rejected);
                rejected.retain(|_, n| *n > 0);
                let rows = of_window(|part| &part.rows);
                locators.push(locator(*dataset, rows, rejected, server, &self.config.org, window));
            }
        }
        Ok((aggregator, locators))
    }

    fn parents(&mut self, ranges: &[Window], into: &mut Aggregator) -> Result<(), SourceError> {
        let windows = into.windows();
        let sink = Mutex::new(into);
        let fetch = Fetch {
            windows,
            ..self.fetch(Some(&sink))
        };
        let pages = self
            .traces
            .iter()
            .flat_map(|target| ranges.iter().flat_map(|range| fetch.first_pages(target, *range)));
        let workers = work(&fetch, pages.collect(), self.request.ctx)?;
        self.stats.pages += workers.iter().map(|worker| worker.pages).sum::<u64>();
        Ok(())
    }

    fn counts(&mut self) -> Result<Counts, SourceError> {
        count::count(&self.api, self.request)
    }

    fn rows(&mut self, each: &mut Each<'_>) -> Result<(), SourceError> {
        rows::rows(&self.api, self.request, each)
    }

    fn stats(&self) -> FetchStats {
        let mut stats = self.stats.clone();
        stats.requests = self.api.client().requests();
        stats.bytes = self.api.client().bytes();
        stats
    }
}

/// Works `tasks` on the threads of the context.
fn work(fetch: &Fetch<'_>, tasks: Vec<Task>, ctx: &Context) -> Result<Vec<Worker>, SourceError> {
    let task = |task, worker: &mut Worker, queue: &pool::Queue<'_, Task>| fetch.task(task, worker, queue);
    pool::run(tasks, ctx.concurrency, &ctx.cancel, Worker::default, task, || {
        fetch.api.client().interrupt()
    })
}

/// The way back to the rows of one dataset in the window. The SQL is complete for one stream, and has `{stream}` in
/// its place for several, which the attributes list with their usable and, where there are any, refused rows.
fn locator(
    dataset: Dataset,
    rows: BTreeMap<&String, u64>,
    rejected: BTreeMap<&String, u64>,
    server: &str,
    org: &str,
    window: Window,
) -> Locator {
    let mut names = rows.keys();
    let name = match (names.next(), names.next()) {
        (Some(one), None) => page::quoted(one),
        _ => "{stream}".to_string(),
    };
    let Window { from, to } = window;
    let mut attributes = json!({ "org": org, "streams": rows });
    if let (Some(members), false) = (attributes.as_object_mut(), rejected.is_empty()) {
        members.insert("rejected".to_string(), json!(rejected));
    }
    Locator {
        dataset,
        bucket: server.to_string(),
        object_key: String::new(),
        t_from: from,
        t_to: to,
        query_hint: Some(format!(
            "SELECT * FROM {name} WHERE _timestamp >= {from} AND _timestamp < {to}"
        )),
        attributes,
    }
}

/// An answer that could not be read to its end: the window is tried again.
fn unreadable(e: ReadError) -> SourceError {
    match e {
        ReadError::Io(e) => http::read_error(e),
        ReadError::Decode(e) => {
            SourceError::new(ErrorKind::BadResponse, "the answer is cut short or not valid JSON").detail(e.to_string())
        }
    }
}
