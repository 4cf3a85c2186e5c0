use super::*;

#[test]
fn endpoints() {
    assert_eq!(endpoint("http://127.0.0.1:5080").unwrap(), "http://127.0.0.1:5080");
    assert_eq!(
        endpoint(" https://o.example.com/abc/ ").unwrap(),
        "https://o.example.com/abc"
    );
    for bad in [
        "",
        "o.example.com",
        "ftp://x",
        "http://",
        "http://u:secret@x",
        "http://x/?a=1",
        "http://x/#f",
        "/p",
    ] {
        let e = endpoint(bad).unwrap_err();
        assert!(e.is_permanent() && !format!("{e:?}").contains("secret"), "{bad}");
    }
}

#[test]
fn retry_after_in_seconds_and_as_a_date() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_470);
    let parse = |text: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, text.parse().unwrap());
        retry_after(&headers, now)
    };
    assert_eq!(parse("7"), Some(Duration::from_secs(7)));
    assert_eq!(parse("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::from_secs(10)));
    assert_eq!(parse("Wed, 21 Oct 2015 07:00:00 GMT"), Some(Duration::ZERO));
    for bad in ["soon", "-1", "NaN", "1e300"] {
        assert_eq!(parse(bad), None, "{bad}");
    }
}
