//! Terraform records closures; what comes out is the smallest graph with the same closure, whatever the graph.

use std::collections::BTreeSet;

use engine::topology::{Format, extract};
use proptest::prelude::*;
use serde_json::json;

type Pairs = BTreeSet<(String, String)>;

/// A graph without cycles: of each node the earlier ones that it depends on directly.
fn graphs() -> impl Strategy<Value = Vec<Vec<usize>>> {
    prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..4), 1..12).prop_map(|nodes| {
        let earlier = nodes.into_iter().enumerate();
        earlier
            .map(|(at, picks)| {
                if at == 0 {
                    vec![]
                } else {
                    picks.iter().map(|pick| pick.index(at)).collect()
                }
            })
            .collect()
    })
}

fn closure(graph: &[Vec<usize>]) -> Vec<BTreeSet<usize>> {
    let mut closures: Vec<BTreeSet<usize>> = Vec::new();
    for direct in graph {
        let reached = direct
            .iter()
            .flat_map(|&node| closures[node].iter().copied().chain([node]))
            .collect();
        closures.push(reached);
    }
    closures
}

/// The state that Terraform writes for it, its resources in the given order.
fn state(graph: &[Vec<usize>], order: &[usize]) -> String {
    let closures = closure(graph);
    let resources: Vec<_> = order
        .iter()
        .map(|&node| {
            let dependencies: Vec<String> = closures[node].iter().map(|node| format!("t.n{node}")).collect();
            json!({"type": "t", "name": format!("n{node}"), "instances": [{"attributes": {}, "dependencies": dependencies}]})
        })
        .collect();
    json!({"version": 4, "lineage": "x", "resources": resources}).to_string()
}

fn edges(state: &str, format: Format) -> Pairs {
    extract(state.as_bytes(), format)
        .unwrap()
        .edges
        .into_iter()
        .map(|edge| (edge.src, edge.dst))
        .collect()
}

proptest! {
    #[test]
    fn topology_of_a_state_is_the_reduction_of_its_closure(
        (graph, order) in graphs().prop_flat_map(|graph| {
            let order: Vec<usize> = (0..graph.len()).collect();
            (Just(graph), Just(order).prop_shuffle())
        })
    ) {
        let closures = closure(&graph);
        // Direct, unless another dependency leads there.
        let expected: Pairs = closures
            .iter()
            .enumerate()
            .flat_map(|(src, all)| all.iter().map(move |&dst| (src, dst, all)))
            .filter(|(_, dst, all)| !all.iter().any(|node| closures[*node].contains(dst)))
            .map(|(src, dst, _)| (format!("t.n{src}"), format!("t.n{dst}")))
            .collect();
        let state = state(&graph, &order);
        prop_assert_eq!(&edges(&state, Format::TerraformState), &expected);
        prop_assert_eq!(&edges(&state, Format::TerraformGraph), &expected);
    }
}
