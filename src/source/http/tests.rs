use super::*;
use std::io::Write;
use std::net::TcpListener;
use std::thread::JoinHandle;

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

/// A server that answers so many requests on each connection, and gives what came of each at once; it ends after the last
/// connection.
fn server(connections: Vec<usize>) -> (String, JoinHandle<Vec<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let serve = move || {
        let serve = |requests| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut came = Vec::new();
            for _ in 0..requests {
                let mut buffer = vec![0; 64 << 10];
                let n = stream.read(&mut buffer).unwrap();
                came.push(String::from_utf8_lossy(&buffer[..n]).into_owned());
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                    .unwrap();
            }
            came
        };
        connections.into_iter().map(serve).collect()
    };
    (endpoint, std::thread::spawn(serve))
}

fn client(endpoint: &str) -> Client {
    Client::new(endpoint, &Route::default(), None, Duration::from_secs(20), 1 << 20).unwrap()
}

fn ask(client: &Client, endpoint: &str) -> Result<String, SourceError> {
    let mut body = Vec::new();
    let reply = client.post_json(endpoint, b"{\"n\":1}", &mut body, whole)?;
    assert!(matches!(reply, Reply::Ok(())));
    Ok(String::from_utf8(body).unwrap())
}

#[test]
fn a_request_is_sent_in_one_piece() {
    let (endpoint, server) = server(vec![1]);
    assert_eq!(ask(&client(&endpoint), &endpoint).unwrap(), "ok");
    let came = server.join().unwrap();
    assert!(
        came[0][0].starts_with("POST / ") && came[0][0].ends_with("{\"n\":1}"),
        "{came:?}"
    );
}

#[test]
fn a_connection_is_kept_for_the_next_fetch_unless_something_went_wrong() {
    let (endpoint, server) = server(vec![3, 1]);
    for _ in 0..2 {
        assert_eq!(ask(&client(&endpoint), &endpoint).unwrap(), "ok");
    }
    let third = client(&endpoint);
    assert_eq!(ask(&third, &endpoint).unwrap(), "ok");
    third.interrupt();
    assert!(ask(&third, &endpoint).is_err(), "nothing goes on after an interrupt");
    drop(third);
    assert_eq!(ask(&client(&endpoint), &endpoint).unwrap(), "ok");
    assert_eq!(server.join().unwrap().iter().map(Vec::len).collect::<Vec<_>>(), [3, 1]);
}

#[test]
fn two_fetches_at_once_have_agents_of_their_own() {
    let (endpoint, server) = server(vec![1, 1]);
    let (one, other) = (client(&endpoint), client(&endpoint));
    assert_eq!(ask(&one, &endpoint).unwrap(), "ok");
    one.interrupt();
    assert_eq!(ask(&other, &endpoint).unwrap(), "ok");
    server.join().unwrap();
}
