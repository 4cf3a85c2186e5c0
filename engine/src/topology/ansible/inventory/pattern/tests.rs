use super::*;
use crate::topology::ansible::inventory::ini;
use proptest::prelude::*;

const INI: &str = "lone\n[web]\nw[1:4]\nw-a\n[db]\nd1\nd2\n[site:children]\nweb\ndb\n";

fn inventory() -> Inventory {
    let mut inventory = Inventory::default();
    ini::parse(INI, &Arc::from("hosts"), &mut inventory).unwrap();
    inventory.finish().unwrap();
    inventory
}

fn hosts(pattern: &str) -> Vec<String> {
    let inventory = inventory();
    let members = inventory.members().unwrap();
    select(&inventory, &members, pattern)
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn unions_intersections_and_exclusions_in_any_order() {
    assert_eq!(hosts("web:&site:!w1"), ["w2", "w3", "w4", "w-a"]);
    assert_eq!(hosts("!w1:web"), ["w2", "w3", "w4", "w-a"]);
    assert_eq!(hosts("!site"), ["lone"]);
    assert_eq!(hosts("db,w1"), ["d1", "d2", "w1"]);
    assert_eq!(hosts("all"), ["lone", "w1", "w2", "w3", "w4", "w-a", "d1", "d2"]);
}

#[test]
fn globs_expressions_and_subscripts() {
    assert_eq!(hosts("w?"), ["w1", "w2", "w3", "w4"]);
    assert_eq!(hosts("w[!1-2]"), ["w3", "w4"]);
    assert_eq!(hosts("~[wd]1$"), ["w1", "d1"]);
    assert_eq!(hosts("web[0]"), ["w1"]);
    assert_eq!(hosts("web[1:2]"), ["w2", "w3"]);
    assert_eq!(hosts("web[3:]"), ["w4", "w-a"]);
    assert_eq!(hosts("web[-1]"), ["w-a"]);
    assert_eq!(hosts("web[0:0]"), ["w1"]);
    assert_eq!(hosts("nothing"), Vec::<String>::new());
    assert_eq!(hosts("localhost"), ["localhost"]);
}

#[test]
fn what_cannot_be_selected_is_an_error() {
    let inventory = inventory();
    let members = inventory.members().unwrap();
    assert_eq!(select(&inventory, &members, "~("), Err(PatternError::Regex));
    assert_eq!(select(&inventory, &members, "web[9]"), Err(PatternError::Subscript));
    assert_eq!(
        select(&inventory, &members, &"a:".repeat(20_000)),
        Err(PatternError::TooLong)
    );
}

proptest! {
    #[test]
    fn never_panics_and_never_repeats(pattern in "[a-d0-9:!&,~*?\\[\\]\\-.é ]{0,20}") {
        let inventory = inventory();
        let members = inventory.members().unwrap();
        if let Ok(found) = select(&inventory, &members, &pattern) {
            let unique: IndexSet<_> = found.iter().collect();
            prop_assert_eq!(unique.len(), found.len());
        }
    }

    #[test]
    fn a_group_and_its_complement_are_all(group in prop::sample::select(vec!["web", "db", "site", "ungrouped"])) {
        let mut both = hosts(group);
        both.extend(hosts(&format!("all:!{group}")));
        both.sort();
        let mut all = hosts("all");
        all.sort();
        prop_assert_eq!(both, all);
    }
}
