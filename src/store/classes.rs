//! `log_pattern.class_id` and `log_pattern_alias`: which fingerprints are the same statement of a program all the same.
//!
//! Classes are computed by `engine::patterns::alias` from all patterns of a tenant, as soon as a new one is entered.

use crate::backend::settings;
use crate::backend::sql::{self, required};
use crate::error::Result;
use engine::patterns::Masker;
use engine::patterns::alias::{Alias, Classes};

/// A dictionary with more patterns than this gets no further classes: computing them belongs to the transaction that
/// enters a pattern, and must stay short. `dim_tenant.max_patterns` keeps dictionaries well below.
const MOST: i64 = 100_000;

/// Computes the classes of a tenant from its whole dictionary and writes what has changed. The caller holds the lock of
/// the tenant's patterns. Beyond [`MOST`] patterns nothing is done. `masker` is the tenant's: its rules are part of the ids
/// of classes. A fingerprint of other rules goes by the template that its sample has by these (see [`crate::store::remask`]).
///
/// A class that has no pattern of its own yet gets a row: its template, with the sample of its earliest member. An alias
/// is never taken back, though retention may have left fewer members than made it.
pub fn refresh(tenant: i64, masker: &Masker) -> Result<()> {
    // What this transaction has entered is unknown to the planner: a loop over tables that it thinks empty would take
    // minutes for ten thousand patterns.
    settings::scoped(&[(c"enable_nestloop", "off")], || compute(tenant, masker))
}

fn compute(tenant: i64, masker: &Masker) -> Result<()> {
    let many: bool = sql::select(
        "SELECT count(*) > $2 FROM (SELECT FROM log_pattern WHERE tenant_id = $1 LIMIT $2 + 1) p",
        &[tenant.into(), MOST.into()],
        |rows| required(rows.first().get_one()?, "count"),
    )?;
    if many {
        return Ok(());
    }
    let mut classes = Classes::new();
    sql::select(
        "SELECT p.fingerprint_id, coalesce(t.pattern, p.pattern) FROM log_pattern p
           LEFT JOIN log_pattern_alias a ON a.tenant_id = $1 AND a.fingerprint_id = p.fingerprint_id AND a.rule = 'mask change'
           LEFT JOIN log_pattern t ON t.tenant_id = $1 AND t.fingerprint_id = a.class_id
          WHERE p.tenant_id = $1",
        &[tenant.into()],
        |rows| {
            for row in rows {
                let fingerprint: i64 = required(row.get(1)?, "fingerprint_id")?;
                classes.insert(fingerprint as u64, required(row.get::<&str>(2)?, "pattern")?);
            }
            Ok(())
        },
    )?;
    let outcome = classes.outcome(masker);
    if outcome.aliases.is_empty() {
        return Ok(());
    }
    let column = |of: fn(&Alias) -> u64| outcome.aliases.iter().map(|a| of(a) as i64).collect::<Vec<_>>();
    let (fingerprints, class_ids) = (column(|a| a.fingerprint), column(|a| a.class));
    let rules: Vec<&str> = outcome.aliases.iter().map(|a| a.rule.as_str()).collect();
    sql::execute(
        "INSERT INTO log_pattern (tenant_id, fingerprint_id, class_id, pattern, sample_message, severity, first_seen, last_seen)
         SELECT $1, c.id, c.id, c.pattern, (array_agg(p.sample_message ORDER BY p.first_seen, p.fingerprint_id))[1],
                (array_agg(p.severity ORDER BY array_position('{TRACE,DEBUG,INFO,WARN,ERROR,FATAL}', p.severity) DESC NULLS LAST))[1],
                min(p.first_seen), max(p.last_seen)
           FROM unnest($2::bigint[], $3::text[]) AS c (id, pattern)
           JOIN unnest($4::bigint[], $5::bigint[]) AS a (fingerprint_id, class_id) ON a.class_id = c.id
           JOIN log_pattern p ON p.tenant_id = $1 AND p.fingerprint_id = a.fingerprint_id
          WHERE NOT EXISTS (SELECT FROM log_pattern k WHERE k.tenant_id = $1 AND k.fingerprint_id = c.id)
          GROUP BY c.id, c.pattern
         ON CONFLICT (tenant_id, fingerprint_id) DO NOTHING",
        &[
            tenant.into(),
            outcome.classes.iter().map(|c| c.id as i64).collect::<Vec<_>>().into(),
            outcome.classes.iter().map(|c| c.template.as_str()).collect::<Vec<_>>().into(),
            fingerprints.clone().into(),
            class_ids.clone().into(),
        ],
    )?;
    sql::execute(
        "UPDATE log_pattern p SET class_id = a.class_id
           FROM unnest($2::bigint[], $3::bigint[]) AS a (fingerprint_id, class_id)
          WHERE p.tenant_id = $1 AND p.fingerprint_id = a.fingerprint_id AND p.class_id <> a.class_id",
        &[tenant.into(), fingerprints.clone().into(), class_ids.clone().into()],
    )?;
    sql::execute(
        "INSERT INTO log_pattern_alias AS l (tenant_id, fingerprint_id, class_id, rule)
         SELECT $1, a.fingerprint_id, a.class_id, a.rule
           FROM unnest($2::bigint[], $3::bigint[], $4::text[]) AS a (fingerprint_id, class_id, rule)
         ON CONFLICT (tenant_id, fingerprint_id) DO UPDATE
         SET class_id = excluded.class_id, rule = CASE l.rule WHEN 'mask change' THEN l.rule ELSE excluded.rule END
         WHERE l.class_id <> excluded.class_id OR l.rule NOT IN (excluded.rule, 'mask change')",
        &[tenant.into(), fingerprints.into(), class_ids.into(), rules.into()],
    )?;
    Ok(())
}
