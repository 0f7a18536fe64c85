//! Background migrations: those that a version has left to do, which the next version needs done.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::super::hide::Hide;
use super::super::{Error, Heard, Instance};
use crate::live::docker::{Hands, Output};

/// What the lines begin with that the script writes for us.
const MARK: &str = "autogit-migrations ";

/// What GitLab is told to run.
const SCRIPT: &str = include_str!("migrations.rb");

/// How long one run of the script goes on, so that none is left for long where this program ends before it.
const ROUND: Duration = Duration::from_secs(5 * 60);

/// Where to read on.
const DOCS: &str = "https://docs.gitlab.com/update/background_migrations/";

/// A migration that is not finished.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Migration {
    /// As GitLab's own commands name it: `main_85`.
    id: String,
    /// What it does: `BackfillNamespaceSettings`.
    job: String,
    /// To which table.
    table: String,
    /// `active`, `finalizing`, `paused`, `failed`.
    status: String,
    /// Percent, where that can be told.
    progress: Option<f64>,
}

impl Migration {
    /// Whether it would never end by itself.
    fn is_stuck(&self) -> bool {
        matches!(&*self.status, "failed" | "paused")
    }
}

/// Waits until none is left.
///
/// # Errors
/// When one would never end, or some are left at the end of that time.
pub(super) async fn wait(instance: &Instance, within: Duration, heard: &dyn Heard) -> Result<(), Error> {
    heard.phase("looking for background migrations");
    let deadline = Instant::now() + within;
    loop {
        let rest = deadline.saturating_duration_since(Instant::now());
        let left = ask(instance, rest.min(ROUND), heard).await?;
        if left.is_empty() {
            return Ok(());
        }
        if left.iter().any(Migration::is_stuck) || Instant::now() >= deadline {
            return Err(refusal(&left, within));
        }
    }
}

/// Tells of those that a version has left to do once it is ready. What cannot be told is no failure.
pub(super) async fn report(instance: &Instance, heard: &dyn Heard) {
    match ask(instance, Duration::ZERO, &Silent).await {
        Ok(left) if left.is_empty() => heard.phase("no background migration is left"),
        Ok(left) => heard.phase(&format!(
            "{} in the background; the next upgrade awaits them",
            going_on(&left)
        )),
        Err(error) => heard.line(&error.to_string()),
    }
}

/// Runs the script: it ends once none is left, one is stuck, or the time is over. Gives what is left.
async fn ask(instance: &Instance, within: Duration, heard: &dyn Heard) -> Result<Vec<Migration>, Error> {
    let hands = Hands::new(instance.looker().clone());
    let script = script(within);
    let command = ["gitlab-rails", "runner", "-"];
    let mut told = String::new();
    let listen = |text: &str| {
        let left = text.lines().rev().find_map(parse).filter(|left| !left.is_empty());
        if let Some(left) = left.map(|left| going_on(&left)).filter(|left| *left != told) {
            heard.phase(&format!("waiting: {left}"));
            told = left;
        }
    };
    let output = hands
        .exec(instance.name(), &command, Some(script.as_bytes()), listen)
        .await?;
    match last(&output) {
        Some(left) => Ok(left),
        None => Err(Error::failed(
            format!(
                "failed to ask GitLab for its background migrations: it ended with {}: {}",
                output.status,
                Hide::of(&instance.place)?.from(&output.tail())
            ),
            format!("look at `autogit logs`, and try again; see {DOCS}"),
        )),
    }
}

/// The script, which reads only, with the time that it may take.
fn script(within: Duration) -> String {
    format!("within = {}\n{SCRIPT}", within.as_secs())
}

fn parse(line: &str) -> Option<Vec<Migration>> {
    serde_json::from_str(line.trim().strip_prefix(MARK)?).ok()
}

/// What a run of the script said last.
fn last(output: &Output) -> Option<Vec<Migration>> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().rev().find_map(parse).filter(|_| output.success())
}

/// `3 background migrations go on: BackfillNamespaceSettings of namespaces, 40 %`.
fn going_on(left: &[Migration]) -> String {
    let first = left.first().map(|migration| {
        let progress = migration.progress.map(|percent| format!(", {percent:.0} %"));
        format!(
            ": {} of {}{}",
            migration.job,
            migration.table,
            progress.unwrap_or_default()
        )
    });
    let go = if left.len() == 1 { "goes on" } else { "go on" };
    format!("{} {go}{}", many(left.len()), first.unwrap_or_default())
}

/// Why the upgrade cannot go on with these left.
fn refusal(left: &[Migration], within: Duration) -> Error {
    let stuck: Vec<&Migration> = left.iter().filter(|migration| migration.is_stuck()).collect();
    let failed = |what: &str| format!("failed to prepare the upgrade: {what}");
    let list = |of: &[&Migration]| {
        let lines = of.iter().take(10).map(|migration| {
            let Migration {
                id,
                job,
                table,
                status,
                ..
            } = migration;
            format!("  {id}: {job} of {table} ({status})")
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    let Some(first) = stuck.first() else {
        let within = crate::config::deploy::Duration(within);
        let left: Vec<_> = left.iter().collect();
        return Error::failed(
            failed(&format!(
                "after {within} {} not finished:\n{}",
                are(left.len()),
                list(&left)
            )),
            "apply again later, which waits on, or allow more time with `upgrade: {migrations_within: …}`; nothing was \
             changed",
        );
    };
    let remedy = match &*first.status {
        "paused" => format!(
            "resume it with `gitlab-rake gitlab:background_migrations:resume[{}]`",
            first.id
        ),
        _ => "retry it in the Admin area under Monitoring > Background migrations".to_owned(),
    };
    Error::failed(
        failed(&format!("{} stuck:\n{}", are(stuck.len()), list(&stuck))),
        format!("{remedy}, and apply again; see {DOCS}; nothing was changed"),
    )
}

/// `1 background migration is`, `2 background migrations are`.
fn are(number: usize) -> String {
    let verb = if number == 1 { "is" } else { "are" };
    format!("{} {verb}", many(number))
}

fn many(number: usize) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} background migration{plural}")
}

/// Hears nothing.
struct Silent;

impl Heard for Silent {
    fn phase(&self, _: &str) {}
    fn line(&self, _: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(status: &str) -> Vec<Migration> {
        let line = format!(
            r#"{MARK}[{{"id":"main_1","job":"Backfill","table":"users","status":"{status}","progress":40.4}}]"#
        );
        parse(&line).unwrap()
    }

    fn output(status: i64, stdout: &str) -> Output {
        Output {
            status,
            stdout: stdout.into(),
            stderr: Vec::new(),
        }
    }

    #[test]
    fn the_last_word_of_the_script_counts() {
        let text = format!("warning: x\n{MARK}[{{\"broken\n{MARK}[]\nbye\n");
        assert_eq!(last(&output(0, &text)), Some(Vec::new()));
        // A script that failed half-way is never taken for "none is left".
        assert_eq!(last(&output(1, &text)), None);
        assert_eq!(last(&output(0, "nothing of ours")), None);
    }

    #[test]
    fn what_would_never_end_is_not_waited_for() {
        let failed = refusal(&left("failed"), MINUTE).to_string();
        assert_eq!(
            failed,
            "failed to prepare the upgrade: 1 background migration is stuck:\n  main_1: Backfill of users (failed)"
        );
        let paused = refusal(&left("paused"), MINUTE).remedy().unwrap();
        assert!(
            paused.contains("background_migrations:resume[main_1]"),
            "{paused}"
        );
        let slow = refusal(&left("active"), MINUTE);
        assert!(
            slow.to_string()
                .contains("after 1m 1 background migration is not finished")
        );
        assert!(slow.remedy().unwrap().contains("migrations_within"));
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn what_goes_on_is_told_in_a_line() {
        assert_eq!(
            going_on(&left("active")),
            "1 background migration goes on: Backfill of users, 40 %"
        );
    }
}
