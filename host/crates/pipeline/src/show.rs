//! A plan as text, as DOT and as JSON: its nodes, the tasks that run them, and the edges between.

/// For programs.
mod view;

pub use view::PlanView;

use std::fmt::Write as _;

use weir_core::{KeySpec, OnError};

use crate::lines::LineFormat;
use crate::plan::{ApiPlan, Input, OperatorPlan, Plan, SinkKind, SourceKind, StateDir, Topics};
use crate::units::{Size, Span};

/// How two operators are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    /// They share a thread.
    Chained,
    /// By key group, to one of several tasks.
    KeyGroup,
    /// All to one task.
    Gather,
}

impl Edge {
    fn words(self) -> &'static str {
        match self {
            Self::Chained => "chained",
            Self::KeyGroup => "exchange by key group",
            Self::Gather => "gather",
        }
    }
}

/// The edge into operator `index`: neighbours that run as one task share a thread, and the source is one task.
fn edge_into(plan: &Plan, index: usize) -> Edge {
    let tasks = |o: &OperatorPlan| o.parallelism.get();
    let before = index.checked_sub(1).and_then(|i| plan.operators.get(i)).map_or(1, tasks);
    match (before, plan.operators.get(index).map_or(1, tasks)) {
        (1, 1) => Edge::Chained,
        (_, 1) => Edge::Gather,
        _ => Edge::KeyGroup,
    }
}

/// The plan as text.
pub fn text(plan: &Plan) -> String {
    let mut out = String::new();
    write_text(plan, &mut out).expect("a string takes everything");
    out
}

fn write_text(plan: &Plan, out: &mut String) -> std::fmt::Result {
    let span = |d| Span(d).to_string();
    writeln!(out, "job {} ({})", plan.job, plan.delivery)?;
    writeln!(out, "  epochs    every {}", span(plan.epochs.interval))?;
    if let Some(kafka) = &plan.kafka {
        writeln!(out, "  kafka     {}", kafka.brokers)?;
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
    write_source(plan, out)?;
    for (index, operator) in plan.operators.iter().enumerate() {
        write_operator(plan, index, operator, out)?;
    }
    for sink in &plan.sinks {
        writeln!(out, "sink {}: {}", sink.name, sink_words(&sink.kind))?;
        writeln!(out, "  input     {}", input_words(plan, &sink.input))?;
        if let SinkKind::Stdout { format } | SinkKind::File { format, .. } = &sink.kind {
            write_format(format, out)?;
        }
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
    source_words(&plan.source.kind)
}

/// Where records go.
pub fn sinks(plan: &Plan) -> String {
    plan.sinks.iter().map(|sink| sink_words(&sink.kind)).collect::<Vec<_>>().join(", ")
}

fn write_source(plan: &Plan, out: &mut String) -> std::fmt::Result {
    let source = &plan.source;
    writeln!(out, "source {}: {}", source.name, source_words(&source.kind))?;
    writeln!(out, "  tasks     1")?;
    if let SourceKind::Stdin { format } | SourceKind::File { format, .. } = &source.kind {
        write_format(format, out)?;
    }
    if let SourceKind::Kafka { .. } = source.kind {
        let until = source.until.as_ref().map_or_else(|| "for ever".to_owned(), |until| format!("until {until}"));
        writeln!(out, "  reads     from {}, {until}", source.start)?;
        writeln!(out, "  discovery every {}", Span(source.discovery_interval))?;
        if let Some(rate) = source.max_rate {
            writeln!(out, "  max rate  {rate} records/s per partition")?;
        }
    }
    Ok(())
}

/// The default goes without saying.
fn write_format(format: &LineFormat, out: &mut String) -> std::fmt::Result {
    match format {
        LineFormat::Value => Ok(()),
        format => writeln!(out, "  format    {format}"),
    }
}

fn write_operator(plan: &Plan, index: usize, operator: &OperatorPlan, out: &mut String) -> std::fmt::Result {
    writeln!(out, "operator {}: {}", operator.name, operator.plugin.display())?;
    writeln!(out, "  input     {} ({})", input_words(plan, &operator.input), edge_into(plan, index).words())?;
    let key = match &operator.key {
        KeySpec::Key => "the record key".to_owned(),
        KeySpec::Header(name) => format!("header {name}"),
    };
    writeln!(out, "  keyed by  {key}")?;
    let groups: Vec<String> = operator.key_groups().map(|(first, last)| format!("{first}-{last}")).collect();
    writeln!(out, "  tasks     {} (key groups {})", operator.parallelism, groups.join(", "))?;
    let on_error = match operator.on_error {
        OnError::Fail => "fail",
        OnError::Skip => "skip",
    };
    writeln!(out, "  on error  {on_error}")?;
    let limits = operator.limits;
    writeln!(out, "  limits    {}, {} a call", Size(limits.memory_bytes), Span(limits.call_deadline))?;
    if operator.config.as_object().is_some_and(|config| !config.is_empty()) {
        writeln!(out, "  config    {}", operator.config)?;
    }
    Ok(())
}

/// The plan as DOT, one box a task.
pub fn dot(plan: &Plan) -> String {
    let mut out = String::new();
    write_dot(plan, &mut out).expect("a string takes everything");
    out
}

fn write_dot(plan: &Plan, out: &mut String) -> std::fmt::Result {
    writeln!(out, "digraph {:?} {{", plan.job.as_str())?;
    writeln!(out, "  rankdir=LR; node [shape=box];")?;
    let source = &plan.source;
    writeln!(out, "  {:?} [label={:?}];", source.name, format!("{}\n{}", source.name, source_words(&source.kind)))?;
    for operator in &plan.operators {
        for (task, (first, last)) in operator.key_groups().enumerate() {
            let label = format!("{} {task}\nkey groups {first}-{last}", operator.name);
            writeln!(out, "  {:?} [label={label:?}];", task_id(operator, task))?;
        }
    }
    for sink in &plan.sinks {
        writeln!(out, "  {:?} [label={:?}];", sink.name, format!("{}\n{}", sink.name, sink_words(&sink.kind)))?;
    }
    for (index, operator) in plan.operators.iter().enumerate() {
        let words = edge_into(plan, index).words();
        for (from, to) in product(&tasks_of(plan, operator.input.operator), &tasks_of(plan, Some(index))) {
            writeln!(out, "  {from:?} -> {to:?} [label={words:?}];")?;
        }
    }
    for sink in &plan.sinks {
        for from in tasks_of(plan, sink.input.operator) {
            writeln!(out, "  {from:?} -> {:?};", sink.name)?;
        }
    }
    writeln!(out, "}}")
}

fn product<'a>(from: &'a [String], to: &'a [String]) -> impl Iterator<Item = (&'a String, &'a String)> {
    from.iter().flat_map(move |f| to.iter().map(move |t| (f, t)))
}

fn tasks_of(plan: &Plan, operator: Option<usize>) -> Vec<String> {
    match operator.and_then(|index| plan.operators.get(index)) {
        Some(operator) => (0..usize::from(operator.parallelism.get())).map(|task| task_id(operator, task)).collect(),
        None => vec![plan.source.name.clone()],
    }
}

fn task_id(operator: &OperatorPlan, task: usize) -> String {
    format!("{}/{task}", operator.name)
}

fn input_words(plan: &Plan, input: &Input) -> String {
    let node = input.operator.and_then(|i| plan.operators.get(i)).map_or(&plan.source.name, |o| &o.name);
    match &input.output {
        Some(output) => format!("{node}.{output}"),
        None => node.clone(),
    }
}

fn source_words(kind: &SourceKind) -> String {
    match kind {
        SourceKind::Kafka { topics: Topics::Named(topics), .. } => format!("kafka {}", topics.join(", ")),
        SourceKind::Kafka { topics: Topics::Pattern(pattern), .. } => format!("kafka /{pattern}/"),
        SourceKind::Stdin { .. } => "stdin".to_owned(),
        SourceKind::File { path, .. } => format!("file {}", path.display()),
        SourceKind::Generate(generate) => format!("generate {}", generate.generator.name()),
    }
}

fn sink_words(kind: &SinkKind) -> String {
    match kind {
        SinkKind::Kafka { topic } => format!("kafka {topic}"),
        SinkKind::Stdout { .. } => "stdout".to_owned(),
        SinkKind::File { path, .. } => format!("file {}", path.display()),
    }
}
