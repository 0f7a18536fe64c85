//! What an administrator is shown of GitLab: who may register, whether background jobs are done, what an upgrade left to do.

use futures_util::join;
use serde::Deserialize;

use super::Check;
use crate::live::gitlab::{Error, Kind, Reader};

const SIGN_UP: &str = "sign_up";
const JOBS: &str = "background_jobs";
const MIGRATIONS: &str = "migrations";

/// Seconds that a job may wait before anybody cares.
const LATENCY: u64 = 10 * 60;

/// What of `/application/settings` says who may register.
#[derive(Deserialize)]
struct Settings {
    signup_enabled: bool,
    #[serde(default)]
    require_admin_approval_after_user_signup: bool,
    #[serde(default)]
    domain_allowlist: Option<Vec<String>>,
}

/// What `/sidekiq/compound_metrics` says.
#[derive(Deserialize)]
struct Sidekiq {
    #[serde(default)]
    queues: std::collections::BTreeMap<String, Queue>,
    processes: Vec<serde::de::IgnoredAny>,
    jobs: Jobs,
}

#[derive(Deserialize)]
struct Queue {
    latency: u64,
}

#[derive(Deserialize)]
struct Jobs {
    enqueued: u64,
    #[serde(default)]
    dead: u64,
}

/// One of `/admin/batched_background_migrations`.
#[derive(Deserialize)]
struct Migration {
    job_class_name: String,
    table_name: String,
    status: String,
}

/// Judges what only an administrator sees.
pub(super) async fn examine(cx: &Reader, checks: &mut Vec<Check>) {
    let (settings, sidekiq, migrations) = join!(
        cx.get::<Settings>("/application/settings", &[]),
        cx.get::<Sidekiq>("/sidekiq/compound_metrics", &[]),
        cx.get::<Vec<Migration>>("/admin/batched_background_migrations", &[]),
    );
    let judged = [
        settings.map_or_else(|error| unread(SIGN_UP, &error), |settings| sign_up(&settings)),
        sidekiq.map_or_else(|error| unread(JOBS, &error), |sidekiq| jobs(&sidekiq)),
        migrations.map_or_else(|error| unread(MIGRATIONS, &error), |left| judge_migrations(&left)),
    ];
    checks.extend(judged);
}

fn unread(name: &'static str, error: &Error) -> Check {
    match error.kind() {
        Kind::NotFound => Check::not_known(name, "this GitLab does not tell"),
        _ => Check::not_known(name, error.detail()),
    }
}

fn sign_up(settings: &Settings) -> Check {
    let allowed = settings.domain_allowlist.as_deref().unwrap_or_default();
    if !settings.signup_enabled {
        Check::ok(SIGN_UP, "nobody can register by themselves")
    } else if settings.require_admin_approval_after_user_signup {
        Check::ok(SIGN_UP, "who registers has to be approved by an administrator")
    } else if !allowed.is_empty() {
        Check::ok(
            SIGN_UP,
            format!("only addresses of {} can register", allowed.join(", ")),
        )
    } else {
        Check::warning(SIGN_UP, "anybody who reaches it can register, and is let in at once").help(
            "turn `signup_enabled` off, or `require_admin_approval_after_user_signup` on, in the Admin area under \
             Settings > General > Sign-up restrictions",
        )
    }
}

fn jobs(sidekiq: &Sidekiq) -> Check {
    let Jobs { enqueued, dead } = sidekiq.jobs;
    if sidekiq.processes.is_empty() {
        return Check::failed(JOBS, format!("no Sidekiq runs, and {enqueued} jobs wait"))
            .help("start it: `gitlab-ctl start sidekiq` in the container; `autogit logs sidekiq` shows why it ended");
    }
    let slowest = sidekiq.queues.iter().max_by_key(|(_, queue)| queue.latency);
    if let Some((name, queue)) = slowest.filter(|(_, queue)| queue.latency > LATENCY) {
        return Check::warning(
            JOBS,
            format!("jobs of {name} wait for {} minutes, {enqueued} in all", queue.latency / 60),
        )
        .help("see what Sidekiq is at in the Admin area under Monitoring > Background jobs; it may need more processes");
    }
    match dead {
        0 => Check::ok(JOBS, format!("{enqueued} wait, none for long")),
        _ => Check::ok(
            JOBS,
            format!("{enqueued} wait, none for long; {dead} were given up"),
        ),
    }
}

fn judge_migrations(all: &[Migration]) -> Check {
    let of = |status: &[&str]| -> Vec<String> {
        let those = all
            .iter()
            .filter(|migration| status.contains(&&*migration.status));
        those
            .map(|migration| format!("{} of {}", migration.job_class_name, migration.table_name))
            .collect()
    };
    let (failed, paused, active) = (of(&["failed"]), of(&["paused"]), of(&["active", "finalizing"]));
    if !failed.is_empty() {
        return Check::failed(MIGRATIONS, format!("failed: {}", failed.join(", "))).help(
            "retry it in the Admin area under Monitoring > Background migrations: GitLab cannot be upgraded before",
        );
    }
    if !paused.is_empty() {
        return Check::warning(MIGRATIONS, format!("paused: {}", paused.join(", ")))
            .help("resume it in the Admin area under Monitoring > Background migrations: GitLab cannot be upgraded before");
    }
    match active.len() {
        0 => Check::ok(MIGRATIONS, "none is left to do in the background"),
        left => Check::ok(
            MIGRATIONS,
            format!("left to do in the background: {left}; upgrade once none is"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;
    use crate::engine::doctor::State;

    #[test]
    fn sign_up_is_warned_of_only_where_anybody_gets_in() {
        for (signup, approval, domains, expected) in [
            (false, false, json!([]), State::Ok),
            (true, true, json!([]), State::Ok),
            (true, false, json!(["example.org"]), State::Ok),
            (true, false, json!([]), State::Warning),
            (true, false, json!(null), State::Warning),
        ] {
            let settings = json!({
                "signup_enabled": signup, "require_admin_approval_after_user_signup": approval,
                "domain_allowlist": domains,
            });
            assert_eq!(sign_up(&from_value(settings).unwrap()).state, expected);
        }
    }

    #[test]
    fn jobs_have_to_be_done() {
        let of = |processes, latency, dead| {
            let told = json!({
                "queues": {"default": {"backlog": 3, "latency": latency}}, "processes": processes,
                "jobs": {"processed": 1, "failed": 0, "enqueued": 3, "dead": dead},
            });
            jobs(&from_value(told).unwrap())
        };
        assert_eq!(of(json!([{"pid": 1}]), 600, 0).state, State::Ok);
        assert!(of(json!([{"pid": 1}]), 0, 2).found.contains("2 were given up"));
        assert!(
            of(json!([{"pid": 1}]), 700, 0)
                .found
                .contains("wait for 11 minutes")
        );
        assert_eq!(of(json!([]), 0, 0).state, State::Failed);
    }

    #[test]
    fn migrations_are_judged_by_the_worst() {
        let of = |statuses: &[&str]| {
            let all = statuses
                .iter()
                .map(|status| json!({"job_class_name": "Backfill", "table_name": "users", "status": status}));
            let all: Vec<Migration> = from_value(json!(all.collect::<Vec<_>>())).unwrap();
            judge_migrations(&all)
        };
        assert_eq!(of(&["finished", "finalized"]).state, State::Ok);
        assert!(of(&["finished", "active"]).found.contains("background: 1;"));
        assert_eq!(of(&["active", "paused"]).state, State::Warning);
        assert_eq!(of(&["paused", "failed"]).state, State::Failed);
    }
}
