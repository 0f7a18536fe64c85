//! How the instance is that AutoGit runs, as it is shown.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use serde_json::{Value, json};

use crate::instance::backup::Record;
use crate::instance::health::{Component, Container, Disk, Health, Readiness, Told};

/// For people: a line for each part.
pub fn text(health: &Health) -> String {
    let now = Timestamp::now();
    let mut lines = vec![("container", container(health.container.as_ref(), now))];
    if health.container.as_ref().is_some_and(Container::runs) {
        lines.push(("components", told(&health.components, |all| components(all))));
        lines.push(("readiness", told(&health.readiness, readiness)));
    }
    if health.container.is_some() {
        lines.push((
            "version",
            told(&health.version, |release| release.version.to_string()),
        ));
    }
    if let Some(certificate) = &health.certificate {
        let end = |end: &Timestamp| ends(Offset::UTC.to_datetime(*end).date(), now);
        lines.push(("certificate", told(certificate, end)));
    }
    if let Some(end) = health.token {
        lines.push(("token", ends(end, now)));
    }
    lines.extend(health.disks.iter().map(|space| ("disk", disk(space))));
    match &health.backups {
        Ok(backups) if *backups == Record::default() => {}
        backups => lines.push(("backup", told(backups, |of| backup(of, now)))),
    }
    let mut text = String::from("Instance\n");
    for (what, line) in lines {
        let _ = writeln!(text, "  {what:12} {line}");
    }
    text
}

fn told<T>(told: &Told<T>, show: impl FnOnce(&T) -> String) -> String {
    match told {
        Ok(found) => show(found),
        Err(why) => format!("not known: {why}"),
    }
}

fn container(container: Option<&Container>, now: Timestamp) -> String {
    let Some(container) = container else {
        return "none".to_owned();
    };
    let mut text = container.state.clone();
    if let Some(health) = &container.health {
        let _ = write!(text, ", {health}");
    }
    match (container.runs(), container.started_at) {
        (true, Some(since)) => {
            let _ = write!(text, ", for {}", span(now.as_second() - since.as_second()));
        }
        (false, _) if container.out_of_memory => text.push_str(", ended for want of memory"),
        (false, _) => {
            let _ = write!(text, ", exit status {}", container.exit_code.unwrap_or_default());
        }
        (true, None) => {}
    }
    if container.restarts > 0 {
        let _ = write!(text, ", restarted {} times", container.restarts);
    }
    format!("{text}; {}", container.image)
}

fn components(all: &[Component]) -> String {
    let down: Vec<_> = all
        .iter()
        .filter(|component| !component.is_up)
        .map(|component| component.name.as_str())
        .collect();
    match down.is_empty() {
        true => format!("{} up", all.len()),
        false => format!("{} up, down: {}", all.len() - down.len(), down.join(", ")),
    }
}

fn readiness(readiness: &Readiness) -> String {
    let broken = readiness.parts.iter();
    let broken: Vec<_> = broken
        .filter_map(|(part, what)| Some(format!("{part}: {}", what.as_ref()?)))
        .collect();
    match (readiness.is_ready, broken.is_empty()) {
        (true, _) => "ready".to_owned(),
        (false, true) => "not ready".to_owned(),
        (false, false) => format!("not ready: {}", broken.join("; ")),
    }
}

fn ends(end: Date, now: Timestamp) -> String {
    let today = Offset::UTC.to_datetime(now).date();
    match today.until(end).map_or(0, |span| span.get_days()) {
        ..0 => format!("ended on {end}"),
        0 => "ends today".to_owned(),
        1 => format!("ends tomorrow, on {end}"),
        days => format!("ends in {days} days, on {end}"),
    }
}

fn disk(disk: &Disk) -> String {
    let percent = (disk.free * 100).checked_div(disk.size).unwrap_or_default();
    let gibibytes = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    format!(
        "{:.1} GiB of {:.1} GiB free ({percent} %): {}",
        gibibytes(disk.free),
        gibibytes(disk.size),
        disk.holds.join(", ")
    )
}

fn backup(backups: &Record, now: Timestamp) -> String {
    let ago = |at: Timestamp| span(now.as_second() - at.as_second());
    let made = match &backups.made {
        Some(made) => format!("the last {} ago ({})", ago(made.at), made.id),
        None => "none made yet".to_owned(),
    };
    let verified = match &backups.verified {
        Some(verified) => format!("verified {} ago", ago(verified.at)),
        None => "never verified".to_owned(),
    };
    match &backups.error {
        Some(error) => format!("{made}, {verified}; the last attempt failed: {error}"),
        None => format!("{made}, {verified}"),
    }
}

/// Seconds as people say them, in the largest unit that fits.
fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{} s", seconds.max(0)),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// For programs. What could not be found out is null, and `unknown` says why.
pub fn json(health: &Health) -> Value {
    let mut unknown = BTreeMap::new();
    let version = known("version", &health.version, &mut unknown);
    let components = known("components", &health.components, &mut unknown);
    let readiness = known("readiness", &health.readiness, &mut unknown);
    let certificate = health.certificate.as_ref();
    let certificate = certificate.and_then(|end| known("certificate", end, &mut unknown));
    let backups = known("backups", &health.backups, &mut unknown);
    let edition = version.and_then(|release| release.edition);
    json!({
        "healthy": health.is_well(),
        "container": health.container,
        "version": version.map(|release| release.version.to_string()),
        "edition": edition,
        "components": components,
        "readiness": readiness,
        "certificate": certificate.map(|end| json!({"ends_at": end})),
        "token": health.token.map(|end| json!({"ends_on": end})),
        "disks": health.disks,
        "backups": backups,
        "unknown": unknown,
    })
}

fn known<'a, T>(
    what: &'static str,
    told: &'a Told<T>,
    unknown: &mut BTreeMap<&'static str, String>,
) -> Option<&'a T> {
    match told {
        Ok(found) => Some(found),
        Err(why) => {
            unknown.insert(what, why.clone());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_in_the_unit_that_fits() {
        for (seconds, expected) in [
            (-5, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7_200, "2 h"),
            (172_800, "2 days"),
        ] {
            assert_eq!(span(seconds), expected);
        }
    }

    #[test]
    fn what_is_down_is_named() {
        let component = |name: &str, is_up| Component {
            name: name.into(),
            is_up,
            seconds: 0,
        };
        assert_eq!(components(&[component("puma", true)]), "1 up");
        assert_eq!(
            components(&[component("puma", true), component("sidekiq", false)]),
            "1 up, down: sidekiq"
        );
    }

    #[test]
    fn an_end_is_told_by_the_day() {
        let now = "2026-03-01T23:00:00Z".parse().unwrap();
        for (day, expected) in [
            ("2026-02-28", "ended on 2026-02-28"),
            ("2026-03-01", "ends today"),
            ("2026-03-02", "ends tomorrow, on 2026-03-02"),
            ("2026-03-31", "ends in 30 days, on 2026-03-31"),
        ] {
            assert_eq!(ends(day.parse().unwrap(), now), expected);
        }
    }
}
