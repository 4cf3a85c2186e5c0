//! One Parquet object of two million rows: a window over it takes the memory of a piece, not of the object.
//!
//! `OBSERVE_BRIDGE_LARGE_ROWS` says how many rows it has: two million in `make test`, whose extension is a release
//! build; fewer without it, with longer lines: of as many bytes.

use blackbox::bridge::{add_source, bridge, count, enqueue, run};
use blackbox::cluster::Cluster;
use blackbox::s3::{ACCESS_KEY, BUCKET, S3, SECRET_KEY};
use blackbox::telemetry::{MINUTE, T0};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use std::fs::{self, File};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Rows without the variable.
const FEW_ROWS: i64 = 100_000;
/// Bytes of the lines in the first row group: more than the memory limit.
const FIRST_GROUP: i64 = 72 << 20;
const SERVICES: i64 = 7;
/// Rows that are written at a time.
const BATCH: usize = 1 << 14;

const SCHEMA: &str =
    "message s { required int64 _timestamp; required binary body (UTF8); required binary service_name (UTF8); }";

/// What the object is like.
struct Shape {
    rows: i64,
    /// Rows of the first row group; the others are much smaller.
    first: i64,
    line: usize,
}

impl Shape {
    fn wanted() -> Shape {
        let rows = std::env::var("OBSERVE_BRIDGE_LARGE_ROWS").map_or(FEW_ROWS, |rows| rows.parse().expect("a number"));
        let first = rows * 3 / 5;
        let line = usize::try_from(FIRST_GROUP / first).expect("a length");
        Shape { rows, first, line }
    }

    fn groups(&self) -> impl Iterator<Item = Range<i64>> {
        let rest = (self.first..self.rows).step_by(usize::try_from(self.rows / 15).expect("rows"));
        let rest = rest.map(|from| from..self.rows.min(from + self.rows / 15));
        std::iter::once(0..self.first).chain(rest)
    }

    fn body(&self, n: i64) -> String {
        format!(
            "{:<width$}",
            format!("request {n} took {} ms", n % 1000),
            width = self.line
        )
    }
}

/// Writes the rows into a file, group by group: no more than a batch of a column is in memory.
fn write(path: &Path, shape: &Shape) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
    let properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .build();
    let schema = Arc::new(parse_message_type(SCHEMA).expect("a schema"));
    let file = File::create(path).expect("a file");
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).expect("a writer");
    for rows in shape.groups() {
        let mut group = writer.next_row_group().expect("a group");
        write_group(&mut group, shape, rows);
        group.close().expect("a group");
    }
    writer.close().expect("a file");
}

fn write_group(group: &mut SerializedRowGroupWriter<'_, File>, shape: &Shape, rows: Range<i64>) {
    let batches = || {
        rows.clone()
            .step_by(BATCH)
            .map(|from| from..rows.end.min(from + BATCH as i64))
    };
    let mut column = group.next_column().expect("a column").expect("_timestamp");
    for batch in batches() {
        let times: Vec<i64> = batch.map(|n| T0 + n * MINUTE / shape.rows).collect();
        column
            .typed::<Int64Type>()
            .write_batch(&times, None, None)
            .expect("times");
    }
    column.close().expect("a column");
    let service = |n: i64| format!("web{}", n % SERVICES);
    let texts: [&dyn Fn(i64) -> String; 2] = [&|n| shape.body(n), &service];
    for text in texts {
        let mut column = group.next_column().expect("a column").expect("a text");
        for batch in batches() {
            let texts: Vec<ByteArray> = batch.map(|n| ByteArray::from(text(n).into_bytes())).collect();
            column
                .typed::<ByteArrayType>()
                .write_batch(&texts, None, None)
                .expect("texts");
        }
        column.close().expect("a column");
    }
}

#[test]
fn two_million_rows_of_one_object_fit_into_a_quarter_of_the_memory_limit() {
    let s3 = S3::serve();
    let hive = s3.path("hive/logs/yyyy=2026/mm=01/dd=05/hh=10/mm=00/part.parquet");
    let shape = Shape::wanted();
    write(&hive, &shape);
    let openobserve = s3.path("openobserve/files/default/logs/default/2026/01/05/10/7413000000000000000abcd.parquet");
    fs::create_dir_all(openobserve.parent().expect("a folder")).expect("the folder");
    fs::hard_link(&hive, &openobserve).expect("the same object");
    let cluster = Cluster::start(&["observe_bridge.worker_memory_limit = '64MB'"]);
    for layout in ["hive", "openobserve"] {
        let mut db = bridge(&cluster, layout);
        db.exec(&format!(
            "CREATE SERVER lake FOREIGN DATA WRAPPER observe_bridge OPTIONS
                 (kind 's3', endpoint '{}', bucket '{BUCKET}', prefix '{layout}/', layout '{layout}');
             CREATE USER MAPPING FOR CURRENT_USER SERVER lake OPTIONS
                 (access_key_id '{ACCESS_KEY}', secret_access_key '{SECRET_KEY}')",
            s3.endpoint()
        ));
        add_source(&mut db, "lake", "{\"settle\": 0}");
        enqueue(&mut db, T0, 1);
        run(&mut db);
        let error = db.rows("SELECT error FROM etl_job_run");
        assert_eq!(count(&mut db, "oo-agg", "success"), 1, "{layout}: {error:?}");
        let counted = db.rows(
            "SELECT r.name, sum(l.count_total), count(*) FROM log_pattern_5m l
               JOIN dim_resource r USING (resource_id) GROUP BY 1 ORDER BY 1",
        );
        let of = |service: i64| (shape.rows - service + SERVICES - 1) / SERVICES;
        let expected: Vec<_> = (0..SERVICES)
            .map(|service| vec![format!("web{service}"), of(service).to_string(), "1".to_string()])
            .collect();
        assert_eq!(counted, expected, "{layout}: lines and patterns of each service");
    }
}
