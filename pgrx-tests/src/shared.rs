//! Test data that is not part of the repository: recordings of a real OpenObserve and a generator of workloads with
//! exact truth. Tests that need it say so and pass where it is not.

use crate::cluster::output;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The folder with the data: `$OBSERVE_BRIDGE_SHARED`, else `shared` beside the checkout.
pub fn shared() -> Option<PathBuf> {
    let folder = std::env::var_os("OBSERVE_BRIDGE_SHARED").map_or_else(|| checkout().join("../shared"), PathBuf::from);
    let found = folder.canonicalize().ok().filter(|f| f.is_dir());
    if found.is_none() {
        println!(
            "skipped: there is no test data at {}; set OBSERVE_BRIDGE_SHARED",
            folder.display()
        );
    }
    found
}

/// The seed of the workloads that figures are given for.
pub const SEED: u32 = 1;

/// The scripts of the workloads with truth, and a Python that can run them.
pub struct Bench {
    scripts: PathBuf,
    python: PathBuf,
}

/// The workloads, if data and Python are there.
pub fn bench() -> Option<Bench> {
    let scripts = shared()?.join("bench");
    let python = checkout().join("target/venv/bin/python");
    if !python.exists() {
        println!("skipped: {} is not there; `make test` makes it", python.display());
        return None;
    }
    Some(Bench { scripts, python })
}

/// A running stand-in server of the workloads; it ends with the value.
pub struct Workload {
    process: Child,
    pub port: u16,
}

impl Bench {
    /// Runs a script to its end and returns what it printed.
    #[track_caller]
    pub fn run(&self, script: &str, arguments: &[&str]) -> String {
        output(self.command(script).args(arguments))
    }

    /// Makes a workload in `folder`, which is created. Equal arguments make equal workloads.
    #[track_caller]
    pub fn generate(&self, folder: &Path, preset: &str, seed: u32, layout: &str) {
        let (folder, seed) = (folder.to_string_lossy(), seed.to_string());
        self.run(
            "gen_window.py",
            &[
                "--out",
                &folder,
                "--preset",
                preset,
                "--seed",
                &seed,
                "--parquet-layout",
                layout,
            ],
        );
    }

    /// Serves a workload over OpenObserve's API.
    #[track_caller]
    pub fn serve(&self, folder: &Path) -> Workload {
        let mut command = self.command("oo_server.py");
        command
            .arg("--data")
            .arg(folder)
            .args(["--port", "0"])
            .stdout(Stdio::piped());
        let mut process = command.spawn().expect("the stand-in server starts");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut line).expect("its first line");
        // "serving N streams on port P"
        let port = line.split_whitespace().last().and_then(|p| p.parse().ok());
        Workload {
            process,
            port: port.unwrap_or_else(|| panic!("the stand-in server said: {line}")),
        }
    }

    fn command(&self, script: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(self.scripts.join(script));
        command
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the checkout")
        .to_path_buf()
}
