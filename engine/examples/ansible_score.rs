//! Scores the Ansible extractor over a folder of checkouts with expected results: `ansible_score <folder> [-v]`.
//! Leaves with 1 where a figure is below its threshold.

use std::path::Path;

#[path = "../tests/interface/ansible/score.rs"]
mod score;

fn main() -> std::process::ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(folder) = args.next() else {
        eprintln!("usage: ansible_score <folder> [-v]");
        return std::process::ExitCode::from(2);
    };
    let verbose = args.next().is_some_and(|flag| flag == "-v");
    let mut failed = false;
    for checkout in score::checkouts(Path::new(&folder)) {
        let name = checkout
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        for score in score::score(&checkout) {
            let ok = score.ratio() >= score::threshold(score.what) && score.forbidden == 0;
            failed |= !ok;
            println!(
                "{} ansible/{name}/oracle/{}: {} {}/{} ({:.2} %), forbidden {}",
                if ok { "ok  " } else { "FAIL" },
                score.file,
                score.what,
                score.right,
                score.total,
                100.0 * score.ratio(),
                score.forbidden
            );
            for note in score
                .notes
                .iter()
                .filter(|_| verbose || !ok)
                .take(if verbose { usize::MAX } else { 20 })
            {
                println!("       {note}");
            }
        }
    }
    std::process::ExitCode::from(u8::from(failed))
}
