//! When all inputs of a task have reached the same barrier: then, and only then, the task's epoch ends.

use weir_core::Epoch;

/// Barrier alignment of one task. An input that has delivered its barrier is blocked until the others have too.
#[derive(Debug)]
pub struct Aligner {
    arrived: Vec<bool>,
    pending: Option<Epoch>,
}

impl Aligner {
    /// For a task with `inputs` inputs (at least one).
    pub fn new(inputs: usize) -> Self {
        assert!(inputs > 0, "a task has an input");
        Self { arrived: vec![false; inputs], pending: None }
    }

    /// `input` delivered its barrier. Returns the epoch when it was the last, and unblocks every input.
    pub fn barrier(&mut self, input: usize, epoch: Epoch) -> Option<Epoch> {
        assert!(self.pending.is_none_or(|p| p == epoch), "one barrier at a time: {:?}, got {epoch}", self.pending);
        assert!(!self.is_blocked(input), "a blocked input delivers nothing");
        self.pending = Some(epoch);
        if let Some(arrived) = self.arrived.get_mut(input) {
            *arrived = true;
        }
        if !self.arrived.iter().all(|a| *a) {
            return None;
        }
        self.arrived.fill(false);
        self.pending.take()
    }

    /// True while `input` must not be read.
    pub fn is_blocked(&self, input: usize) -> bool {
        self.arrived.get(input).copied().unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_input_ends_the_epoch() {
        let mut aligner = Aligner::new(3);
        assert_eq!(aligner.barrier(1, Epoch(4)), None);
        assert!(aligner.is_blocked(1) && !aligner.is_blocked(0));
        assert_eq!(aligner.barrier(0, Epoch(4)), None);
        assert_eq!(aligner.barrier(2, Epoch(4)), Some(Epoch(4)));
        assert!((0..3).all(|i| !aligner.is_blocked(i)));
    }
}
