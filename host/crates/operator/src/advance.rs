//! HOT PATH. Time goes on: what is due fires, in order of time, about a batch at once.

use weir_core::ports::{CallError, CallState, Table, TimeDomain, Unfit};
use weir_core::{Batch, PortError, RecordView};
use weir_time::Watermark;
use weir_time::timers::Due;
use weir_time::window::Assign;

use crate::error::NodeError;
use crate::runner::{Runner, Step, Suspect};
use crate::timers::{self, NodeTimers, PluginTimers};
use crate::windows::names::Names;
use crate::windows::{Windows, due_list};

/// So many windows or timers fire at once.
pub(crate) const DUE_MAX: usize = 1_024;

/// What [`Runner::advance`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Advanced {
    /// Nothing was due: nothing changed, nothing is put out.
    Nothing,
    /// Something fired or changed, and all that was due is through.
    Changed,
    /// Something fired, and more may be due: whoever drives takes away what was put out, and asks again with the same time.
    More,
}

impl Runner {
    /// Event time has come to `to`, over all that the task reads; never less than before. Fires what is due, in order of time,
    /// and appends what comes out as [`Runner::run`] does. [`Watermark::END`] fires everything, also what waits for processing
    /// time: nothing comes that it could wait with; what is set in processing time by then is for another start.
    pub fn advance(&mut self, to: Watermark, out: &mut Vec<(u32, Batch)>) -> Result<Advanced, NodeError> {
        self.now_ms = self.driver.now_ms();
        self.reached = self.reached.max(to);
        if let Some(windows) = self.windows.as_mut().filter(|windows| windows.timers(TimeDomain::Event).is_some()) {
            windows.reached = windows.reached.max(to);
        }
        if to != Watermark::END {
            let Some(to_ms) = to.as_ms() else { return Ok(Advanced::Nothing) };
            let advanced = self.fire_due(TimeDomain::Event, to_ms, out)?;
            if advanced != Advanced::More {
                self.has_come(to);
            }
            return Ok(advanced);
        }
        let mut advanced = self.fire_due(TimeDomain::Event, i64::MAX, out)?;
        if advanced == Advanced::Nothing {
            if let Some(timers) = timers_mut(&mut self.windows, &mut self.timers, TimeDomain::Processing) {
                timers.end();
            }
            advanced = self.fire_due(TimeDomain::Processing, i64::MAX, out)?;
        }
        // What has fired may have set what is due by now.
        Ok(if advanced == Advanced::Nothing { Advanced::Nothing } else { Advanced::More })
    }

    /// Processing time has come to `now_ms`. As [`Runner::advance`] for what waits for it; records and barriers may come
    /// before the rest of what is due.
    pub fn wake(&mut self, now_ms: i64, out: &mut Vec<(u32, Batch)>) -> Result<Advanced, NodeError> {
        self.now_ms = now_ms;
        self.fire_due(TimeDomain::Processing, now_ms, out)
    }

    /// A moment of processing time before which [`Runner::wake`] has nothing to do; `None` where there is nothing at all.
    pub fn wakes_at(&self) -> Option<i64> {
        let early = self.windows.as_ref().and_then(|windows| windows.early.as_ref());
        let early_ms = early.and_then(|early| early.timers.next_ms());
        let own_ms = self.timers(TimeDomain::Processing).and_then(NodeTimers::next_ms);
        own_ms.into_iter().chain(early_ms).min()
    }

    /// What is due next of one time.
    fn fire_due(&mut self, domain: TimeDomain, to_ms: i64, out: &mut Vec<(u32, Batch)>) -> Result<Advanced, NodeError> {
        if domain == TimeDomain::Processing {
            self.windows.iter_mut().for_each(|windows| windows.note_now(to_ms));
        }
        let due = self.due(domain, to_ms).map_err(|error| NodeError::Read(self.options.name.clone(), error))?;
        if due.is_empty() {
            let advanced = match domain {
                TimeDomain::Event => Advanced::Nothing,
                // Only now: a window that is at its end has said its last.
                TimeDomain::Processing => self.fire_early(to_ms, out)?,
            };
            self.put_out_letters(out);
            return Ok(advanced);
        }
        match self.windows {
            Some(_) => self.fire_windows(due, out)?,
            None => self.fire_timers(domain, &due, out)?,
        }
        self.put_out_letters(out);
        let next_ms = match domain {
            TimeDomain::Event => self.timers(domain).and_then(NodeTimers::next_ms),
            TimeDomain::Processing => self.wakes_at(),
        };
        let has_more = next_ms.is_some_and(|next_ms| next_ms <= to_ms);
        Ok(if has_more { Advanced::More } else { Advanced::Changed })
    }

    fn due(&mut self, domain: TimeDomain, to_ms: i64) -> Result<Vec<Due>, PortError> {
        let timers = timers_mut(&mut self.windows, &mut self.timers, domain);
        let (Some(timers), Some(CallState { state, .. })) = (timers, &mut self.state) else { return Ok(Vec::new()) };
        timers.due(to_ms, DUE_MAX, state.as_mut())
    }

    fn timers(&self, domain: TimeDomain) -> Option<&NodeTimers> {
        self.windows.as_ref().map_or_else(|| self.timers.of(domain), |windows| windows.timers(domain))
    }

    /// The plugin is told of these timers.
    fn fire_timers(&mut self, domain: TimeDomain, due: &[Due], out: &mut Vec<(u32, Batch)>) -> Result<(), NodeError> {
        // Those of event time fire before anybody hears how far it has come.
        let reached_ms = if domain == TimeDomain::Processing { self.reached.as_ms() } else { None };
        let is_theirs = |table: &Table| table.kind.timers_of() == Some(domain);
        let table = self.options.terms.tables.iter().position(is_theirs).unwrap_or_default();
        let list = timers::due_list(due, table as u32, reached_ms.unwrap_or(i64::MIN));
        self.timers.are_firing(due);
        let fired = self.run_whole(Step::Timers(domain), &list, out);
        self.timers.have_fired();
        fired
    }

    /// Folds what came in by `input` into its windows, and fires those again that had fired without it.
    pub(crate) fn fold(&mut self, input: u32, batch: &Batch, out: &mut Vec<(u32, Batch)>) -> Result<(), NodeError> {
        let (Some(windows), Some(call)) = (&mut self.windows, &mut self.state) else { return Ok(()) };
        windows.note_now(self.now_ms);
        let sorted = windows.sort(batch, &self.options.key, (&mut self.slots, call.state.as_mut()));
        let mut sorted = sorted.map_err(|error| error.of(&self.options.name))?;
        let names = std::mem::take(&mut windows.names);
        for (record, origin, why) in sorted.failed(batch) {
            self.leave_out(Step::Fold(input), Suspect { record, origin, at: 0, index: 0 }, why)?;
        }
        if sorted.late() > 0 {
            self.driver.late(sorted.late());
            self.put_out_late(input, &sorted.late_of(batch), out)?;
        }
        self.merge(std::mem::take(&mut sorted.merges), out)?;
        let rounds = std::mem::take(&mut sorted.rounds);
        let kept = sorted.kept(batch);
        if !rounds.is_empty() {
            return self.fold_rounds(input, (&kept, rounds), out);
        }
        self.run_named(Step::Fold(input), names, &kept, out)?;
        let Some(windows) = &mut self.windows else { return Ok(()) };
        let again = windows.take_again();
        match *windows.assign() {
            Assign::Listed(listed) => self.fire_listed_again(listed, &again, out),
            Assign::Tumbling(_) | Assign::Global(_) => {
                self.fire(Step::FireAgain, again.iter().map(Vec::as_slice).collect(), out)
            }
        }
    }

    /// Late records go on as they came, where somebody reads them. One that a sink does not take is left to the policy.
    fn put_out_late(&mut self, input: u32, late: &Batch, out: &mut Vec<(u32, Batch)>) -> Result<(), NodeError> {
        let readers = self.windows.as_ref().and_then(|windows| windows.options.late.as_ref());
        let Some((output, checks)) = readers else { return Ok(()) };
        let unfit = |record: RecordView<'_>| checks.iter().find_map(|check| check.check(&record, self.now_ms).err());
        let unfit: Vec<Option<Unfit>> = late.frame.records().map(unfit).collect();
        let fit = late.only(unfit.iter().map(Option::is_none));
        if !fit.frame.is_empty() {
            out.push((*output, fit));
        }
        for ((index, unfit), (record, origin)) in (0..).zip(unfit).zip(late.frame.records().zip(&late.origins)) {
            let Some(unfit) = unfit.map(Box::new) else { continue };
            let suspect = Suspect { record, origin: *origin, at: 0, index: 0 };
            self.leave_out(Step::Fold(input), suspect, CallError::Unfit { index, unfit })?;
        }
        Ok(())
    }

    /// What windows that fire send is no earlier.
    pub(crate) fn least_ms(&self) -> i64 {
        let is_timed = self.windows.as_ref().is_some_and(|windows| windows.timers(TimeDomain::Event).is_some());
        // Those of event time fire before anybody hears how far it has come.
        let reached_ms = if is_timed { None } else { self.reached.as_ms() };
        reached_ms.unwrap_or(i64::MIN)
    }

    /// The windows of these names fire.
    pub(crate) fn fire(&mut self, step: Step, names: Names, out: &mut Vec<(u32, Batch)>) -> Result<(), NodeError> {
        let list = due_list(names.windows(), self.least_ms());
        self.run_named(step, names, &list, out)
    }

    /// Takes `step` with a batch or a list whose keys and windows are these.
    pub(crate) fn run_named(
        &mut self,
        step: Step,
        names: Names,
        batch: &Batch,
        out: &mut Vec<(u32, Batch)>,
    ) -> Result<(), NodeError> {
        let Some(windows) = &mut self.windows else { return Ok(()) };
        windows.names = names;
        self.run_whole(step, batch, out)
    }

    /// Something is due for the windows of these timers.
    fn fire_windows(&mut self, due: Vec<Due>, out: &mut Vec<(u32, Batch)>) -> Result<(), NodeError> {
        match self.windows.as_ref().map(Windows::assign) {
            Some(Assign::Tumbling(_)) => self.fire_tumbling(due, out),
            Some(&Assign::Listed(listed)) => self.fire_listed(listed, due, out),
            Some(&Assign::Global(global)) => self.fire_global(global, &due, out),
            None => Ok(()),
        }
    }
}

/// The timers of one time: those of windows, or else those of the plugin.
fn timers_mut<'a>(
    windows: &'a mut Option<Windows>,
    of_plugin: &'a mut PluginTimers,
    domain: TimeDomain,
) -> Option<&'a mut NodeTimers> {
    match windows {
        Some(windows) => windows.timers_mut(domain),
        None => of_plugin.of_mut(domain),
    }
}
