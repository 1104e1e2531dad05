//! From the layout of a plan to channels: for each task its input and its outlets, and where each output of its
//! operators goes. What runs in which thread was decided by `plan` alone.

use std::sync::Arc;

use weir_operator::FIRST_RECORDS;
use weir_plan::{Graph, Join, Kind, Layout, NodeId, Port, Ship};

use crate::error::Error;
use crate::exchange::credit::Credit;
use crate::exchange::edge::{Edge, Outlets, To};
use crate::exchange::inbox::{Inbox, inbox};
use crate::job::Job;
use crate::metrics::JobMetrics;
use crate::task::flow::{Joints, Target};

/// What one task may have under way to all tasks of another stage.
const SENDER_BYTES_MAX: usize = 4 << 20;
/// What may be under way to all tasks of a stage.
const STAGE_BYTES_MAX: usize = 64 << 20;
/// What may wait for the sink task: the output of the next epoch while one is being committed.
const SINK_BYTES_MAX: usize = 16 << 20;

/// The ends of one task's channels.
pub(super) struct Ends {
    /// Index of its stage.
    pub stage: usize,
    /// Which of the stage's tasks.
    pub index: u16,
    /// What comes in; a source has nothing of the kind.
    pub inbox: Option<Inbox>,
    /// What leaves.
    pub outlets: Outlets,
}

/// A task that sends.
struct Sender {
    /// Its place among all tasks.
    task: usize,
    /// Which of its exchanges it sends through.
    exchange: usize,
}

/// Makes the channels between all tasks of `layout`; the tasks come in the order of [`Layout::tasks`].
pub(super) fn wire(layout: &Layout) -> Vec<Ends> {
    let (mut ends, mut first_of): (Vec<Ends>, Vec<usize>) = Default::default();
    for (stage, tasks) in layout.stages.iter().map(|stage| stage.parallelism).enumerate() {
        first_of.push(ends.len());
        let exchanges = layout.exchanges_out_of(stage).count();
        ends.extend((0..tasks).map(|index| Ends { stage, index, inbox: None, outlets: Outlets::new(exchanges) }));
    }
    for (to, stage) in layout.stages.iter().enumerate() {
        let senders = senders(layout, to, &first_of);
        if senders.is_empty() {
            continue;
        }
        let is_sink = to + 1 == layout.stages.len();
        let bytes = match is_sink {
            true => SINK_BYTES_MAX / senders.len(),
            false => (STAGE_BYTES_MAX / senders.len()).min(SENDER_BYTES_MAX),
        };
        // For each sender its own, over all receivers, however many there are.
        let credits: Vec<_> = senders.iter().map(|_| Arc::new(Credit::new(bytes))).collect();
        let first = first_of.get(to).copied().unwrap_or_default();
        for at in first..first + usize::from(stage.parallelism) {
            let (input, outlets) = inbox(&credits);
            if !is_sink {
                // Until its reader says how many it can take: it may start later than its senders.
                input.limit_records(FIRST_RECORDS / senders.len());
            }
            for (sender, outlet) in senders.iter().zip(outlets) {
                if let Some(ends) = ends.get_mut(sender.task) {
                    ends.outlets.add(sender.exchange, outlet);
                }
            }
            if let Some(ends) = ends.get_mut(at) {
                ends.inbox = Some(input);
            }
        }
    }
    ends
}

/// Every task that sends to a stage; `first_of` is the place of each stage's first task.
fn senders(layout: &Layout, to: usize, first_of: &[usize]) -> Vec<Sender> {
    let of_exchange = |exchange: usize| {
        let from = layout.exchanges.get(exchange).map(|exchange| exchange.from)?;
        let (first, stage) = (*first_of.get(from)?, layout.stages.get(from)?);
        let own = layout.exchanges_out_of(from).position(|other| other == exchange)?;
        Some((0..usize::from(stage.parallelism)).map(move |task| Sender { task: first + task, exchange: own }))
    };
    layout.exchanges_into(to).filter_map(of_exchange).flatten().collect()
}

/// Where everything goes that the nodes of a task put out.
pub(super) fn joints(
    (job, graph): (&Job, &Graph),
    layout: &Layout,
    ends: Ends,
    metrics: &JobMetrics,
) -> Result<Joints, Error> {
    let missing = || Error::Invariant(format!("stage {} is not as it was laid out", ends.stage));
    let stage = layout.stages.get(ends.stage).ok_or_else(missing)?;
    let out_of: Vec<usize> = layout.exchanges_out_of(ends.stage).collect();
    let operators: Vec<NodeId> = stage.operators(graph).collect();
    let mut joints = Joints { outlets: ends.outlets, ..Joints::default() };
    for id in &stage.nodes {
        let node = graph.node(*id).ok_or_else(missing)?;
        let mut outputs = Vec::new();
        for port in 0..node.outputs() {
            let mut targets = Vec::new();
            for route in layout.routes(graph, Port { node: *id, port }) {
                targets.push(match route.join {
                    Join::Fused => {
                        let at = operators.iter().position(|other| *other == route.to.node).ok_or_else(missing)?;
                        Target::Operator { at, input: route.to.port }
                    }
                    Join::Exchange { exchange, ship } => {
                        let exchange = out_of.iter().position(|other| other == exchange).ok_or_else(missing)?;
                        // The sink task knows its sinks by their place in the job.
                        let sink = graph.node(route.to.node).and_then(|node| job.sink_of(node));
                        let port = sink.map_or(route.to.port, |sink| sink as u32);
                        joints.edges.push(edge(&joints.outlets, (port, exchange, ship), ends.index));
                        Target::Edge(joints.edges.len() - 1)
                    }
                });
            }
            if targets.is_empty() {
                joints.edges.push(Edge::nowhere(metrics.unread(&node.name, &node.output_name(port))));
                targets.push(Target::Edge(joints.edges.len() - 1));
            }
            outputs.push(targets);
        }
        match node.kind {
            Kind::Source => joints.source = outputs.pop().unwrap_or_default(),
            Kind::Operator(_) => joints.routes.push(outputs),
            Kind::Sink => {}
        }
    }
    Ok(joints)
}

/// The edge to `port`, through an `exchange` of a task of number `index`.
fn edge(outlets: &Outlets, (port, exchange, ship): (u32, usize, &Ship), index: u16) -> Edge {
    let tasks = outlets.tasks(exchange);
    let to = match ship {
        Ship::Forward => To::Task(usize::from(index).min(tasks.saturating_sub(1))),
        Ship::ByKey(key) => return Edge::keyed(exchange, port, key.clone(), tasks),
        // Not all senders begin with the same task.
        Ship::RoundRobin => To::Turns(usize::from(index) % tasks.max(1)),
        Ship::Broadcast => To::All,
    };
    Edge { exchange, port, to }
}
