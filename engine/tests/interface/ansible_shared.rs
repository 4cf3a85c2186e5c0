//! The Ansible extractor over real checkouts with expected results. Needs the folder `topology` below
//! `OBSERVE_BRIDGE_SHARED`; passes with a message where the variable is not set.

#[path = "ansible/score.rs"]
mod score;

#[test]
fn ansible_checkouts_reach_the_thresholds() {
    let Some(shared) = std::env::var_os("OBSERVE_BRIDGE_SHARED") else {
        eprintln!("skipped: OBSERVE_BRIDGE_SHARED is not set");
        return;
    };
    let checkouts = score::checkouts(&std::path::Path::new(&shared).join("topology"));
    assert!(!checkouts.is_empty(), "no checkouts below the shared folder");
    for checkout in checkouts {
        for score in score::score(&checkout) {
            assert!(
                score.ratio() >= score::threshold(score.what) && score.forbidden == 0,
                "{} {}: {} {}/{}, forbidden {}: {:#?}",
                checkout.display(),
                score.file,
                score.what,
                score.right,
                score.total,
                score.forbidden,
                score.notes
            );
        }
    }
}
