//! Tumbling windows of calendar days, weeks and months, in a time zone.
//!
//! A day begins at its first moment there, which need not be midnight, and lasts 23, 24 or 25 hours, or whatever the zone
//! has made of it; a day that a zone has skipped has no window. The zones are those that this build of Weir carries, never
//! the machine's: the same record falls into the same window on every machine and after every restart.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

use super::{OutOfRange, ShapeError, Window, legal, offset};

/// What the length of a calendar window counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalendarUnit {
    /// Days, counted from 1970-01-01.
    Day,
    /// Weeks, which begin on Monday.
    Week,
    /// Months, counted from January 1970.
    Month,
}

/// Windows of some calendar units in a time zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Calendar {
    unit: CalendarUnit,
    count: i32,
    offset: SignedDuration,
    zone_name: String,
    zone: TimeZone,
}

/// Ninety years of months; nobody needs as many weeks or days.
const COUNT_MAX: u32 = 90 * 12;
const DAY_MS: i64 = 24 * 3_600_000;
/// 1970-01-01 was a Thursday.
const DAYS_TO_MONDAY: i32 = -3;
const EPOCH: Date = jiff::civil::date(1970, 1, 1);

impl Calendar {
    /// Windows of `count` units of the time zone named `zone`. `offset_ms`: how long after the first midnight of each they
    /// begin, by the clock on the wall; less than a day.
    pub fn new(unit: CalendarUnit, count: u32, zone: &str, offset_ms: i64) -> Result<Self, ShapeError> {
        let count = match count {
            0 => return Err(ShapeError::Zero("a window")),
            1..=COUNT_MAX => i32::try_from(count).map_err(|_| ShapeError::Long("a window"))?,
            _ => return Err(ShapeError::Long("a window")),
        };
        let offset = SignedDuration::from_millis(offset(offset_ms, DAY_MS)?);
        let found = TimeZoneDatabase::bundled().get(zone).map_err(|_| ShapeError::Zone(zone.to_owned()))?;
        Ok(Self { unit, count, offset, zone_name: zone.to_owned(), zone: found })
    }

    /// The window of a record. It costs some hundred nanoseconds: ask only for records that the window before does not hold.
    ///
    /// ```
    /// use weir_time::window::{Calendar, calendar::CalendarUnit};
    ///
    /// let days = Calendar::new(CalendarUnit::Day, 1, "Europe/Berlin", 0)?;
    /// let window = days.window(1_774_780_200_000)?; // 2026-03-29 12:30 in Berlin, where the clocks went forward at 2
    /// assert_eq!(window.end_ms - window.start_ms, 23 * 3_600_000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn window(&self, timestamp_ms: i64) -> Result<Window, OutOfRange> {
        let timestamp_ms = legal(timestamp_ms)?;
        self.find(timestamp_ms).ok_or(OutOfRange(timestamp_ms))
    }

    /// The date on the wall names the window or a neighbour of it: windows may begin later than midnight, and clocks may go
    /// back across their begin.
    fn find(&self, timestamp_ms: i64) -> Option<Window> {
        let moment = Timestamp::from_millisecond(timestamp_ms).ok()?;
        let mut index = self.index(self.zone.to_datetime(moment).date())?;
        // A neighbour, and one more where a zone has skipped that one's whole day.
        for _ in 0..4 {
            let window = Window::new(self.start_ms(index)?, self.start_ms(index + 1)?);
            if window.contains(timestamp_ms) {
                return Some(window);
            }
            index += if timestamp_ms < window.start_ms { -1 } else { 1 };
        }
        None
    }

    /// The number of the window that `date` is in.
    fn index(&self, date: Date) -> Option<i32> {
        let days = || i32::try_from(date.duration_since(EPOCH).as_hours() / 24).ok();
        Some(match self.unit {
            CalendarUnit::Day => days()?.div_euclid(self.count),
            CalendarUnit::Week => (days()? - DAYS_TO_MONDAY).div_euclid(self.count * 7),
            CalendarUnit::Month => {
                let months = (i32::from(date.year()) - 1970) * 12 + i32::from(date.month()) - 1;
                months.div_euclid(self.count)
            }
        })
    }

    /// When window `index` begins: the first moment at or after its time on the wall; the first of two.
    fn start_ms(&self, index: i32) -> Option<i64> {
        let first = index.checked_mul(self.count)?;
        let date = match self.unit {
            CalendarUnit::Day => day(first)?,
            CalendarUnit::Week => day(first.checked_mul(7)?.checked_add(DAYS_TO_MONDAY)?)?,
            CalendarUnit::Month => {
                let year = i16::try_from(first.div_euclid(12).checked_add(1970)?).ok()?;
                Date::new(year, i8::try_from(first.rem_euclid(12)).ok()? + 1, 1).ok()?
            }
        };
        let local = date.at(0, 0, 0, 0).checked_add(self.offset).ok()?;
        Some(self.zone.to_timestamp(local).ok()?.as_millisecond())
    }
}

/// The date so many days after 1970-01-01.
fn day(days: i32) -> Option<Date> {
    EPOCH.checked_add(SignedDuration::from_hours(i64::from(days).checked_mul(24)?)).ok()
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            CalendarUnit::Day => "day",
            CalendarUnit::Week => "week",
            CalendarUnit::Month => "month",
        };
        write!(f, "{}{unit}@{}", self.count, self.zone_name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::timestamp::LEGAL_MS;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn days_begin_where_the_zone_says() {
        use CalendarUnit::{Day, Month, Week};
        for (unit, count, zone, offset_min, at, start, end) in [
            (Day, 1, "UTC", 0, "2026-03-29T12:00Z", "2026-03-29T00:00Z", "2026-03-30T00:00Z"),
            // A day of 23 hours, and one of 25.
            (Day, 1, "Europe/Berlin", 0, "2026-03-29T12:00Z", "2026-03-28T23:00Z", "2026-03-29T22:00Z"),
            (Day, 1, "Europe/Berlin", 0, "2026-10-25T00:30Z", "2026-10-24T22:00Z", "2026-10-25T23:00Z"),
            // No midnight: clocks went from 24:00 to 1:00.
            (Day, 1, "America/Sao_Paulo", 0, "2018-11-04T03:00Z", "2018-11-04T03:00Z", "2018-11-05T02:00Z"),
            (Day, 1, "America/Sao_Paulo", 0, "2018-11-04T02:59Z", "2018-11-03T03:00Z", "2018-11-04T03:00Z"),
            // Two midnights: clocks went from 1:00 back to 0:00. The day begins with the first.
            (Day, 1, "America/Havana", 0, "2018-11-04T04:30Z", "2018-11-04T04:00Z", "2018-11-05T05:00Z"),
            (Day, 1, "America/Havana", 0, "2018-11-04T05:30Z", "2018-11-04T04:00Z", "2018-11-05T05:00Z"),
            // Clocks went from 24:00 back to 23:00: that hour comes twice, both times in the old day.
            (Day, 1, "America/Sao_Paulo", 0, "2018-02-18T02:30Z", "2018-02-17T02:00Z", "2018-02-18T03:00Z"),
            // Clocks went from 0:01 back to 23:01: the old date comes again when the new day has begun.
            (Day, 1, "America/St_Johns", 0, "2010-11-07T02:45Z", "2010-11-07T02:30Z", "2010-11-08T03:30Z"),
            // Samoa had no 30th of December 2011.
            (Day, 1, "Pacific/Apia", 0, "2011-12-30T09:59Z", "2011-12-29T10:00Z", "2011-12-30T10:00Z"),
            (Day, 1, "Pacific/Apia", 0, "2011-12-30T10:00Z", "2011-12-30T10:00Z", "2011-12-31T10:00Z"),
            // Two days from even days since 1970; a day of business that begins at six.
            (Day, 2, "UTC", 0, "1970-01-04T12:00Z", "1970-01-03T00:00Z", "1970-01-05T00:00Z"),
            (Day, 1, "Europe/Berlin", 360, "2026-03-29T03:59Z", "2026-03-28T05:00Z", "2026-03-29T04:00Z"),
            // Half past two did not come, and a day that begins then began at half past three.
            (Day, 1, "Europe/Berlin", 150, "2026-03-29T01:29Z", "2026-03-28T01:30Z", "2026-03-29T01:30Z"),
            (Day, 1, "Europe/Berlin", 150, "2026-03-29T01:30Z", "2026-03-29T01:30Z", "2026-03-30T00:30Z"),
            // Half past two came twice, and a day that begins then began once.
            (Day, 1, "Europe/Berlin", 150, "2026-10-25T01:15Z", "2026-10-25T00:30Z", "2026-10-26T01:30Z"),
            (Week, 1, "UTC", 0, "2026-11-26T00:00Z", "2026-11-23T00:00Z", "2026-11-30T00:00Z"),
            (Month, 1, "Europe/Berlin", 0, "2026-02-28T22:59Z", "2026-01-31T23:00Z", "2026-02-28T23:00Z"),
            (Month, 3, "UTC", 0, "2026-12-31T23:59Z", "2026-10-01T00:00Z", "2027-01-01T00:00Z"),
        ] {
            let calendar = Calendar::new(unit, count, zone, offset_min * 60_000).unwrap();
            assert_eq!(calendar.window(ms(at)), Ok(Window::new(ms(start), ms(end))), "{calendar} at {at}");
        }
    }

    #[test]
    fn what_is_no_calendar_is_refused() {
        let new = |count, zone, offset_ms| Calendar::new(CalendarUnit::Day, count, zone, offset_ms).map(|_| ());
        assert_eq!(new(0, "UTC", 0), Err(ShapeError::Zero("a window")));
        assert_eq!(new(u32::MAX, "UTC", 0), Err(ShapeError::Long("a window")));
        assert_eq!(new(1, "Europe/Bonn", 0), Err(ShapeError::Zone("Europe/Bonn".to_owned())));
        assert!(matches!(new(1, "UTC", DAY_MS), Err(ShapeError::Offset { .. })));
    }

    const ZONES: [&str; 8] = [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "America/Havana",
        "America/Sao_Paulo",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Asia/Kathmandu",
    ];

    proptest! {
        #[test]
        fn every_moment_has_one_window_and_windows_leave_no_gap(
            zone in proptest::sample::select(&ZONES),
            unit in proptest::sample::select(&[CalendarUnit::Day, CalendarUnit::Week, CalendarUnit::Month]),
            count in 1u32..5,
            offset_ms in 0..DAY_MS,
            at in prop_oneof![LEGAL_MS, 0..2_000_000_000_000i64],
        ) {
            let calendar = Calendar::new(unit, count, zone, offset_ms).unwrap();
            let window = calendar.window(at).unwrap();
            prop_assert!(window.contains(at));
            prop_assert_eq!(calendar.window(window.start_ms.max(0)), Ok(window));
            prop_assert_eq!(calendar.window(window.timestamp_ms().min(*LEGAL_MS.end())), Ok(window));
            if let Ok(next) = calendar.window(window.end_ms) {
                prop_assert_eq!(next.start_ms, window.end_ms);
            }
        }
    }
}
