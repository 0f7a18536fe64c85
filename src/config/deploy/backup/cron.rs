//! When something happens, as cron has it: five fields, and what they come to for systemd.

use std::collections::BTreeSet;
use std::str::FromStr;

/// The days of the week as cron and systemd both call them; Sunday is 0, and 7 as well.
const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
/// How many days a month has at most.
const DAYS: [u8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Minute, hour, day of the month, month and day of the week.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    minutes: BTreeSet<u8>,
    hours: BTreeSet<u8>,
    days: BTreeSet<u8>,
    months: BTreeSet<u8>,
    weekdays: BTreeSet<u8>,
    /// One of day of the month and day of the week is enough: cron has it so where neither begins with `*`.
    either: bool,
}

/// Why something is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCron {
    /// It has not five fields.
    #[error(
        "a schedule has five fields: minute, hour, day of the month, month, day of the week; `15 3 * * *` is every day at 3:15"
    )]
    Fields,
    /// A field is not one.
    #[error("`{text}` is no {field}: write {}, `*`, a range `1-5`, a step `*/2`, or several of them with commas", range(*.least, *.most))]
    Field {
        /// As it is written.
        text: String,
        /// What it should be.
        field: &'static str,
        /// The least that it can be.
        least: u8,
        /// The most.
        most: u8,
    },
    /// There is no such day.
    #[error("no such day ever comes: correct the day of the month or the month")]
    Never,
}

fn range(least: u8, most: u8) -> String {
    format!("a number from {least} to {most}")
}

impl FromStr for Cron {
    type Err = NotCron;

    fn from_str(text: &str) -> Result<Self, NotCron> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(NotCron::Fields);
        };
        let cron = Cron {
            minutes: set(minutes, "minute", 0, 59, &[])?,
            hours: set(hours, "hour", 0, 23, &[])?,
            days: set(days, "day of the month", 1, 31, &[])?,
            months: set(months, "month", 1, 12, &MONTHS)?,
            weekdays: set(weekdays, "day of the week", 0, 7, &WEEKDAYS)?
                .into_iter()
                .map(|day| day % 7)
                .collect(),
            either: !days.starts_with('*') && !weekdays.starts_with('*'),
        };
        let comes = |month: &u8| {
            let most = DAYS[usize::from(*month) - 1];
            cron.days.iter().any(|day| *day <= most)
        };
        match cron.either || cron.months.iter().any(comes) {
            true => Ok(cron),
            false => Err(NotCron::Never),
        }
    }
}

/// The numbers that a field stands for.
fn set(
    text: &str,
    field: &'static str,
    least: u8,
    most: u8,
    names: &[&str],
) -> Result<BTreeSet<u8>, NotCron> {
    let wrong = || NotCron::Field {
        text: text.to_owned(),
        field,
        least,
        most,
    };
    // Names count from where the numbers do.
    let number = |text: &str| {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let named = named.and_then(|at| u8::try_from(at).ok()).map(|at| at + least);
        let plain = || {
            text.bytes()
                .all(|byte| byte.is_ascii_digit())
                .then(|| text.parse().ok())
        };
        let number = named.or_else(|| plain().flatten());
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(wrong)
    };
    let mut all = BTreeSet::new();
    for part in text.split(',') {
        let (span, step) = match part.split_once('/') {
            Some((span, step)) => (span, Some(step)),
            None => (part, None),
        };
        let step = match step.map(str::parse::<u8>) {
            None => 1,
            Some(Ok(step)) if step > 0 => step,
            Some(_) => return Err(wrong()),
        };
        let (first, last) = match span.split_once('-') {
            _ if span == "*" => (least, most),
            Some((first, last)) => (number(first)?, number(last)?),
            // A step needs something to step through.
            None if step > 1 => return Err(wrong()),
            None => (number(span)?, number(span)?),
        };
        if first > last {
            return Err(wrong());
        }
        all.extend((first..=last).step_by(step.into()));
    }
    Ok(all)
}

impl Cron {
    /// The same for systemd: it is time when one of these says so.
    ///
    /// Source: systemd.time(7), "Calendar events".
    pub fn on_calendar(&self) -> Vec<String> {
        match self.either {
            true => vec![self.line(true, false), self.line(false, true)],
            false => vec![self.line(true, true)],
        }
    }

    fn line(&self, days: bool, weekdays: bool) -> String {
        let named = |day: &u8| WEEKDAYS[usize::from(*day)].to_owned();
        let week: Vec<String> = match weekdays && self.weekdays.len() < WEEKDAYS.len() {
            true => self.weekdays.iter().map(named).collect(),
            false => Vec::new(),
        };
        let week = match week.is_empty() {
            true => String::new(),
            false => week.join(",") + " ",
        };
        let day = match days {
            true => numbers(&self.days, 31),
            false => "*".to_owned(),
        };
        format!(
            "{week}*-{}-{day} {}:{}:00",
            numbers(&self.months, 12),
            numbers(&self.hours, 24),
            numbers(&self.minutes, 60)
        )
    }
}

fn numbers(set: &BTreeSet<u8>, all: usize) -> String {
    match set.len() == all {
        true => "*".to_owned(),
        false => {
            let numbers: Vec<String> = set.iter().map(|number| format!("{number:02}")).collect();
            numbers.join(",")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cron_says_is_said_to_systemd() {
        for (cron, calendar) in [
            ("15 3 * * *", vec!["*-*-* 03:15:00"]),
            ("*/15 * * * *", vec!["*-*-* *:00,15,30,45:00"]),
            ("* * * * *", vec!["*-*-* *:*:00"]),
            ("0 4 * * 0", vec!["Sun *-*-* 04:00:00"]),
            ("0 4 * * 7", vec!["Sun *-*-* 04:00:00"]),
            ("0 4 * * mon-fri", vec!["Mon,Tue,Wed,Thu,Fri *-*-* 04:00:00"]),
            ("30 2 1 jan,JUL *", vec!["*-01,07-01 02:30:00"]),
            ("0 8-18/5 * * *", vec!["*-*-* 08,13,18:00:00"]),
            // Either day is enough.
            ("0 4 1,15 * fri", vec!["*-*-01,15 04:00:00", "Fri *-*-* 04:00:00"]),
            // Both are needed, as one begins with a star.
            ("0 4 */10 * fri", vec!["Fri *-*-01,11,21,31 04:00:00"]),
        ] {
            assert_eq!(cron.parse::<Cron>().unwrap().on_calendar(), calendar, "{cron}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for wrong in [
            "",
            "@daily",
            "15 3 * *",
            "15 3 * * * *",
            "60 3 * * *",
            "15 24 * * *",
            "15 3 0 * *",
            "15 3 32 * *",
            "15 3 * 13 *",
            "15 3 * * 8",
            "15 3 * * L",
            "5-1 * * * *",
            "*/0 * * * *",
            "1/5 * * * *",
            "-1 * * * *",
            "+1 * * * *",
            "1, * * * *",
            "0 0 30 2 *",
            "0 0 31 4,6,9,11 *",
            "0 0 15W * *",
        ] {
            assert!(wrong.parse::<Cron>().is_err(), "{wrong}");
        }
        assert!("0 0 29 2 *".parse::<Cron>().is_ok());
        assert!("0 0 30 2 mon".parse::<Cron>().is_ok(), "Mondays come");
    }
}
