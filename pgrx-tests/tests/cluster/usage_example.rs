//! The worked example is run as it is shipped, and then its events are changed by several sessions at once.

use blackbox::cluster::Cluster;
use blackbox::session::Session;
use blackbox::wait::wait_until;
use blackbox::workers::PATIENCE;
use std::io::Write;
use std::process::Stdio;

const EXAMPLE: &str = include_str!("../../../examples/usage_rollup.sql");

/// A small generator of its own: the same changes in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// One random change: new events, other tokens, another account, another hour, or less events.
fn change(dice: &mut Dice) -> String {
    let (minutes, more) = (5 + dice.roll(80_000), 1 + dice.roll(400));
    let (some, account) = (dice.roll(97), dice.roll(7));
    match dice.roll(5) {
        0 => format!(
            "INSERT INTO usage_event (account, at, tokens)
             SELECT 'account {account}', now() - interval '{minutes} min' - n * interval '7 min', n FROM generate_series(1, {more}) n"
        ),
        1 => format!("UPDATE usage_event SET tokens = tokens + {more} WHERE event_id % 97 = {some}"),
        2 => format!("UPDATE usage_event SET account = 'account {account}' WHERE event_id % 97 = {some}"),
        3 => format!("UPDATE usage_event SET at = at - interval '{more} min' WHERE event_id % 97 = {some}"),
        _ => format!("DELETE FROM usage_event WHERE event_id % 997 = {some}"),
    }
}

/// The hours up to the watermark that differ from a plain GROUP BY.
fn wrong(db: &mut Session) -> Vec<Vec<String>> {
    db.rows(
        "SELECT * FROM usage_hourly h
         FULL JOIN (SELECT tenant_id, date_bin('1 hour', at, 'epoch') AS hour, account, count(*) AS events, sum(tokens)::bigint AS tokens
                    FROM usage_event WHERE at < etl_watermark('usage-hourly', 'default') GROUP BY 1, 2, 3) e
         USING (tenant_id, hour, account, events, tokens)
         WHERE h IS NULL OR e IS NULL",
    )
}

/// Nothing is left to do.
fn settled(db: &mut Session) -> bool {
    db.is("SELECT NOT EXISTS (SELECT FROM etl_invalidation)
              AND NOT EXISTS (SELECT FROM etl_job_run WHERE job = 'usage-hourly' AND status IN ('queued', 'running'))
              AND NOT EXISTS (SELECT FROM etl_backfill WHERE state = 'running')")
}

#[test]
fn the_worked_example_stays_equal_to_a_group_by_whatever_happens() {
    let cluster = Cluster::with_workers();
    let mut admin = cluster.database("example");
    admin.exec(
        "CREATE EXTENSION observe_bridge; UPDATE etl_job SET enabled = false WHERE kind = 'builtin';
         CREATE ROLE app LOGIN IN ROLE observe_bridge_operator; GRANT CREATE ON SCHEMA public TO app;
         CREATE ROLE writer LOGIN",
    );
    let mut psql = cluster
        .program("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "app", "-d", "example"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("psql starts");
    psql.stdin
        .take()
        .expect("its input")
        .write_all(EXAMPLE.as_bytes())
        .expect("psql reads");
    assert!(psql.wait().expect("psql ends").success(), "the example runs as it is");
    admin.exec("GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON usage_event TO writer");
    assert_eq!(admin.int("SELECT count(*) FROM usage_event"), 3000);
    wait_until("the background has settled", PATIENCE, || settled(&mut admin));
    assert_eq!(wrong(&mut admin), Vec::<Vec<String>>::new());
    assert_eq!(admin.text("SELECT state FROM etl_backfill"), "done");

    // One transaction is open all the while: what it does must count when it commits, not before.
    let mut late = cluster.session_as("writer", "example");
    late.exec("BEGIN");
    late.exec("INSERT INTO usage_event (account, at, tokens) SELECT 'late', now() - n * interval '1 day', 1 FROM generate_series(1, 40) n");
    std::thread::scope(|scope| {
        for seed in 1..=3 {
            let cluster = &cluster;
            scope.spawn(move || {
                let mut dice = Dice(seed);
                let mut writer = cluster.session_as("writer", "example");
                for _ in 0..12 {
                    writer.exec("BEGIN");
                    for _ in 0..=dice.roll(3) {
                        // Two writers may meet in other orders: the one that gives way has changed nothing.
                        if let Err(e) = writer.try_rows(&change(&mut dice)) {
                            assert_eq!(e.sqlstate, "40P01", "{e}");
                            break;
                        }
                    }
                    writer.exec(if dice.roll(4) == 0 { "ROLLBACK" } else { "COMMIT" });
                }
            });
        }
    });
    wait_until("the changes have settled", PATIENCE, || settled(&mut admin));
    assert_eq!(wrong(&mut admin), Vec::<Vec<String>>::new());
    assert_eq!(admin.int("SELECT count(*) FROM usage_hourly WHERE account = 'late'"), 0);
    late.exec("COMMIT");
    wait_until("the late commit has settled", PATIENCE, || settled(&mut admin));
    assert_eq!(wrong(&mut admin), Vec::<Vec<String>>::new());
    assert!(admin.int("SELECT count(*) FROM usage_hourly WHERE account = 'late'") >= 39);
    admin.exec("SELECT etl_guard('usage-hourly', 'default', '2 hours')");

    late.exec("TRUNCATE usage_event");
    wait_until("the end has settled", PATIENCE, || settled(&mut admin));
    assert_eq!(admin.int("SELECT count(*) FROM usage_hourly"), 0);
    assert_eq!(admin.int("SELECT count(*) FROM etl_job_run WHERE status = 'failed'"), 0);
}
