use super::*;
use crate::work::assert_linear;
use proptest::prelude::*;

#[test]
fn secrets_are_hidden() {
    for (text, want) in [
        ("login password=hunter2 ok", "login password=*** ok"),
        ("password: client_secret: hunter2 ok", "password: client_secret: *** ok"),
        ("password: token= hunter2", "password: token= ***"),
        ("password: hunter2, user: bob", "password: ***, user: bob"),
        (
            "<user>bob</user><password>hunter2</password>",
            "<user>bob</user><password>***</password>",
        ),
        (
            "{\"user\":\"bob\",\"password\":\"a\\\"b\",\"n\":1}",
            "{\"user\":\"bob\",\"password\":\"***\",\"n\":1}",
        ),
        ("{\"api_key\": 12345}", "{\"api_key\": ***}"),
        (
            "body={\\\"token\\\":\\\"abc\\\",\\\"x\\\":1}",
            "body={\\\"token\\\":\\\"***\\\",\\\"x\\\":1}",
        ),
        (
            "get https://bob:pa:ss@db.example.com/x?access_token=abc&y=1",
            "get https://***@db.example.com/x?access_token=***&y=1",
        ),
        ("postgres://bob@db/x", "postgres://***@db/x"),
        (
            "Authorization: Basic dXNlcjpwYXNz\nHost: x",
            "Authorization: ***\nHost: x",
        ),
        (
            "curl -H 'Authorization: Bearer abc.def' x",
            "curl -H 'Authorization: ***' x",
        ),
        ("sent Bearer abcDEF123 to x", "sent Bearer *** to x"),
        ("key AKIAABCDEFGHIJKLMNOP used", "key *** used"),
        (
            "jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl end",
            "jwt *** end",
        ),
        (
            "a -----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- b",
            "a *** b",
        ),
        ("-----BEGIN PRIVATE KEY-----\nMIIE", "***"),
        ("paid with 4111 1111 1111 1111 today", "paid with *** today"),
        ("card=4111-1111-1111-1111;", "card=***;"),
        ("It was 4111111111111111.", "It was ***."),
        ("pan_4111111111111111 x", "pan_*** x"),
        ("run --password hunter2 --host x", "run --password *** --host x"),
        ("ALTER ROLE x PASSWORD 'hunter2'", "ALTER ROLE x PASSWORD '***'"),
        ("PGPASSWORD=x psql", "PGPASSWORD=*** psql"),
        ("client_secret => 'x'", "client_secret => '***'"),
        ("{'secret': 'x'}", "{'secret': '***'}"),
        ("password=\"unfinished", "password=\"***"),
        ("password=пароль!", "password=***"),
    ] {
        assert_eq!(mask_secrets(text), want);
        assert_eq!(mask_secrets(want), want, "a second pass");
    }
}

#[test]
fn a_secret_behind_a_mark_of_a_template_is_one() {
    for (text, want) in [
        ("cookie: <*> password=hunter2", "cookie: ***"),
        ("token=\"<*>hunter2\" x", "token=\"***\" x"),
        ("token=<*> x", "token=<*> x"),
        ("get https://<*>:<*>@db/x", "get https://<*>:<*>@db/x"),
    ] {
        assert_eq!(mask_secrets(text), want);
        assert_eq!(mask_secrets(want), want);
    }
}

#[test]
fn the_rest_is_left_alone() {
    for text in [
        "",
        "Failed password for root from 10.0.0.1 port 22 ssh2",
        "max_tokens=100 token_count: 5",
        "basic authentication failed",
        "order 1234567890123456 at 1767607200000000000",
        "0.4111111111111111 and a4111111111111111",
        "https://example.com/a@b",
        "password=",
        "{\"password\":null,\"x\":true}",
        "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
        "größe=5 naïve",
    ] {
        assert!(matches!(mask_secrets(text), Cow::Borrowed(_)), "{text}");
    }
}

#[test]
fn samples_are_cut_at_a_character() {
    assert_eq!(sample("äöü", 3), "ä");
    assert_eq!(sample("a\0b", 10), "ab");
    assert_eq!(sample("password=hunter2", 12), "password=***");
    assert_eq!(sample("x", 0), "");
}

#[test]
fn no_text_is_looked_at_again_and_again() {
    for unit in [
        "1",
        "=",
        "\"",
        "://",
        "://@",
        "password=",
        "password=\"",
        "-----BEGIN PRIVATE KEY ",
        "4111 ",
        "-",
        "\\\"",
        "Bearer ",
        "ä",
        "token:{",
        "\0",
        "password='",
        "password: ",
        "a://user@",
        "basic ",
        "-----BEGIN PRIVATE KEY-----END ",
    ] {
        assert_linear(unit, 20_000, 10, |size| {
            let text = unit.repeat(size / unit.len());
            let masked = mask_secrets(&text);
            assert!(masked.len() <= text.len() + 3, "{unit:?}");
        });
    }
}

proptest! {
    #[test]
    fn a_value_never_survives(
        key in "(password|api_key|accessToken|CLIENT_SECRET)", sep in "(=|: |:|=\")", value in "[A-Za-z0-9+/]{8,40}",
        before in "[ -~]{0,20}[ ,]", after in "( [ -~]{0,20})?"
    ) {
        prop_assume!(!before.contains(['"', '\'', '`']) && !before.contains(&value) && !after.contains(&value));
        let text = format!("{before}{key}{sep}{value}{after}");
        prop_assert!(!mask_secrets(&text).contains(&value), "{}", mask_secrets(&text));
    }

    #[test]
    fn stable_and_bounded(text in "\\PC{0,200}", max in 0usize..100) {
        let once = mask_secrets(&text).into_owned();
        let cut = sample(&text, max);
        prop_assert!(cut.len() <= max && once.starts_with(&cut));
    }
}
