//! The extractors against real files with the expected edges beside them: the folder `topology` below
//! OBSERVE_BRIDGE_SHARED. Passes and says so when that is not set.

#[path = "../../examples/topology_score/compare.rs"]
mod compare;
#[path = "../../examples/topology_score/score.rs"]
mod score;
#[path = "../../examples/topology_score/suite.rs"]
mod suite;

use std::path::Path;

#[test]
fn topology_of_real_files_reaches_the_thresholds() {
    let Some(shared) = std::env::var_os("OBSERVE_BRIDGE_SHARED") else {
        eprintln!("skipped: OBSERVE_BRIDGE_SHARED is not set");
        return;
    };
    let lines = suite::run(&Path::new(&shared).join("topology")).unwrap();
    let below: Vec<String> = lines
        .iter()
        .filter(|line| !line.passed())
        .map(ToString::to_string)
        .collect();
    assert!(below.is_empty(), "{}", below.join("\n"));
    assert!(lines.len() >= 60, "only {} comparisons", lines.len());
}
