//! What a job under torture runs: how many topics, which operators in how many tasks, which sinks. Drawn from the seed of the
//! run that begins the job, the same each time.

use std::fmt;

use weir_tests::random::Random;

/// What a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shape {
    /// A second topic is read: its keys meet those of the first in the oracle.
    pub(crate) is_union: bool,
    /// The tasks of an operator that the last topic passes before the oracle, if there is one: where two topics meet, their
    /// ways are of different lengths then.
    pub(crate) before: Option<u64>,
    /// The tasks of the oracle.
    pub(crate) tasks: u64,
    /// Its side output is written, to a topic of its own.
    pub(crate) has_side: bool,
}

/// Each operator has up to so many tasks.
const TASKS_MAX: u64 = 3;

impl Shape {
    /// Of the job that the run `seed` begins.
    pub(crate) fn of(seed: u64) -> Self {
        // Numbers of their own: what is done to a job does not hang on what it runs.
        let mut random = Random::seeded(Random::seeded(!seed).number());
        let is_union = random.below(2) == 0;
        let before = Some(random.below(TASKS_MAX + 1)).filter(|tasks| *tasks > 0);
        Self { is_union, before, tasks: 1 + random.below(TASKS_MAX), has_side: random.below(2) == 0 }
    }

    /// The topics that the job `name` reads.
    pub(crate) fn inputs(self, name: &str) -> Vec<String> {
        let suffixes = if self.is_union { &["in", "in-b"][..] } else { &["in"] };
        suffixes.iter().map(|suffix| format!("{name}.{suffix}")).collect()
    }

    /// The topics that it writes: the oracle's own, and that of its side output.
    pub(crate) fn outputs(self, name: &str) -> Vec<String> {
        let suffixes = if self.has_side { &["out", "side"][..] } else { &["out"] };
        suffixes.iter().map(|suffix| format!("{name}.{suffix}")).collect()
    }

    /// The pipeline file of the job `name`, with these plugins.
    pub(crate) fn pipeline(self, name: &str, oracle: &str, uppercase: &str) -> String {
        let inputs = self.inputs(name);
        let mut text = "version = 1\n".to_owned();
        for (at, topic) in inputs.iter().enumerate() {
            text += &format!("[sources.in-{at}]\nkafka = {{ topic = \"{topic}\" }}\n");
        }
        let mut reads: Vec<String> = (0..inputs.len()).map(|at| format!("\"in-{at}\"")).collect();
        if let (Some(tasks), Some(last)) = (self.before, reads.last_mut()) {
            let last = std::mem::replace(last, "\"before\"".to_owned());
            text +=
                &format!("[operators.before]\nplugin = \"{uppercase}\"\ninputs = [{last}]\nparallelism = {tasks}\n");
        }
        let (reads, tasks) = (reads.join(", "), self.tasks);
        text += &format!("[operators.oracle]\nplugin = \"{oracle}\"\ninputs = [{reads}]\nparallelism = {tasks}\n");
        for (output, topic) in ["oracle", "oracle.fifths"].iter().zip(self.outputs(name)) {
            let sink = output.replace('.', "-");
            text += &format!("[sinks.of-{sink}]\ninputs = [\"{output}\"]\nkafka = {{ topic = \"{topic}\" }}\n");
        }
        text
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_union { "two topics" } else { "a topic" })?;
        self.before.iter().try_for_each(|tasks| write!(f, " → before×{tasks}"))?;
        write!(f, " → oracle×{}{}", self.tasks, if self.has_side { " → two sinks" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_shape_and_all_seeds_every_shape() {
        assert!((0..200).all(|seed| Shape::of(seed) == Shape::of(seed)));
        let all: BTreeSet<Shape> = (0..1000).map(Shape::of).collect();
        assert_eq!(all.len(), 2 * 4 * 3 * 2);
    }

    #[test]
    fn a_shape_is_a_pipeline() {
        let of = |shape: Shape| shape.pipeline("j", "o.wasm", "u.wasm");
        let chain = Shape { is_union: false, before: None, tasks: 1, has_side: false };
        let wanted = "version = 1\n[sources.in-0]\nkafka = { topic = \"j.in\" }\n\
            [operators.oracle]\nplugin = \"o.wasm\"\ninputs = [\"in-0\"]\nparallelism = 1\n\
            [sinks.of-oracle]\ninputs = [\"oracle\"]\nkafka = { topic = \"j.out\" }\n";
        assert_eq!((of(chain).as_str(), chain.to_string().as_str()), (wanted, "a topic → oracle×1"));
        let all = Shape { is_union: true, before: Some(2), tasks: 3, has_side: true };
        let wanted = "version = 1\n[sources.in-0]\nkafka = { topic = \"j.in\" }\n\
            [sources.in-1]\nkafka = { topic = \"j.in-b\" }\n\
            [operators.before]\nplugin = \"u.wasm\"\ninputs = [\"in-1\"]\nparallelism = 2\n\
            [operators.oracle]\nplugin = \"o.wasm\"\ninputs = [\"in-0\", \"before\"]\nparallelism = 3\n\
            [sinks.of-oracle]\ninputs = [\"oracle\"]\nkafka = { topic = \"j.out\" }\n\
            [sinks.of-oracle-fifths]\ninputs = [\"oracle.fifths\"]\nkafka = { topic = \"j.side\" }\n";
        let said = "two topics → before×2 → oracle×3 → two sinks";
        assert_eq!((of(all).as_str(), all.to_string().as_str()), (wanted, said));
    }
}
