//! `autogit doctor`: what stands between here and a plan, before there is any config or beside one.

use std::fmt::Write;
use std::path::PathBuf;

use anstream::{print, println};
use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use serde_json::json;
use url::Url;

use super::connect::{Access, Endpoint, complete, folder, instance_url, state_folder};
use super::output::color;
use super::validate::Format;
use super::{Exit, Global, Problem, findings};
use crate::config::deploy::Deploy;
use crate::config::{self, Config, SecretRef, Severity};
use crate::engine::doctor::{self, Answer, Check, Deployed, Diagnosis, Right, State};
use crate::instance::health::Container;
use crate::kinds;
use crate::live::gitlab::{Retries, Settings};
use crate::live::secrets::Secrets;
use crate::render::count;

/// Examine GitLab, the token, and the config if there is one; writes nothing
///
/// Judges one thing after the other and goes on as far as it can: whether GitLab can be reached and is one that AutoGit
/// knows, whose the token is and how long it lasts, and what it may do with each kind. The token is sent only once
/// GitLab has answered without it. Where the config deploys the instance, its host and container are examined first.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  autogit doctor --url https://git.example.org --token-env AUTOGIT_TOKEN
  autogit doctor
  autogit doctor --deep
  autogit doctor --format json | jq '.checks[] | select(.state != \"ok\")'

Exit codes: 0 nothing failed; 1 something did.")]
pub struct Args {
    /// The instance to examine, instead of the config's
    #[arg(long, value_name = "URL", value_parser = instance_url)]
    url: Option<Url>,
    /// With --url: the environment variable that holds the token
    #[arg(long, value_name = "NAME", default_value = "AUTOGIT_TOKEN", requires = "url")]
    token_env: String,
    /// With --url: a PEM file with the authority that signed its certificate
    #[arg(long, value_name = "PATH", requires = "url")]
    ca_file: Option<PathBuf>,
    /// Run GitLab's own checks in the container that AutoGit runs, too: a minute or more
    #[arg(long, conflicts_with = "url")]
    deep: bool,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Args {
    pub async fn run(self, global: &Global) -> Result<Exit, Problem> {
        let mut diagnosis = Diagnosis::default();
        let mut instance = self.url.clone();
        match &self.url {
            Some(url) => {
                let token = SecretRef::Env(self.token_env.clone());
                let endpoint = Endpoint {
                    url: Some(url),
                    token: Some(&token),
                    ca_file: self.ca_file.as_deref(),
                    state: None,
                    deploy: None,
                };
                examine(endpoint, &Secrets::new(".", false), &mut diagnosis).await;
            }
            None => instance = from_config(global, self.deep, &mut diagnosis).await,
        }
        self.show(instance.as_ref(), &diagnosis);
        Ok(match diagnosis.is_healthy() {
            true => Exit::Done,
            false => Exit::Failed,
        })
    }

    fn show(&self, instance: Option<&Url>, diagnosis: &Diagnosis) {
        match self.format {
            Format::Text => print!("{}", text(diagnosis)),
            Format::Json => println!(
                "{:#}",
                json!({
                    "format": "autogit-doctor",
                    "version": 1,
                    "url": instance,
                    "healthy": diagnosis.is_healthy(),
                    "checks": diagnosis.checks,
                    "kinds": diagnosis.kinds,
                })
            ),
        }
    }
}

/// Examines the config, what is kept beside it, and the instance that it names.
async fn from_config(global: &Global, deep: bool, diagnosis: &mut Diagnosis) -> Option<Url> {
    let loaded = config::load(&global.config, &kinds::shapes());
    findings::show(&loaded.sources, &loaded.diagnostics, color());
    let file = global.config.display();
    let Some(mut config) = loaded.config else {
        let errors = loaded.diagnostics.iter();
        let errors = errors.filter(|found| found.severity == Severity::Error).count() as u64;
        let check = Check::failed(
            "config",
            format!("{file} cannot be loaded: {}", count(errors, "error")),
        );
        diagnosis.checks.push(check.help(
            "`autogit validate` shows what is wrong; without a config, say --url URL --token-env NAME",
        ));
        return None;
    };
    complete(global, &mut config);
    let resources = config.resources();
    diagnosis.checks.push(Check::ok(
        "config",
        format!("{file} declares {}", count(resources as u64, "resource")),
    ));
    let state = match (&config.state, &config.gitlab.url) {
        (Some(state), _) => match Access::new(global, (&config).into(), false, false)
            .remote(state)
            .await
        {
            Ok(store) => doctor::store(&store).await,
            Err(problem) => vec![Check::failed("state", problem.message())],
        },
        (None, Some(url)) => doctor::directory(&state_folder(global), url.as_str()).await,
        (None, None) => Vec::new(),
    };
    diagnosis.checks.extend(state);
    if let Some(deployment) = &config.gitlab.deploy {
        deployed(global, &config, &deployment.spec, deep, diagnosis).await;
    }
    let secrets = Secrets::new(folder(&global.config), false);
    examine((&config).into(), &secrets, diagnosis).await;
    // Once the token is known: it must not be the value of anything.
    diagnosis.checks.push(doctor::secrets(&config, &secrets).await);
    config.gitlab.url
}

/// Examines the instance that AutoGit runs: its host, its container, and what is in that.
async fn deployed(global: &Global, config: &Config, spec: &Deploy, deep: bool, diagnosis: &mut Diagnosis) {
    let access = Access::new(global, config.into(), false, false);
    let opened = async {
        let instance = access.deployed(config).await?;
        let instance = instance.expect("the config deploys one");
        let health = instance.health().await?;
        Ok::<_, Problem>((instance, health))
    };
    let (instance, health) = match opened.await {
        Ok(opened) => opened,
        Err(problem) => {
            let check = Check::failed("docker", problem.message());
            return diagnosis
                .checks
                .push(check.maybe_help(problem.remedy().map(str::to_owned)));
        }
    };
    let files = match &health.container {
        Some(_) => Some(instance.files().await),
        None => None,
    };
    diagnosis.checks.extend(doctor::deployed(&Deployed {
        spec,
        health: &health,
        files: files.as_ref(),
        now: Timestamp::now(),
    }));
    if deep && health.container.as_ref().is_some_and(Container::runs) {
        diagnosis.checks.extend(doctor::own_checks(&instance).await);
    }
}

/// Examines an instance and a token.
async fn examine(endpoint: Endpoint<'_>, secrets: &Secrets, diagnosis: &mut Diagnosis) {
    let Some(url) = endpoint.url else {
        let check = Check::failed("config", "it has no `gitlab.url`");
        return diagnosis
            .checks
            .push(check.help("add `url: https://git.example.org` under `gitlab:`"));
    };
    let guard = doctor::guard(url, std::env::var("AUTOGIT_URL").ok().as_deref());
    let may_go = guard.state == State::Ok;
    diagnosis.checks.push(guard);
    let token = match endpoint.token {
        Some(reference) => {
            let (check, token) = doctor::token_reference(reference, secrets).await;
            diagnosis.checks.push(check);
            token
        }
        None => {
            let check = Check::failed("token_reference", "the config has no `gitlab.token`");
            diagnosis
                .checks
                .push(check.help("add `token: {env: AUTOGIT_TOKEN}` under `gitlab:`"));
            None
        }
    };
    let mut settings = Settings::new(url.clone(), String::new().into());
    settings.token = token.filter(|_| may_go);
    settings.ca_file = endpoint.ca_file.map(|file| secrets.base.join(file));
    // Somebody waits for the answer.
    settings.retries = Retries {
        attempts: 2,
        ..Retries::default()
    };
    doctor::examine(settings, diagnosis).await;
}

/// The diagnosis for people.
fn text(diagnosis: &Diagnosis) -> String {
    let mut out = String::new();
    let width = diagnosis.checks.iter().map(|check| check.name.len()).max();
    let width = width.unwrap_or_default();
    for Check {
        name,
        state,
        found,
        remedy,
    } in &diagnosis.checks
    {
        let (word, style) = word(*state);
        let _ = writeln!(out, "{style}{word:9}{style:#} {name:width$}  {found}");
        if let Some(remedy) = remedy {
            let _ = writeln!(out, "{:9} {:width$}  → {remedy}", "", "");
        }
    }
    if !diagnosis.kinds.is_empty() {
        out.push('\n');
        rights(diagnosis, &mut out);
    }
    out
}

fn word(state: State) -> (&'static str, Style) {
    let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
    match state {
        State::Ok => ("ok", colour(AnsiColor::Green)),
        State::Warning => ("warning", colour(AnsiColor::Yellow)),
        State::Failed => ("failed", colour(AnsiColor::Red).bold()),
        State::NotKnown => ("not known", Style::new().dimmed()),
    }
}

/// The table of what the token may do, and below each kind what is missing.
fn rights(diagnosis: &Diagnosis, out: &mut String) {
    let kinds = diagnosis.kinds.iter();
    let width = kinds.map(|rights| rights.kind.len()).max().unwrap_or_default();
    let answer = |right: &Right| match right.answer {
        Answer::Yes => "yes",
        Answer::Partly => "partly",
        Answer::No => "no",
        Answer::NotKnown => "not known",
    };
    let _ = writeln!(out, "{:width$}  {:9}  write", "kind", "read");
    for kind in &diagnosis.kinds {
        let (read, write) = (answer(&kind.read), answer(&kind.write));
        let _ = writeln!(out, "{:width$}  {read:9}  {write}", kind.kind);
        for (what, right) in [("read", &kind.read), ("write", &kind.write)] {
            for missing in &right.missing {
                let _ = writeln!(out, "{:width$}    {what}: needs {missing}", "");
            }
        }
    }
}
