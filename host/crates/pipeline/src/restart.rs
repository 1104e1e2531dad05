//! The restart strategy as written, in the file's `[restart]` or after `--restart`: the same keys, the same checks.
//!
//! ```text
//! --restart fixed:attempts=3,delay=1s          [restart]
//!                                              strategy = "fixed"
//!                                              attempts = 3
//!                                              delay = "1s"
//! ```

use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use weir_connector::{Error, Found, closest};
use weir_core::Restart;

use crate::units::Span;

/// How the job recovers from failures that may pass.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RestartSpec {
    /// `exponential`, `fixed`, `failure-rate` or `none`. Default: exponential.
    pub strategy: Option<String>,
    /// Fixed, exponential: how many failures in a row are endured. Default: all.
    pub attempts: Option<u32>,
    /// Fixed, failure-rate: the time before the next attempt. Default: 1s.
    pub delay: Option<Span>,
    /// Exponential: the time before the second attempt. Default: 100ms.
    pub initial_delay: Option<Span>,
    /// Exponential: the longest time before an attempt. Default: 10s.
    pub max_delay: Option<Span>,
    /// Exponential: how much longer each time is. Default: 2.
    pub multiplier: Option<f64>,
    /// Exponential: the random part of the time, 0 to 1. Default: 0.1.
    pub jitter: Option<f64>,
    /// Fixed, exponential: an attempt that ran this long starts the row anew. Default: 1min.
    pub reset_after: Option<Span>,
    /// Failure-rate: how many failures are endured within `within`. Default: 10.
    pub failures: Option<u32>,
    /// Failure-rate: over which time failures are counted. Default: 10min.
    pub within: Option<Span>,
}

impl FromStr for RestartSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (strategy, settings) = text.split_once(':').unwrap_or((text, ""));
        let mut spec = Self { strategy: Some(strategy.to_owned()), ..Self::default() };
        for setting in settings.split(',').filter(|setting| !setting.is_empty()) {
            let (key, value) = setting.split_once('=').ok_or_else(|| format!("{setting:?} is not KEY=VALUE"))?;
            spec.set(key, value)?;
        }
        // What does not fit together is said at once, with the flag's name.
        spec.chosen().map_err(|wrong| wrong.join("; "))?;
        Ok(spec)
    }
}

impl RestartSpec {
    const KEYS: [&str; 9] = [
        "attempts",
        "delay",
        "initial-delay",
        "max-delay",
        "multiplier",
        "jitter",
        "reset-after",
        "failures",
        "within",
    ];

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "attempts" => self.attempts = Some(number(key, value)?),
            "delay" => self.delay = Some(span(value)?),
            "initial-delay" => self.initial_delay = Some(span(value)?),
            "max-delay" => self.max_delay = Some(span(value)?),
            "multiplier" => self.multiplier = Some(number(key, value)?),
            "jitter" => self.jitter = Some(number(key, value)?),
            "reset-after" => self.reset_after = Some(span(value)?),
            "failures" => self.failures = Some(number(key, value)?),
            "within" => self.within = Some(span(value)?),
            _ => {
                let close = closest(key, Self::KEYS).map(|close| format!("; did you mean {close:?}?"));
                return Err(format!("no restart strategy has {key:?}{}", close.unwrap_or_default()));
            }
        }
        Ok(())
    }

    /// The keys that are given.
    fn given(&self) -> impl Iterator<Item = &'static str> {
        let given = [
            self.attempts.is_some(),
            self.delay.is_some(),
            self.initial_delay.is_some(),
            self.max_delay.is_some(),
            self.multiplier.is_some(),
            self.jitter.is_some(),
            self.reset_after.is_some(),
            self.failures.is_some(),
            self.within.is_some(),
        ];
        Self::KEYS.into_iter().zip(given).filter(|(_, given)| *given).map(|(key, _)| key)
    }

    /// The strategy, with every default filled in.
    pub(crate) fn plan(&self, found: &mut Found) -> Option<Restart> {
        let wrong =
            |wrong: Vec<String>| wrong.into_iter().for_each(|reason| found.add(Error::invalid("restart", reason)));
        self.chosen().map_err(wrong).ok()
    }

    /// The strategy, or all that is wrong with it.
    fn chosen(&self) -> Result<Restart, Vec<String>> {
        let mut wrong = Vec::new();
        let strategy = self.strategy.as_deref().unwrap_or("exponential");
        let (keys, plan): (&[&str], Restart) = match strategy {
            "none" => (&[], Restart::Never),
            "fixed" => (&["attempts", "delay", "reset-after"], self.fixed()),
            "exponential" => (
                &["attempts", "initial-delay", "max-delay", "multiplier", "jitter", "reset-after"],
                self.exponential(&mut wrong),
            ),
            "failure-rate" => (&["failures", "within", "delay"], self.failure_rate(&mut wrong)),
            other => {
                let known = Restart::NAMES.join(", ");
                let cure = closest(other, Restart::NAMES)
                    .map_or_else(|| format!("known are {known}"), |close| format!("did you mean {close:?}?"));
                return Err(vec![format!("no strategy is named {other:?}; {cure}")]);
            }
        };
        let taken = if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") };
        let others = self.given().filter(|key| !keys.contains(key));
        wrong.extend(others.map(|key| format!("{strategy} takes no {key:?}; it takes {taken}")));
        if wrong.is_empty() { Ok(plan) } else { Err(wrong) }
    }

    fn fixed(&self) -> Restart {
        Restart::Fixed { delay: self.delay(), attempts: self.attempts, reset_after: self.reset_after() }
    }

    fn exponential(&self, wrong: &mut Vec<String>) -> Restart {
        let initial_delay = self.initial_delay.map_or(Duration::from_millis(100), |span| span.0);
        let max_delay = self.max_delay.map_or(Duration::from_secs(10).max(initial_delay), |span| span.0);
        let (multiplier, jitter) = (self.multiplier.unwrap_or(2.0), self.jitter.unwrap_or(0.1));
        if initial_delay.is_zero() {
            wrong.push("initial-delay must be longer than nothing, 100ms by default".to_owned());
        }
        if max_delay < initial_delay {
            let (max, initial) = (Span(max_delay), Span(initial_delay));
            wrong.push(format!("max-delay = {max} is shorter than initial-delay = {initial}"));
        }
        if !(1.0..=100.0).contains(&multiplier) {
            wrong.push(format!("multiplier = {multiplier} is not between 1 and 100"));
        }
        if !(0.0..=1.0).contains(&jitter) {
            wrong.push(format!("jitter = {jitter} is not between 0 and 1"));
        }
        let (attempts, reset_after) = (self.attempts, self.reset_after());
        Restart::Exponential { initial_delay, max_delay, multiplier, jitter, attempts, reset_after }
    }

    fn failure_rate(&self, wrong: &mut Vec<String>) -> Restart {
        let (failures, within) = (self.failures.unwrap_or(10), self.within.map_or(Duration::from_secs(600), |s| s.0));
        let delay = self.delay();
        if failures == 0 || within.is_zero() {
            wrong.push("failure-rate endures at least 1 failure within some time; or use none".to_owned());
        } else if delay.saturating_mul(failures) > within {
            let [delay, within] = [delay, within].map(Span);
            wrong.push(format!("{failures} failures never come within {within} when each is followed by {delay}"));
        }
        Restart::FailureRate { failures, within, delay }
    }

    fn delay(&self) -> Duration {
        self.delay.map_or(Duration::from_secs(1), |span| span.0)
    }

    fn reset_after(&self) -> Duration {
        self.reset_after.map_or(Duration::from_secs(60), |span| span.0)
    }
}

fn number<T: FromStr>(key: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{key} = {text:?} is not a number that it can be"))
}

fn span(text: &str) -> Result<Span, String> {
    text.parse().map_err(|error: crate::units::UnitError| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(text: &str) -> Result<Restart, String> {
        text.parse::<RestartSpec>().map(|spec| spec.chosen().unwrap())
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_word_alone_has_every_default() {
        let exponential = Restart::Exponential {
            initial_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(10),
            multiplier: 2.0,
            jitter: 0.1,
            attempts: None,
            reset_after: MINUTE,
        };
        assert_eq!(RestartSpec::default().chosen().unwrap(), exponential);
        let delay = Duration::from_secs(1);
        for (text, wanted) in [
            ("none", Restart::Never),
            ("exponential", exponential),
            ("fixed", Restart::Fixed { delay, attempts: None, reset_after: MINUTE }),
            ("failure-rate", Restart::FailureRate { failures: 10, within: 10 * MINUTE, delay }),
        ] {
            assert_eq!(flag(text), Ok(wanted), "{text}");
            assert_eq!(wanted.name(), text);
        }
    }

    #[test]
    fn file_and_flag_say_the_same() {
        for (file, text) in [
            ("strategy = 'fixed'\nattempts = 3\ndelay = '2s'", "fixed:attempts=3,delay=2s"),
            (
                "initial-delay = '1s'\nmax-delay = '1min'\nmultiplier = 1.5\njitter = 0.0\nreset-after = '1h'\nattempts = 9",
                "exponential:initial-delay=1s,max-delay=1min,multiplier=1.5,jitter=0,reset-after=1h,attempts=9",
            ),
            (
                "strategy = 'failure-rate'\nfailures = 2\nwithin = '1min'\ndelay = '1s'",
                "failure-rate:failures=2,within=1min,delay=1s",
            ),
        ] {
            let spec: RestartSpec = toml::from_str(file).unwrap();
            assert_eq!(Ok(spec.chosen().unwrap()), flag(text), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_closest_that_can() {
        for (text, wanted) in [
            ("exponental", "no strategy is named \"exponental\"; did you mean \"exponential\"?"),
            ("fixed-delay", "did you mean \"fixed\"?"),
            ("whatever", "known are exponential, fixed, failure-rate, none"),
            ("fixed:atempts=3", "no restart strategy has \"atempts\"; did you mean \"attempts\"?"),
            ("fixed:attempts", "\"attempts\" is not KEY=VALUE"),
            ("fixed:attempts=many", "attempts = \"many\" is not a number"),
            ("fixed:delay=5", "\"5\" is not a duration"),
            ("fixed:jitter=0.5", "fixed takes no \"jitter\"; it takes attempts, delay, reset-after"),
            ("none:delay=1s", "none takes no \"delay\""),
            (
                "exponential:jitter=2,multiplier=0,delay=1s",
                "multiplier = 0 is not between 1 and 100; jitter = 2 is not between 0 and 1; exponential takes no \"delay\"",
            ),
            ("exponential:jitter=2", "jitter = 2 is not between 0 and 1"),
            ("exponential:jitter=NaN", "jitter = NaN is not between 0 and 1"),
            ("exponential:multiplier=0.5", "multiplier = 0.5 is not between 1 and 100"),
            ("exponential:initial-delay=0s", "initial-delay must be longer than nothing"),
            ("exponential:initial-delay=5s,max-delay=1s", "max-delay = 1s is shorter than initial-delay = 5s"),
            ("failure-rate:failures=0", "at least 1 failure"),
            ("failure-rate:failures=5,within=1s,delay=1s", "5 failures never come within 1s"),
        ] {
            let error = flag(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
