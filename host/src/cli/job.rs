//! A running job, and how it is asked: by its API, which its name, its state directory or its address leads to.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;
use ureq::http::Response;
use ureq::{Agent, Body, Error};
use weir_api::model::{self, RefusalKind};
use weir_core::{Fault, JobName, PortError, Secret};
use weir_pipeline::TokenFile;
use weir_state::StateView;

use super::cluster::job_name;
use crate::token;

/// Compiling takes the longest: minutes for what is large on a machine that is busy.
const ANSWER_WITHIN: Duration = Duration::from_secs(300);

/// Whoever is there at all answers a question by then.
const GLANCE_WITHIN: Duration = Duration::from_secs(1);

/// Which running job.
#[derive(Debug, clap::Args)]
pub(super) struct JobArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The file with the token of the job's API, where it has one; the environment variable WEIR_API_TOKEN holds it otherwise
    #[arg(long, value_name = "@FILE")]
    api_token: Option<TokenFile>,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct PlaceArgs {
    /// The job, on this machine: its API is asked where its state directory .weir/JOB says
    #[arg(long, value_name = "NAME", value_parser = job_name)]
    job: Option<JobName>,
    /// The same by its state directory
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The address of the job's API
    #[arg(long, value_name = "HOST:PORT")]
    api: Option<String>,
}

impl JobArgs {
    /// Whoever answers for it.
    pub(super) fn find(&self) -> Result<Asked> {
        let token = match &self.api_token {
            Some(said) => {
                let wrong = || PortError::new(Fault::Config, format!("--api-token is wrong: {}", TokenFile::WRONG));
                token::read(Some(said.path().ok_or_else(wrong)?))?
            }
            None => token::read(None)?,
        };
        let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(ANSWER_WITHIN));
        // What the environment says of proxies is about the web.
        let agent = Agent::new_with_config(config.proxy(None).build());
        let asked = Asked { agent, address: self.place.address()?, token };
        let expected = self.place.expected()?;
        expected.map_or(Ok(()), |job| asked.expect(&job))?;
        Ok(asked)
    }
}

impl PlaceArgs {
    fn address(&self) -> Result<String> {
        let dir = match (&self.api, &self.job, &self.state_dir) {
            (Some(api), _, _) => return Ok(api.clone()),
            (None, Some(job), _) => Path::new(".weir").join(job.as_str()),
            (None, None, dir) => dir.clone().unwrap_or_default(),
        };
        let address = weir_state::address_of(&dir).map_err(|error| PortError::new(Fault::Config, error));
        address
            .with_context(|| format!("no running job says in {} where its API is; give --api HOST:PORT", dir.display()))
    }
}

impl PlaceArgs {
    /// The job that is meant, where that is said.
    fn expected(&self) -> Result<Option<JobName>> {
        match (&self.job, &self.state_dir) {
            (Some(job), _) => Ok(Some(job.clone())),
            (None, Some(dir)) => Ok(Some(StateView::open(dir).map_err(PortError::from)?.job().clone())),
            (None, None) => Ok(None),
        }
    }
}

/// The API of a job.
pub(super) struct Asked {
    agent: Agent,
    address: String,
    token: Option<Secret>,
}

impl Asked {
    /// Asks for a change, with this body, and returns what came of it. A refusal is an error with its own exit code.
    pub(super) fn change<T: DeserializeOwned>(&self, path: &str, content: &str, body: &[u8]) -> Result<T> {
        let mut request = self.agent.post(self.url(path)).header("content-type", content);
        if !body.is_empty() {
            // What is refused by its head is not sent.
            request = request.header("expect", "100-continue");
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.expose()));
        }
        answer(request.send(body))
    }

    /// A directory says where the API of its job was; by now another may be there. Before the token is sent anywhere.
    fn expect(&self, job: &JobName) -> Result<()> {
        let found: model::Job = self.look("/v1/job")?;
        let reason = || {
            let (address, found) = (&self.address, &found.job);
            format!("job {job} does not run: where its API was, {address}, answers that of job {found}")
        };
        if found.job == job.as_str() { Ok(()) } else { Err(PortError::new(Fault::Transient, reason()).into()) }
    }

    /// What the API shows there.
    pub(super) fn look<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        answer(self.agent.get(self.url(path)).call())
    }

    /// The same of one that may be gone: `None` where nobody listens any more.
    pub(super) fn glance<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        let asked = self.agent.get(self.url(path)).config().timeout_global(Some(GLANCE_WITHIN)).build().call();
        match asked {
            Err(Error::Io(error)) if error.kind() == ErrorKind::ConnectionRefused => Ok(None),
            asked => answer(asked).map(Some),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

fn answer<T: DeserializeOwned>(answer: Result<Response<Body>, Error>) -> Result<T> {
    let answer = answer.map_err(|error| PortError::new(Fault::Transient, error));
    let mut answer = answer.context("the job's API does not answer")?;
    let status = answer.status();
    let text = answer.body_mut().read_to_string().context("the job's API did not answer to the end")?;
    if status.is_success() {
        return serde_json::from_str(&text).context("the job's API answered something else: is it of another version?");
    }
    let (fault, why) = match serde_json::from_str::<model::Refusal>(&text) {
        Ok(model::Refusal { kind, error }) => (fault(kind), error),
        Err(_) => (Fault::Config, text.trim().to_owned()),
    };
    Err(PortError::new(fault, why).into())
}

fn fault(kind: RefusalKind) -> Fault {
    match kind {
        RefusalKind::Unknown | RefusalKind::Unfit => Fault::Config,
        RefusalKind::State => Fault::Corrupt,
        RefusalKind::Conflict | RefusalKind::Busy | RefusalKind::Failed => Fault::User,
    }
}

/// As a part of an address.
pub(super) fn percent(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|b| if is_plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plain_is_written_so_that_it_arrives() {
        assert_eq!(percent("a-b_c.d~9"), "a-b_c.d~9");
        assert_eq!(percent("{\"ä\": 1}&x"), "%7B%22%C3%A4%22%3A%201%7D%26x");
    }
}
