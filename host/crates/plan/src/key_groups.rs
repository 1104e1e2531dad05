//! The key groups of each task: contiguous ranges that together are all there are.

use weir_core::key_group::KEY_GROUPS;

/// First and last key group of each of `parallelism` tasks, as the exchange deals them out
/// ([`KeyGroup::task_of`](weir_core::key_group::KeyGroup::task_of)). A task beyond the 1024th would have none.
///
/// ```
/// let groups: Vec<_> = weir_plan::key_groups(3).collect();
/// assert_eq!(groups, [(0, 341), (342, 682), (683, 1023)]);
/// ```
pub fn key_groups(parallelism: u16) -> impl Iterator<Item = (u16, u16)> {
    let tasks = u32::from(parallelism.min(KEY_GROUPS));
    let first = move |task: u32| (task * u32::from(KEY_GROUPS)).div_ceil(tasks) as u16;
    (0..tasks).map(move |task| (first(task), first(task + 1) - 1))
}

#[cfg(test)]
mod tests {
    use weir_core::key_group::KeyGroup;

    use super::*;

    #[test]
    fn they_are_those_of_the_exchange() {
        for tasks in [1u16, 2, 3, 7, 100, 1023, 1024] {
            for (task, (first, last)) in key_groups(tasks).enumerate() {
                assert!((first..=last).all(|g| usize::from(KeyGroup(g).task_of(tasks)) == task), "{task} of {tasks}");
            }
            assert_eq!(key_groups(tasks).map(|(first, last)| last - first + 1).sum::<u16>(), KEY_GROUPS);
        }
        assert_eq!(key_groups(0).count(), 0);
    }
}
