//! observe_bridge: Postgres as the bridge between OpenObserve's telemetry and SQL. See README.md and sql/.

mod api;
mod backend;
mod error;
mod guc;
mod jobs;
mod memory;
mod scheduler;
mod source;
mod store;
mod worker;

use pgrx::prelude::*;

pgrx::pg_module_magic!();

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

// In this order; the functions written in Rust come between the roles and the first table, whose defaults call them.
extension_sql_file!("../sql/00_roles.sql", name = "roles", bootstrap);
extension_sql_file!(
    "../sql/10_config.sql",
    name = "config",
    requires = ["roles", etl_now, etl_wake, observe_bridge_fdw_validator]
);
extension_sql_file!("../sql/20_ledger.sql", name = "ledger", requires = ["config"]);
extension_sql_file!("../sql/30_facts.sql", name = "facts", requires = ["ledger"]);
extension_sql_file!("../sql/31_partitions.sql", name = "partitions", requires = ["facts"]);
extension_sql_file!("../sql/40_setup.sql", name = "setup", requires = ["partitions"]);
extension_sql_file!("../sql/41_components.sql", name = "components", requires = ["setup"]);
extension_sql_file!("../sql/50_scheduler.sql", name = "scheduler", requires = ["components"]);
extension_sql_file!("../sql/51_control.sql", name = "control", requires = ["scheduler"]);
extension_sql_file!("../sql/52_claim.sql", name = "claim", requires = ["control"]);
extension_sql_file!("../sql/53_finish.sql", name = "finish", requires = ["claim"]);
extension_sql_file!("../sql/54_coverage.sql", name = "coverage", requires = ["finish"]);
extension_sql_file!("../sql/55_retention.sql", name = "retention", requires = ["coverage"]);
extension_sql_file!("../sql/56_metrics.sql", name = "metrics", requires = ["retention"]);
extension_sql_file!("../sql/57_sql_jobs.sql", name = "sql_jobs", requires = ["metrics"]);
extension_sql_file!("../sql/58_backfill.sql", name = "backfill", requires = ["sql_jobs"]);
extension_sql_file!(
    "../sql/59_backfill_feed.sql",
    name = "backfill_feed",
    requires = ["backfill"]
);
extension_sql_file!("../sql/60_source.sql", name = "source", requires = ["backfill_feed"]);
extension_sql_file!(
    "../sql/61_backfill_control.sql",
    name = "backfill_control",
    requires = ["source"]
);
extension_sql_file!(
    "../sql/62_topology.sql",
    name = "topology",
    requires = ["backfill_control"]
);
extension_sql_file!(
    "../sql/65_topology_diff.sql",
    name = "topology_diff",
    requires = ["topology"]
);
extension_sql_file!(
    "../sql/63_topology_questions.sql",
    name = "topology_questions",
    requires = ["topology_diff"]
);
extension_sql_file!(
    "../sql/64_reconcile.sql",
    name = "reconcile",
    requires = ["topology_questions"]
);
extension_sql_file!(
    "../sql/66_log_patterns.sql",
    name = "log_patterns",
    requires = ["reconcile"]
);
extension_sql_file!(
    "../sql/67_log_masks.sql",
    name = "log_masks",
    requires = ["log_patterns", log_mask_check, log_masks_check]
);
extension_sql_file!(
    "../sql/68_urn_rules.sql",
    name = "urn_rules",
    requires = ["log_masks", topo_digest, urn_rule_check, urn_rules_forget]
);
extension_sql_file!("../sql/69_graph.sql", name = "graph", requires = ["urn_rules"]);
extension_sql_file!(
    "../sql/70_topology_jobs.sql",
    name = "topology_jobs",
    requires = ["graph"]
);
extension_sql_file!(
    "../sql/71_topology_joins.sql",
    name = "topology_joins",
    requires = ["topology_jobs"]
);
extension_sql_file!("../sql/90_finalize.sql", name = "finalize", finalize);

/// Runs when the library is loaded: by the postmaster if it is preloaded, else by the first session that needs it.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    // SAFETY: plain flags of the process.
    let (upgrading, preloading) = unsafe {
        (
            pg_sys::IsBinaryUpgrade,
            pg_sys::process_shared_preload_libraries_in_progress,
        )
    };
    if upgrading {
        return;
    }
    error::hide_backtraces();
    memory::this_is_the_main_thread();
    #[cfg(feature = "fault-points")]
    backend::fault::announce();
    guc::register();
    if preloading {
        worker::shmem::request();
        worker::process::register_launcher();
        worker::hook::install();
    }
}
