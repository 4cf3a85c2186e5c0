//! One page after the other: ask, check that the answer is whole, decode, merge; cut the range if it is not.

use super::api::{Answer, Api, Search};
use super::density::{self, Seen};
use super::streams::{self, Stream};
use super::{split, undecodable};
use crate::source::error::{ErrorKind, SourceError, excerpt};
use crate::source::options::Selection;
use crate::source::pool::Queue;
use crate::source::tap::Tap;
use engine::aggregate::Aggregator;
use engine::decode::{Options, fields, json, reply};
use engine::patterns::Masker;
use engine::record::Dataset;
use engine::window::{Window, Windows};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A body buffer above this size is given back after its page.
const KEEP_BODY: usize = 8 << 20;

/// What to search for.
pub struct Target {
    stream: String,
    sql: String,
    options: Options,
}

/// A piece of work.
pub enum Task {
    /// Lists the streams of a dataset and asks for those selected.
    List(Dataset),
    Page(Page),
}

/// A range of a stream that is asked for in one request.
pub struct Page {
    target: Arc<Target>,
    range: Window,
    size: usize,
    /// The SQL already comes from a schema that was fetched anew.
    renewed: bool,
}

/// What one thread gathers.
#[derive(Default)]
pub struct Worker {
    body: Vec<u8>,
    /// Everything the thread decoded; nothing before the first page.
    pub aggregator: Option<Aggregator>,
    /// What was found by stream.
    pub found: HashMap<(Dataset, String), Found>,
    /// How to search each selected trace stream for parents.
    pub parents: Vec<Arc<Target>>,
    pub pages: u64,
}

/// What was found of a stream.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub seen: Seen,
    /// Rows of each window; none at all before the first page.
    pub rows: Vec<u64>,
}

impl Found {
    /// Adds what another page or thread found.
    pub fn add(&mut self, other: &Found) {
        self.seen.add(other.seen);
        if self.rows.len() < other.rows.len() {
            self.rows.resize(other.rows.len(), 0);
        }
        self.rows
            .iter_mut()
            .zip(&other.rows)
            .for_each(|(sum, rows)| *sum += rows);
    }
}

/// One fetch. With `parents` set, pages hold parents only and go there.
#[derive(Clone, Copy)]
pub struct Fetch<'a> {
    pub api: &'a Api<'a>,
    pub selection: &'a Selection,
    pub windows: Windows,
    pub masker: &'a Masker,
    pub parents: Option<&'a Mutex<&'a mut Aggregator>>,
}

impl Fetch<'_> {
    /// Does one piece of work.
    pub fn task(&self, task: Task, worker: &mut Worker, queue: &Queue<'_, Task>) -> Result<(), SourceError> {
        queue.check()?;
        match task {
            Task::List(dataset) => self.list(dataset, worker, queue),
            Task::Page(page) => self.page(page, worker, queue),
        }
    }

    /// The first requests for a range of a stream: one, or more if it was busy the last time.
    pub fn first_pages(&self, target: &Arc<Target>, range: Window) -> Vec<Task> {
        let n = density::slices(&self.density_key(target), range, self.selection.page_rows);
        let size = self.selection.page_rows;
        let page = |range| {
            Task::Page(Page {
                target: target.clone(),
                range,
                size,
                renewed: false,
            })
        };
        split::even(range, n).into_iter().map(page).collect()
    }

    fn density_key(&self, target: &Target) -> density::Key {
        (
            self.api.base().to_string(),
            target.options.dataset,
            target.stream.clone(),
        )
    }

    fn list(&self, dataset: Dataset, worker: &mut Worker, queue: &Queue<'_, Task>) -> Result<(), SourceError> {
        let wanted = self.selection.streams(dataset);
        let range = self.windows.range();
        let list = streams::list(self.api, dataset, range.to, &mut worker.body)?;
        for stream in list.iter().filter(|s| wanted.matches(&s.name)) {
            worker.found.entry((dataset, stream.name.clone())).or_default();
            let columns = fields::needed_columns(dataset, &stream.schema, &self.selection.metric_labels);
            for task in self.first_pages(&self.target(dataset, stream, &columns), range) {
                queue.push(task);
            }
            if dataset == Dataset::Traces {
                worker
                    .parents
                    .push(self.target(dataset, stream, &fields::parent_columns(&stream.schema)));
            }
        }
        Ok(())
    }

    fn page(&self, page: Page, worker: &mut Worker, queue: &Queue<'_, Task>) -> Result<(), SourceError> {
        worker.pages += 1;
        let result = match self.ask(&page, false, &mut worker.body)? {
            Answer::Body => self.decode(page, worker, queue),
            Answer::NoStream => Ok(()),
            Answer::NoField(e) => self.renew(page, e, worker, queue),
            Answer::TooLarge if page.range.len() <= 1 => Err(self.api.too_large(&self.what(&page.target))),
            Answer::TooLarge => {
                self.push(&page, split::even(page.range, 2), queue);
                Ok(())
            }
        };
        if worker.body.capacity() > KEEP_BODY {
            worker.body = Vec::new();
        }
        result
    }

    fn ask(&self, page: &Page, count: bool, body: &mut Vec<u8>) -> Result<Answer, SourceError> {
        let Target { stream, sql, options } = &*page.target;
        let search = Search {
            dataset: options.dataset,
            stream,
            sql,
            range: page.range,
            size: page.size,
            count,
        };
        self.api.search(&search, body)
    }

    /// Decodes the page in the worker's buffer. Only a page that turns out whole reaches the worker's aggregator.
    fn decode(&self, page: Page, worker: &mut Worker, queue: &Queue<'_, Task>) -> Result<(), SourceError> {
        let target = &*page.target;
        let failed = |e| undecodable(self.api, &self.what(target), &e);
        let mut fresh = Aggregator::with_masker(self.windows, self.masker.clone());
        let mut rows = Vec::new();
        let info = match self.parents {
            // Finding a parent twice is harmless, so these need no page of their own.
            Some(sink) => {
                let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
                json::parents_from_search_response(&worker.body, page.range, &mut **sink).map_err(failed)?
            }
            None => {
                let mut tap = Tap::new(&mut fresh, self.windows, None);
                let info = json::search_response(&target.options, &worker.body, &mut tap).map_err(failed)?;
                rows = tap.records;
                info
            }
        };
        if let Some(start) = info
            .new_start_time
            .filter(|s| page.range.from < *s && *s < page.range.to)
        {
            // The stream's max_query_range is shorter than the range, and the server moved the start.
            let Window { from, to } = page.range;
            self.push(&page, vec![Window::new(from, start), Window::new(start, to)], queue);
            return Ok(());
        }
        if info.is_partial || !info.function_error.is_empty() {
            return Err(self.partial(target, &info.function_error));
        }
        if info.hits >= page.size {
            return self.cut(page, worker, queue);
        }
        if self.parents.is_none() {
            let seen = Seen {
                rows: rows.iter().sum(),
                bytes: worker.body.len() as u64,
                span_us: page.range.len(),
            };
            worker
                .found
                .entry((target.options.dataset, target.stream.clone()))
                .or_default()
                .add(&Found { seen, rows });
            match &mut worker.aggregator {
                Some(a) => a.merge(fresh),
                none => *none = Some(fresh),
            }
        }
        Ok(())
    }

    /// A full page may miss rows: it is thrown away, and its range asked for in as many slices as its rows need. A
    /// single microsecond is asked for with twice the size.
    fn cut(&self, page: Page, worker: &mut Worker, queue: &Queue<'_, Task>) -> Result<(), SourceError> {
        if page.range.len() <= 1 {
            queue.push(Task::Page(Page {
                size: page.size.saturating_mul(2),
                ..page
            }));
            return Ok(());
        }
        queue.check()?;
        let rows = match self.ask(&page, true, &mut worker.body)? {
            Answer::Body => reply::count_response(&worker.body).ok(),
            _ => None,
        };
        // Without a count: cut in two, and again if need be.
        self.push(&page, split::slices(page.range, rows.unwrap_or(0), page.size), queue);
        Ok(())
    }

    /// A column is gone: asks once more with the schema as it is now.
    fn renew(
        &self,
        page: Page,
        e: SourceError,
        worker: &mut Worker,
        queue: &Queue<'_, Task>,
    ) -> Result<(), SourceError> {
        if page.renewed {
            return Err(e);
        }
        let dataset = page.target.options.dataset;
        streams::forget(self.api, dataset);
        let list = streams::list(self.api, dataset, self.windows.range().to, &mut worker.body)?;
        // A stream that vanished meanwhile has no rows.
        if let Some(found) = list.iter().find(|s| s.name == page.target.stream) {
            let columns = match self.parents {
                Some(_) => fields::parent_columns(&found.schema),
                None => fields::needed_columns(dataset, &found.schema, &self.selection.metric_labels),
            };
            queue.push(Task::Page(Page {
                target: self.target(dataset, found, &columns),
                renewed: true,
                ..page
            }));
        }
        Ok(())
    }

    fn push(&self, page: &Page, ranges: Vec<Window>, queue: &Queue<'_, Task>) {
        for range in ranges {
            queue.push(Task::Page(Page {
                target: page.target.clone(),
                range,
                ..*page
            }));
        }
    }

    fn partial(&self, target: &Target, said: &[String]) -> SourceError {
        let e = SourceError::new(ErrorKind::Partial, "the server says that its answer is incomplete");
        self.api.named(e.detail(excerpt(&said.join("; "))), &self.what(target))
    }

    fn target(&self, dataset: Dataset, stream: &Stream, columns: &[String]) -> Arc<Target> {
        let options = Options::stream(dataset, &stream.name, self.selection.metric_labels.clone());
        Arc::new(Target {
            stream: stream.name.clone(),
            sql: select(stream, columns),
            options,
        })
    }

    fn what(&self, target: &Target) -> String {
        self.api.describe(target.options.dataset, &target.stream)
    }
}

/// A stream whose columns the server does not tell is asked for whole.
fn select(stream: &Stream, columns: &[String]) -> String {
    let list = match stream.schema.is_empty() {
        true => "*".to_string(),
        false => columns.iter().map(|c| quoted(c)).collect::<Vec<_>>().join(", "),
    };
    format!("SELECT {list} FROM {}", quoted(&stream.name))
}

/// A name as an SQL identifier.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
