//! Workloads with exact truth: sizes x seeds x ways, one line of a table for each.
//!
//! `make verify` runs all sizes with four seeds; without its variables it is the smallest size with one other seed.
//! Needs test data that is not part of the repository; see `blackbox::shared`.

use blackbox::bridge::{count, run};
use blackbox::cluster::Cluster;
use blackbox::shared::{Bench, bench};
use blackbox::truth::{self, CLOCK, minutes};
use serde_json::Value;
use std::fs;

/// How a workload comes in: over HTTP, or from Parquet files of a window or an hour.
const WAYS: [&str; 3] = ["http", "window", "hour"];

/// The words of an environment variable.
fn words(variable: &str, default: &str) -> Vec<String> {
    let value = std::env::var(variable).unwrap_or_else(|_| default.to_owned());
    value.split_whitespace().map(str::to_owned).collect()
}

/// Brings one workload in, compares, and gives the line of the table.
fn verify(cluster: &Cluster, bench: &Bench, size: &str, seed: u32, way: &str) -> String {
    let name = format!("{}_{seed}_{way}", size.to_lowercase());
    let folder = cluster.make_folder(&name);
    bench.generate(&folder, size, seed, if way == "http" { "window" } else { way });
    let mut db = truth::database(cluster, &name);
    let served = (way == "http").then(|| bench.serve(&folder));
    match &served {
        Some(workload) => truth::from_http(&mut db, workload),
        None => truth::from_files(cluster, &mut db, &folder),
    }
    // A session of its own sees the folder that is allowed now.
    let mut db = cluster.session(&name);
    let windows = minutes(size);
    truth::enqueue(&mut db, windows);
    run(&mut db);
    let errors = db.column("SELECT error FROM etl_job_run WHERE error IS NOT NULL");
    assert_eq!(count(&mut db, "oo-agg", "success"), windows, "{name}: {errors:?}");
    assert_eq!(db.int("SELECT count(*) FROM etl_reject"), 0, "{name}");
    let rows = |db: &mut blackbox::Session, table: &str| db.int(&format!("SELECT count(*) FROM {table}"));
    let (metrics, calls) = (rows(&mut db, "metric_1m"), rows(&mut db, "service_call_5m"));
    let report = truth::compare(cluster, &name, bench, &folder);
    let report: Value = serde_json::from_str(&report).expect("the verifier's report");
    let patterns = &report["log_pattern_5m"];
    let lines = &patterns["lines_counted"];
    let ga = patterns["ga"].as_f64().expect("a share of lines");
    fs::remove_dir_all(&folder).expect("the folder goes");
    format!("| {size} | {seed} | {way} | {metrics} | {calls} | {lines} | {ga:.3} |")
}

#[test]
fn every_workload_is_exact() {
    let Some(bench) = bench() else { return };
    let sizes = words("OBSERVE_BRIDGE_VERIFY_SIZES", "S");
    let seeds = words("OBSERVE_BRIDGE_VERIFY_SEEDS", "20260105");
    let cluster = Cluster::start(&[CLOCK]);
    println!(
        "| size | seed | way | rows of metric_1m, exact | rows of service_call_5m, exact | lines, all counted | GA by class |"
    );
    println!("|---|---|---|---|---|---|---|");
    for size in &sizes {
        for seed in &seeds {
            let seed = seed.parse().expect("a seed is a number");
            for way in WAYS {
                println!("{}", verify(&cluster, &bench, size, seed, way));
            }
        }
    }
}
