//! `oo_locator`: the way from an aggregate back to its raw records.

use crate::backend::clock::to_timestamptz;
use crate::backend::json::{jsonb, without_nul};
use crate::backend::sql::{self, required};
use crate::error::Result;
use crate::source::Locator;
use crate::store::timestamps;
use engine::record::Dataset;
use engine::window::Window;
use std::collections::HashMap;

/// Ids of locators by dataset, for `sample_ref`: of each the first that led to any record; 0 when there is none.
#[derive(Debug, Default)]
pub struct References {
    pub logs: i64,
    pub traces: i64,
}

/// Enters the locators of a window; a replay finds its rows again by their unique key and refreshes query and
/// attributes.
pub fn write(tenant: i64, window: Window, locators: &[Locator]) -> Result<References> {
    if locators.is_empty() {
        supersede(tenant, window, Vec::new())?;
        return Ok(References::default());
    }
    let mut ids: HashMap<(String, String, String), i64> = HashMap::with_capacity(locators.len());
    sql::update(
        "INSERT INTO oo_locator AS l (tenant_id, dataset, bucket, object_key, t_from, t_to, query_hint, attributes)
         SELECT $1, r.dataset, r.bucket, r.object_key, r.t_from, r.t_to, r.query_hint, r.attributes
           FROM unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::text[], $8::jsonb[])
                AS r (dataset, bucket, object_key, t_from, t_to, query_hint, attributes)
         ON CONFLICT (tenant_id, dataset, bucket, object_key, t_from, t_to)
         DO UPDATE SET query_hint = excluded.query_hint, attributes = excluded.attributes
         RETURNING id, dataset, bucket, object_key",
        &[
            tenant.into(),
            locators.iter().map(|l| l.dataset.as_str()).collect::<Vec<_>>().into(),
            locators.iter().map(|l| l.bucket.as_str()).collect::<Vec<_>>().into(),
            locators.iter().map(|l| l.object_key.as_str()).collect::<Vec<_>>().into(),
            timestamps(locators.iter().map(|l| l.t_from))?.into(),
            timestamps(locators.iter().map(|l| l.t_to))?.into(),
            locators.iter().map(|l| l.query_hint.clone().map(without_nul)).collect::<Vec<_>>().into(),
            locators.iter().map(|l| jsonb(l.attributes.clone())).collect::<Vec<_>>().into(),
        ],
        |rows| {
            for row in rows {
                let id: i64 = required(row.get(1)?, "id")?;
                let dataset: String = required(row.get(2)?, "dataset")?;
                ids.insert((dataset, required(row.get(3)?, "bucket")?, required(row.get(4)?, "object_key")?), id);
            }
            Ok(())
        },
    )?;
    supersede(tenant, window, ids.values().copied().collect())?;
    let first = |dataset: Dataset| {
        let locator = locators.iter().find(|l| l.dataset == dataset && l.records() > 0)?;
        ids.get(&(
            dataset.as_str().to_string(),
            locator.bucket.clone(),
            locator.object_key.clone(),
        ))
        .copied()
    };
    Ok(References {
        logs: first(Dataset::Logs).unwrap_or(0),
        traces: first(Dataset::Traces).unwrap_or(0),
    })
}

/// Marks what earlier attempts at the same window left and this one did not find again: objects that were merged, the
/// other server of a source. They still lead to records, but those are no longer what the window holds.
fn supersede(tenant: i64, window: Window, ids: Vec<i64>) -> Result<()> {
    sql::execute(
        "UPDATE oo_locator SET attributes = attributes || '{\"superseded\": true}'
          WHERE tenant_id = $1 AND dataset IN ('logs', 'metrics', 'traces') AND t_from = $2 AND t_to = $3
            AND id <> ALL ($4) AND NOT attributes ? 'superseded'",
        &[
            tenant.into(),
            to_timestamptz(window.from)?.into(),
            to_timestamptz(window.to)?.into(),
            ids.into(),
        ],
    )?;
    Ok(())
}
