use super::*;
use crate::work::assert_linear;
use proptest::prelude::*;

fn template(line: &str) -> String {
    Masker::new().template(line)
}

/// All lines have the template.
fn same(want: &str, lines: &[&str]) {
    for line in lines {
        assert_eq!(template(line), want, "{line}");
    }
}

#[test]
fn numbers_times_and_identifiers() {
    same(
        "took <*> of <*>",
        &["took 3ms of 2", "took 0.25s of -17", "took 3 of 0x1f", "took 1e9 of +5"],
    );
    same(
        "got <*>",
        &[
            "got 550e8400-e29b-41d4-a716-446655440000",
            "got deadbeefcafe",
            "got a1",
            "got 10:15",
            "got 00:1a:2b:3c:4d:5e",
        ],
    );
    same(
        "at <*> end",
        &[
            "at 2026-01-05T10:00:00.123+02:00 end",
            "at 2026-01-05 10:00:00,123 end",
            "at Mon Jan 5 10:00:00 2026 end",
            "at 05 Jan 2026 10:00:00 GMT end",
        ],
    );
    same("ids <*> gone", &["ids 1 gone", "ids 1 2 3 gone", "ids 1, 2,3 gone"]);
    same(
        "free <*>, cost <*>",
        &["free 18.4 KB, cost 12.50 EUR", "free 3GiB, cost 7 USD"],
    );
    same("in <*> s", &["in 10 s", "in 0.5 s"]);
    same("used <*>% of it.", &["used 5% of it.", "used 99.5% of it."]);
    same("CPU#<*> is up", &["CPU#0 is up", "CPU#17 is up"]);
    same("Foo@<*> is gone", &["Foo@1f2e3d is gone", "Foo@77 is gone"]);
}

#[test]
fn well_known_words_are_text() {
    for line in [
        "ipv4 and sha256",
        "Slf4jLogger started",
        "UTF-8 text",
        "I/O error",
        "application/json",
        "may I",
        "read and/or write",
    ] {
        assert_eq!(template(line), line);
    }
}

#[test]
fn addresses_hosts_and_paths() {
    same(
        "from <*>:<*>",
        &[
            "from 10.0.0.1:80",
            "from /10.0.0.1:80",
            "from db-1:5432",
            "from redis:6379",
            "from db.shop.internal:80",
        ],
    );
    same(
        "mail <*> sent",
        &["mail bob@example.com sent", "mail a.b+c@d.example.org sent"],
    );
    same(
        "host <*> is down",
        &[
            "host www.example.com is down",
            "host web-1 is down",
            "host db.acme.internal is down",
        ],
    );
    same(
        "open <*> failed",
        &[
            "open /var/log/x failed",
            "open ./a/b failed",
            "open C:\\Temp\\x.log failed",
            "open a/b.txt failed",
            "open ~/x failed",
        ],
    );
    same(
        "get https://<*> now",
        &["get https://a.example.com/b?c=d,e&f=g now", "get https://x now"],
    );
    same("at main.go:<*>", &["at main.go:12", "at main.go:7"]);
    same(
        "visit http://<*>.",
        &["visit http://example.com/a.", "visit http://example.com/b?c=1."],
    );
}

#[test]
fn keys_and_values() {
    same(
        "user=<*> status=failed n=<*>",
        &[
            "user=bob status=failed n=1",
            "user=alice status=failed n=",
            "user= status=failed n=x",
        ],
    );
    same(
        "level=<*> msg=\"disk is full\" free=<*>",
        &[
            "level=warn msg=\"disk is full\" free=0",
            "level=error msg=\"disk is full\" free=7GB",
        ],
    );
    same("peer (<*>) at [<*>]", &["peer () at []", "peer (10.0.0.1) at [7]"]);
    same(
        "enabled=<*> x",
        &["enabled=true x", "enabled=false x", "enabled=null x"],
    );
}

#[test]
fn quotes() {
    same("key '<*>' is gone", &["key 'a' is gone", "key 'b c' is gone"]);
    same(
        "key \"<*>\" is gone",
        &["key \"a\" is gone", "key \"b \\\" c\" is gone"],
    );
    same("can't do what isn't there", &["can't do what isn't there"]);
    same("tags [\"<*>\"]", &["tags [\"a\"]", "tags [\"a\",\"b\", \"c\"]"]);
}

#[test]
fn json() {
    same(
        "{\"event\":\"item added\",\"sku\":<*>,\"n\":<*>,\"ok\":<*>}",
        &[
            "{\"event\":\"item added\",\"sku\":\"AB-1\",\"n\":3,\"ok\":true}",
            "{\"event\":\"item added\",\"sku\":null,\"n\":-4.5,\"ok\":false}",
        ],
    );
    same("{\"<*>\":<*>}", &["{\"1234\":5}", "{\"9\":6}"]);
    same(
        "{\"msg\": \"took <*>\"}",
        &["{\"msg\": \"took 5ms\"}", "{\"msg\": \"took 7ms\"}"],
    );
}

#[test]
fn names_of_people() {
    same(
        "session opened for user <*> by (uid=<*>)",
        &[
            "session opened for user bob by (uid=0)",
            "session opened for user alice by (uid=1000)",
        ],
    );
    same(
        "Failed password for <*> from <*> port <*>",
        &[
            "Failed password for root from 10.0.0.1 port 22",
            "Failed password for bob from 10.0.0.2 port 23",
        ],
    );
    same("check pass; user unknown", &["check pass; user unknown"]);
}

#[test]
fn line_headers() {
    same(
        "<*> disk is full",
        &[
            "2026-01-05 10:00:00 ERROR disk is full",
            "2026-01-05T10:00:00Z WARN disk is full",
            "Jan  5 10:00:00 info disk is full",
        ],
    );
    same(
        "<*> sshd[<*>]: bye",
        &["Jan  5 10:00:00 web sshd[1]: bye", "Jan 15 10:00:00 db-2 sshd[22]: bye"],
    );
    same(
        "<*> [<*>] c.a.Shop: bye",
        &[
            "2026-01-05 10:00:00 INFO [main] c.a.Shop: bye",
            "2026-01-05 10:00:00 WARN [pool-1[x]] c.a.Shop: bye",
        ],
    );
    same(
        "<*> [connection refused]",
        &["2026-01-05 10:00:00 [connection refused]"],
    );
}

#[test]
fn traces_of_any_depth() {
    same(
        "boom\nat a.B.c(B.java:<*>)\nat <*>\nCaused by: x",
        &[
            "boom\n\tat a.B.c(B.java:1)\n\tat d.E.f(E.java:2)\nCaused by: x",
            "boom\r\n\tat a.B.c(B.java:9)\r\n\tat g.H.i(H.java:8)\r\n\tat j.K.l(K.java:7)\r\n\t... 12 more\r\nCaused by: x",
        ],
    );
    same(
        "Traceback (most recent call last):\nFile \"<*>\", line <*>, in g\ny()\nValueError: z",
        &[
            "Traceback (most recent call last):\n  File \"/a.py\", line 1, in g\n    y()\nValueError: z",
            "Traceback (most recent call last):\n  File \"/b.py\", line 1, in f\n    x()\n  File \"/a.py\", line 2, in g\n    y()\nValueError: z",
        ],
    );
    same(
        "panic: x\ngoroutine <*> [running]:\nmain.f(<*>)\n<*>:<*>\n<*>\nexit status <*>",
        &[
            "panic: x\n\ngoroutine 1 [running]:\nmain.f(0x1)\n\t/a/m.go:1 +0x1\nmain.main()\n\t/a/m.go:9 +0x2\n\nexit status 2",
            "panic: x\n\ngoroutine 7 [running]:\nmain.f(0x2)\n\t/b/m.go:2 +0x3\nmain.g()\n\t/a/m.go:3 +0x1\nmain.main()\n\t/a/m.go:9 +0x2\n\nexit status 2",
        ],
    );
}

#[test]
fn names_before_brackets_and_equal_signs() {
    same("jk2_init() is slow", &["jk2_init() is slow"]);
    same("<*>(<*>) is slow", &["worker12(7) is slow", "worker13(idle-2) is slow"]);
    same("r24=<*> r25=<*> pc=<*>", &["r24=0x7 r25=ffff0001 pc=3"]);
    same("<*>=<*> x", &["attempt_0042=7 x", "attempt_0043=no x"]);
    same("file core.<*> was.", &["file core.12 was.", "file core.7 was."]);
}

#[test]
fn well_known_accounts() {
    same("tty=<*> user=root", &["tty=ssh user=root", "tty=x user=root"]);
    same("tty=<*> user=<*>", &["tty=ssh user=alice", "tty=ssh user=bob17"]);
    same(
        "no more for <*> [preauth]",
        &["no more for root [preauth]", "no more for admin [preauth]"],
    );
    same("waiting for root to come", &["waiting for root to come"]);
}

#[test]
fn values_that_are_groups() {
    same(
        "sent <*> bytes, took <*>",
        &["sent 5 bytes, took 00:03", "sent 1190 bytes (1.16 KB), took <1 sec"],
    );
    same(
        "wrote <*> bytes (<*>%)",
        &["wrote 5 bytes (7%)", "wrote 5 bytes (0.5%)"],
    );
    same(
        "status ( <*> ) of (<*>)",
        &["status ( on off ) of (yes)", "status ( off ) of (no)"],
    );
    same("call (on error) first", &["call (on error) first"]);
    same("ws=<*>, uid=<*>", &["ws=null, uid=7", "ws=Work{17}, uid=8"]);
    same("ws=<*>{a <*>}", &["ws=Work{a 17}"]);
    same(
        "list [<*>] and [<*>]",
        &["list [1 - - -] and [2 3 -]", "list [1 2 3] and [4]"],
    );
    same("fans <*> up", &["fans 1 **** 3 up", "fans 1 2 3 up"]);
    same("1 - a".replace('1', "<*>").as_str(), &["1 - a"]);
}

#[test]
fn requests_in_quotes_keep_their_method() {
    same(
        "<*> \"GET <*> HTTP/1.1\" <*>",
        &[
            "10.0.0.1 \"GET /a?b=c HTTP/1.1\" 200",
            "10.0.0.2 \"GET / HTTP/1.1\" 404",
        ],
    );
    same("<*> \"<*>\" <*>", &["10.0.0.1 \"GET a life\" 200"]);
}

#[test]
fn a_printed_setting_is_one_variable() {
    same(
        "Client environment:<*>",
        &[
            "Client environment:java.home=/usr/lib/jvm",
            "Client environment:java.vendor=Some Vendor",
            "Client environment:app.version=3.4.5--1, built on 06/10/2013 17:26 GMT",
            "Client environment:log4j2.level=",
        ],
    );
    same("a <*>\nenv:<*>\nb", &["a 1\nenv:A.B=c d\nb"]);
    same(
        "msg=\"env:<*>\" level=<*>",
        &["msg=\"env:a.b=c d\" level=info", "msg=\"env:B=\" level=warn"],
    );
    for other in ["state:db.primary=down again", "env:a=b c=d", "(env:a=b) done", "env:=x"] {
        assert!(!template(other).contains("env:<*> "), "{other}");
        assert_ne!(template(other), "env:<*>", "{other}");
    }
}

#[test]
fn what_is_no_value_after_a_colon() {
    same(
        "state: <*>, mode: <*>",
        &["state: none, mode: off", "state: null, mode: true"],
    );
    same("state: no link found", &["state: no link found"]);
    same("a: <*> b: <*>", &["a: on b: off", "a: no b: yes"]);
}

#[test]
fn templates_hold_no_control_characters_and_end() {
    assert_eq!(template("\u{1b}[31mred\u{1b}[0m \0\ttext \u{7}"), "red text");
    assert!(template(&"word ".repeat(100_000)).len() <= 4096);
    assert!(template(&"ä".repeat(100_000)).len() <= 4096);
    assert_eq!(template(""), "");
    assert_eq!(template(" \n\t "), "");
}

#[test]
fn secrets_are_variables() {
    for secret in ["hunter", "correct-horse", "abcDEF", "c2VjcmV0"] {
        for line in [
            "password={}",
            "password: {}",
            "\"token\":\"{}\"",
            "{\"api_key\": \"{}\"}",
            "Authorization: Bearer {}",
            "authorization=Basic {}",
            "https://u:{}@h/",
            "db.password:{}",
            "password={},{}",
            "run --password {} --x",
            "got {\\\"password\\\":\\\"{}\\\"} now",
        ] {
            let line = line.replace("{}", secret);
            assert!(!template(&line).contains(secret), "{line} -> {}", template(&line));
        }
    }
    for line in [
        "sent AKIAABCDEFGHIJKLMNOP to x",
        "sent Bearer abcDEFghi to x",
        "Bearer abcDEFghi=",
    ] {
        assert!(template(line).contains("<*>"), "{}", template(line));
    }
}

#[test]
fn the_version_is_part_of_the_fingerprint() {
    let mut scratch = Scratch::default();
    let fingerprint = Masker::new().fingerprint("a 1", &mut scratch);
    let hashed = [&MASK_VERSION.to_le_bytes()[..], b"a <*>"].concat();
    assert_eq!(fingerprint, xxh3_64_with_seed(&hashed, SEED));
}

#[test]
fn no_line_is_looked_at_again_and_again() {
    let mut scratch = Scratch::default();
    for unit in [
        "1",
        "[",
        "a:",
        "=",
        "\"",
        "'",
        " '",
        "`",
        "ä",
        "\0",
        "\n",
        "a=",
        "a=\"",
        "\"a\":",
        "\\\"",
        "://",
        "http://",
        "/",
        "/a",
        "(",
        "()",
        "<*>",
        "1,",
        "1 ",
        "\u{1b}[",
        "\n\tat a",
        "\n File \"x\"",
        "goroutine 1\n",
        "user a ",
        "for a from 1 ",
        "password=",
        "Bearer ",
        "1:1:",
        ".",
        "@",
        "a@",
        "#1",
        "...",
        "-",
        "aaaa.com ",
        "Jan 1 ",
        "[ ",
        "1:1:1 [",
        "(on ",
        "( on )",
        " <1 s",
        "1 bytes (1 KB) ",
        "\\042",
        "a=b{c",
        "1 - ",
        "1 *** ",
        "\"GET /",
        "a1()",
        "a.1 ",
        "env:a=",
        "env:a=b\n",
        "10:00:00 [",
    ] {
        // Within what is looked at of a line.
        assert_linear(unit, 30_000, 100, |size| {
            Masker::new().fingerprint(&unit.repeat(size / unit.len()), &mut scratch);
        });
        let line = unit.repeat(1_000_000 / unit.len());
        assert!(Masker::new().template(&line).len() <= 4096, "{unit:?}");
        severity(None, &line);
    }
}

proptest! {
    #[test]
    fn any_text_has_a_stable_template(line in "(\\PC|[\\n\\t\"'=:\\[\\](){}<>*/@0-9a ]){0,200}", other in ".{0,50}") {
        let masker = Masker::new();
        let mut scratch = Scratch::default();
        let first = masker.analyse(&line, &mut scratch);
        let (fingerprint, text) = (first.fingerprint, first.template.to_owned());
        masker.analyse(&other, &mut scratch);
        prop_assert_eq!(masker.fingerprint(&line, &mut scratch), fingerprint);
        prop_assert_eq!(masker.template(&line), text.clone());
        prop_assert!(!text.chars().any(|c| c.is_ascii_control() && c != '\n'));
        prop_assert_eq!(text.trim_matches([' ', '\n']), &text);
        prop_assert_eq!(mask_secrets(&text), text.as_str());
    }

    #[test]
    fn values_do_not_split_groups(
        n in any::<i64>(), f in any::<f32>(), ip in any::<[u8; 4]>(), port in 1u16.., id in any::<u128>(),
        host in "[a-z]{1,12}(-[0-9]{1,3})?", path in "(/[a-zA-Z0-9_.-]{1,10}[a-z]){1,4}", ms in 0u32..1_000_000
    ) {
        prop_assume!(f.is_finite());
        let ip = std::net::Ipv4Addr::from(ip);
        let id = format!("{id:032x}");
        let line = format!("conn {id} from {ip}:{port} to {host}.prod.internal:{port} read {path} in {ms}ms rc={n} load {f:?} ok");
        prop_assert_eq!(template(&line), "conn <*> from <*>:<*> to <*>:<*> read <*> in <*> rc=<*> load <*> ok");
    }
}
