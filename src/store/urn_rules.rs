//! The rules of `urn_rule`, compiled once and kept in the process until the table changes.
//!
//! The table's trigger makes PostgreSQL tell all processes of a change when it commits (a relcache invalidation, the way
//! in which they learn of altered tables), so that looking at the rules costs nothing.

use crate::backend::sql::{self, required};
use crate::error::{Error, Result};
use engine::urn::rules::{Kind, Rule, RuleError, RuleText, Rules};
use pgrx::prelude::*;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The oid of `urn_rule`, whose changes [`CHANGES`] counts.
static RELATION: AtomicU32 = AtomicU32::new(0);
/// How often this process was told of a change.
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// Tenants whose rules are kept at most.
const MAX_TENANTS: usize = 1000;

#[derive(Default)]
struct Cache {
    /// [`CHANGES`] before the rules were read; `None`: they are to be read again.
    as_of: Option<u64>,
    /// Every enabled rule and its tenant, in the order in which rules are tried.
    all: Vec<(Option<i64>, Rule)>,
    by_tenant: HashMap<Option<i64>, Rc<Rules>>,
}

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::default();
}

/// The rules of a tenant; `None`: those for all tenants.
pub fn of(tenant: Option<i64>) -> Result<Rc<Rules>> {
    listen();
    let changes = CHANGES.load(Ordering::Relaxed);
    if CACHE.with_borrow(|cache| cache.as_of) != Some(changes) {
        let all = read()?;
        // A transaction with a snapshot of its own may have been told of a change that it cannot see yet.
        // SAFETY: a plain variable of the session.
        let sees_all = unsafe { pg_sys::XactIsoLevel } < pg_sys::XACT_REPEATABLE_READ as i32;
        CACHE.set(Cache {
            as_of: sees_all.then_some(changes),
            all,
            by_tenant: HashMap::new(),
        });
    }
    Ok(CACHE.with_borrow_mut(|cache| {
        if let Some(rules) = cache.by_tenant.get(&tenant) {
            return rules.clone();
        }
        let own = |of: &Option<i64>| of.is_none() || *of == tenant;
        let rules = cache.all.iter().filter(|(of, _)| own(of)).map(|(_, rule)| rule.clone());
        let rules = Rc::new(Rules::new(rules.collect()));
        if cache.by_tenant.len() >= MAX_TENANTS {
            cache.by_tenant.clear();
        }
        cache.by_tenant.insert(tenant, rules.clone());
        rules
    }))
}

/// Checks a rule that is about to be stored; the error says what is wrong with it.
pub fn check(applies_to: &str, requires: &Value, text: RuleText) -> Result<()> {
    compile(applies_to, requires, text).map(drop).map_err(|error| {
        Error::invalid(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            error.message,
            error.hint,
        )
    })
}

fn compile(applies_to: &str, requires: &Value, text: RuleText) -> std::result::Result<Rule, RuleError> {
    let kind = Kind::from_name(applies_to).filter(|_| Kind::NAMES.contains(&applies_to));
    let kind = kind.ok_or_else(|| RuleError {
        message: format!("rules cannot apply to \"{applies_to}\""),
        hint: format!("applies_to is one of {}.", Kind::NAMES.join(", ")),
    })?;
    let requires = conditions(requires)?;
    Rule::new(kind, RuleText { requires, ..text })
}

/// Tells all processes, at commit, that the rules have changed.
pub fn changed() -> Result<()> {
    let relation = relation()?;
    // SAFETY: a relation that exists.
    unsafe { pg_sys::CacheInvalidateRelcacheByRelid(relation) };
    Ok(())
}

/// Registers [`forget`], once a process.
fn listen() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // SAFETY: a function that lives as long as the process; pgrx never unloads the library.
        unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(forget), pg_sys::Datum::from(0)) };
    });
}

#[pg_guard]
extern "C-unwind" fn forget(_argument: pg_sys::Datum, relation: pg_sys::Oid) {
    // The invalid oid stands for all relations.
    if relation == pg_sys::InvalidOid || relation.to_u32() == RELATION.load(Ordering::Relaxed) {
        CHANGES.fetch_add(1, Ordering::Relaxed);
    }
}

fn relation() -> Result<pg_sys::Oid> {
    sql::select("SELECT 'urn_rule'::regclass::oid", &[], |rows| {
        required(rows.first().get_one()?, "oid")
    })
}

fn read() -> Result<Vec<(Option<i64>, Rule)>> {
    RELATION.store(relation()?.to_u32(), Ordering::Relaxed);
    sql::select(
        "SELECT tenant_id, applies_to, requires, rule, template, type, name_attribute, only_unambiguous FROM urn_rule
          WHERE enabled ORDER BY priority, tenant_id NULLS LAST, rule COLLATE \"C\"",
        &[],
        |rows| {
            let mut all = Vec::with_capacity(rows.len());
            for row in rows {
                let applies_to: String = required(row.get(2)?, "applies_to")?;
                let requires: pgrx::JsonB = required(row.get(3)?, "requires")?;
                let text = RuleText {
                    name: required(row.get(4)?, "rule")?,
                    requires: Vec::new(),
                    template: required(row.get(5)?, "template")?,
                    kind: row.get(6)?,
                    name_attribute: row.get(7)?,
                    only_unambiguous: required(row.get(8)?, "only_unambiguous")?,
                };
                let name = text.name.clone();
                match compile(&applies_to, &requires.0, text) {
                    Ok(rule) => all.push((row.get(1)?, rule)),
                    // Only with its triggers disabled does the table take such a rule.
                    Err(error) => warning!("urn_rule \"{name}\" is left out: {error}"),
                }
            }
            Ok(all)
        },
    )
}

/// `{"k8s.namespace.name": "prod-*"}`: attributes and what their values must look like.
fn conditions(requires: &Value) -> std::result::Result<Vec<(String, String)>, RuleError> {
    let wrong = || RuleError {
        message: "requires must be an object of attributes and texts".to_owned(),
        hint: "Write {\"k8s.namespace.name\": \"prod-*\"}; \"*\" stands for any value.".to_owned(),
    };
    let object = requires.as_object().ok_or_else(wrong)?;
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(wrong);
    object
        .iter()
        .map(|(name, value)| Ok((name.clone(), text(value)?)))
        .collect()
}
