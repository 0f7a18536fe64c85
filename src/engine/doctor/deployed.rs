//! The GitLab that AutoGit runs itself: what an administrator would look at on its host and in its container.

use futures_util::join;
use jiff::Timestamp;
use jiff::tz::Offset;

use super::Check;
use crate::config::deploy::{Deploy, Target};
use crate::instance::backup::Record;
use crate::instance::health::{Container, Disk, Files, Health, Readiness, Told};
use crate::instance::{self, Instance, Release, Version, next_stop};

const GIB: u64 = 1 << 30;

/// Bytes of disk below which GitLab is about to stop working.
const NO_DISK: u64 = 2 * GIB;
/// Bytes of disk below which somebody should make room.
const LITTLE_DISK: u64 = 10 * GIB;

/// What was found out of it.
pub struct Deployed<'a> {
    /// What is declared.
    pub spec: &'a Deploy,
    /// How it is.
    pub health: &'a Health,
    /// What is in its container; `None`: there is none.
    pub files: Option<&'a Files>,
    /// Today.
    pub now: Timestamp,
}

/// Judges the instance itself.
pub fn deployed(it: &Deployed) -> Vec<Check> {
    let health = it.health;
    let mut checks = vec![
        engine(health),
        container(health.container.as_ref(), &it.spec.docker.image),
        disk(&health.disks),
        memory(health, it.spec),
    ];
    if health.container.as_ref().is_some_and(Container::runs) {
        checks.push(components(health));
        checks.push(readiness(&health.readiness));
    }
    if health.container.is_some() {
        checks.push(release(&health.version, it.now));
    }
    if let Some(files) = it.files {
        checks.extend([secrets(files), host_keys(files), overrides(files)]);
    }
    checks.push(mail(it.spec));
    checks.push(place(it.spec));
    if let Some(backup) = &it.spec.backup {
        let longest = longest_between(backup.schedule.as_deref());
        checks.push(backups(&health.backups, longest, it.now));
        checks.push(verified(&health.backups, it.now));
    }
    checks
}

fn engine(health: &Health) -> Check {
    let engine = &health.engine;
    let rootless = if engine.rootless { ", rootless" } else { "" };
    let found = format!("Docker {}{rootless}, on {}", engine.version, engine.architecture);
    Check::ok("docker", found)
}

fn container(container: Option<&Container>, declared: &str) -> Check {
    const NAME: &str = "container";
    let Some(container) = container else {
        return Check::failed(NAME, "there is none").help("`autogit apply` brings the instance up");
    };
    let memory = "give it more memory (`limits: {memory: …}`, or a larger host), or take a smaller `profile`";
    let ended = container.exit_code.unwrap_or_default();
    match (&*container.state, container.health.as_deref()) {
        _ if container.out_of_memory => {
            Check::failed(NAME, format!("it ended for want of memory; {}", container.state)).help(memory)
        }
        ("restarting", _) => Check::failed(
            NAME,
            format!(
                "it ends again and again (exit status {ended}, {} times)",
                container.restarts
            ),
        )
        .help("`autogit logs` shows why"),
        ("running", Some("unhealthy")) => Check::failed(NAME, "it runs, and its health check fails")
            .help("`autogit status` shows which part is down"),
        ("running", _) if container.image != declared => Check::warning(
            NAME,
            format!("it runs {}, and the config declares {declared}", container.image),
        )
        .help("`autogit plan` shows the way from one to the other"),
        ("running", _) if container.restarts > 0 => Check::warning(
            NAME,
            format!(
                "it runs, and Docker had to start it again {} times",
                container.restarts
            ),
        )
        .help("`autogit logs` shows why it ended"),
        ("running", _) => Check::ok(NAME, format!("it runs {}", container.image)),
        (state, _) => Check::failed(NAME, format!("it does not run: {state} (exit status {ended})"))
            .help("`autogit logs` shows why; `autogit apply` starts it"),
    }
}

fn disk(disks: &[Disk]) -> Check {
    const NAME: &str = "disk";
    let Some(fullest) = disks.iter().min_by_key(|disk| disk.free) else {
        return Check::not_known(NAME, "only the host that Docker runs on can tell");
    };
    let found = format!(
        "{} of {} free at {}",
        gibibytes(fullest.free),
        gibibytes(fullest.size),
        fullest.path.display()
    );
    let remedy = "make room: `autogit backup prune`, `gitlab-rake gitlab:cleanup:orphan_job_artifact_files`, expiry \
                  policies for artifacts and registry tags, or a larger disk";
    match fullest.free {
        ..NO_DISK => Check::failed(NAME, found).help(remedy),
        NO_DISK..LITTLE_DISK => Check::warning(NAME, found).help(remedy),
        _ => Check::ok(NAME, found),
    }
}

fn memory(health: &Health, spec: &Deploy) -> Check {
    const NAME: &str = "memory";
    let host = health.engine.memory;
    let limit = spec.docker.limits.as_ref().and_then(|limits| limits.memory);
    let usable = limit.map_or(host, |limit| limit.0.min(host));
    let profile = spec.docker.profile.unwrap_or_default();
    let found = format!("{} for the profile `{}`", gibibytes(usable), profile.name());
    match usable < profile.told_memory().0 {
        true => Check::warning(
            NAME,
            format!("{found}, which is for {}", gibibytes(profile.memory().0)),
        )
        .help("give it more, or take a smaller `profile`"),
        false => Check::ok(NAME, found),
    }
}

fn components(health: &Health) -> Check {
    const NAME: &str = "components";
    let components = match &health.components {
        Ok(components) => components,
        Err(why) => return Check::failed(NAME, why.clone()).help("`autogit logs` shows what it is at"),
    };
    let down: Vec<_> = components.iter().filter(|component| !component.is_up).collect();
    let Some(first) = down.first() else {
        return Check::ok(NAME, format!("all {} run", components.len()));
    };
    let names: Vec<_> = down.iter().map(|component| component.name.as_str()).collect();
    Check::failed(NAME, format!("down: {}", names.join(", "))).help(format!(
        "`autogit logs {name}` shows why; `gitlab-ctl start {name}` in the container starts it",
        name = first.name
    ))
}

fn readiness(readiness: &Told<Readiness>) -> Check {
    const NAME: &str = "readiness";
    match readiness {
        Err(why) => Check::failed(NAME, why.clone()).help("`autogit logs puma` shows what it is at"),
        Ok(readiness) if readiness.is_ready => Check::ok(NAME, "GitLab has all that it needs"),
        Ok(readiness) => {
            let broken = readiness.parts.iter();
            let broken = broken.filter_map(|(part, what)| Some(format!("{part}: {}", what.as_ref()?)));
            let broken: Vec<_> = broken.collect();
            Check::failed(NAME, format!("GitLab is not ready: {}", broken.join("; ")))
                .help("`gitlab-ctl status` in the container, and `autogit logs` of the part that is named")
        }
    }
}

/// How many minor versions get fixes of security: the newest, and the two before.
///
/// Source: <https://docs.gitlab.com/policy/maintenance/>.
const MAINTAINED: i32 = 3;

/// How many minor versions have come out since this one, if one comes out each month and a major one each May, as they have since 2023.
fn behind(version: Version, now: Timestamp) -> i32 {
    let today = Offset::UTC.to_datetime(now).date();
    let months = |year: i32, month: i32| year * 12 + month;
    // 17.0 came out in May 2024, each on the third Thursday.
    let came_out = months(2024 + i32::from(version.major) - 17, 5 + i32::from(version.minor));
    let has_come_this_month = today.day() > 21;
    months(today.year().into(), today.month().into()) - i32::from(!has_come_this_month) - came_out
}

fn release(version: &Told<Release>, now: Timestamp) -> Check {
    const NAME: &str = "release";
    let version = match version {
        Ok(release) => release.version,
        Err(why) => return Check::not_known(NAME, why.clone()),
    };
    let behind = behind(version, now);
    let found = format!("GitLab {version}");
    match behind < MAINTAINED {
        true => Check::ok(NAME, found),
        false => Check::warning(
            NAME,
            format!(
                "{found}: by the calendar {behind} minor versions have come out since, and only the newest \
                     {MAINTAINED} get security fixes"
            ),
        )
        .help(format!(
            "upgrade: the next stop is {}, of which you deploy the last patch",
            next_stop(version)
        )),
    }
}

fn secrets(files: &Files) -> Check {
    const NAME: &str = "gitlab_secrets";
    match &files.has_secrets {
        Ok(true) => Check::ok(NAME, "the keys that the database is encrypted with are there"),
        Ok(false) => Check::failed(
            NAME,
            "/etc/gitlab/gitlab-secrets.json is not there: what is encrypted cannot be read",
        )
        .help("restore it from a backup before GitLab is configured again, which would make new keys"),
        Err(why) => Check::not_known(NAME, why.clone()),
    }
}

fn host_keys(files: &Files) -> Check {
    const NAME: &str = "host_keys";
    match &files.host_keys {
        Ok(keys) if keys.is_empty() => Check::failed(NAME, "there is no SSH host key in /etc/gitlab")
            .help("restore them from a backup: with new ones every user is warned of a changed host"),
        Ok(keys) => Check::ok(NAME, keys.join(", ")),
        Err(why) => Check::not_known(NAME, why.clone()),
    }
}

fn overrides(files: &Files) -> Check {
    const NAME: &str = "gitlab_rb";
    match &files.overrides {
        Ok(lines) if lines.is_empty() => Check::ok(NAME, "/etc/gitlab/gitlab.rb overrides nothing"),
        Ok(lines) => {
            let lines = lines
                .iter()
                .take(5)
                .map(|(number, key)| format!("line {number}: {key}"));
            Check::warning(
                NAME,
                format!(
                    "/etc/gitlab/gitlab.rb in the container overrides what is declared: {}",
                    lines.collect::<Vec<_>>().join(", ")
                ),
            )
            .help("put it into `deploy`, and comment it out there")
        }
        Err(why) => Check::not_known(NAME, why.clone()),
    }
}

fn mail(spec: &Deploy) -> Check {
    const NAME: &str = "mail";
    match &spec.smtp {
        Some(smtp) => Check::ok(NAME, format!("sent through {}", smtp.address)),
        None => Check::warning(
            NAME,
            "none is sent: no password can be reset, and nobody is told of anything",
        )
        .help("add `smtp:` under `deploy:`"),
    }
}

/// Whether what is backed up outlives this host.
fn place(spec: &Deploy) -> Check {
    const NAME: &str = "backup_place";
    match spec.backup.as_ref().map(|backup| &backup.to) {
        None => Check::warning(NAME, "there is no backup").help("add `backup:` under `deploy:`"),
        Some(Target::Directory(path)) => Check::warning(
            NAME,
            format!("backups are kept in {} of this host, and are lost with it", path.display()),
        )
        .help("keep them in S3-compatible storage or a repository of restic, or mount that directory from elsewhere"),
        Some(_) => Check::ok(NAME, "backups are kept on another host"),
    }
}

/// Days that may pass between two backups of a schedule as cron writes it, and one more.
fn longest_between(schedule: Option<&str>) -> i64 {
    let fields: Vec<&str> = schedule.unwrap_or_default().split_whitespace().collect();
    match fields[..] {
        [_, _, "*", "*", "*"] => 2,
        [_, _, "*", "*", _] => 8,
        _ => 32,
    }
}

/// Days that may pass before a backup is tried again.
const VERIFIED_WITHIN: i64 = 60;

fn days_since(at: Timestamp, now: Timestamp) -> i64 {
    (now.as_second() - at.as_second()) / (24 * 60 * 60)
}

fn backups(backups: &Told<Record>, longest: i64, now: Timestamp) -> Check {
    const NAME: &str = "backup";
    let backups = match backups {
        Ok(backups) => backups,
        Err(why) => return Check::not_known(NAME, why.clone()),
    };
    if let Some(error) = &backups.error {
        return Check::failed(NAME, format!("the last one failed: {error}"))
            .help("once the cause is gone, `autogit backup create` makes one");
    }
    let Some(made) = &backups.made else {
        return Check::warning(NAME, "none was made yet").help("`autogit backup create` makes one");
    };
    let days = days_since(made.at, now);
    match days > longest {
        true => Check::warning(NAME, format!("the last one, {}, is {days} days old", made.id))
            .help("see why none was made since: `systemctl list-timers`, `journalctl`, or the log of cron"),
        false => Check::ok(NAME, format!("the last one is {}", made.id)),
    }
}

fn verified(backups: &Told<Record>, now: Timestamp) -> Check {
    const NAME: &str = "backup_verified";
    let remedy = "`autogit backup verify` restores one into a container of its own";
    let backups = match backups {
        Ok(backups) => backups,
        Err(why) => return Check::not_known(NAME, why.clone()),
    };
    if let Some((id, how)) = backups.damaged.iter().next_back() {
        return Check::warning(NAME, format!("{id} is damaged: {how}")).help(remedy);
    }
    match backups
        .verified
        .as_ref()
        .map(|verified| (verified, days_since(verified.at, now)))
    {
        None => Check::warning(NAME, "none was ever restored on trial").help(remedy),
        Some((verified, days)) if days > VERIFIED_WITHIN => Check::warning(
            NAME,
            format!(
                "the last one that was restored on trial, {}, was that {days} days ago",
                verified.id
            ),
        )
        .help(remedy),
        Some((verified, _)) => Check::ok(NAME, format!("{} was restored on trial", verified.id)),
    }
}

/// Runs the checks that GitLab brings along, which takes a while.
pub async fn own_checks(instance: &Instance) -> Vec<Check> {
    let (check, secrets) = join!(
        instance.own_check("gitlab:check", &["SANITIZE=true"]),
        instance.own_check("gitlab:doctor:secrets", &[]),
    );
    let failed =
        |name, error: instance::Error| Check::failed(name, error.to_string()).maybe_help(error.remedy());
    vec![
        check.map_or_else(|error| failed("gitlab_check", error), |output| own_check(&output)),
        secrets.map_or_else(
            |error| failed("gitlab_doctor", error),
            |output| encrypted(&output),
        ),
    ]
}

/// Judges what `gitlab:check` printed, which ends with 0 whatever it found: what is wrong has a way to fix it below.
fn own_check(output: &str) -> Check {
    const NAME: &str = "gitlab_check";
    let lines: Vec<&str> = output.lines().collect();
    let wrong: Vec<&str> = lines
        .windows(2)
        .filter(|pair| pair[1].contains("Try fixing it"))
        .map(|pair| pair[0].trim())
        .collect();
    match wrong.is_empty() {
        true => Check::ok(NAME, "`gitlab:check` finds nothing wrong"),
        false => Check::failed(NAME, format!("`gitlab:check` finds: {}", wrong.join("; ")))
            .help("`gitlab-rake gitlab:check` in the container says how to fix each"),
    }
}

/// Judges what `gitlab:doctor:secrets` printed: how many values of each model could not be decrypted.
fn encrypted(output: &str) -> Check {
    const NAME: &str = "gitlab_doctor";
    let failures = output.lines().filter_map(|line| {
        let (model, count) = line.rsplit_once(" failures: ")?;
        let count: u64 = count.trim().parse().ok()?;
        let model = model.rsplit("- ").next()?;
        (count > 0).then(|| format!("{count} of {model}"))
    });
    let failures: Vec<_> = failures.collect();
    match failures.is_empty() {
        true if output.contains("Done!") => Check::ok(NAME, "all that is encrypted can be read"),
        true => Check::not_known(NAME, "`gitlab:doctor:secrets` did not come to its end"),
        false => Check::failed(
            NAME,
            format!("what is encrypted cannot be read: {}", failures.join(", ")),
        )
        .help("restore the gitlab-secrets.json that it was written with, from a backup, and reconfigure"),
    }
}

/// Bytes as people say them.
fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / GIB as f64)
}

#[cfg(test)]
mod tests;
