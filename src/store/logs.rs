//! `log_pattern`: the dictionary of log templates. Rows are added, never rewritten but for when they were seen, and for
//! the class they belong to.

use crate::backend::clock::from_timestamptz;
use crate::backend::locks::{self, Kind};
use crate::backend::sql::{self, required};
use crate::error::Result;
use crate::store::coarse::Coarse;
use crate::store::{CHUNK, classes, log_masks, remask, timestamps};
use engine::aggregate::PatternRow;
use engine::patterns::{Masker, Severity};
use engine::window::{BUCKET5_US, floor};
use pgrx::datum::TimestampWithTimeZone;
use std::collections::{HashMap, HashSet};

/// Lowest first.
const SEVERITIES: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];

/// Enters patterns that `masker` made, sorted by fingerprint, each once. When some of them are new, or the masks of the
/// tenant have changed, its classes are computed anew, and whoever else has new ones for this tenant waits until the end of
/// the transaction. What the dictionary says already is not sent.
///
/// Where the tenant has too many, coarser ones are entered instead: the result says which.
pub fn enter_patterns(tenant: i64, masker: &Masker, rows: Vec<PatternRow>) -> Result<Coarse> {
    // The masks may have changed since the last window, or while this one was fetched.
    let today = log_masks::masker(tenant)?;
    let others = masker.version() != today.version() || remask::is_due(tenant, &today)?;
    if !others {
        let known = known(tenant, &rows)?;
        if rows.iter().all(|row| known.contains_key(&row.fingerprint)) {
            let lacks = |row: &&PatternRow| known.get(&row.fingerprint).is_none_or(|known| known.lacks(row));
            let news: Vec<&PatternRow> = rows.iter().filter(lacks).collect();
            if !news.is_empty() {
                // Before any row is touched: two runners that each hold what the other waits for would never end.
                locks::acquire_shared(Kind::Patterns, tenant);
                upsert_patterns(tenant, &news)?;
            }
            return Ok(Coarse::default());
        }
    }
    locks::acquire(Kind::Patterns, tenant);
    if others {
        remask::all(tenant, &today)?;
    }
    let known: HashSet<i64> = known(tenant, &rows)?.into_keys().collect();
    let (limit, count) = room(tenant)?;
    let (coarse, rows) = Coarse::new(masker, limit, count, &known, rows);
    upsert_patterns(tenant, &rows.iter().collect::<Vec<_>>())?;
    if masker.version() != today.version() {
        // What was just entered is of yesterday's masks.
        remask::all(tenant, &today)?;
    }
    classes::refresh(tenant, &today)?;
    Ok(coarse)
}

/// What the dictionary says of a pattern that changes.
struct Known {
    /// UTC microseconds.
    first_seen: i64,
    last_seen: i64,
    rank: usize,
}

impl Known {
    /// Whether `row` is to widen it: the same question as in [`upsert_patterns`].
    fn lacks(&self, row: &PatternRow) -> bool {
        row.first_seen < self.first_seen
            || rank(row.severity.map(Severity::as_str)) > self.rank
            || row.last_seen >= floor(self.last_seen, BUCKET5_US) + BUCKET5_US
    }
}

/// 0 for none.
fn rank(severity: Option<&str>) -> usize {
    SEVERITIES
        .iter()
        .position(|s| Some(*s) == severity)
        .map_or(0, |p| p + 1)
}

/// What the dictionary says of the patterns, by fingerprint.
fn known(tenant: i64, rows: &[PatternRow]) -> Result<HashMap<i64, Known>> {
    sql::select(
        "SELECT fingerprint_id, first_seen, last_seen, severity
           FROM log_pattern WHERE tenant_id = $1 AND fingerprint_id = ANY ($2)",
        &[
            tenant.into(),
            rows.iter().map(|r| r.fingerprint).collect::<Vec<_>>().into(),
        ],
        |found| {
            let mut known = HashMap::with_capacity(found.len());
            for row in found {
                let seen = |i| required(row.get::<TimestampWithTimeZone>(i)?, "first_seen, last_seen");
                let pattern = Known {
                    first_seen: from_timestamptz(seen(2)?),
                    last_seen: from_timestamptz(seen(3)?),
                    rank: rank(row.get::<&str>(4)?),
                };
                known.insert(required(row.get(1)?, "fingerprint_id")?, pattern);
            }
            Ok(known)
        },
    )
}

/// How many patterns the tenant may have, 0 for any number, and how many it has, counted to twice that. Those of other masks
/// do not count: each stands beside one of today's.
fn room(tenant: i64) -> Result<(usize, usize)> {
    sql::select(
        "SELECT t.max_patterns::bigint,
                (SELECT count(*) FROM (
                    SELECT FROM log_pattern p
                     WHERE p.tenant_id = $1
                       AND NOT EXISTS (SELECT FROM log_pattern_alias a
                                        WHERE a.tenant_id = $1 AND a.fingerprint_id = p.fingerprint_id AND a.rule = 'mask change')
                     LIMIT 2 * t.max_patterns::bigint) c)
           FROM dim_tenant t WHERE t.tenant_id = $1",
        &[tenant.into()],
        |rows| {
            // A tenant that is being removed has no row any more.
            let Some(row) = rows.into_iter().next() else {
                return Ok((0, 0));
            };
            let number = |n: Option<i64>| usize::try_from(n.unwrap_or(0)).unwrap_or(0);
            Ok((number(row.get(1)?), number(row.get(2)?)))
        },
    )
}

/// Enters new patterns, widens `first_seen .. last_seen` of known ones and raises their severity to the highest seen.
///
/// A known pattern's row is touched only when it is seen in another 5-minute bucket than before: `last_seen` is exact
/// to the bucket, and a steady stream of lines does not rewrite the dictionary every minute.
fn upsert_patterns(tenant: i64, rows: &[&PatternRow]) -> Result<()> {
    for chunk in rows.chunks(CHUNK) {
        sql::execute(
            "WITH seen AS MATERIALIZED (
                SELECT s.*, coalesce(array_position($8, s.severity), 0) AS rank
                  FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[])
                              AS s (fingerprint_id, pattern, sample_message, severity, first_seen, last_seen)
             ), widened AS (
                UPDATE log_pattern p
                   SET first_seen = least(p.first_seen, s.first_seen), last_seen = greatest(p.last_seen, s.last_seen),
                       severity = CASE WHEN s.rank > coalesce(array_position($8, p.severity), 0) THEN s.severity ELSE p.severity END
                  FROM seen s
                 WHERE p.tenant_id = $1 AND p.fingerprint_id = s.fingerprint_id
                   AND (s.first_seen < p.first_seen
                        OR s.rank > coalesce(array_position($8, p.severity), 0)
                        OR s.last_seen >= date_bin('5 minutes', p.last_seen, 'epoch') + interval '5 minutes')
             )
             INSERT INTO log_pattern (tenant_id, fingerprint_id, class_id, pattern, sample_message, severity,
                                      first_seen, last_seen)
             SELECT $1, s.fingerprint_id, s.fingerprint_id, s.pattern, s.sample_message, s.severity,
                    s.first_seen, s.last_seen
               FROM seen s
              WHERE NOT EXISTS (SELECT FROM log_pattern p
                                 WHERE p.tenant_id = $1 AND p.fingerprint_id = s.fingerprint_id)
             ON CONFLICT (tenant_id, fingerprint_id) DO NOTHING",
            &[
                tenant.into(),
                chunk.iter().map(|r| r.fingerprint).collect::<Vec<_>>().into(),
                chunk.iter().map(|r| r.pattern.as_str()).collect::<Vec<_>>().into(),
                chunk.iter().map(|r| r.sample.as_str()).collect::<Vec<_>>().into(),
                chunk.iter().map(|r| r.severity.map(|s| s.as_str())).collect::<Vec<_>>().into(),
                timestamps(chunk.iter().map(|r| r.first_seen))?.into(),
                timestamps(chunk.iter().map(|r| r.last_seen))?.into(),
                SEVERITIES.to_vec().into(),
            ],
        )?;
    }
    Ok(())
}
