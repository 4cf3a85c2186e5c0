//! After a change of masks: which fingerprint of before is which of today.
//!
//! Other masks make other fingerprints of all lines. What is stored keeps its own, for ever. Here the stored samples are
//! masked anew, and an alias leads from what a sample had to what it has now, so that classes go on as they were.

use crate::backend::settings;
use crate::backend::sql::{self, required};
use crate::error::Result;
use crate::store::CHUNK;
use engine::patterns::{Masker, REST, Scratch, coarse};

/// Samples are cut at 1000 bytes; of a longer line the template knows more.
const CUT_SAMPLE: usize = 990;

/// What a pattern is by today's masks.
#[derive(Debug, PartialEq, Eq)]
struct Today {
    fingerprint: i64,
    template: String,
}

/// Whether the patterns of a tenant were last bridged to other masks than these, or never.
pub fn is_due(tenant: i64, masker: &Masker) -> Result<bool> {
    let last: Option<i64> = sql::select(
        "SELECT max(version) FROM log_mask_state WHERE tenant_id = $1",
        &[tenant.into()],
        |rows| Ok(rows.first().get_one()?),
    )?;
    Ok(last != Some(masker.version() as i64))
}

/// Bridges all patterns of a tenant that other masks made, and takes back bridges of those that are today's again. Returns
/// how many fingerprints of other masks there are. The caller holds the lock of the tenant's patterns, and computes
/// the classes after it.
pub fn all(tenant: i64, masker: &Masker) -> Result<usize> {
    // As in `classes::refresh`: the planner does not know how much is new.
    settings::scoped(&[(c"enable_nestloop", "off")], || bridge_all(tenant, masker))
}

fn bridge_all(tenant: i64, masker: &Masker) -> Result<usize> {
    let (mut after, mut bridged) = (None, 0);
    loop {
        let (old, current, last) = chunk(tenant, masker, after)?;
        bridge(tenant, &old)?;
        settle(tenant, current)?;
        bridged += old.len();
        after = last;
        if after.is_none() {
            break;
        }
    }
    sql::execute(
        "INSERT INTO log_mask_state AS s (tenant_id, version)
         SELECT t.tenant_id, $2 FROM dim_tenant t WHERE t.tenant_id = $1
         ON CONFLICT (tenant_id) DO UPDATE SET version = excluded.version, changed_at = excluded.changed_at
         WHERE s.version <> excluded.version",
        &[tenant.into(), (masker.version() as i64).into()],
    )?;
    Ok(bridged)
}

/// Patterns after a fingerprint: those of other masks with what they are today, the fingerprints of today's, and where to go
/// on; `None` at the end.
type Chunk = (Vec<(i64, Today)>, Vec<i64>, Option<i64>);

fn chunk(tenant: i64, masker: &Masker, after: Option<i64>) -> Result<Chunk> {
    sql::select(
        "SELECT fingerprint_id, pattern, sample_message FROM log_pattern
          WHERE tenant_id = $1 AND ($2 IS NULL OR fingerprint_id > $2) ORDER BY fingerprint_id LIMIT $3",
        &[tenant.into(), after.into(), (CHUNK as i64).into()],
        |rows| {
            let (mut old, mut current, mut last) = (Vec::new(), Vec::new(), None);
            let (full, mut scratch) = (rows.len() == CHUNK, Scratch::default());
            for row in rows {
                let fingerprint: i64 = required(row.get(1)?, "fingerprint_id")?;
                let pattern: &str = required(row.get(2)?, "pattern")?;
                match today(masker, &mut scratch, fingerprint, pattern, row.get(3)?) {
                    Some(today) => old.push((fingerprint, today)),
                    None => current.push(fingerprint),
                }
                last = Some(fingerprint);
            }
            Ok((old, current, last.filter(|_| full)))
        },
    )
}

/// What a stored pattern is by these masks; `None` if they made it.
fn today(
    masker: &Masker,
    scratch: &mut Scratch,
    fingerprint: i64,
    pattern: &str,
    sample: Option<&str>,
) -> Option<Today> {
    // Also templates that no line has: those of classes and coarse ones.
    if masker.template_fingerprint(pattern) as i64 == fingerprint {
        return None;
    }
    let line = sample.filter(|s| s.len() < CUT_SAMPLE).unwrap_or(pattern);
    let now = masker.analyse(line, scratch);
    if now.fingerprint as i64 == fingerprint {
        return None;
    }
    // One line says nothing about the many that count under a coarse pattern.
    let stays = now.template != pattern && (pattern == REST || coarse(now.template) == pattern);
    Some(if stays {
        Today {
            fingerprint: masker.template_fingerprint(pattern) as i64,
            template: pattern.to_owned(),
        }
    } else {
        Today {
            fingerprint: now.fingerprint as i64,
            template: now.template.to_owned(),
        }
    })
}

fn bridge(tenant: i64, old: &[(i64, Today)]) -> Result<()> {
    if old.is_empty() {
        return Ok(());
    }
    let from: Vec<i64> = old.iter().map(|(fingerprint, _)| *fingerprint).collect();
    let to: Vec<i64> = old.iter().map(|(_, today)| today.fingerprint).collect();
    sql::execute(
        "INSERT INTO log_pattern (tenant_id, fingerprint_id, class_id, pattern, sample_message, severity, first_seen, last_seen)
         SELECT DISTINCT ON (b.today) $1, b.today, b.today, b.template, p.sample_message, p.severity, p.first_seen, p.last_seen
           FROM unnest($2::bigint[], $3::bigint[], $4::text[]) AS b (fingerprint_id, today, template)
           JOIN log_pattern p ON p.tenant_id = $1 AND p.fingerprint_id = b.fingerprint_id
          ORDER BY b.today, p.first_seen, p.fingerprint_id
         ON CONFLICT (tenant_id, fingerprint_id) DO NOTHING",
        &[
            tenant.into(),
            from.clone().into(),
            to.clone().into(),
            old.iter().map(|(_, today)| today.template.as_str()).collect::<Vec<_>>().into(),
        ],
    )?;
    sql::execute(
        "UPDATE log_pattern p SET class_id = b.today
           FROM unnest($2::bigint[], $3::bigint[]) AS b (fingerprint_id, today)
          WHERE p.tenant_id = $1 AND p.fingerprint_id = b.fingerprint_id AND p.class_id <> b.today",
        &[tenant.into(), from.clone().into(), to.clone().into()],
    )?;
    sql::execute(
        "INSERT INTO log_pattern_alias (tenant_id, fingerprint_id, class_id, rule)
         SELECT $1, b.fingerprint_id, b.today, 'mask change' FROM unnest($2::bigint[], $3::bigint[]) AS b (fingerprint_id, today)
         ON CONFLICT (tenant_id, fingerprint_id) DO UPDATE SET class_id = excluded.class_id, rule = excluded.rule",
        &[tenant.into(), from.into(), to.into()],
    )?;
    Ok(())
}

/// Patterns that are today's again are their own class, until the classes are computed.
fn settle(tenant: i64, current: Vec<i64>) -> Result<()> {
    sql::execute(
        "WITH back AS (
            DELETE FROM log_pattern_alias a
             WHERE a.tenant_id = $1 AND a.fingerprint_id = ANY ($2) AND a.rule = 'mask change' RETURNING a.fingerprint_id
         )
         UPDATE log_pattern p SET class_id = p.fingerprint_id FROM back
          WHERE p.tenant_id = $1 AND p.fingerprint_id = back.fingerprint_id",
        &[tenant.into(), current.into()],
    )?;
    Ok(())
}
