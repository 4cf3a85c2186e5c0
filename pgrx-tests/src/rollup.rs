//! A SQL job for the tests: events counted by the hour.

use crate::bridge::{bridge, run};
use crate::cluster::Cluster;
use crate::session::Session;

/// A table of events, a table of their counts by the hour, and the function that makes the one of the other.
const SCHEMA: &str = "
    CREATE SCHEMA app;
    CREATE TABLE app.events (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant_id bigint NOT NULL DEFAULT 1,
        at timestamptz NOT NULL, amount bigint NOT NULL DEFAULT 1);
    CREATE TABLE app.hourly (
        tenant_id bigint, hour timestamptz, events bigint, amount bigint, by_role text, PRIMARY KEY (tenant_id, hour));
    CREATE TABLE app.calls (window_from timestamptz, window_to timestamptz, called_at timestamptz DEFAULT clock_timestamp());
    CREATE FUNCTION app.rollup(tenant_id bigint, window_from timestamptz, window_to timestamptz) RETURNS bigint
    LANGUAGE plpgsql AS $$
    DECLARE
        written bigint;
    BEGIN
        INSERT INTO app.calls VALUES (window_from, window_to);
        DELETE FROM app.hourly h WHERE h.tenant_id = $1 AND h.hour >= window_from AND h.hour < window_to;
        INSERT INTO app.hourly
        SELECT $1, date_bin('1 hour', e.at, 'epoch'), count(*), sum(e.amount), current_user
        FROM app.events e WHERE e.tenant_id = $1 AND e.at >= window_from AND e.at < window_to GROUP BY 2;
        GET DIAGNOSTICS written = ROW_COUNT;
        RETURN written;
    END $$;";

/// The first and the last event of a tenant.
pub const SOURCE_RANGE: &str = "SELECT min(at), max(at) FROM app.events WHERE tenant_id = $1";

/// A database with the extension and the schema `app`; the clock stands at 2026-01-05 11:00 UTC.
#[track_caller]
pub fn app(cluster: &Cluster, name: &str) -> Session {
    let mut db = bridge(cluster, name);
    // Nothing but what the tests are about.
    db.exec("UPDATE etl_job SET enabled = false WHERE kind = 'builtin'");
    db.exec(SCHEMA);
    db
}

/// The hourly job `usage`, with further arguments of `etl_job_create`, e.g. `, lookback => '3 hours'`.
#[track_caller]
pub fn job(db: &mut Session, more: &str) {
    db.exec(&format!(
        "SELECT etl_job_create('usage', 'app.rollup', '1 hour', source_range => '{SOURCE_RANGE}'{more})"
    ));
}

/// An event of the default tenant at a time of 2026-01-05, such as `10:15`.
#[track_caller]
pub fn event(db: &mut Session, time: &str) {
    db.exec(&format!(
        "INSERT INTO app.events (at) VALUES ('2026-01-05 {time}:00+00')"
    ));
}

/// Plans and works the queue to its end in the session.
#[track_caller]
pub fn work(db: &mut Session) {
    db.exec("SELECT etl_tick()");
    run(db);
}

/// The watermark of the job `usage` as UTC text.
#[track_caller]
pub fn watermark(db: &mut Session) -> String {
    db.text("SELECT coalesce((etl_watermark('usage', 'default') AT TIME ZONE 'UTC')::text, 'none')")
}

/// Checks that the counts are those of the events in all hours that have ended.
#[track_caller]
pub fn assert_exact(db: &mut Session) {
    let wrong = db.rows(
        "SELECT * FROM (SELECT tenant_id, hour, events, amount FROM app.hourly) h
         FULL JOIN (SELECT tenant_id, date_bin('1 hour', at, 'epoch') AS hour, count(*) AS events, sum(amount)::bigint AS amount
                    FROM app.events WHERE at < date_bin('1 hour', etl_now(), 'epoch') GROUP BY 1, 2) e
         USING (tenant_id, hour, events, amount)
         WHERE h IS NULL OR e IS NULL",
    );
    assert_eq!(
        wrong,
        Vec::<Vec<String>>::new(),
        "hours that differ from a plain GROUP BY"
    );
}
