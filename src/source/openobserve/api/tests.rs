use super::*;

fn config() -> OpenObserveConfig {
    OpenObserveConfig {
        endpoint: "http://127.0.0.1:5080/base/".to_string(),
        org: "my org".to_string(),
        username: Some("root@example.com".to_string()),
        password: Some("hunter2".to_string()),
        token: None,
        route: http::Route::default(),
    }
}

fn refused(status: u16, body: &str) -> (i64, SourceError) {
    let config = config();
    let api = Api::new(&config, "oo", Duration::from_secs(1)).unwrap();
    let refusal = Refusal {
        status,
        retry_after: Some(Duration::from_secs(3)),
        location: Some("https://x".to_string()),
    };
    api.refused(&refusal, body.as_bytes(), "stream \"default\" (logs)")
}

#[test]
fn the_base_path_stays_and_the_organization_is_one_segment() {
    let config = config();
    let api = Api::new(&config, "oo", Duration::from_secs(1)).unwrap();
    assert_eq!(api.base(), "http://127.0.0.1:5080/base/api/my%20org");
}

#[test]
fn a_login_is_a_user_with_a_password_or_a_token() {
    let check = |username: Option<&str>, password: Option<&str>, token: Option<&str>| {
        let config = OpenObserveConfig {
            username: username.map(str::to_string),
            password: password.map(str::to_string),
            token: token.map(str::to_string),
            ..config()
        };
        assert!(!format!("{config:?}").contains("hunter2"));
        let api = Api::new(&config, "oo", Duration::from_secs(1));
        api.map(|api| api.login()).map_err(|e| {
            assert!(e.is_permanent() && !format!("{e:?}").contains("hunter2"));
            e.message
        })
    };
    assert_eq!(check(Some("u"), Some("hunter2"), None).unwrap().as_deref(), Some("u"));
    assert_eq!(check(Some("u"), None, None).unwrap().as_deref(), Some("u"));
    assert_eq!(check(None, None, None).unwrap(), None);
    let (one, other) = (check(None, None, Some("hunter2")), check(None, None, Some("hunter3")));
    assert!(one.is_ok() && one != other && !one.unwrap().unwrap().contains("hunter2"));
    assert!(check(None, Some("hunter2"), None).unwrap_err().contains("no username"));
    assert!(check(Some("u"), None, Some("hunter2")).unwrap_err().contains("beside"));
    assert!(check(None, Some("hunter2"), Some("t")).unwrap_err().contains("beside"));
    assert!(check(None, None, Some("hunter2\n")).unwrap_err().contains("no header"));
}

#[test]
fn statuses() {
    let (_, e) = refused(401, "Unauthorized Access");
    assert_eq!((e.kind, e.is_permanent()), (ErrorKind::Auth, true));
    let (_, e) = refused(404, "Organization not found");
    assert_eq!((e.kind, e.is_permanent()), (ErrorKind::NotFound, true));
    assert!(e.message.contains("no organization \"my org\""));
    let (_, e) = refused(404, "");
    assert!(e.is_permanent() && e.message.contains("no OpenObserve"));
    let (_, e) = refused(503, r#"{"code":503,"message":"Resource error"}"#);
    assert!(e.is_transient() && e.retry_after == Some(Duration::from_secs(3)));
    let (_, e) = refused(301, "");
    assert!(e.is_permanent() && e.hint.unwrap().contains("https://x"));
    let (code, e) = refused(400, r#"{"code":20004,"message":"Search field not found: x"}"#);
    assert_eq!(code, code::FIELD_NOT_FOUND);
    assert!(!e.is_transient() && e.message.contains("stream \"default\""));
    assert!(!format!("{e:?}").contains("hunter2"));
}

#[test]
fn a_file_taken_by_compaction_passes_by() {
    assert!(
        refused(
            400,
            r#"{"code":20008,"message":"Search SQL execute error: Object at location x not found"}"#
        )
        .1
        .is_transient()
    );
    assert!(
        !refused(400, r#"{"code":20008,"message":"cannot cast"}"#)
            .1
            .is_transient()
    );
    assert!(refused(400, r#"{"code":20006,"message":"x"}"#).1.is_transient());
}
