//! What tests of backfills have in common.

use crate::session::Session;

/// A job with windows of an hour that nothing schedules and nothing runs.
#[track_caller]
pub fn idle_job(db: &mut Session) {
    db.exec("INSERT INTO etl_job (name, run_interval, align, command) VALUES ('roll', '0', '1 h', 'SELECT 1')");
}

/// `etl_backfill` with these arguments after job and tenant; its number.
#[track_caller]
pub fn begin(db: &mut Session, job: &str, arguments: &str) -> i64 {
    db.int(&format!("SELECT etl_backfill('{job}', 'default', {arguments})"))
}

/// The slices of a backfill: from and to in UTC.
#[track_caller]
pub fn slices(db: &mut Session, id: i64) -> Vec<Vec<String>> {
    db.rows(&format!(
        "SELECT to_char(slice_from AT TIME ZONE 'UTC', 'YY-MM-DD HH24:MI'), to_char(slice_to AT TIME ZONE 'UTC', 'YY-MM-DD HH24:MI')
           FROM etl_backfill_slice WHERE backfill_id = {id} ORDER BY slice_no"
    ))
}

/// (state, slices, slices_done, slices_failed, windows, windows_done, windows_failed, rows)
#[track_caller]
pub fn progress(db: &mut Session, id: i64) -> Vec<String> {
    let sql = format!(
        "SELECT state, slices, slices_done, slices_failed, windows, windows_done, windows_failed, rows
           FROM etl_backfill_progress WHERE backfill_id = {id}"
    );
    db.rows(&sql).swap_remove(0)
}

/// Minutes (of the hour) or hours (of the day) at which windows with a condition start, in order.
#[track_caller]
pub fn starts(db: &mut Session, field: &str, condition: &str) -> Vec<String> {
    db.column(&format!(
        "SELECT extract({field} FROM window_from AT TIME ZONE 'UTC')::int FROM etl_job_run WHERE {condition} ORDER BY window_from"
    ))
}

/// Marks windows of the idle job as a runner would that has nothing to do.
#[track_caller]
pub fn finish(db: &mut Session, condition: &str, status: &str) {
    db.exec(&format!(
        "UPDATE etl_job_run SET status = '{status}', attempt = attempt + 1, started_at = etl_now(), finished_at = etl_now(),
                stats = CASE WHEN '{status}' = 'success' THEN '{{\"rows\": 7}}'::jsonb END,
                error = CASE WHEN '{status}' = 'failed' THEN '{{\"message\": \"boom\"}}'::jsonb END
          WHERE job = 'roll' AND status = 'queued' AND priority < 20 AND {condition}"
    ));
}
