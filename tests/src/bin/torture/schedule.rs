//! What is done to a job in one run: drawn from a seed, the same each time.

use std::fmt;
use std::time::Duration;

use weir_tests::random::Random;

use crate::shape::Shape;

/// When a crash point is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// In each epoch.
    Epoch,
    /// Now and then, when what holds goes to the store: about once a second.
    Apply,
    /// At each start that restores something.
    Start,
    /// At a start whose store lacks what the log has: nearly all of them.
    Replay,
    /// At a first start only.
    FirstStart,
}

/// A crash point of the program under test.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) name: &'static str,
    pub(crate) when: When,
    /// An error there is one of the disk: it ends the process, which must then be started again.
    pub(crate) is_disk: bool,
}

const fn point(name: &'static str, when: When, is_disk: bool) -> Point {
    Point { name, when, is_disk }
}

/// In the order of an epoch's life, then of a start.
pub(crate) static POINTS: [Point; 19] = [
    point("barrier-injected", When::Epoch, false),
    point("operators-aligned", When::Epoch, false),
    point("delta-serialised", When::Epoch, false),
    point("log-written", When::Epoch, true),
    point("log-synced", When::Epoch, true),
    point("outputs-half-produced", When::Epoch, false),
    point("outputs-acknowledged", When::Epoch, false),
    point("offsets-sent", When::Epoch, false),
    point("commit-acknowledged", When::Epoch, false),
    point("store-half-applied", When::Apply, true),
    point("store-applied", When::Apply, true),
    point("flush-running", When::Apply, true),
    point("log-trimming", When::Apply, true),
    point("fenced-one-id", When::Start, false),
    point("marker-read", When::Start, false),
    point("mid-restore", When::Replay, false),
    point("restored", When::Start, false),
    point("manifest-temp", When::FirstStart, true),
    point("manifest-renamed", When::FirstStart, true),
];

/// Where a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// At a crash point.
    Point(&'static Point),
    /// Anywhere.
    Moment,
    /// In the broker.
    Broker,
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// SIGKILL.
    Kill,
    /// SIGKILL, and once more during the recovery.
    KillTwice,
    /// Stopped past the transaction time-out, then continued while another instance runs on a copy of its directory.
    Zombie,
    /// The step returns an error.
    Error,
    /// Stopped past the transaction time-out, then continued with nobody else there.
    TimeOut,
    /// The broker is stopped for a moment.
    Pause,
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) place: Place,
    pub(crate) fault: Fault,
    /// How often the point is passed before it strikes.
    pub(crate) skip: u64,
    /// Until a kill at any moment; the length of a pause; until the second kill.
    pub(crate) time: Duration,
}

/// What is done in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) seed: u64,
    /// What the job runs, where this run begins one.
    pub(crate) shape: Shape,
    /// Begins with a new job: a first start.
    pub(crate) is_first_start: bool,
    pub(crate) steps: Vec<Step>,
}

/// One of so many runs begins with a new job, and so many steps in a hundred strike elsewhere than at a crash point.
const FIRST_START_ONE_OF: u64 = 16;
const MOMENTS: u64 = 14;
const PAUSES: u64 = 2;
const TIME_OUTS: u64 = 2;
const DEPTHS: [u64; 2] = [2, 3];

impl Schedule {
    /// Of the run `seed`; `only` the places of these names, if any are given.
    pub(crate) fn of(seed: u64, only: &[String]) -> Self {
        let mut random = Random::seeded(seed);
        // Seeds that follow each other must not give schedules that do.
        random = Random::seeded(random.number());
        let depth = DEPTHS[0] + random.below(DEPTHS[1] - DEPTHS[0] + 1);
        let may = |name: &str| only.is_empty() || only.iter().any(|one| one == name);
        let draw = random.below(FIRST_START_ONE_OF) == 0;
        let first: Vec<_> = POINTS.iter().filter(|p| p.when == When::FirstStart && may(p.name)).collect();
        let later: Vec<_> = POINTS.iter().filter(|p| p.when != When::FirstStart && may(p.name)).collect();
        let is_first_start = !first.is_empty() && (draw || later.is_empty());
        let steps = (0..depth).map(|number| {
            let points = if is_first_start && number == 0 { &first } else { &later };
            step(&mut random, points, may(Place::MOMENT), may(Place::BROKER))
        });
        let steps = steps.collect();
        Self { seed, shape: Shape::of(seed), is_first_start, steps }
    }
}

fn step(random: &mut Random, points: &[&'static Point], moments: bool, pauses: bool) -> Step {
    let draw = random.below(100);
    let (number, time) = (random.number(), Duration::from_millis(random.below(700)));
    let at = |place, fault, skip, time| Step { place, fault, skip, time };
    let chosen = points.get((number % points.len().max(1) as u64) as usize).copied();
    let is_first = chosen.is_some_and(|point| point.when == When::FirstStart);
    match chosen {
        Some(point) if is_first || draw < 100 - MOMENTS - PAUSES || !(moments || pauses) => {
            let skips = match point.when {
                When::Epoch => 6 + random.below(15),
                When::Apply => random.below(2),
                // Of the format's file or of the log's first record.
                When::FirstStart => random.below(2),
                When::Start | When::Replay => 0,
            };
            let fault = match random.below(100) {
                roll if roll < TIME_OUTS && point.when == When::Epoch => Fault::TimeOut,
                0..40 => Fault::Kill,
                40..60 => Fault::KillTwice,
                60..80 => Fault::Zombie,
                _ => Fault::Error,
            };
            at(Place::Point(point), fault, skips, time)
        }
        _ if pauses && (draw >= 100 - PAUSES || !moments) => {
            at(Place::Broker, Fault::Pause, 0, Duration::from_secs(1) + time * 2)
        }
        _ => at(Place::Moment, if number % 3 == 0 { Fault::KillTwice } else { Fault::Kill }, 0, time),
    }
}

impl Place {
    pub(crate) const MOMENT: &'static str = "any-moment";
    pub(crate) const BROKER: &'static str = "broker";

    /// As it is called in tables and by `--only`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Point(point) => point.name,
            Self::Moment => Self::MOMENT,
            Self::Broker => Self::BROKER,
        }
    }

    /// Every place, in the order of the table.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        POINTS.iter().map(Self::Point).chain([Self::Moment, Self::Broker])
    }
}

impl Fault {
    /// Every fault, in the order of the table.
    pub(crate) const ALL: [Self; 6] =
        [Self::Kill, Self::KillTwice, Self::Zombie, Self::Error, Self::TimeOut, Self::Pause];

    /// As it is called in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill -9",
            Self::KillTwice => "kill twice",
            Self::Zombie => "zombie",
            Self::Error => "error",
            Self::TimeOut => "time-out",
            Self::Pause => "pause",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} × {}", self.place.name(), self.fault.name())?;
        match (self.place, self.fault) {
            (Place::Point(_), Fault::KillTwice) => write!(f, " (pass {}, again after {:?})", self.skip, self.time),
            (Place::Point(_), _) => write!(f, " (pass {})", self.skip),
            _ => write!(f, " ({:?})", self.time),
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, shape, .. } = self;
        let running = if self.is_first_start { "" } else { "a running job, or else " };
        write!(f, "seed {seed}: {running}a new job ({shape})")?;
        self.steps.iter().try_for_each(|step| write!(f, "; {step}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_schedule_and_another_another() {
        let all = |seed| Schedule::of(seed, &[]).to_string();
        let different: BTreeSet<String> = (0..1000).map(all).collect();
        assert_eq!(different.len(), 1000);
        assert!((0..1000).all(|seed| Schedule::of(seed, &[]) == Schedule::of(seed, &[])));
    }

    #[test]
    fn a_thousand_runs_strike_everywhere_with_everything() {
        let mut struck = BTreeSet::new();
        for schedule in (0..1000).map(|seed| Schedule::of(seed, &[])) {
            assert!((2..=3).contains(&schedule.steps.len()), "{schedule}");
            for (number, step) in schedule.steps.iter().enumerate() {
                let is_first = matches!(step.place, Place::Point(point) if point.when == When::FirstStart);
                assert_eq!(is_first, schedule.is_first_start && number == 0, "{schedule}");
                struck.insert((step.place.name(), step.fault.name()));
            }
        }
        for point in &POINTS {
            for fault in [Fault::Kill, Fault::KillTwice, Fault::Zombie, Fault::Error] {
                assert!(struck.contains(&(point.name, fault.name())), "{} × {}", point.name, fault.name());
            }
        }
        assert!(struck.contains(&("any-moment", "kill -9")) && struck.contains(&("broker", "pause")), "{struck:?}");
        assert!(struck.iter().any(|(_, fault)| *fault == "time-out"), "{struck:?}");
    }

    #[test]
    fn only_the_places_asked_for_are_struck() {
        for only in [["log-synced", "marker-read"], ["any-moment", "broker"], ["manifest-temp", "any-moment"]] {
            let only = only.map(str::to_owned);
            for schedule in (0..200).map(|seed| Schedule::of(seed, &only)) {
                let strays = schedule.steps.iter().filter(|step| !only.iter().any(|name| name == step.place.name()));
                assert_eq!(strays.count(), 0, "{schedule}");
            }
        }
    }
}
