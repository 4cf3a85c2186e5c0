//! From `etl_source` to what a fetch needs: server, user mapping, selection. Read in the extension owner's name, but
//! with the rights of the source's owner.

use crate::backend::clock;
use crate::backend::sql::{self, required};
use crate::error::{Error, Result};
use crate::guc;
use crate::source::server::{self, Options};
use crate::source::{Selection, Source, SourceConfig};
use pgrx::JsonB;
use pgrx::prelude::*;
use std::collections::HashSet;

/// The enabled sources of a tenant's job, in the order of their ids.
pub fn load(tenant: i64, job: &str) -> Result<Vec<Source>> {
    let sources = load_each(tenant, job)?
        .into_iter()
        .map(|(_, source)| source)
        .collect::<Result<Vec<_>>>()?;
    read_once(&sources)?;
    Ok(sources)
}

/// The enabled sources of a tenant's job with their ids, each by itself: one that cannot be used does not keep the
/// others.
pub fn load_each(tenant: i64, job: &str) -> Result<Vec<(i64, Result<Source>)>> {
    let load = |(id, server, options, owner): Row| (id, source(server, &options, owner));
    Ok(rows(tenant, job)?.into_iter().map(load).collect())
}

/// Id, server, options and owner of a source.
pub type Row = (i64, String, JsonB, pg_sys::Oid);

/// The enabled sources of a tenant's job as they are stored, in the order of their ids.
pub fn rows(tenant: i64, job: &str) -> Result<Vec<Row>> {
    sql::select(
        "SELECT s.source_id, s.server, s.options, s.owner::oid
           FROM etl_source s
          WHERE s.tenant_id = $1 AND s.job = $2 AND s.enabled
          ORDER BY s.source_id",
        &[tenant.into(), job.into()],
        |rows| {
            let mut found: Vec<(i64, String, JsonB, pg_sys::Oid)> = Vec::new();
            for row in rows {
                found.push((
                    required(row.get(1)?, "source_id")?,
                    required(row.get(2)?, "server")?,
                    required(row.get(3)?, "options")?,
                    required(row.get(4)?, "owner")?,
                ));
            }
            Ok(found)
        },
    )
}

/// Refuses sources of which one is the fallback of another: its records would count twice.
fn read_once(sources: &[Source]) -> Result<()> {
    let mut doors = HashSet::new();
    for name in sources
        .iter()
        .flat_map(|s| std::iter::once(s.server.as_str()).chain(s.selection.fallback.as_deref()))
    {
        if !doors.insert(name) {
            return Err(Error::invalid(
                PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT,
                format!("server \"{name}\" is read by two sources of this tenant"),
                "A fallback is read like a source of its own: take one of them away with etl_source_drop(source_id).",
            ));
        }
    }
    Ok(())
}

/// A source as `owner` may use it.
pub fn source(server: String, options: &JsonB, owner: pg_sys::Oid) -> Result<Source> {
    let selection = Selection::parse(&options.0)?;
    let mut config = config(&server, owner)?;
    config.settle(&selection, clock::now()?, |fallback| self::config(fallback, owner))?;
    Ok(Source {
        server,
        config,
        selection,
    })
}

/// The configuration of a server as `owner` may use it.
pub fn config(name: &str, owner: pg_sys::Oid) -> Result<SourceConfig> {
    let found = sql::select(
        "SELECT f.oid, has_server_privilege($2, f.oid, 'USAGE'), w.fdwname = 'observe_bridge',
                (SELECT rolsuper FROM pg_roles WHERE oid = $2)
           FROM pg_foreign_server f JOIN pg_foreign_data_wrapper w ON w.oid = f.srvfdw
          WHERE f.srvname = $1",
        &[name.into(), owner.into()],
        |rows| {
            let Some(row) = rows.into_iter().next() else {
                return Ok(None);
            };
            let oid: pg_sys::Oid = required(row.get(1)?, "oid")?;
            let usage: bool = required(row.get(2)?, "usage")?;
            let ours: bool = required(row.get(3)?, "ours")?;
            Ok(Some((oid, usage, ours, row.get::<bool>(4)?.unwrap_or(false))))
        },
    )?;
    let Some((oid, usage, ours, superuser)) = found else {
        return Err(Error::invalid(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("server \"{name}\" does not exist"),
            "CREATE SERVER .. FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'openobserve', endpoint '..').",
        ));
    };
    if !ours {
        return Err(Error::invalid(
            PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
            format!("server \"{name}\" belongs to another foreign data wrapper"),
            "Create it with FOREIGN DATA WRAPPER observe_bridge.",
        ));
    }
    if !usage {
        return Err(Error::invalid(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("role {} may not use server \"{name}\"", role_name(owner)),
            format!(
                "GRANT USAGE ON FOREIGN SERVER {} TO {}.",
                pgrx::spi::quote_identifier(name),
                role_name(owner)
            ),
        ));
    }
    let server = options(
        "SELECT o.option_name, o.option_value FROM pg_foreign_server f, pg_options_to_table(f.srvoptions) o WHERE f.oid = $1",
        &[oid.into()],
    )?;
    // The owner's own mapping, else that of PUBLIC.
    let mut mapping = options(
        "SELECT o.option_name, o.option_value
           FROM (SELECT umoptions FROM pg_user_mapping
                  WHERE umserver = $1 AND umuser IN ($2, 0) ORDER BY umuser = 0 LIMIT 1) m,
                pg_options_to_table(m.umoptions) o",
        &[oid.into(), owner.into()],
    )?;
    resolve_variables(&mut mapping, superuser)?;
    Ok(server::config(&server, &mapping, guc::file_roots())?)
}

/// The name of a role, quoted as needed.
fn role_name(role: pg_sys::Oid) -> String {
    // SAFETY: a look into the catalog; missing roles give null. The text is copied at once.
    unsafe {
        let name = pg_sys::GetUserNameFromId(role, true);
        if name.is_null() {
            return role.to_u32().to_string();
        }
        pgrx::spi::quote_identifier(std::ffi::CStr::from_ptr(name).to_string_lossy())
    }
}

fn options(statement: &'static str, args: &[pgrx::datum::DatumWithOid<'_>]) -> Result<Options> {
    sql::select(statement, args, |rows| {
        let mut found = Options::new();
        for row in rows {
            found.insert(required(row.get(1)?, "option_name")?, row.get(2)?.unwrap_or_default());
        }
        Ok(found)
    })
}

/// Replaces options that name a variable by its value; the server's environment is for superusers only.
fn resolve_variables(mapping: &mut Options, superuser: bool) -> Result<()> {
    for (option, stands_for) in server::ENV_OPTIONS {
        let Some(variable) = mapping.remove(option) else {
            continue;
        };
        if !superuser {
            return Err(Error::invalid(
                PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("{option} is for sources of superusers only"),
                format!("Use the option {stands_for} in the user mapping, or have a superuser add the source."),
            ));
        }
        let value = std::env::var(&variable)
            .ok()
            .filter(|_| variable.starts_with(server::ENV_PREFIX));
        let Some(value) = value else {
            return Err(Error::invalid(
                PgSqlErrorCode::ERRCODE_FDW_UNABLE_TO_ESTABLISH_CONNECTION,
                format!("the server's environment has no variable {variable}"),
                "Set it for the PostgreSQL server and restart.",
            ));
        };
        mapping.insert(stands_for.into(), value);
    }
    Ok(())
}
