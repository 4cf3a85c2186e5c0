//! `dim_resource`: the ids of resources.

use crate::backend::sql::{self, required};
use crate::error::{Error, Result};
use engine::urn::Resource;
use std::collections::HashMap;

/// The ids of `resources`, in their order; those not known yet are entered.
pub fn ensure(tenant: i64, resources: &[Resource]) -> Result<Vec<i64>> {
    let urns: Vec<&str> = resources.iter().map(|r| r.urn.as_str()).collect();
    let mut ids = lookup(tenant, &urns)?;
    let unknown: Vec<&Resource> = resources.iter().filter(|r| !ids.contains_key(&r.urn)).collect();
    if !unknown.is_empty() {
        // Somebody else may enter the same resource at the same time: then it is read again below.
        sql::execute(
            "INSERT INTO dim_resource (tenant_id, urn, type, name)
             SELECT $1, r.urn, r.type, r.name FROM unnest($2::text[], $3::text[], $4::text[]) AS r (urn, type, name)
             ON CONFLICT (tenant_id, urn) DO NOTHING",
            &[
                tenant.into(),
                unknown.iter().map(|r| r.urn.as_str()).collect::<Vec<_>>().into(),
                unknown.iter().map(|r| r.kind.as_ref()).collect::<Vec<_>>().into(),
                unknown.iter().map(|r| r.name.as_str()).collect::<Vec<_>>().into(),
            ],
        )?;
        ids.extend(lookup(
            tenant,
            &unknown.iter().map(|r| r.urn.as_str()).collect::<Vec<_>>(),
        )?);
    }
    resources
        .iter()
        .map(|r| {
            ids.get(&r.urn)
                .copied()
                .ok_or_else(|| Error::Internal(format!("resource {} has no id", r.urn)))
        })
        .collect()
}

/// The ids of those URNs that are known.
fn lookup(tenant: i64, urns: &[&str]) -> Result<HashMap<String, i64>> {
    sql::select(
        "SELECT urn, resource_id FROM dim_resource WHERE tenant_id = $1 AND urn = ANY ($2)",
        &[tenant.into(), urns.to_vec().into()],
        |rows| {
            let mut ids = HashMap::with_capacity(rows.len());
            for row in rows {
                ids.insert(required(row.get(1)?, "urn")?, required(row.get(2)?, "resource_id")?);
            }
            Ok(ids)
        },
    )
}
