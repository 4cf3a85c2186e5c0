//! The foreign data wrapper: it only holds connections (servers and user mappings), there are no foreign tables.

use crate::error::{Error, Result, or_raise};
use crate::jobs::{oo_agg, sources, topo};
use crate::source::server::{self, Options};
use pgrx::JsonB;
use pgrx::prelude::*;

/// Checks the options of CREATE/ALTER SERVER and USER MAPPING; refuses foreign tables.
#[pg_extern(strict, volatile)]
fn observe_bridge_fdw_validator(options: Vec<String>, catalog: pg_sys::Oid) {
    or_raise(validate(&options, catalog));
}

fn validate(options: &[String], catalog: pg_sys::Oid) -> Result<()> {
    let options: Options = options
        .iter()
        .map(|o| {
            o.split_once('=')
                .map_or((o.clone(), String::new()), |(k, v)| (k.to_string(), v.to_string()))
        })
        .collect();
    match catalog {
        pg_sys::ForeignServerRelationId => {
            server::check_server(&options).map_err(bad_option)?;
            // A server that trusts the machine that PostgreSQL runs on would take anybody for anybody.
            superuser_only(&options, "metadata_url", "Ask a superuser to set it.")
        }
        pg_sys::UserMappingRelationId => {
            server::check_mapping(&options).map_err(bad_option)?;
            server::ENV_OPTIONS.into_iter().try_for_each(|(variable, option)| {
                superuser_only(&options, variable, &format!("Use the option {option}."))
            })
        }
        pg_sys::ForeignDataWrapperRelationId if options.is_empty() => Ok(()),
        pg_sys::ForeignDataWrapperRelationId => Err(Error::invalid(
            PgSqlErrorCode::ERRCODE_FDW_INVALID_OPTION_NAME,
            "the foreign data wrapper observe_bridge has no options",
            "Options belong to CREATE SERVER and CREATE USER MAPPING.",
        )),
        _ => Err(Error::invalid(
            PgSqlErrorCode::ERRCODE_FDW_UNABLE_TO_CREATE_EXECUTION,
            "observe_bridge has no foreign tables",
            "Name the server in etl_source_add(); the rows arrive in metric_1m, service_call_5m and log_pattern_5m.",
        )),
    }
}

fn superuser_only(options: &Options, option: &str, hint: &str) -> Result<()> {
    // SAFETY: reads the current user.
    if options.contains_key(option) && unsafe { !pg_sys::superuser() } {
        return Err(Error::invalid(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("only a superuser may set {option}"),
            hint,
        ));
    }
    Ok(())
}

/// Options are checked by pure code, which knows no SQLSTATE but its own.
fn bad_option(e: crate::source::SourceError) -> Error {
    let sqlstate = if e.message.contains("missing") {
        PgSqlErrorCode::ERRCODE_FDW_OPTION_NAME_NOT_FOUND
    } else {
        PgSqlErrorCode::ERRCODE_FDW_INVALID_OPTION_NAME
    };
    Error::Invalid {
        sqlstate,
        message: e.message,
        detail: e.detail,
        hint: e.hint,
    }
}

/// Raises if a source of this server and these options could not be used by the caller. For `etl_source_add`.
///
/// Reads user mappings, hence SECURITY DEFINER; the caller is the role outside of such functions.
#[pg_extern(strict, volatile, security_definer)]
#[search_path(pg_catalog, @extschema@, pg_temp)]
fn etl_source_check(server: &str, job: &str, options: JsonB) {
    or_raise(check(server, job, &options));
}

fn check(server: &str, job: &str, options: &JsonB) -> Result<()> {
    // SAFETY: reads the role in force outside of SECURITY DEFINER functions.
    let user = unsafe { pg_sys::GetOuterUserId() };
    if let Some(kind) = topo::Kind::of(job) {
        return topo::sources::source(kind, server.to_string(), options, user).map(|_| ());
    }
    if job != oo_agg::NAME {
        return Err(Error::invalid(
            PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
            format!("job \"{job}\" takes no source in this version"),
            "Sources of this version feed the jobs oo-agg, topo-iac and topo-ansible.",
        ));
    }
    sources::source(server.to_string(), options, user).map(|_| ())
}
