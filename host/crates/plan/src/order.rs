//! Nodes in the order in which records pass them.

use std::collections::BTreeSet;

/// A node that records come back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circle(
    /// The nodes of one circle, each read by the next and the last by the first.
    pub Vec<usize>,
);

/// Sorts the nodes `0..count` so that each comes after all that it reads, and otherwise by number. `edges` are (from,
/// to); what lies outside of the nodes is ignored.
///
/// ```
/// use weir_plan::order::{Circle, sort};
/// assert_eq!(sort(4, &[(3, 0), (0, 1), (2, 1)]), Ok(vec![2, 3, 0, 1]));
/// assert_eq!(sort(3, &[(0, 1), (1, 2), (2, 1)]), Err(Circle(vec![1, 2])));
/// ```
pub fn sort(count: usize, edges: &[(usize, usize)]) -> Result<Vec<usize>, Circle> {
    let mut waits: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); count];
    for (from, to) in edges.iter().filter(|(from, _)| *from < count) {
        if let Some(waits) = waits.get_mut(*to) {
            waits.insert(*from);
        }
    }
    let mut left: BTreeSet<usize> = (0..count).collect();
    let mut sorted = Vec::with_capacity(count);
    while !left.is_empty() {
        let free = left.iter().copied().find(|node| waits.get(*node).is_none_or(|on| on.is_disjoint(&left)));
        let Some(node) = free else { return Err(circle(&waits, &left)) };
        left.remove(&node);
        sorted.push(node);
    }
    Ok(sorted)
}

/// Each node in `left` waits on another of them: going back from any leads into a circle.
fn circle(waits: &[BTreeSet<usize>], left: &BTreeSet<usize>) -> Circle {
    let before = |node: usize| waits.get(node)?.iter().copied().find(|other| left.contains(other));
    let mut path: Vec<usize> = Vec::new();
    let mut at = left.first().copied();
    while let Some(node) = at {
        if let Some(first) = path.iter().position(|seen| *seen == node) {
            path.drain(..first);
            break;
        }
        path.push(node);
        at = before(node);
    }
    path.reverse();
    // From its smallest number on, so that a circle has one name.
    let smallest = path.iter().enumerate().min_by_key(|(_, node)| **node).map_or(0, |(at, _)| at);
    path.rotate_left(smallest);
    Circle(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_found_behind_what_leads_into_it() {
        assert_eq!(sort(5, &[(0, 3), (3, 4), (4, 2), (2, 3), (4, 1)]), Err(Circle(vec![2, 3, 4])));
        assert_eq!(sort(1, &[(0, 0)]), Err(Circle(vec![0])));
    }

    #[test]
    fn edges_to_nowhere_count_for_nothing() {
        assert_eq!(sort(2, &[(0, 9), (9, 1), (1, 0)]), Ok(vec![1, 0]));
        assert_eq!(sort(0, &[]), Ok(vec![]));
    }
}
