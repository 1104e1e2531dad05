//! HOT PATH. What operators wait for in processing time: fired by the one clock, between two elements of a task.

use std::time::Duration;

use super::flow::{Flow, Stopped};
use crate::clock;
use crate::signals::Signals;

/// Fires what is due by now, and says how long the task may wait for its next element: `most`, or less where something is due
/// before. Records and barriers come between two batches of timers, so that none of them waits for long.
pub(super) fn wake(flow: &mut Flow, signals: &Signals, most: Duration) -> Result<Duration, Stopped> {
    let Some(at_ms) = flow.wakes_at() else { return Ok(most) };
    if signals.barrier() == (flow.last(), true) {
        // Nothing may follow the last epoch: whoever starts the job again goes on from there.
        return Ok(most);
    }
    let now_ms = clock::now_ms();
    if at_ms <= now_ms {
        let fired = flow.wake(now_ms)?;
        signals.note_fired(fired);
    }
    let next = flow.wakes_at().map(|at_ms| Duration::from_millis(at_ms.saturating_sub(now_ms).try_into().unwrap_or(0)));
    Ok(next.map_or(most, |next| next.min(most)))
}
