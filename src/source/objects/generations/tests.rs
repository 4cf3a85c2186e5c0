use super::*;
use crate::source::file::testing::place;
use crate::source::objects::Layout;
use crate::source::objects::openobserve::hour;
use crate::source::objects::testing::{Row, parquet as bytes, writer};
use ::parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use engine::record::Dataset;
use proptest::prelude::*;
use std::fs;
use std::path::Path;

const FOLDER: &str = "files/default/logs/default/2026/11/20/22";
const ALL: Window = Window {
    from: i64::MIN,
    to: i64::MAX,
};

fn name(age: u64) -> String {
    format!("{:019}abcd.parquet", 7_529_685_024_161_923_072 + (age << 22))
}

fn write(dir: &Path, folder: &str, age: u64, rows: &[Row]) {
    let folder = dir.join(folder);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name(age)), bytes(rows, 10)).unwrap();
}

/// What counts of the folder, and the rows in it.
fn read(dir: &Path, range: Window) -> (Vec<String>, Vec<i64>) {
    let store = place(dir.to_path_buf(), vec![dir.to_path_buf()], Layout::OpenObserve).unwrap();
    let cancel = Arc::default();
    let objects = hour(&store, Dataset::Logs, "default", FOLDER).unwrap().objects;
    let chosen = Generations::new(&store, objects, &cancel).unwrap();
    let chosen = chosen.of(&store, range, &cancel).unwrap();
    let mut times = Vec::new();
    for object in &chosen {
        read::columns(&store, object, &Progress::new(&cancel), |reader| {
            parquet::timestamps(reader, range, |ts| times.push(ts))
        })
        .unwrap();
    }
    times.sort_unstable();
    let names = chosen
        .into_iter()
        .filter_map(|o| o.key.rsplit('/').next().map(str::to_string));
    (names.collect(), times)
}

fn rows(range: std::ops::Range<i64>) -> Vec<Row> {
    range.map(|ts| (ts, format!("line {ts}"))).collect()
}

#[test]
fn a_product_counts_and_its_sources_do_not() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), FOLDER, 1, &rows(0..10));
    write(dir.path(), FOLDER, 2, &rows(10..25));
    assert_eq!(read(dir.path(), ALL).0.len(), 2, "nothing is merged yet");
    write(dir.path(), FOLDER, 3, &rows(0..25));
    write(dir.path(), FOLDER, 4, &rows(25..30));
    assert_eq!(read(dir.path(), ALL).0, [name(3), name(4)]);
    write(dir.path(), FOLDER, 5, &rows(0..30));
    assert_eq!(read(dir.path(), ALL), (vec![name(5)], (0..30).collect()));
    // A source that was never deleted, without the others.
    fs::remove_file(dir.path().join(FOLDER).join(name(1))).unwrap();
    fs::remove_file(dir.path().join(FOLDER).join(name(3))).unwrap();
    assert_eq!(read(dir.path(), ALL), (vec![name(5)], (0..30).collect()));
    // An object outside the range is not opened at all.
    assert_eq!(read(dir.path(), Window::new(40, 50)).0, [] as [String; 0]);
}

/// An object whose column `code` holds numbers, or the same as texts: its type changed between two objects.
fn codes(rows: &[(i64, i64)], as_text: bool) -> Vec<u8> {
    let code = if as_text { "binary code (UTF8)" } else { "int64 code" };
    let schema = format!("message s {{ required int64 _timestamp; optional {code}; }}");
    let mut writer = writer(&schema, rows.len() * 30);
    let (times, codes): (Vec<i64>, Vec<i64>) = rows.iter().copied().unzip();
    let present = vec![1i16; rows.len()];
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&times, None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    if as_text {
        let texts: Vec<ByteArray> = codes.iter().map(|n| n.to_string().as_str().into()).collect();
        let column = column.typed::<ByteArrayType>();
        column.write_batch(&texts, Some(&present), None).unwrap();
    } else {
        let column = column.typed::<Int64Type>();
        column.write_batch(&codes, Some(&present), None).unwrap();
    }
    column.close().unwrap();
    group.close().unwrap();
    writer.into_inner().unwrap()
}

/// OpenObserve widens a column when it merges objects in which its types differ.
#[test]
fn a_source_whose_column_had_another_type_is_known_in_its_product() {
    let dir = tempfile::tempdir().unwrap();
    let put = |age, bytes: Vec<u8>| {
        fs::create_dir_all(dir.path().join(FOLDER)).unwrap();
        fs::write(dir.path().join(FOLDER).join(name(age)), bytes).unwrap();
    };
    let rows: Vec<(i64, i64)> = (0..10).map(|ts| (ts, 200 + ts % 3)).collect();
    put(1, codes(&rows[2..8], false));
    put(2, codes(&rows, true));
    assert_eq!(read(dir.path(), ALL), (vec![name(2)], (0..10).collect()));
    let mut other = rows[2..8].to_vec();
    other[3].1 += 1;
    put(1, codes(&other, false));
    assert_eq!(read(dir.path(), ALL).0, [name(1), name(2)], "a row differs");
}

#[test]
fn objects_that_only_look_alike_all_count() {
    let dir = tempfile::tempdir().unwrap();
    let told =
        |who: &str, times: std::ops::Range<i64>| -> Vec<Row> { times.map(|ts| (ts, format!("{who} {ts}"))).collect() };
    // Two writers at the same instants: the times of one are all in the other.
    write(dir.path(), FOLDER, 1, &told("a", 2..8));
    write(dir.path(), FOLDER, 2, &told("b", 0..10));
    assert_eq!(read(dir.path(), ALL).1.len(), 16);
    // The same rows in another folder of the hour belong to another partition.
    write(dir.path(), &format!("{FOLDER}/host=x"), 3, &told("a", 2..8));
    assert_eq!(read(dir.path(), ALL).1.len(), 22);
    // All rows but one are in the newer object.
    let mut most = told("b", 0..10);
    most.extend(told("a", 3..8));
    write(dir.path(), FOLDER, 4, &most);
    assert_eq!(
        read(dir.path(), ALL).0,
        [name(1), name(4), name(3)],
        "b is in the newest, a is not"
    );
}

#[test]
fn a_multiset_counts_repeated_rows() {
    let dir = tempfile::tempdir().unwrap();
    let twice: Vec<Row> = (0..6).map(|i| (i / 2, "again".to_string())).collect();
    write(dir.path(), FOLDER, 1, &twice);
    let mut newer = rows(3..20);
    newer.extend((0..3).map(|ts| (ts, "again".to_string())));
    write(dir.path(), FOLDER, 2, &newer);
    assert_eq!(
        read(dir.path(), ALL).1.len(),
        26,
        "each of them only once in the newer object"
    );
}

#[test]
fn a_broken_object_beside_others_is_named() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), FOLDER, 1, &rows(0..10));
    fs::write(dir.path().join(FOLDER).join(name(2)), "no parquet").unwrap();
    let store = place(dir.path().into(), vec![dir.path().into()], Layout::OpenObserve).unwrap();
    let objects = hour(&store, Dataset::Logs, "default", FOLDER).unwrap().objects;
    let broken = Generations::new(&store, objects, &Arc::default()).unwrap_err();
    assert!(broken.message.contains(&name(2)), "{}", broken.message);
}

#[test]
fn ids_order_by_age() {
    assert_eq!(
        id("a/b/7529685024161923072c0de.parquet"),
        Some(7_529_685_024_161_923_072)
    );
    assert_eq!(
        id("hash-sorted-v1-7529685024161923072c0de.parquet"),
        Some(7_529_685_024_161_923_072)
    );
    assert_eq!(id("1.parquet"), None);
}

/// Something that happens to a folder.
#[derive(Clone, Debug)]
enum Event {
    /// New rows: (offset in time, count).
    Flush(i64, i64),
    /// The newest so many objects that are alive are merged.
    Merge(usize),
    /// One of the merged sources is deleted at last.
    Delete(usize),
    /// A crash left the newest flushed rows under a second key.
    Orphan,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0i64..500, 1i64..30).prop_map(|(from, n)| Event::Flush(from, n)),
        3 => (2usize..5).prop_map(Event::Merge),
        2 => any::<usize>().prop_map(Event::Delete),
        1 => Just(Event::Orphan),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_row_counts_once_at_any_moment(events in prop::collection::vec(event(), 1..14), at in 0i64..500) {
        let dir = tempfile::tempdir().unwrap();
        let (mut alive, mut merged, mut truth) = (Vec::<(u64, Vec<Row>)>::new(), Vec::<u64>::new(), Vec::<i64>::new());
        for (age, event) in (1u64..).zip(events) {
            match event {
                Event::Flush(from, n) => {
                    // Spread, so that the times of objects overlap; a row is unlike all others.
                    let rows: Vec<Row> = (0..n).map(|i| (from + i * 7, format!("{age}/{i}"))).collect();
                    truth.extend(rows.iter().map(|r| r.0));
                    write(dir.path(), FOLDER, age, &rows);
                    alive.push((age, rows));
                }
                Event::Merge(n) if alive.len() >= n => {
                    let sources = alive.split_off(alive.len() - n);
                    let mut rows: Vec<Row> = sources.iter().flat_map(|s| s.1.clone()).collect();
                    rows.sort_by(|a, b| b.cmp(a));
                    write(dir.path(), FOLDER, age, &rows);
                    merged.extend(sources.iter().map(|s| s.0));
                    alive.push((age, rows));
                }
                Event::Delete(which) if !merged.is_empty() => {
                    let age = merged.swap_remove(which % merged.len());
                    fs::remove_file(dir.path().join(FOLDER).join(name(age))).unwrap();
                }
                Event::Orphan => if let Some((_, rows)) = alive.last() {
                    write(dir.path(), FOLDER, age, rows);
                },
                _ => {}
            }
        }
        if dir.path().join("files").exists() {
            let part = Window::new(at, at + 60);
            truth.sort_unstable();
            prop_assert_eq!(&read(dir.path(), ALL).1, &truth);
            truth.retain(|ts| part.contains(*ts));
            prop_assert_eq!(&read(dir.path(), part).1, &truth);
        }
    }
}
