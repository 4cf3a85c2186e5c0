//! `dim_resource`: the ids of resources.

use crate::backend::sql::{self, required};
use crate::error::{Error, Result};
use crate::store::urn_rules;
use engine::urn::Resource;
use engine::urn::rules::Rules;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// Ids that a process keeps at most: some megabytes.
const MAX_KEPT: usize = 20_000;
/// How often to look for what somebody else was entering. Once is enough unless that was deleted again.
const TRIES: usize = 3;

/// Ids by tenant and URN, from transaction to transaction. They are hints: every transaction has the database confirm
/// them ([`enter`]), so rows that were rolled back, deleted or renamed do no harm.
#[derive(Default)]
struct Kept {
    tenants: HashMap<i64, HashMap<String, i64>>,
    size: usize,
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

/// The resources of one tenant in one transaction: what the tenant's rules call them, and their ids.
pub struct Ids {
    tenant: i64,
    rules: Rc<Rules>,
    /// What an aggregate's URN is called by the rules.
    names: HashMap<String, String>,
    /// By the name that the rules give.
    ids: HashMap<String, i64>,
}

impl Ids {
    /// None yet.
    pub fn of(tenant: i64) -> Result<Ids> {
        Ok(Ids {
            tenant,
            rules: urn_rules::of(Some(tenant))?,
            names: HashMap::new(),
            ids: HashMap::new(),
        })
    }

    /// Makes these resources known, by the URNs that aggregates have; those not in `dim_resource` yet are entered. One
    /// statement, and none if all are known.
    pub fn enter<'a>(&mut self, urns: impl Iterator<Item = &'a str>) -> Result<()> {
        // Sorted by bytes: two runners that enter the same new resources in different orders would wait for each other.
        let mut wanted: BTreeMap<String, Resource> = BTreeMap::new();
        for urn in urns {
            if self.names.contains_key(urn) {
                continue;
            }
            let resource = self.rules.telemetry(urn);
            self.names.insert(urn.to_owned(), resource.urn.clone());
            if !self.ids.contains_key(&resource.urn) {
                wanted.insert(resource.urn.clone(), resource);
            }
        }
        let wanted: Vec<Resource> = wanted.into_values().collect();
        if !wanted.is_empty() {
            self.ids.extend(ids(self.tenant, &wanted)?);
        }
        Ok(())
    }

    /// What the rules call a resource that was entered.
    pub fn name<'a>(&'a self, urn: &'a str) -> &'a str {
        self.names.get(urn).map_or(urn, String::as_str)
    }

    /// The id of a resource that was entered, by the URN that aggregates have.
    pub fn id(&self, urn: &str) -> Result<i64> {
        self.id_of(self.name(urn))
    }

    /// The id of a resource that was entered, by the URN that the rules give.
    pub fn id_of(&self, name: &str) -> Result<i64> {
        self.ids
            .get(name)
            .copied()
            .ok_or_else(|| Error::Internal(format!("resource {name} has no id")))
    }
}

/// The ids of resources, which are sorted by URN, each once.
fn ids(tenant: i64, resources: &[Resource]) -> Result<HashMap<String, i64>> {
    let mut found: HashMap<String, i64> = KEPT.with_borrow(|kept| {
        let kept = kept.tenants.get(&tenant);
        let known = |r: &Resource| Some((r.urn.clone(), *kept?.get(&r.urn)?));
        resources.iter().filter_map(known).collect()
    });
    let mut rest: Vec<&Resource> = resources.iter().collect();
    for _ in 0..TRIES {
        for (urn, id) in enter(tenant, &rest, &found)? {
            match id {
                Some(id) => found.insert(urn, id),
                None => found.remove(&urn),
            };
        }
        rest.retain(|r| !found.contains_key(&r.urn));
        if rest.is_empty() {
            keep(tenant, &found);
            return Ok(found);
        }
    }
    Err(Error::Internal(format!("{} resources come and go", rest.len())))
}

/// Looks up, and enters where they are missing, all resources but those whose hint the database confirms. What somebody
/// else enters at the same time comes back without an id: by then it is there, and another look finds it.
///
/// Each resource is looked up by itself: a plan that is kept must not turn into a scan when the table grows.
fn enter(tenant: i64, resources: &[&Resource], hints: &HashMap<String, i64>) -> Result<Vec<(String, Option<i64>)>> {
    sql::update(
        "WITH unsure AS MATERIALIZED (
             SELECT w.urn, w.type, w.name,
                    (SELECT d.resource_id FROM dim_resource d WHERE d.tenant_id = $1 AND d.urn = w.urn) AS resource_id
               FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[]) AS w (urn, type, name, hint)
              WHERE (SELECT d.urn FROM dim_resource d WHERE d.resource_id = w.hint AND d.tenant_id = $1) IS DISTINCT FROM w.urn
         ), added AS (
             INSERT INTO dim_resource AS d (tenant_id, urn, type, name)
             SELECT $1, u.urn, u.type, u.name FROM unsure u WHERE u.resource_id IS NULL ORDER BY u.urn COLLATE \"C\"
             ON CONFLICT (tenant_id, urn) DO NOTHING
             RETURNING d.urn, d.resource_id
         )
         SELECT u.urn, coalesce(u.resource_id, a.resource_id) FROM unsure u LEFT JOIN added a USING (urn)",
        &[
            tenant.into(),
            resources.iter().map(|r| r.urn.as_str()).collect::<Vec<_>>().into(),
            resources.iter().map(|r| r.kind.as_ref()).collect::<Vec<_>>().into(),
            resources.iter().map(|r| r.name.as_str()).collect::<Vec<_>>().into(),
            resources.iter().map(|r| hints.get(&r.urn).copied()).collect::<Vec<_>>().into(),
        ],
        |rows| {
            let mut unsure = Vec::with_capacity(rows.len());
            for row in rows {
                unsure.push((required(row.get(1)?, "urn")?, row.get(2)?));
            }
            Ok(unsure)
        },
    )
}

/// Keeps ids for the next transaction. When there are too many, all are forgotten: those in use soon come back.
fn keep(tenant: i64, ids: &HashMap<String, i64>) {
    KEPT.with_borrow_mut(|kept| {
        if kept.size + ids.len() > MAX_KEPT {
            *kept = Kept::default();
        }
        if ids.len() > MAX_KEPT {
            return;
        }
        let of_tenant = kept.tenants.entry(tenant).or_default();
        let before = of_tenant.len();
        of_tenant.extend(ids.iter().map(|(urn, id)| (urn.clone(), *id)));
        kept.size += of_tenant.len() - before;
    });
}
