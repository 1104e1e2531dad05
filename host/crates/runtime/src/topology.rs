//! Which operators share a thread, and who sends to whom. Pure: a plan of indices that `attempt` turns into threads.
//!
//! Operators follow each other in one chain. Two neighbours share a thread when both run as one task, so that no re-key
//! lies between them; the source task counts as one task. Everything else is joined by an exchange: by key group where
//! the receiver has several tasks.

use crate::job::{OperatorSetup, SinkSetup};
use crate::task::chain::Route;

/// Operators that share threads: `parallelism` copies of the same chain. Stage 0 is the source task's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stage {
    /// Indices of its operators, in order; empty only in stage 0.
    pub operators: std::ops::Range<usize>,
    /// How many tasks.
    pub parallelism: u16,
    /// Index of its edge to the next stage, if there is one.
    pub next_edge: Option<usize>,
    /// Index of its edge to the sink task, if it feeds a sink.
    pub sink_edge: Option<usize>,
    /// Outputs of its operators that nothing reads, as (operator, output). Each has an edge that only counts, after the
    /// two above.
    pub unread: Vec<(usize, u32)>,
    /// For each operator, for each output: where it goes. Stage 0 without operators has one entry, for the source.
    pub routes: Vec<Vec<Vec<Route>>>,
}

/// Every output that neither the next operator nor a sink reads, as (operator, output): its records go nowhere.
pub fn unread_outputs(operators: &[OperatorSetup], sinks: &[SinkSetup]) -> Vec<(usize, u32)> {
    let mut unread = Vec::new();
    for (index, operator) in operators.iter().enumerate() {
        let outputs = operator.factory.description().outputs.len().max(1) as u32;
        let next = operators.get(index + 1).map(|next| next.input_output);
        let is_read = |output: u32| {
            next == Some(output) || sinks.iter().any(|sink| (sink.operator, sink.output) == (Some(index), output))
        };
        unread.extend((0..outputs).filter(|output| !is_read(*output)).map(|output| (index, output)));
    }
    unread
}

/// Cuts the chain into stages.
pub(crate) fn stages(operators: &[OperatorSetup], sinks: &[SinkSetup]) -> Vec<Stage> {
    let mut cuts: Vec<(std::ops::Range<usize>, u16)> = vec![(0..0, 1)];
    for (index, operator) in operators.iter().enumerate() {
        match cuts.last_mut() {
            Some((range, 1)) if operator.parallelism == 1 => range.end = index + 1,
            _ => cuts.push((index..index + 1, operator.parallelism)),
        }
    }
    let count = cuts.len();
    let all_unread = unread_outputs(operators, sinks);
    let stage = |(at, (range, parallelism)): (usize, (std::ops::Range<usize>, u16))| {
        let next_edge = (at + 1 < count).then_some(0);
        let members = members(&range);
        let feeds = sinks.iter().any(|sink| members.contains(&sink.operator));
        let sink_edge = feeds.then_some(usize::from(next_edge.is_some()));
        let unread: Vec<_> = all_unread.iter().filter(|(operator, _)| range.contains(operator)).copied().collect();
        let mut routes: Vec<_> =
            members.iter().map(|m| routes_of(*m, &range, operators, sinks, next_edge, sink_edge)).collect();
        let edges = usize::from(next_edge.is_some()) + usize::from(sink_edge.is_some());
        for (edge, (operator, output)) in unread.iter().enumerate() {
            if let Some(routes) = routes.get_mut(operator - range.start) {
                add_route(routes, *output, Route::Edge { edge: edges + edge, output: 0 });
            }
        }
        Stage { operators: range, parallelism, next_edge, sink_edge, unread, routes }
    };
    cuts.into_iter().enumerate().map(stage).collect()
}

/// What a stage runs, as sinks name it: the source itself where no operator is chained to it.
fn members(range: &std::ops::Range<usize>) -> Vec<Option<usize>> {
    if range.is_empty() { vec![None] } else { range.clone().map(Some).collect() }
}

fn routes_of(
    member: Option<usize>,
    stage: &std::ops::Range<usize>,
    operators: &[OperatorSetup],
    sinks: &[SinkSetup],
    next_edge: Option<usize>,
    sink_edge: Option<usize>,
) -> Vec<Vec<Route>> {
    let mut routes: Vec<Vec<Route>> = Vec::new();
    let mut add = |output: u32, route: Route| add_route(&mut routes, output, route);
    let after = member.map_or(stage.end, |m| m + 1);
    if let Some(next) = operators.get(after) {
        match next_edge {
            _ if stage.contains(&after) => add(next.input_output, Route::Next),
            Some(edge) => add(next.input_output, Route::Edge { edge, output: 0 }),
            None => {}
        }
    }
    for (index, sink) in sinks.iter().enumerate() {
        if let (true, Some(edge)) = (sink.operator == member, sink_edge) {
            add(sink.output, Route::Edge { edge, output: index as u32 });
        }
    }
    routes
}

fn add_route(routes: &mut Vec<Vec<Route>>, output: u32, route: Route) {
    let at = output as usize;
    routes.resize_with(routes.len().max(at + 1), Vec::new);
    if let Some(routes) = routes.get_mut(at) {
        routes.push(route);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weir_core::ports::{Operator, OperatorFactory, PluginDescription};
    use weir_core::{Digest, KeySpec, OnError, PortError};

    use super::*;

    struct Nothing(PluginDescription, Digest);

    impl OperatorFactory for Nothing {
        fn description(&self) -> &PluginDescription {
            &self.0
        }
        fn digest(&self) -> &Digest {
            &self.1
        }
        fn instantiate(&self, _: &str, _: &str) -> Result<Box<dyn Operator>, PortError> {
            Err(PortError::new(weir_core::Fault::Bug, "a plan instantiates nothing"))
        }
    }

    fn operator(parallelism: u16) -> OperatorSetup {
        operator_with(parallelism, &[])
    }

    fn operator_with(parallelism: u16, outputs: &[&str]) -> OperatorSetup {
        let outputs = outputs.iter().map(|name| (*name).to_owned()).collect();
        let (inputs, tables) = (vec![], vec![]);
        let description = PluginDescription {
            name: "n".into(),
            version: "1".into(),
            inputs,
            outputs,
            tables,
            origin: false,
            routes: false,
        };
        OperatorSetup {
            name: "o".into(),
            factory: Arc::new(Nothing(description, Digest(String::new()))),
            key: KeySpec::Key,
            parallelism,
            config: String::new(),
            on_error: OnError::Fail,
            input_output: 0,
        }
    }

    fn sink(operator: Option<usize>, output: u32) -> SinkSetup {
        SinkSetup { topic: "t".into(), operator, output }
    }

    /// (operators, parallelism) of each stage.
    fn cut(parallelism: &[u16]) -> Vec<(std::ops::Range<usize>, u16)> {
        let operators: Vec<_> = parallelism.iter().map(|p| operator(*p)).collect();
        let last = operators.len().checked_sub(1);
        stages(&operators, &[sink(last, 0)]).into_iter().map(|s| (s.operators, s.parallelism)).collect()
    }

    #[test]
    fn single_tasks_share_a_thread() {
        assert_eq!(cut(&[]), [(0..0, 1)]);
        assert_eq!(cut(&[1, 1]), [(0..2, 1)]);
        assert_eq!(cut(&[2]), [(0..0, 1), (0..1, 2)]);
        assert_eq!(cut(&[1, 2, 2, 1, 1]), [(0..1, 1), (1..2, 2), (2..3, 2), (3..5, 1)]);
    }

    #[test]
    fn an_output_may_go_two_ways() {
        let operators = [operator(1), operator(3)];
        let stages = stages(&operators, &[sink(Some(0), 0), sink(Some(1), 1)]);
        let to_next = Route::Edge { edge: 0, output: 0 };
        assert_eq!(stages[0].routes, [[vec![to_next, Route::Edge { edge: 1, output: 0 }]]]);
        let nowhere = Route::Edge { edge: 1, output: 0 };
        assert_eq!(stages[1].routes, [[vec![nowhere], vec![Route::Edge { edge: 0, output: 1 }]]]);
        assert_eq!((&stages[0].unread[..], &stages[1].unread[..]), (&[][..], &[(1, 0)][..]));
        assert_eq!((stages[1].next_edge, stages[1].sink_edge), (None, Some(0)));
    }

    #[test]
    fn what_nothing_reads_is_counted() {
        let three = &["main", "side", "late"];
        let operators = [operator_with(1, three), operator_with(1, three), operator_with(2, three)];
        let sinks = [sink(Some(0), 1), sink(Some(2), 2)];
        let wanted = [(0, 2), (1, 1), (1, 2), (2, 0), (2, 1)];
        assert_eq!(unread_outputs(&operators, &sinks), wanted);
        let stages = stages(&operators, &sinks);
        assert_eq!(stages.iter().flat_map(|stage| stage.unread.clone()).collect::<Vec<_>>(), wanted);
        let edge = |edge, output| vec![Route::Edge { edge, output }];
        // Stage 0 has the edges next, sink, and then one for each output that is not read.
        assert_eq!(stages[0].routes[0], [vec![Route::Next], edge(1, 0), edge(2, 0)]);
        assert_eq!(stages[0].routes[1], [edge(0, 0), edge(3, 0), edge(4, 0)]);
        assert_eq!(stages[1].routes[0], [edge(1, 0), edge(2, 0), edge(0, 1)]);
        assert_eq!(unread_outputs(&[], &[sink(None, 0)]), []);
    }
}
