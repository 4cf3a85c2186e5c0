//! Reads windows from files of this machine, in three layouts.

mod columns;
mod hive;
mod ndjson;
mod object;
mod openobserve;
mod plain;
mod read;
mod roots;

use super::error::{ErrorKind, SourceError};
use super::fetch::{self, Request};
use super::{Context, FetchStats, Locator, pool};
use engine::aggregate::Aggregator;
use engine::record::Dataset;
use engine::window::Window;
use object::{Format, Object};
use roots::Place;
use serde_json::json;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

/// Options of a server of kind `file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileConfig {
    /// A folder, or one file in the plain layout.
    pub path: PathBuf,
    /// `observe_bridge.file_roots`: files are read below these only; none allows nothing.
    pub roots: Vec<PathBuf>,
    pub layout: Layout,
    /// The organization, in OpenObserve's layout.
    pub org: String,
}

/// How files are arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[stream/][files/]{org}/{type}/{stream}/{Y}/{M}/{D}/{H}/**.parquet`, as OpenObserve keeps its objects.
    OpenObserve,
    /// `{dataset}/yyyy=/mm=/dd=/hh=/mm=/*`, any prefix of these keys, and any other `key=value` folders in between.
    Hive,
    /// One file, or a folder of files, whose names tell their dataset.
    Plain,
}

impl FromStr for Layout {
    type Err = SourceError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "openobserve" => Ok(Layout::OpenObserve),
            "hive" => Ok(Layout::Hive),
            "plain" => Ok(Layout::Plain),
            _ => Err(SourceError::config(
                format!("layout \"{s}\" is not known"),
                "Valid layouts are: openobserve, hive, plain.",
            )),
        }
    }
}

/// What one thread gathers.
#[derive(Default)]
struct Worker {
    aggregator: Option<Aggregator>,
    locators: Vec<Locator>,
    stats: FetchStats,
}

/// Reads files; see [`fetch::Reader`].
pub struct Reader<'a> {
    place: Place,
    config: &'a FileConfig,
    request: Request<'a>,
    stats: FetchStats,
}

impl<'a> Reader<'a> {
    /// # Errors
    /// Those of [`Place::new`].
    pub fn new(config: &'a FileConfig, request: Request<'a>) -> Result<Self, SourceError> {
        Ok(Reader {
            place: Place::new(config)?,
            config,
            request,
            stats: FetchStats::default(),
        })
    }

    /// The objects of a dataset that may hold records of `range`.
    fn list(&self, dataset: Dataset, range: Window) -> Result<Vec<Object>, SourceError> {
        let (place, wanted) = (&self.place, self.request.selection.streams(dataset));
        match self.config.layout {
            Layout::OpenObserve => openobserve::list(place, &self.config.org, dataset, wanted, range),
            Layout::Hive => hive::list(place, dataset, wanted, range),
            Layout::Plain => plain::list(place, dataset, wanted),
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
        let mut objects = Vec::new();
        for dataset in selection.datasets() {
            objects.extend(self.list(dataset, windows.range())?);
        }
        let read = |object: Object, worker: &mut Worker, queue: &pool::Queue<'_, Object>| {
            queue.check()?;
            let aggregator = worker.aggregator.get_or_insert_with(|| Aggregator::new(windows));
            let got = read::records(&self.place, &object, selection, windows, &ctx.cancel, aggregator)?;
            worker.stats.files += 1;
            worker.stats.bytes += got.bytes;
            for (window, records) in windows.iter().zip(got.records) {
                worker.stats.add_records(object.dataset, records);
                if records > 0 {
                    worker.locators.push(locator(&object, records, server, window));
                }
            }
            Ok(())
        };
        let workers = pool::run(objects, ctx.concurrency, &ctx.cancel, Worker::default, read, || ())?;
        let mut aggregator = Aggregator::new(windows);
        let mut locators = Vec::new();
        for worker in workers {
            if let Some(a) = worker.aggregator {
                aggregator.merge(a);
            }
            locators.extend(worker.locators);
            self.stats.add(&worker.stats);
        }
        locators.sort_by(|a, b| (a.dataset, &a.object_key, a.t_from).cmp(&(b.dataset, &b.object_key, b.t_from)));
        Ok((aggregator, locators))
    }

    fn parents(&mut self, ranges: &[Window], into: &mut Aggregator) -> Result<(), SourceError> {
        let cancel = &self.request.ctx.cancel;
        let mut objects = Vec::new();
        for range in ranges {
            let found = self.list(Dataset::Traces, *range)?;
            objects.extend(found.into_iter().map(|object| (object, *range)));
        }
        let sink = Mutex::new(into);
        let read = |(object, range): (Object, Window), worker: &mut FetchStats, queue: &pool::Queue<'_, _>| {
            queue.check()?;
            // The lock is only poisoned by a panic, which ends the fetch.
            let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
            worker.files += 1;
            worker.bytes += read::parents(&self.place, &object, range, cancel, &mut **sink)?;
            Ok(())
        };
        // One thread: the aggregator can take parents from one file at a time only.
        let workers = pool::run(objects, 1, cancel, FetchStats::default, read, || ())?;
        workers.iter().for_each(|worker| self.stats.add(worker));
        Ok(())
    }

    fn stats(&self) -> FetchStats {
        self.stats.clone()
    }
}

fn locator(object: &Object, records: u64, server: &str, window: Window) -> Locator {
    Locator {
        dataset: object.dataset,
        bucket: server.to_string(),
        object_key: object.key.clone(),
        t_from: window.from,
        t_to: window.to,
        query_hint: None,
        attributes: json!({ "stream": object.stream, "records": records }),
    }
}

/// The rows of the locator's object in its window; see [`super::replay`].
pub fn replay(
    config: &FileConfig,
    locator: &Locator,
    max_records: usize,
    ctx: &Context,
) -> Result<Vec<String>, SourceError> {
    let place = Place::new(config)?;
    let format = Format::of(&locator.object_key).ok_or_else(|| {
        SourceError::config(
            format!("\"{}\" is no object this source could have read", locator.object_key),
            "Only locators written by a fetch can be replayed.",
        )
    })?;
    let object = Object {
        path: place.base().join(&locator.object_key),
        key: locator.object_key.clone(),
        dataset: locator.dataset,
        stream: None,
        format,
    };
    let range = Window::new(locator.t_from, locator.t_to);
    let gone = |what: &str| {
        SourceError::new(ErrorKind::Gone, format!("the records are gone: {what}"))
            .detail(format!("Server \"{}\", object \"{}\".", locator.bucket, object.key))
            .hint("Compaction or retention took the object away; replay the window to get a new locator.")
    };
    match read::rows(&place, &object, range, max_records, &ctx.cancel) {
        Ok(rows) if rows.is_empty() && max_records > 0 => Err(gone("the object has none in this window")),
        Err(e) if e.kind == ErrorKind::Gone => Err(gone("the object no longer exists")),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::fetch::{Fetched, FetchedWindow};
    use crate::source::{Selection, Source, SourceConfig};
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    fn context() -> Context {
        Context {
            cancel: Arc::default(),
            concurrency: 3,
            http_timeout: Duration::from_secs(1),
        }
    }

    fn config(path: &Path, layout: Layout) -> FileConfig {
        FileConfig {
            path: path.to_path_buf(),
            roots: vec![path.to_path_buf()],
            layout,
            org: "default".to_string(),
        }
    }

    fn fetched(config: &FileConfig, window: Window) -> Fetched {
        let source = Source {
            server: "files".to_string(),
            config: SourceConfig::File(config.clone()),
            selection: Selection::default(),
        };
        crate::source::fetch(&[source], window.into(), &context()).unwrap()
    }

    #[test]
    fn a_window_of_plain_files_and_back() {
        let dir = tempfile::tempdir().unwrap();
        let log = |ts: i64| format!("{{\"_timestamp\":{ts},\"body\":\"line {ts}\",\"service_name\":\"a\"}}\n");
        fs::write(
            dir.path().join("logs.ndjson"),
            log(5) + &log(10) + "no json\n" + &log(19) + &log(20),
        )
        .unwrap();
        let span = |ts: i64, id: &str, parent: &str, service: &str| {
            format!(
                "{{\"_timestamp\":{ts},\"trace_id\":\"t\",\"span_id\":\"{id}\",\"service_name\":\"{service}\",\
                 \"reference_parent_span_id\":\"{parent}\",\"duration\":7}}\n"
            )
        };
        fs::write(
            dir.path().join("traces.ndjson"),
            span(3, "p", "", "front") + &span(12, "c", "p", "back"),
        )
        .unwrap();
        let config = config(dir.path(), Layout::Plain);
        let got = fetched(&config, Window::new(10, 20));
        assert_eq!((got.stats.logs, got.stats.spans, got.stats.metrics), (2, 1, 0));
        let [FetchedWindow { output, locators, .. }] = got.windows.as_slice() else {
            panic!("one window")
        };
        assert_eq!(output.stats.orphan_spans, 0, "the parent lies in the margin");
        assert_eq!(
            locators.iter().map(|l| l.object_key.as_str()).collect::<Vec<_>>(),
            ["logs.ndjson", "traces.ndjson"]
        );

        let rows = replay(&config, &locators[0], 10, &context()).unwrap();
        assert_eq!(rows, [log(10).trim(), log(19).trim()]);
        assert_eq!(replay(&config, &locators[0], 1, &context()).unwrap().len(), 1);
        fs::remove_file(dir.path().join("logs.ndjson")).unwrap();
        let gone = replay(&config, &locators[0], 10, &context()).unwrap_err();
        assert_eq!((gone.kind, gone.is_permanent()), (ErrorKind::Gone, true));
    }

    #[test]
    fn a_locator_cannot_lead_outside() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        fs::write(dir.path().join("secret.json"), "{\"_timestamp\":1}").unwrap();
        let config = config(&dir.path().join("in"), Layout::Plain);
        let locator = Locator {
            dataset: Dataset::Logs,
            bucket: "files".to_string(),
            object_key: "../secret.json".to_string(),
            t_from: 0,
            t_to: 9,
            query_hint: None,
            attributes: json!({}),
        };
        assert_eq!(
            replay(&config, &locator, 1, &context()).unwrap_err().kind,
            ErrorKind::Config
        );
    }

    #[test]
    fn layouts_have_names() {
        assert_eq!("hive".parse::<Layout>().unwrap(), Layout::Hive);
        assert!(
            "x".parse::<Layout>()
                .unwrap_err()
                .hint
                .unwrap()
                .contains("openobserve, hive, plain")
        );
    }

    /// Needs the recordings of a real server below `$OBSERVE_BRIDGE_SHARED/openobserve`; passes without.
    #[test]
    fn objects_of_a_real_server() {
        let Ok(shared) = std::env::var("OBSERVE_BRIDGE_SHARED") else {
            return;
        };
        let config = config(
            &Path::new(&shared).join("openobserve/objects/disk"),
            Layout::OpenObserve,
        );
        let window = Window::new(1_795_216_260_000_000, 1_795_216_440_000_000);
        let got = fetched(&config, window);
        assert_eq!((got.stats.logs, got.stats.spans), (15_600, 3_017));
    }
}
