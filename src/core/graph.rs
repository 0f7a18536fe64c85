//! The order of work: everything after what it needs, the same order every time.

/// Nodes in an order that respects their needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// All nodes: by layer, then by number.
    pub sequence: Vec<usize>,
    /// For each node, how many layers stand before it. Nodes of one layer can run side by side.
    pub layer: Vec<usize>,
}

/// Nodes that need each other: each needs the next, the last the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle(pub Vec<usize>);

/// Orders the nodes `0..needs.len()`, where `needs[n]` lists what must come before `n` (Kahn's algorithm).
///
/// # Errors
/// The whole cycle, when there is one.
pub fn order(needs: &[Vec<usize>]) -> Result<Order, Cycle> {
    let mut needed_by = vec![Vec::new(); needs.len()];
    let mut waiting: Vec<usize> = needs.iter().map(Vec::len).collect();
    for (node, its_needs) in needs.iter().enumerate() {
        for &need in its_needs {
            needed_by[need].push(node);
        }
    }
    let mut layer = vec![0; needs.len()];
    let mut sequence: Vec<usize> = (0..needs.len()).filter(|&node| waiting[node] == 0).collect();
    let mut next = 0;
    while let Some(&node) = sequence.get(next) {
        next += 1;
        for &dependent in &needed_by[node] {
            layer[dependent] = layer[dependent].max(layer[node] + 1);
            waiting[dependent] -= 1;
            if waiting[dependent] == 0 {
                sequence.push(dependent);
            }
        }
    }
    if sequence.len() < needs.len() {
        return Err(cycle(needs, &waiting));
    }
    sequence.sort_by_key(|&node| (layer[node], node));
    Ok(Order { sequence, layer })
}

/// Follows unmet needs until a node comes round again: every node still waiting leads into a cycle.
fn cycle(needs: &[Vec<usize>], waiting: &[usize]) -> Cycle {
    let unmet = |node: usize| needs[node].iter().copied().find(|&need| waiting[need] > 0);
    let mut walk: Vec<usize> = (0..needs.len())
        .filter(|&node| waiting[node] > 0)
        .take(1)
        .collect();
    while let Some(need) = walk.last().and_then(|&last| unmet(last)) {
        if let Some(start) = walk.iter().position(|&node| node == need) {
            return Cycle(walk.split_off(start));
        }
        walk.push(need);
    }
    Cycle(walk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn layers_run_side_by_side_in_a_stable_order() {
        let found = order(&[vec![2], vec![], vec![], vec![0, 1]]).unwrap();
        assert_eq!(found.sequence, [1, 2, 0, 3]);
        assert_eq!(found.layer, [1, 0, 0, 2]);
    }

    #[test]
    fn a_cycle_is_reported_whole_and_nothing_else() {
        let Cycle(nodes) = order(&[vec![1], vec![2], vec![3], vec![1], vec![]]).unwrap_err();
        assert_eq!(nodes, [1, 2, 3]);
    }

    proptest! {
        #[test]
        fn everything_comes_after_what_it_needs(edges in prop::collection::vec((0usize..40, 0usize..40), 0..120)) {
            let mut needs = vec![Vec::new(); 40];
            for (a, b) in edges {
                if a != b && !needs[a.max(b)].contains(&a.min(b)) {
                    needs[a.max(b)].push(a.min(b));
                }
            }
            let found = order(&needs).unwrap();
            let place = |node| found.sequence.iter().position(|&other| other == node).unwrap();
            for (node, its_needs) in needs.iter().enumerate() {
                for &need in its_needs {
                    prop_assert!(place(need) < place(node));
                    prop_assert!(found.layer[need] < found.layer[node]);
                }
            }
        }
    }
}
