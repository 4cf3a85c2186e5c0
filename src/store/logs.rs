//! `log_pattern`: the dictionary of log templates. Rows are added, never rewritten but for when they were seen.

use crate::backend::sql;
use crate::error::Result;
use crate::store::{CHUNK, timestamps};
use engine::aggregate::PatternRow;

/// Lowest first.
const SEVERITIES: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];

/// Enters new patterns, widens `first_seen .. last_seen` of known ones and raises their severity to the highest seen.
///
/// A known pattern's row is touched only when it is seen in another 5-minute bucket than before: `last_seen` is exact
/// to the bucket, and a steady stream of lines does not rewrite the dictionary every minute.
pub fn upsert_patterns(tenant: i64, rows: &[PatternRow]) -> Result<()> {
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
