use super::*;
use crate::source::file::testing::place;
use crate::source::objects::Layout;
use engine::window::MINUTE_US;
use proptest::prelude::*;
use std::fs;

/// 2026-11-20 22:05 UTC.
const T: i64 = 1_795_212_300_000_000;
const HOUR_US: i64 = 60 * MINUTE_US;

/// The stretch of time and the stream that a path says, `None` where it does not fit.
fn said(template: &str, path: &str) -> Option<Partition> {
    let template = Template::parse(template).unwrap();
    let mut partition = Partition::default();
    for (level, name) in path.split('/').enumerate() {
        partition = template.enter(level, name, &partition, Dataset::Logs)?;
    }
    Some(partition)
}

fn bounds(template: &str, path: &str) -> Option<(i64, i64)> {
    said(template, path).and_then(|p| p.bounds()).map(|b| (b.from, b.to))
}

#[test]
fn templates_of_the_lakes_there_are() {
    let minute = Some((T, T + MINUTE_US));
    let hour = Some((T - 5 * MINUTE_US, T + 55 * MINUTE_US));
    for (template, path, expected) in [
        (
            "dataset/yyyy=/mm=/dd=/hh=/mm=",
            "logs/yyyy=2026/mm=11/dd=20/hh=22/mm=05",
            minute,
        ),
        (
            "/dataset/yyyy=/mm=/dd=/hh=/mm=/",
            "logs/yyyy=2026/mm=11/dd=20/hh=22/mm=05/host=a",
            minute,
        ),
        ("dataset/yyyy=/hh=/mm=", "logs/yyyy=2026-11-20/hh=22/mm=05", minute),
        ("dataset/yyyy=/hh=/mm=", "logs/yyyy=20261120/hh=22/mm=05", minute),
        ("dataset/dt=/hour=", "logs/dt=2026-11-20/hour=22", hour),
        ("dataset/Y/M/D/H", "logs/2026/11/20/22", hour),
        ("{dataset}/{Y}/{M}/{D}/{H}/{m}", "logs/2026/11/20/22/05", minute),
        ("v1/*/dataset/{Y}{M}{D}T{H}", "v1/eu/logs/20261120T22", hour),
        (
            "dataset/dt={Y}-{M}-{D}/{H}h{m}/shard=*",
            "logs/dt=2026-11-20/22h05/shard=7",
            minute,
        ),
    ] {
        assert_eq!(bounds(template, path), expected, "{template} {path}");
    }
    assert_eq!(said("*/dataset/Y", "_temporary/logs/2026"), None);
    for (template, path) in [
        ("{stream}/dataset/Y", "_shop/logs/2026"),
        ("_raw/dataset/Y", "_raw/logs/2026/_zone=1"),
    ] {
        assert!(
            said(template, path).is_some(),
            "a name that is told is none that lies aside: {path}"
        );
    }
    let named = said("{stream}/dataset/Y", "shop/logs/2026").unwrap();
    assert_eq!((named.stream.as_deref(), named.year), (Some("shop"), Some(2026)));
    let named = said("dataset/s-{stream}-v1/Y/M/D", "logs/s-shop-v1/2026/11/20").unwrap();
    assert_eq!(named.stream.as_deref(), Some("shop"));
}

#[test]
fn a_name_that_does_not_fit_is_none_of_the_lakes() {
    for (template, path) in [
        ("dataset/Y/M/D/H", "metrics/2026"),
        ("dataset/Y/M/D/H", "logs/_temporary"),
        ("dataset/Y/M/D/H", "logs/20261120"),
        ("dataset/yyyy=/mm=", "logs/year=2026"),
        ("dataset/{Y}-{M}", "logs/2026_11"),
        ("v1/dataset/Y", "v2/logs/2026"),
    ] {
        assert_eq!(said(template, path), None, "{template} {path}");
    }
    let untold = said("dataset/yyyy=/mm=/dd=", "logs/yyyy=2026/mm=__HIVE_DEFAULT_PARTITION__").unwrap();
    assert_eq!((untold.year, untold.month), (Some(2026), None), "looked into");
}

#[test]
fn nonsense_is_refused_and_named() {
    for (bad, why) in [
        ("", "without a name"),
        ("yyyy=/mm=", "folder dataset once"),
        ("dataset/dataset/Y", "folder dataset once"),
        ("dataset", "nothing of the time"),
        ("dataset/{stream}", "nothing of the time"),
        ("{stream}/dataset/stream=/Y", "stream twice"),
        ("dataset//Y", "without a name"),
        ("dataset/../Y", "never looked into"),
        ("dataset/hh=", "hour without a year"),
        ("dataset/yyyy=/dd=", "day without a month"),
        ("dataset/yyyy=/mm=/dd=/minute=", "minute without an hour"),
        ("dataset/yyyy=/yyyy=", "year twice"),
        ("dataset/Y/hh=/month=", "behind something finer"),
        ("dataset/yyyy=/region=", "region=*"),
        ("dataset/{year}", "known are"),
        ("dataset/{Y", "out of place"),
        ("dataset/Y}", "out of place"),
        ("dataset/a*b/Y", "out of place"),
        ("dataset/{stream}{Y}", "where {stream} ends"),
        ("dataset/Y/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*", "levels"),
    ] {
        let e = Template::parse(bad).unwrap_err();
        assert!(e.message.contains(why), "{bad}: {}", e.message);
        assert!(e.is_permanent() && e.hint.is_some());
    }
    let options =
        |pairs: &[(&str, &str)]| -> Options { pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect() };
    assert!(Template::parse_options(&options(&[("path_slack", "5 min")])).is_err());
    for (slack, good) in [("5 min", true), ("0", true), ("soon", false), ("2 d", false)] {
        let both = options(&[("path_slack", slack), ("path_template", "dataset/Y/M/D/H")]);
        assert_eq!(Template::parse_options(&both).is_ok(), good, "{slack}");
    }
}

/// The names of the objects that a range has.
fn found(files: &[&str], template: &str, slack_us: i64, range: Window) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    let root = dir.path().to_path_buf();
    let place = place(root.clone(), vec![root], Layout::Hive).unwrap();
    let mut template = Template::parse(template).unwrap();
    template.slack_us = slack_us;
    let objects = template.list(&place, Dataset::Logs, &Patterns::all(), range).unwrap();
    let name = |o: crate::source::objects::object::Object| o.key.rsplit('/').next().unwrap().to_string();
    objects.objects.into_iter().map(name).collect()
}

#[test]
fn only_folders_of_the_window_are_looked_into() {
    let files = [
        "logs/yyyy=2026/hh=22/mm=04/a.ndjson",
        "logs/yyyy=2026/hh=22/mm=05/b.ndjson",
        "logs/yyyy=2026/hh=22/mm=05/deeper/c.ndjson",
        "logs/yyyy=2026/hh=22/mm=05/_temporary/0/j.ndjson",
        "logs/yyyy=2026/hh=22/mm=05/_k.ndjson",
        "logs/yyyy=2026/hh=22/stray.ndjson",
        "logs/yyyy=2026/hh=21/mm=05/d.ndjson",
        "logs/yyyy=2025/hh=22/mm=05/e.ndjson",
        "logs/yyyy=2026-11-20/hh=22/mm=05/f.ndjson",
        "logs/yyyy=2026-11-19/hh=22/mm=05/g.ndjson",
        "logs/_temporary/h.ndjson",
        "spans/yyyy=2026/hh=22/mm=05/i.ndjson",
    ];
    let short = "dataset/yyyy=/hh=/mm=";
    let minute = Window::new(T, T + MINUTE_US);
    assert_eq!(found(&files, short, 0, minute), ["f.ndjson", "b.ndjson", "c.ndjson"]);
    assert_eq!(
        found(&files, short, 1, minute),
        ["f.ndjson", "a.ndjson", "b.ndjson", "c.ndjson"]
    );
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("other")).unwrap();
    let root = dir.path().to_path_buf();
    let place = place(root.clone(), vec![root], Layout::Hive).unwrap();
    let wrong = Template::parse(short)
        .unwrap()
        .list(&place, Dataset::Logs, &Patterns::all(), minute);
    assert!(wrong.unwrap_err().is_permanent());
}

proptest! {
    /// A folder that is written as the template says is looked into by exactly the windows of its time.
    #[test]
    fn windows_and_folders_agree(at in 0i64..4_000_000_000, from in 0i64..4_000_000_000, minutes in 1i64..600) {
        let at = chrono::DateTime::from_timestamp(at, 0).unwrap();
        let range = Window::new(from * 1_000_000, from * 1_000_000 + minutes * MINUTE_US);
        for (template, format, length) in [
            ("dataset/yyyy=/mm=/dd=/hh=/mm=", "logs/yyyy=%Y/mm=%m/dd=%d/hh=%H/mm=%M", MINUTE_US),
            ("dataset/yyyy=/hh=/mm=", "logs/yyyy=%F/hh=%H/mm=%M", MINUTE_US),
            ("dataset/Y/M/D/H", "logs/%Y/%m/%d/%H", HOUR_US),
        ] {
            let start = at.timestamp_micros().div_euclid(length) * length;
            let partition = said(template, &at.format(format).to_string()).unwrap();
            prop_assert_eq!(partition.overlaps(range), start < range.to && range.from < start + length);
        }
    }

    #[test]
    fn no_text_makes_it_panic(template in ".{0,60}", name in ".{0,40}") {
        if let Ok(template) = Template::parse(&template) {
            (0..4).for_each(|level| drop(template.enter(level, &name, &Partition::default(), Dataset::Logs)));
        }
        let _ = Template::parse(&format!("dataset/{template}/yyyy="));
    }
}
