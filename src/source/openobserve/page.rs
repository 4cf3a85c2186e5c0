//! One page after the other: ask, check that the answer is whole, decode, merge; cut the range if it is not.

use super::api::{Answer, Api, Search};
use super::density::{self, Seen};
use super::streams::{self, Stream};
use super::{hits, hosts, split, unreadable};
use crate::source::error::SourceError;
use crate::source::http::Incoming;
use crate::source::options::Selection;
use crate::source::pool::Queue;
use crate::source::tap::Tap;
use engine::aggregate::{Aggregator, records_range};
use engine::decode::json::{self, SearchPage};
use engine::decode::{Options, fields};
use engine::patterns::Masker;
use engine::record::Dataset;
use engine::window::{Window, Windows};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A buffer above this size is given back after its page.
const KEEP_BUFFER: usize = 2 << 20;
/// Rows that a stream is asked for that nothing is known of. A full page is thrown away, so it is small; most streams
/// have fewer rows in a window, and are done.
const PROBE_ROWS: usize = 8_000;

/// What to search for.
pub struct Target {
    stream: String,
    sql: String,
    options: Options,
    /// The same with the columns of hosts, which this one spares: for records that have no service.
    with_hosts: Option<Arc<Target>>,
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
    /// Nothing is known of the stream yet: asks for few rows, to see.
    probe: bool,
    /// The SQL already comes from a schema that was fetched anew.
    renewed: bool,
}

impl Page {
    /// The request; `count` asks for the number of its rows instead of them.
    fn search(&self, count: bool) -> Search<'_> {
        Search {
            dataset: self.target.options.dataset,
            stream: &self.target.stream,
            sql: &self.target.sql,
            range: self.range,
            size: self.size,
            count,
        }
    }
}

/// What one thread gathers.
#[derive(Default)]
pub struct Worker {
    buffer: Vec<u8>,
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
    /// Refused rows of each window, likewise.
    pub rejected: Vec<u64>,
}

impl Found {
    /// Adds what another page or thread found.
    pub fn add(&mut self, other: &Found) {
        self.seen.add(other.seen);
        add_each(&mut self.rows, &other.rows);
        add_each(&mut self.rejected, &other.rejected);
    }
}

/// A page that was read to its end.
struct Read {
    info: SearchPage,
    /// What came with it, whether the page turns out whole or not.
    fresh: Aggregator,
    /// Records of each window; none where parents are read.
    rows: Vec<u64>,
    /// Of each window, records that could not be used.
    rejected: Vec<u64>,
    /// Records without a service.
    nameless: u64,
    bytes: u64,
}

fn add_each(sums: &mut Vec<u64>, more: &[u64]) {
    if sums.len() < more.len() {
        sums.resize(more.len(), 0);
    }
    sums.iter_mut().zip(more).for_each(|(sum, n)| *sum += n);
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

    /// The first requests for a range of a stream: one, or more if it was busy the last time; none for a range without
    /// time, where only the streams are wanted.
    pub fn first_pages(&self, target: &Arc<Target>, range: Window) -> Vec<Task> {
        if range.is_empty() {
            return Vec::new();
        }
        let page_rows = self.selection.page_rows;
        let slices = density::slices(&self.stream_key(target), range, page_rows);
        let page = |range| {
            Task::Page(Page {
                target: target.clone(),
                range,
                size: slices.map_or(PROBE_ROWS.min(page_rows), |_| page_rows),
                probe: slices.is_none(),
                renewed: false,
            })
        };
        split::even(range, slices.unwrap_or(1)).into_iter().map(page).collect()
    }

    fn stream_key(&self, target: &Target) -> density::Key {
        (
            self.api.base().to_string(),
            target.options.dataset,
            target.stream.clone(),
        )
    }

    fn list(&self, dataset: Dataset, worker: &mut Worker, queue: &Queue<'_, Task>) -> Result<(), SourceError> {
        let wanted = self.selection.streams(dataset);
        let range = self.windows.range();
        let list = streams::list(self.api, dataset, range.to, &mut worker.buffer)?;
        for stream in list.iter().filter(|s| wanted.matches(&s.name)) {
            worker.found.entry((dataset, stream.name.clone())).or_default();
            // What counters grow by is counted from a little before the windows on.
            let from_earlier = dataset == Dataset::Metrics && fields::may_count(&stream.name, &stream.schema);
            let range = if from_earlier {
                records_range(dataset, range)
            } else {
                range
            };
            for task in self.first_pages(&self.records_of(dataset, stream), range) {
                queue.push(task);
            }
            if dataset == Dataset::Traces {
                worker.parents.push(self.parents_of(stream));
            }
        }
        Ok(())
    }

    fn page(&self, page: Page, worker: &mut Worker, queue: &Queue<'_, Task>) -> Result<(), SourceError> {
        worker.pages += 1;
        let read = |incoming: &mut Incoming<'_>, buffer: &mut Vec<u8>| self.read(&page, incoming, buffer);
        let result = match self.api.search(&page.search(false), &mut worker.buffer, read)? {
            Answer::Body(read) => self.take(page, read, worker, queue),
            Answer::NoStream => Ok(()),
            Answer::NoField(e) => self.renew(page, e, worker, queue),
            Answer::TooLarge if page.range.len() <= 1 => Err(self.api.too_large(&self.what(&page.target))),
            Answer::TooLarge => {
                self.push(&page, split::even(page.range, 2), queue);
                Ok(())
            }
        };
        if worker.buffer.capacity() > KEEP_BUFFER {
            worker.buffer = Vec::new();
        }
        result
    }

    /// Decodes a page while it arrives.
    fn read(&self, page: &Page, incoming: &mut Incoming<'_>, buffer: &mut Vec<u8>) -> Result<Read, SourceError> {
        let mut fresh = Aggregator::with_masker(self.windows, self.masker.clone());
        let (mut rows, mut rejected, mut nameless) = (Vec::new(), Vec::new(), 0);
        let info = match self.parents {
            Some(_) => json::parents_from_search_stream(&page.target.options, incoming, buffer, page.range, &mut fresh),
            None => {
                let of_windows = page.range.to > self.windows.range().from;
                let mut tap = Tap::new(&mut fresh, self.windows, None, of_windows);
                let info = json::search_stream(&page.target.options, incoming, buffer, &mut tap);
                (rows, rejected, nameless) = (tap.records, tap.rejected, tap.nameless);
                info
            }
        };
        Ok(Read {
            info: info.map_err(unreadable)?,
            fresh,
            rows,
            rejected,
            nameless,
            bytes: incoming.got(),
        })
    }

    /// Takes over what came with a page, if that is all there is of its range.
    fn take(&self, page: Page, read: Read, worker: &mut Worker, queue: &Queue<'_, Task>) -> Result<(), SourceError> {
        let target = &*page.target;
        let Read {
            info,
            fresh,
            rows,
            rejected,
            nameless,
            bytes,
        } = read;
        if let Some(start) = hits::moved_start(&info, page.range) {
            let Window { from, to } = page.range;
            self.push(&page, vec![Window::new(from, start), Window::new(start, to)], queue);
            return Ok(());
        }
        hits::check_whole(&info, self.api, &self.what(target))?;
        if let Some(with_hosts) = target.with_hosts.as_ref().filter(|_| nameless > 0) {
            hosts::need(self.stream_key(target));
            queue.push(Task::Page(Page {
                target: with_hosts.clone(),
                ..page
            }));
            return Ok(());
        }
        if info.hits >= page.size {
            return self.cut(page, bytes / info.hits.max(1) as u64, worker, queue);
        }
        if let Some(sink) = self.parents {
            sink.lock().unwrap_or_else(PoisonError::into_inner).merge(fresh);
            return Ok(());
        }
        let seen = Seen {
            rows: rows.iter().sum(),
            bytes,
            span_us: page.range.len(),
        };
        let found = worker.found.entry((target.options.dataset, target.stream.clone()));
        found.or_default().add(&Found { seen, rows, rejected });
        match &mut worker.aggregator {
            Some(a) => a.merge(fresh),
            none => *none = Some(fresh),
        }
        Ok(())
    }

    /// A full page may miss rows: it is thrown away, and its range asked for in as many slices as its rows, of so many
    /// bytes each, need. A single microsecond is asked for with a larger size.
    fn cut(&self, page: Page, row_bytes: u64, worker: &mut Worker, queue: &Queue<'_, Task>) -> Result<(), SourceError> {
        let page_rows = self.selection.page_rows;
        // A page that was no probe is cut in two at least, whatever the count says.
        let (size, least) = match page.probe {
            true => (page_rows, 1),
            false => (page.size, 2),
        };
        if page.range.len() <= 1 {
            queue.push(Task::Page(Page {
                size: size.saturating_mul(least),
                probe: false,
                ..page
            }));
            return Ok(());
        }
        queue.check()?;
        let slices = match self.api.count(&page.search(true), &mut worker.buffer)? {
            Some(rows) => {
                let seen = Seen {
                    rows,
                    bytes: rows.saturating_mul(row_bytes),
                    span_us: page.range.len(),
                };
                density::plan(seen, page.range, page_rows).max(least as u64)
            }
            None => 2,
        };
        let rest = Page {
            size,
            probe: false,
            ..page
        };
        self.push(&rest, split::even(rest.range, slices), queue);
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
        let list = streams::list(self.api, dataset, self.windows.range().to, &mut worker.buffer)?;
        // A stream that vanished meanwhile has no rows.
        if let Some(found) = list.iter().find(|s| s.name == page.target.stream) {
            queue.push(Task::Page(Page {
                target: match self.parents {
                    Some(_) => self.parents_of(found),
                    None => self.records_of(dataset, found),
                },
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

    /// How to ask for the records of a stream: without hosts, unless a record was seen that has no service.
    fn records_of(&self, dataset: Dataset, stream: &Stream) -> Arc<Target> {
        let labels = &self.selection.metric_labels;
        let columns = fields::needed_columns(dataset, &stream.schema, labels);
        let fewer = fields::without_hosts(dataset, &columns, labels);
        let whole = Arc::new(self.target(dataset, stream, columns));
        match fewer.filter(|_| !hosts::needed(&self.stream_key(&whole))) {
            Some(fewer) => Arc::new(Target {
                with_hosts: Some(whole),
                ..self.target(dataset, stream, fewer)
            }),
            None => whole,
        }
    }

    /// How to ask for spans as the parents of others.
    fn parents_of(&self, stream: &Stream) -> Arc<Target> {
        Arc::new(self.target(Dataset::Traces, stream, fields::parent_columns(&stream.schema)))
    }

    fn target(&self, dataset: Dataset, stream: &Stream, columns: Vec<String>) -> Target {
        let mut options = Options::stream(dataset, &stream.name, self.selection.metric_labels.clone());
        let sql = match stream.schema.is_empty() {
            true => format!("SELECT * FROM {}", quoted(&stream.name)),
            false => {
                options.shortened = columns.into_iter().filter(|c| c != fields::TIMESTAMP).collect();
                select(&stream.name, &options.shortened)
            }
        };
        Target {
            stream: stream.name.clone(),
            sql,
            options,
            with_hosts: None,
        }
    }

    fn what(&self, target: &Target) -> String {
        self.api.describe(target.options.dataset, &target.stream)
    }
}

/// Asks for `_timestamp` and for columns under short names: names are a third of an answer whose rows are objects.
fn select(stream: &str, columns: &[String]) -> String {
    let mut list = quoted(fields::TIMESTAMP);
    for (i, column) in columns.iter().enumerate() {
        list.push_str(&format!(", {} AS {}", quoted(column), quoted(&fields::short_name(i))));
    }
    format!("SELECT {list} FROM {}", quoted(stream))
}

/// A name as an SQL identifier.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
