//! Patterns that are out of use leave the dictionary, so that there is room for new ones.

use crate::backend::clock::to_timestamptz;
use crate::backend::locks::{self, Kind};
use crate::backend::sql::{self, required};
use crate::error::Result;

/// Forgets the patterns of a tenant that were last seen before everything `log_pattern_5m` keeps and has, with their
/// aliases. `now` is in UTC microseconds. Returns how many; none where `etl_retention` keeps the counts for ever.
///
/// A row of counts is never newer than the `last_seen` of its pattern, to the bucket: no kept row refers to what goes. A
/// pattern that others have as their class stays for as long as one of them does, and goes at a later run.
///
/// The fingerprint is that of the line, so a pattern that is seen again comes back as it was. Writers that enter or
/// renew a pattern are waited for. One that replays minutes as old as the pattern is not: what it writes is older than
/// what is kept, and goes with the next retention.
///
/// Call it in a transaction of its own: writers hold this lock when they ask for those that dropping old counts takes.
pub fn patterns(tenant: i64, now: i64) -> Result<i64> {
    locks::acquire(Kind::Patterns, tenant);
    sql::update(
        "WITH gone AS (
            DELETE FROM log_pattern p
             USING (SELECT least($2 - r.keep, (SELECT min(l.bucket) FROM log_pattern_5m l)) AS before
                      FROM etl_retention r WHERE r.table_name = 'log_pattern_5m' AND isfinite(r.keep)) kept
             WHERE p.tenant_id = $1 AND p.last_seen < kept.before
               AND NOT EXISTS (SELECT FROM log_pattern m
                                WHERE m.tenant_id = $1 AND m.class_id = p.fingerprint_id AND m.fingerprint_id <> p.fingerprint_id)
            RETURNING p.fingerprint_id
         ), aliases AS (
            DELETE FROM log_pattern_alias a USING gone WHERE a.tenant_id = $1 AND a.fingerprint_id = gone.fingerprint_id
         )
         SELECT count(*) FROM gone",
        &[tenant.into(), to_timestamptz(now)?.into()],
        |rows| required(rows.first().get_one()?, "count"),
    )
}
