use super::*;
use crate::decode::fields::LabelChoice;
use crate::decode::row::Records;
use crate::decode::testing::{Call, Calls};
use proptest::prelude::*;

/// What each way makes of an object; `None` where the quick way leaves it to the other.
fn both(options: &Options, raw: &str) -> (Option<Calls>, Calls) {
    let emit = |hits: &Hits<'_>| {
        let mut calls = Calls::default();
        let mut out = Records {
            options,
            sink: &mut calls,
        };
        if let Err(reason) = out.row(&hits.row) {
            out.reject(reason, hits.row.timestamp(), raw);
        }
        calls
    };
    let mut hits = Hits::new(options);
    let quick = hits.quick(raw).map(|_| emit(&hits));
    let mut hits = Hits::new(options);
    hits.careful(raw).unwrap();
    (quick, emit(&hits))
}

fn pair() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "_timestamp",
        "body",
        "message",
        "b\\u006fdy",
        "severity",
        "level",
        "service_name",
        "job",
        "host",
        "instance",
        "value",
        "le",
        "code",
        "trace_id",
        "span_id",
        "reference_parent_span_id",
        "duration",
        "span_status",
        "__name__",
    ]);
    let value = prop_oneof![
        3 => any::<u32>().prop_map(|n| n.to_string()),
        3 => "[a-z0-9]{0,3}".prop_map(|t| format!("\"{t}\"")),
        1 => any::<f64>().prop_filter("JSON", |f| f.is_finite()).prop_map(|f| format!("{f:e}")),
        1 => prop::sample::select(vec![
            "null", "true", "-0", "1.50", "1e999", "18446744073704551", "99999999999999999999", "-1", "\"12.5\"", "\"NaN\"",
            "\"\"", "\"\\n\\u00e9\"", "\"\\ud800\"", "{\"a\":[1]}", "[]",
        ]).prop_map(String::from),
    ];
    (key, value).prop_map(|(k, v)| format!("\"{k}\":{v}"))
}

proptest! {
    #[test]
    fn the_quick_way_and_the_careful_way_agree(
        pairs in prop::collection::vec(pair(), 0..12),
        dataset in prop::sample::select(Dataset::ALL.to_vec()),
        labels in prop::sample::select(vec![
            LabelChoice::None, LabelChoice::All, LabelChoice::Some(vec!["le".into(), "instance".into()]),
        ]),
    ) {
        let options = Options { labels, ..Options::new(dataset) };
        let (quick, careful) = both(&options, &format!("{{{}}}", pairs.join(",")));
        if let Some(quick) = quick {
            prop_assert_eq!(quick.0, careful.0);
        }
    }
}

#[test]
fn plain_records_go_the_quick_way() {
    let log = r#"{"_timestamp":1,"body":"a\nb","level":null,"service_name":"s","x":{"y":1}}"#;
    assert!(both(&Options::new(Dataset::Logs), log).0.is_some());
    let point = r#"{"_timestamp":1,"value":1.5,"le":"5","__name__":"m"}"#;
    let options = Options {
        labels: LabelChoice::All,
        ..Options::new(Dataset::Metrics)
    };
    assert!(both(&options, point).0.is_some());
}

/// Columns that the tests below call by short names.
const SHORTENED: [&str; 8] = [
    "body",
    "level",
    "service_name",
    "host",
    "value",
    "le",
    "code",
    "duration",
];

proptest! {
    #[test]
    fn short_names_make_no_difference(
        pairs in prop::collection::vec(pair(), 0..12),
        dataset in prop::sample::select(Dataset::ALL.to_vec()),
        labels in prop::sample::select(vec![LabelChoice::None, LabelChoice::All]),
    ) {
        let plain = Options { labels, ..Options::new(dataset) };
        let short = Options { shortened: SHORTENED.map(String::from).to_vec(), ..plain.clone() };
        let rename = |pair: &String| {
            let pair = pair.replace("\\u006f", "o");
            let (key, value) = pair.split_once(':').unwrap();
            let index = SHORTENED.iter().position(|column| format!("\"{column}\"") == key);
            index.map_or_else(|| pair.clone(), |i| format!("\"{}\":{value}", fields::short_name(i)))
        };
        let renamed: Vec<String> = pairs.iter().map(rename).collect();
        let (_, expected) = both(&plain, &format!("{{{}}}", pairs.join(",")));
        let (quick, careful) = both(&short, &format!("{{{}}}", renamed.join(",")));
        // A refused record is told with the long names; of a name that is there twice either may be meant.
        let without_samples = |calls: &Calls| -> Vec<String> {
            calls.0.iter().map(|call| match call {
                Call::Reject(dataset, reason, ts, _) => format!("{dataset:?} {reason:?} {ts:?}"),
                other => format!("{other:?}"),
            }).collect()
        };
        prop_assert_eq!(without_samples(&careful), without_samples(&expected));
        if let Some(quick) = quick {
            prop_assert_eq!(quick.0, careful.0);
        }
    }
}

#[test]
fn a_refused_record_is_told_with_the_names_that_its_columns_have() {
    let short = Options {
        shortened: SHORTENED.map(String::from).to_vec(),
        ..Options::new(Dataset::Logs)
    };
    let (_, calls) = both(
        &short,
        r#"{"_timestamp": 1, "b":"INFO","c":"a \"b\"", "x":{"a":[1, 2]}}"#,
    );
    let told = r#"{"_timestamp":1,"level":"INFO","service_name":"a \"b\"","x":{"a":[1, 2]}}"#;
    assert_eq!(
        calls.0,
        [Call::Reject(
            Dataset::Logs,
            RejectReason::MissingBody,
            Some(1),
            told.into()
        )]
    );
}
