//! `host pause`, `host resume`, `host stop`: a running job as a whole, by its API.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use weir_api::model::{Job, Standing, State};
use weir_core::{Fault, PortError};

use super::job::{Asked, JobArgs};
use crate::telemetry;

/// A job that was asked to stop is gone within 10 s; what is not by then does not go.
const GONE_WITHIN: Duration = Duration::from_secs(12);
/// How often it is looked whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What becomes of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Steer {
    Pause,
    Resume,
    Stop,
}

/// Asks for it, and says what came of it.
pub(super) fn execute(args: &JobArgs, steer: Steer) -> Result<ExitCode> {
    telemetry::start(telemetry::Format::Text)?;
    let asked = args.find()?;
    let job: Job = asked.look("/v1/job")?;
    let path = match steer {
        Steer::Pause => "/v1/job/pause",
        Steer::Resume => "/v1/job/resume",
        Steer::Stop => "/v1/job/stop",
    };
    let standing: Standing = asked.change(path, "application/json", &[])?;
    let text = match steer {
        Steer::Stop => gone(&asked, &job, standing.epoch)?,
        Steer::Pause | Steer::Resume => told(steer, &job.job, standing),
    };
    super::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn told(steer: Steer, job: &str, Standing { state, epoch }: Standing) -> String {
    let what = match steer {
        Steer::Pause => "reads nothing more until host resume",
        Steer::Resume | Steer::Stop => "reads on",
    };
    format!("job {job} {what}; it is {}, and holds epoch {epoch}\n", state.word())
}

/// Whether `seen` is the job that was asked to stop, and not another process that has its port by then, as a supervisor starts one.
fn is_same(seen: &Job, asked: &Job) -> bool {
    let is_ending = matches!(seen.state, State::Stopping | State::Finished | State::Failed);
    // One that was starting had none yet.
    seen.job == asked.job && (asked.attempt.is_none() || seen.attempt == asked.attempt || is_ending)
}

/// Waits until nobody answers for the job any more.
fn gone(asked: &Asked, job: &Job, mut epoch: u64) -> Result<String> {
    let began = weir_machine::now();
    while weir_machine::since(began) < GONE_WITHIN {
        // Who does not answer just now is not gone.
        let Ok(seen) = asked.glance::<Job>("/v1/job") else {
            weir_machine::sleep(LOOK_EVERY);
            continue;
        };
        match seen.filter(|seen| is_same(seen, job)) {
            None => {
                return Ok(format!("job {} has left; epoch {epoch} is the last that it was seen to hold\n", job.job));
            }
            Some(Job { state: State::Failed, last_error, .. }) => {
                let why = last_error.unwrap_or_default();
                return Err(PortError::new(Fault::User, format!("the job failed instead of stopping: {why}")).into());
            }
            Some(seen) => epoch = seen.epoch,
        }
        weir_machine::sleep(LOOK_EVERY);
    }
    let text = format!("the job was asked to stop {} s ago, and is not gone", GONE_WITHIN.as_secs());
    Err(PortError::new(Fault::User, text).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_it_is_one_line() {
        let standing = Standing { state: State::Paused, epoch: 7 };
        let wanted = "job orders reads nothing more until host resume; it is paused, and holds epoch 7\n";
        assert_eq!(told(Steer::Pause, "orders", standing), wanted);
        let standing = Standing { state: State::Running, epoch: 7 };
        assert_eq!(told(Steer::Resume, "orders", standing), "job orders reads on; it is running, and holds epoch 7\n");
    }
}
