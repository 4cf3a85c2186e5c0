use super::*;
use crate::decode::fields::LabelChoice;
use crate::decode::testing::{Call, Calls};
use proptest::prelude::*;

fn decode(options: &Options, hits: &str) -> Calls {
    let mut calls = Calls::default();
    let body = format!("{{\"took\":1,\"hits\":[{hits}],\"is_partial\":false}}");
    search_response(options, body.as_bytes(), &mut calls).unwrap();
    calls
}

fn logs(hits: &str) -> Calls {
    decode(&Options::new(Dataset::Logs), hits)
}

fn log(ts: i64, body: &str) -> Call {
    Call::Log {
        ts,
        service: None,
        host: None,
        body: body.into(),
        severity: None,
    }
}

#[test]
fn log_columns_by_priority() {
    let got = logs(
        r#"{"_timestamp":1,"msg":"m","message":"M","app":"a","service":"s","hostname":"h","level":"info","loglevel":"x"},
           {"_timestamp":2,"body":"b","message":"M","service_name":"","job":"j","severity":"ERROR","level":"info"}"#,
    );
    let text = |s: &str| Some(s.to_string());
    assert_eq!(
        got.0,
        [
            Call::Log {
                ts: 1,
                service: text("s"),
                host: text("h"),
                body: "M".into(),
                severity: text("info")
            },
            Call::Log {
                ts: 2,
                service: text("j"),
                host: None,
                body: "b".into(),
                severity: text("ERROR")
            },
        ]
    );
}

#[test]
fn odd_types_of_good_records() {
    let got = logs(
        r#"{"_timestamp":"1","body":7.50},{"_timestamp":2,"body":{"a": ["]"]}},{"_timestamp":3,"body":true},
           {"_timestamp":4,"body":null,"message":"x"},{"_timestamp":5,"body":"a","body":"b"},
           {"_timestamp":6,"body":"a","body":null,"msg":"c"},{"_timestamp":7,"b\u006fdy":"esc\nape \"q\" \ud83d\ude00"},
           {"_timestamp":8.0,"body":""}"#,
    );
    let bodies = [
        "7.50",
        "{\"a\": [\"]\"]}",
        "true",
        "x",
        "b",
        "c",
        "esc\nape \"q\" 😀",
        "",
    ];
    assert_eq!(
        got.0,
        (1..).zip(bodies).map(|(ts, body)| log(ts, body)).collect::<Vec<_>>()
    );
    let got = logs(r#"{"_timestamp":1,"body":"b","severity_number":17,"service":12,"host":false}"#);
    let text = |s: &str| Some(s.to_string());
    let want = Call::Log {
        ts: 1,
        service: text("12"),
        host: text("false"),
        body: "b".into(),
        severity: text("17"),
    };
    assert_eq!(got.0, [want]);
}

#[test]
fn bad_records_are_rejected_and_the_rest_goes_on() {
    use RejectReason::*;
    let bad = [
        ("7", NotAnObject),
        ("[1,2]", NotAnObject),
        ("null", NotAnObject),
        ("\"\\ud800\"", NotAnObject),
        (r#"{"body":"b"}"#, MissingTimestamp),
        (r#"{"_timestamp":null,"body":"b"}"#, MissingTimestamp),
        (r#"{"_timestamp":1.5,"body":"b"}"#, BadTimestamp),
        (r#"{"_timestamp":1e999,"body":"b"}"#, BadTimestamp),
        (r#"{"_timestamp":18446744073709551615,"body":"b"}"#, BadTimestamp),
        (r#"{"_timestamp":{"x":[]},"body":"b"}"#, BadTimestamp),
        (r#"{"_timestamp":1}"#, MissingBody),
        (r#"{"_timestamp":1,"body":"\ud800"}"#, WrongType),
    ];
    for (hit, reason) in bad {
        let ts = matches!(reason, MissingBody | WrongType).then_some(1);
        let got = logs(&format!(
            "{{\"_timestamp\":1,\"body\":\"x\"}},{hit} , {{\"_timestamp\":2,\"body\":\"y\"}}"
        ));
        assert_eq!(
            got.0,
            [
                log(1, "x"),
                Call::Reject(Dataset::Logs, reason, ts, hit.into()),
                log(2, "y")
            ]
        );
    }
}

#[test]
fn an_origin_that_is_no_text_does_not_cost_the_line() {
    let got = logs(r#"{"_timestamp":1,"body":"b","service":[1],"host":{"a":1},"level":{}}"#);
    assert_eq!(got.0, [log(1, "b")]);
}

#[test]
fn unneeded_columns_may_be_anything() {
    let deep = "[".repeat(5000) + &"]".repeat(5000);
    let hit =
        format!(r#"{{"x":1e999,"_timestamp":1,"y":"\ud800","\udfff":0,"z":{deep},"body":"b","_timestamp_":"q"}}"#);
    assert_eq!(logs(&hit).0, [log(1, "b")]);
}

#[test]
fn samples_are_cut_between_characters() {
    let got = logs(&format!("\"{}\"", "é".repeat(5000)));
    let Call::Reject(_, _, _, sample) = &got.0[0] else {
        panic!("{got:?}")
    };
    assert!((2040..=2048).contains(&sample.len()));
}

#[test]
fn metric_points() {
    let hits = r#"{"__hash__":14853005596633445197,"__name__":"other","_timestamp":1,"host_name":"h","le":"inf",
        "code":200,"empty":"","none":null,"value":"12.5","flag":"f","job":"j"}"#;
    let point = |metric: &str, labels: &[(&str, &str)]| Call::Point {
        ts: 1,
        service: Some("j".into()),
        host: Some("h".into()),
        metric: metric.into(),
        value: 12.5,
        labels: labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
        series: 14_853_005_596_633_445_197,
        le: Some(f64::INFINITY),
    };
    let with = |labels| decode(&Options::stream(Dataset::Metrics, "up", labels), hits).0;
    assert_eq!(with(LabelChoice::None), [point("up", &[])]);
    assert_eq!(with(LabelChoice::All), [point("up", &[("code", "200"), ("le", "inf")])]);
    let some = LabelChoice::Some(["le", "host_name", "absent"].map(String::from).to_vec());
    assert_eq!(with(some), [point("up", &[("host_name", "h"), ("le", "inf")])]);
    assert_eq!(decode(&Options::new(Dataset::Metrics), hits).0, [point("other", &[])]);
}

#[test]
fn points_without_a_number_of_their_series_have_one_by_their_labels() {
    let series = |hit: &str| {
        let got = decode(&Options::stream(Dataset::Metrics, "m", LabelChoice::None), hit);
        let Call::Point { series, labels, .. } = &got.0[0] else {
            panic!("{got:?}")
        };
        assert!(labels.is_empty());
        *series
    };
    let one = series(r#"{"_timestamp":1,"value":1,"pod":"a","job":"j"}"#);
    assert_eq!(
        one,
        series(r#"{"job":"j","flag":"x","none":null,"pod":"a","_timestamp":2,"value":7}"#)
    );
    assert_ne!(one, series(r#"{"_timestamp":1,"value":1,"pod":"b","job":"j"}"#));
    assert_ne!(one, series(r#"{"_timestamp":1,"value":1,"pod":"a","job":"k"}"#));
    let numbered = r#"{"_timestamp":1,"value":1,"pod":"a","__hash__":7,"code":5}"#;
    assert_eq!(series(numbered), 7, "wherever the number stands");
}

#[test]
fn calls_name_their_peers_and_codes_stand_in_for_a_missing_status() {
    let span = |rest: &str| {
        let hit = format!(r#"{{"_timestamp":5,"trace_id":"t","span_id":"i","duration":1,{rest}}}"#);
        let got = decode(&Options::new(Dataset::Traces), &hit);
        let Call::Span { error, peer, .. } = &got.0[0] else {
            panic!("{got:?}")
        };
        (*error, peer.clone())
    };
    let postgres = r#""span_kind":"3","db_system":"postgresql","db_name":"shop","net_peer_name":"pg-main""#;
    assert_eq!(span(postgres), (false, Some("urn:db:postgres:pg-main/shop".to_owned())));
    assert_eq!(span(r#""span_kind":2,"peer_service":"x""#), (false, None));
    assert_eq!(
        span(r#""span_kind":3,"peer_service":"x","span_status":"ERROR""#),
        (true, Some("urn:svc:x".to_owned()))
    );
    assert!(span(r#""span_kind":"2","http_status_code":503"#).0);
    assert!(
        !span(r#""span_kind":"2","http_status_code":503,"span_status":"UNSET""#).0,
        "the status counts"
    );
    assert!(span(r#""span_kind":"3","rpc_grpc_status_code":"5""#).0);
}

#[test]
fn many_labels() {
    let columns: Vec<String> = (0..100).rev().map(|i| format!("\"l{i:03}\":\"{i}\"")).collect();
    let hit = format!("{{\"_timestamp\":1,\"value\":1,{}}}", columns.join(","));
    let got = decode(&Options::stream(Dataset::Metrics, "m", LabelChoice::All), &hit);
    let Call::Point { labels, .. } = &got.0[0] else {
        panic!("{got:?}")
    };
    assert_eq!(labels.len(), 100);
    assert!(labels.is_sorted());
}

#[test]
fn bad_values_of_points() {
    let of = |value: &str| {
        let hit = format!("{{\"_timestamp\":1,{value}}}");
        decode(&Options::stream(Dataset::Metrics, "m", LabelChoice::None), &hit).rejects()
    };
    for value in [
        "\"x\":1",
        "\"value\":null",
        "\"value\":\"NaN\"",
        "\"value\":\"inf\"",
        "\"value\":1e999",
        "\"value\":[]",
    ] {
        assert_eq!(of(value), [RejectReason::BadValue], "{value}");
    }
    assert_eq!(of("\"value\":-1.5e3"), []);
    assert_eq!(
        decode(&Options::new(Dataset::Metrics), "{\"_timestamp\":1,\"value\":1}").rejects(),
        [RejectReason::WrongType]
    );
}

#[test]
fn spans() {
    let options = Options::new(Dataset::Traces);
    let span = |rest: &str| {
        decode(
            &options,
            &format!(r#"{{"_timestamp":5,"trace_id":"t","service_name":"s"{rest}}}"#),
        )
    };
    let want = |parent: Option<&str>, duration, error| Call::Span {
        ts: 5,
        ids: ["t".into(), "i".into()],
        parent: parent.map(str::to_owned),
        service: Some("s".into()),
        duration,
        error,
        peer: None,
    };
    assert_eq!(
        span(r#","span_id":"i","duration":0,"span_status":"ERROR""#).0,
        [want(None, 0, true)]
    );
    for root in ["\"\"", "null"] {
        let got = span(&format!(
            r#","span_id":"i","reference_parent_span_id":{root},"duration":"17""#
        ));
        assert_eq!(got.0, [want(None, 17, false)]);
    }
    let got = span(r#","span_id":"i","reference_parent_span_id":"p","duration":17,"span_status":"error""#);
    assert_eq!(got.0, [want(Some("p"), 17, true)]);
    assert_eq!(
        span(r#","span_id":"","duration":1"#).rejects(),
        [RejectReason::MissingSpanId]
    );
    for duration in [
        "",
        ",\"duration\":-1",
        ",\"duration\":18446744073704551",
        ",\"duration\":{}",
    ] {
        let got = span(&format!(",\"span_id\":\"i\"{duration}"));
        assert_eq!(got.rejects(), [RejectReason::BadDuration], "{duration}");
    }
}

#[test]
fn parents_in_the_range() {
    let body = r#"{"hits":[{"_timestamp":9,"trace_id":"t","span_id":"a","service_name":"s"},
        {"_timestamp":10,"trace_id":"t","span_id":"b","service_name":"s"},
        {"_timestamp":19,"trace_id":"t","span_id":"c"},{"_timestamp":20,"trace_id":"t","span_id":"d"},
        {"_timestamp":12,"trace_id":"t"}, 7]}"#;
    let want = [(10, ["t", "b", "", "s"]), (19, ["t", "c", "", ""])]
        .map(|(start, p)| Call::Parent(start, p.map(str::to_owned)));
    let mut calls = Calls::default();
    let short = Options {
        shortened: vec!["trace_id".to_owned(), "service_name".to_owned()],
        ..Options::new(Dataset::Traces)
    };
    let answer = body
        .replace("\"trace_id\"", "\"a\"")
        .replace("\"service_name\"", "\"b\"");
    let range = Window::new(10, 20);
    let page = parents_from_search_stream(&short, &mut answer.as_bytes(), &mut Vec::new(), range, &mut calls).unwrap();
    assert_eq!((page.hits, &calls.0[..]), (6, &want[..]));
    let lines = body.replace("{\"hits\":[", "").replace("]}", "").replace("},", "}\n");
    let mut calls = Calls::default();
    parents_from_ndjson(lines.as_bytes(), range, &mut calls);
    assert_eq!(calls.0, want);
}

#[test]
fn the_page_around_the_hits_in_any_order() {
    let body = r#" {"total":3,"function_error":["a","",{"b":1}],"hits":[ ],"is_partial":true,"new_start_time":5,
        "new_end_time":null,"took_detail":{"hits":[1]}} "#;
    let page = search_response(&Options::new(Dataset::Logs), body.as_bytes(), &mut Calls::default()).unwrap();
    let function_error = vec!["a".to_string(), "{\"b\":1}".into()];
    let want = SearchPage {
        total: Some(3),
        is_partial: true,
        function_error,
        new_start_time: Some(5),
        ..page.clone()
    };
    assert_eq!(
        page,
        SearchPage {
            hits: 0,
            new_end_time: None,
            ..want
        }
    );
    let text = br#"{"hits":[],"function_error":"capped"}"#;
    let page = search_response(&Options::new(Dataset::Logs), text, &mut Calls::default()).unwrap();
    assert_eq!(
        (page.function_error, page.is_partial),
        (vec!["capped".to_string()], false)
    );
}

#[test]
fn a_moved_start_is_read_in_any_form_and_one_that_cannot_be_is_not_passed_over() {
    let page = |more: &str| {
        let body = format!("{{\"hits\":[],{more}}}");
        search_response(&Options::new(Dataset::Logs), body.as_bytes(), &mut Calls::default()).unwrap()
    };
    for (told, start, partial) in [
        ("5", Some(5), false),
        ("\"5\"", Some(5), false),
        ("5.0", Some(5), false),
        ("null", None, false),
        ("\"soon\"", None, true),
        ("{}", None, true),
    ] {
        for (before, after) in [("", ",\"is_partial\":false"), ("\"is_partial\":false,", "")] {
            let page = page(&format!("{before}\"new_start_time\":{told}{after}"));
            assert_eq!((page.new_start_time, page.is_partial), (start, partial), "{told}");
        }
    }
    assert!(page("\"new_end_time\":[]").is_partial && page("\"is_partial\":1").is_partial);
}

#[test]
fn what_is_no_search_answer_is_an_error() {
    let bodies: [&[u8]; 9] = [
        b"",
        b"Unauthorized Access",
        b"{}",
        b"[]",
        b"{\"hits\":null}",
        b"{\"hits\":[{\"_timestamp\":1,\"body\":\"b\"}]} x",
        b"{\"hits\":[{\"_timestamp\":1,\"body\":\"\xff\"}]}",
        b"{\"hits\":[{\"_timestamp\":01}]}",
        b"{\"hits\":[{\"_timestamp\":1},]}",
    ];
    for body in bodies {
        let got = search_response(&Options::new(Dataset::Logs), body, &mut Calls::default());
        assert!(got.is_err(), "{:?}", String::from_utf8_lossy(body));
    }
}

#[test]
fn a_body_cut_anywhere_is_an_error() {
    let body = r#"{"took":1,"hits":[{"_timestamp":1,"body":"a\n\u00e9é"},[1e5],{"x":{"y":[true,null]},"_timestamp":2}],
        "total":2,"is_partial":false,"function_error":["x"]}"#
        .as_bytes();
    for end in 0..body.len() {
        let got = search_response(&Options::new(Dataset::Logs), &body[..end], &mut Calls::default());
        assert!(got.is_err(), "cut at {end}");
    }
    assert!(search_response(&Options::new(Dataset::Logs), body, &mut Calls::default()).is_ok());
}

#[test]
fn ndjson_rejects_line_by_line() {
    let mut calls = Calls::default();
    let lines = b"{\"_timestamp\":1,\"body\":\"a\"}\r\n\n  \n{\"_timestamp\":2,\"body\":\"\xff\"}\nnot json\n{\"_timestamp\":3,\
        \"body\":\"c\"} x\n[1]\n{\"_timestamp\":4,\"body\":\"d\"}";
    assert_eq!(ndjson(&Options::new(Dataset::Logs), lines, &mut calls), 6);
    use RejectReason::*;
    assert_eq!(calls.rejects(), [NotUtf8, NotAnObject, NotAnObject, NotAnObject]);
    assert_eq!((&calls.0[0], &calls.0[5]), (&log(1, "a"), &log(4, "d")));
    assert_eq!(
        ndjson_rows(lines, Window::new(1, 5), 9),
        ["{\"_timestamp\":1,\"body\":\"a\"}", "{\"_timestamp\":4,\"body\":\"d\"}"]
    );
    assert_eq!(ndjson_rows(lines, Window::new(1, 5), 1).len(), 1);
    assert_eq!(ndjson_rows(lines, Window::new(1, 5), 0).len(), 0);
}

/// Any JSON value, with keys and texts that mean something more often than not.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let text = prop_oneof![
        "[a-z0-9.\\\\\"é\n-]{0,6}",
        Just("12.5".into()),
        Just("ERROR".into()),
        "[0-9]{1,20}"
    ];
    let key = prop::sample::select(vec![
        "_timestamp",
        "body",
        "msg",
        "severity",
        "level",
        "service_name",
        "job",
        "host",
        "value",
        "le",
        "trace_id",
        "span_id",
        "reference_parent_span_id",
        "duration",
        "span_status",
        "span_kind",
        "db_system",
        "http_status_code",
        "__name__",
        "__hash__",
        "x",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 8, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            5 => prop::collection::vec((key.clone(), inner), 0..10)
                .prop_map(|pairs| Value::Object(pairs.into_iter().map(|(k, v)| (k.to_string(), v)).collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_is_exactly_one_call(value in any_json(), dataset in prop::sample::select(Dataset::ALL.to_vec())) {
        let options = Options { labels: LabelChoice::All, ..Options::new(dataset) };
        let text = value.to_string();
        let from_page = decode(&options, &text);
        prop_assert_eq!(from_page.0.len(), 1);
        let mut from_line = Calls::default();
        prop_assert_eq!(ndjson(&options, text.as_bytes(), &mut from_line), 1);
        prop_assert_eq!(from_page.0, from_line.0);
    }

    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), dataset in prop::sample::select(Dataset::ALL.to_vec())) {
        let options = Options::new(dataset);
        let mut calls = Calls::default();
        let _ = search_response(&options, &bytes, &mut calls);
        let records = ndjson(&options, &bytes, &mut Calls::default());
        let blank = |line: &&[u8]| !line.trim_ascii().is_empty();
        prop_assert_eq!(records, bytes.split(|b| *b == b'\n').filter(blank).count());
    }

    #[test]
    fn a_damaged_page_never_panics(at in 0usize..300, byte in any::<u8>()) {
        let mut body = br#"{"hits":[{"_timestamp":1,"body":"b","level":"x"},{"_timestamp":"2","msg":7}],"total":2}"#.to_vec();
        let at = at % body.len();
        body[at] = byte;
        let mut calls = Calls::default();
        if let Ok(page) = search_response(&Options::new(Dataset::Logs), &body, &mut calls) {
            prop_assert_eq!(page.hits, calls.0.len());
        }
    }
}
