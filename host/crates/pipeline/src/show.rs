//! A plan as text, as DOT and as JSON: its nodes, the threads that run them, and how records get from one to another.

/// For drawings.
mod dot;
/// For programs.
mod view;

pub use dot::dot;
pub use view::PlanView;

use std::fmt::Write as _;

use weir_core::{KeySpec, OnError};
use weir_plan::{Graph, Layout, Shown, ShownEdge, key_groups};

use crate::plan::{ApiPlan, OperatorPlan, Plan, SourcePlan, StateDir};
use crate::units::{Size, Span};

/// The plan as text; `graph` is its own.
pub fn text(plan: &Plan, graph: &Graph) -> String {
    let mut out = String::new();
    write_text(plan, graph, &mut out).expect("a string takes everything");
    out
}

fn write_text(plan: &Plan, graph: &Graph, out: &mut String) -> std::fmt::Result {
    let span = |d| Span(d).to_string();
    writeln!(out, "job {} ({})", plan.job, plan.delivery)?;
    writeln!(out, "  epochs    every {}", span(plan.epochs.interval))?;
    if let Some(cluster) = &plan.cluster {
        write_details(&[(cluster.key(), cluster.address().to_owned())], out)?;
        writeln!(out, "  timeout   {} for a transaction", span(plan.epochs.transaction_timeout))?;
    }
    writeln!(out, "  state     {}, {} of memory", state(plan), Size(plan.state.memory_bytes))?;
    let api = match &plan.api {
        ApiPlan::Off => "off".to_owned(),
        ApiPlan::Listen { host, port, explicit: true } => format!("{host}:{port}"),
        ApiPlan::Listen { host, port, explicit: false } => format!("{host}:{port} or the next free port"),
    };
    writeln!(out, "  restart   {}", plan.restart)?;
    writeln!(out, "  api       {api}\n")?;
    let layout = weir_plan::layout(graph);
    let shown = Shown::of(graph, &layout);
    plan.sources.iter().try_for_each(|source| write_source(source, out))?;
    plan.operators.iter().try_for_each(|operator| write_operator(operator, &shown, out))?;
    for sink in &plan.sinks {
        writeln!(out, "sink {}: {}", sink.name, sink.writes.words())?;
        sink.inputs.iter().try_for_each(|input| writeln!(out, "  input     {input}"))?;
        write_details(&sink.writes.details(), out)?;
    }
    write_threads(graph, &layout, out)
}

/// One line a stage; its threads differ by a number.
fn write_threads(graph: &Graph, layout: &Layout, out: &mut String) -> std::fmt::Result {
    writeln!(out, "\nthreads")?;
    let tasks = layout.tasks(graph);
    for (at, stage) in layout.stages.iter().enumerate() {
        let mut threads = tasks.iter().filter(|task| task.stage == at).map(|task| task.thread.as_str());
        let (Some(first), last) = (threads.next(), threads.next_back()) else { continue };
        let names = last.map_or_else(|| first.to_owned(), |last| format!("{first} .. {last}"));
        let nodes: Vec<&str> = stage.nodes.iter().map(|id| graph.name(*id)).collect();
        writeln!(out, "  {names}: {}", nodes.join(", "))?;
    }
    Ok(())
}

/// Where the state is.
pub fn state(plan: &Plan) -> String {
    match &plan.state.dir {
        StateDir::Kept(dir) => dir.display().to_string(),
        StateDir::Temporary { under: Some(dir) } => format!("temporary, under {}", dir.display()),
        StateDir::Temporary { under: None } => "temporary".to_owned(),
    }
}

/// Where records come from.
pub fn source(plan: &Plan) -> String {
    plan.sources.iter().map(|source| source.reads.words()).collect::<Vec<_>>().join(", ")
}

/// Where records go.
pub fn sinks(plan: &Plan) -> String {
    plan.sinks.iter().map(|sink| sink.writes.words()).collect::<Vec<_>>().join(", ")
}

fn write_source(source: &SourcePlan, out: &mut String) -> std::fmt::Result {
    writeln!(out, "source {}: {}", source.name, source.reads.words())?;
    write_details(&source.reads.details(), out)?;
    if let Some(watermark) = &source.watermark {
        writeln!(out, "  watermark {watermark}")?;
    }
    if source.reads.abilities().fixed.is_none() {
        let until = source.until.as_ref().map_or_else(|| "for ever".to_owned(), |until| format!("until {until}"));
        writeln!(out, "  reads     from {}, {until}", source.start)?;
        writeln!(out, "  discovery every {}", Span(source.discovery_interval))?;
        if let Some(rate) = source.max_rate {
            writeln!(out, "  max rate  {rate} records/s per partition")?;
        }
    }
    Ok(())
}

fn write_details(details: &[(&str, String)], out: &mut String) -> std::fmt::Result {
    details.iter().try_for_each(|(word, text)| writeln!(out, "  {word:<9} {text}"))
}

fn write_operator(operator: &OperatorPlan, shown: &Shown, out: &mut String) -> std::fmt::Result {
    writeln!(out, "operator {}: {}", operator.name, operator.plugin.display())?;
    let edges: Vec<&ShownEdge> = shown.edges.iter().filter(|edge| edge.to == operator.name).collect();
    // An input that nothing stands beside needs no name.
    let several = edges.iter().any(|edge| edges.iter().any(|other| other.input != edge.input));
    for (input, edge) in operator.inputs.iter().zip(&edges) {
        let port = if several { format!(", into {}", edge.input) } else { String::new() };
        writeln!(out, "  input     {input} ({}{port})", edge.by)?;
    }
    let key = match &operator.key {
        KeySpec::Key => "the record key".to_owned(),
        KeySpec::Header(name) => format!("header {name}"),
    };
    writeln!(out, "  keyed by  {key}")?;
    let groups: Vec<String> =
        key_groups(operator.parallelism.get()).map(|(first, last)| format!("{first}-{last}")).collect();
    writeln!(out, "  tasks     {} (key groups {})", operator.parallelism, groups.join(", "))?;
    let on_error = match operator.on_error {
        OnError::Fail => "fail",
        OnError::Skip => "skip",
        OnError::DeadLetter => "dead-letter",
    };
    writeln!(out, "  on error  {on_error}")?;
    if let Some(window) = &operator.window {
        writeln!(out, "  window    {window}")?;
    }
    for (table, ttl) in &operator.ttl {
        writeln!(out, "  ttl       {table}: {ttl}")?;
    }
    let limits = operator.limits;
    let (memory, deadline) = (Size(limits.memory_bytes), Span(limits.call_deadline));
    writeln!(out, "  limits    {memory}, {deadline} a call, {} rounds of timers", limits.timer_rounds)?;
    if operator.config.as_object().is_some_and(|config| !config.is_empty()) {
        writeln!(out, "  config    {}", operator.config)?;
    }
    Ok(())
}
