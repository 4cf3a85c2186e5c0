use super::*;
use crate::source::objects::{Arrangement, Layout};
use crate::source::s3::Credentials;

fn config(path_style: bool) -> S3Config {
    S3Config {
        bucket: "examplebucket".to_string(),
        endpoint: "https://s3.amazonaws.com".to_string(),
        region: "us-east-1".to_string(),
        prefix: String::new(),
        path_style,
        arrangement: Arrangement::plain(Layout::Hive, "default"),
        route: http::Route::default(),
        credentials: Some(Credentials {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_string(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_string(),
            session_token: None,
        }),
        settle: None,
    }
}

fn client(config: &S3Config) -> Result<Client, SourceError> {
    Client::new(config, "lake", Duration::from_secs(1), 1)
}

/// "GET Bucket (List Objects)" of the examples in the description of the signature (AWS, "Signature Calculations for
/// the Authorization Header: Transferring Payload in a Single Chunk").
#[test]
fn the_signature_is_that_of_the_documentation() {
    let client = client(&config(false)).unwrap();
    let url = Url::parse(&format!("{}/?max-keys=2&prefix=J", client.base)).unwrap();
    let at = OffsetDateTime::from_unix_timestamp(1_369_353_600).unwrap();
    let headers = client.signature(&url, at).unwrap();
    let authorization = headers["authorization"].to_str().unwrap();
    assert!(authorization.contains("Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"));
    assert!(authorization.contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date"));
    let signature = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7";
    assert!(
        authorization.ends_with(&format!("Signature={signature}")),
        "{authorization}"
    );
    assert!(!format!("{headers:?}").contains("Signature"), "headers do not print it");
}

#[test]
fn addresses_of_both_styles() {
    let base = |endpoint: &str, bucket: &str, path_style| {
        let config = S3Config {
            endpoint: endpoint.to_string(),
            bucket: bucket.to_string(),
            ..config(path_style)
        };
        client(&config).map(|c| c.base)
    };
    assert_eq!(base("https://s3.x.io:443/", "b", true).unwrap(), "https://s3.x.io/b");
    assert_eq!(
        base("http://x:9000/base", "b.c", true).unwrap(),
        "http://x:9000/base/b.c"
    );
    assert_eq!(base("https://s3.x.io", "b", false).unwrap(), "https://b.s3.x.io");
    for (endpoint, bucket) in [
        ("x", "b"),
        ("http://x", ""),
        ("http://x", "b/c"),
        ("http://x", "b@c"),
        ("http://x", ".."),
    ] {
        assert!(
            base(endpoint, bucket, true).unwrap_err().is_permanent(),
            "{endpoint} {bucket}"
        );
    }
    assert!(
        base("http://127.0.0.1:9000", "b", false)
            .unwrap_err()
            .hint
            .unwrap()
            .contains("path_style")
    );
}

#[test]
fn secrets_stay_out_of_what_a_server_says() {
    let client = client(&config(true)).unwrap();
    let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    let said = SourceError::new(ErrorKind::Auth, "refused").detail(format!("your key {secret} is wrong"));
    let named = client.named(said, "the list");
    assert!(!format!("{named:?}").contains(secret) && named.detail.unwrap().contains("***"));
    assert!(!format!("{:?}", client.config).contains(secret));
}

#[test]
fn a_part_is_what_was_asked_for_or_an_error() {
    let answer = |wanted: Range<u64>, range: Option<&str>, body: &'static [u8]| {
        let mut headers = HeaderMap::new();
        if let Some(range) = range {
            headers.insert(CONTENT_RANGE, range.parse().unwrap());
        }
        part(wanted, &headers, Bytes::from_static(body)).map(|p| (p.bytes, p.total))
    };
    let five = Bytes::from_static(b"56789");
    assert_eq!(
        answer(5..10, Some("bytes 5-9/20"), b"56789").unwrap(),
        (five.clone(), 20)
    );
    assert_eq!(
        answer(5..30, Some("bytes 5-9/10"), b"56789").unwrap(),
        (five.clone(), 10)
    );
    assert_eq!(answer(5..10, None, b"0123456789").unwrap(), (five, 10));
    for bad in [
        answer(5..10, Some("bytes 5-8/20"), b"5678"),
        answer(5..10, Some("bytes 6-10/20"), b"56789"),
    ] {
        assert_eq!(bad.unwrap_err().kind, ErrorKind::BadResponse);
    }
}
