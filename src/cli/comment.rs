//! `autogit comment`: a plan as the comment of a merge request, made once and then kept up to date.

use std::io::Read;
use std::path::PathBuf;

use anstream::println;
use serde::Deserialize;
use url::Url;

use super::connect::{instance_url, load};
use super::{Exit, Global, Problem};
use crate::config::SecretRef;
use crate::live::gitlab::{Client, Error, Note, Notes, Settings};
use crate::live::secrets::Secrets;
use crate::render;

/// Post a plan as a merge request's comment, or bring the one that is there up to date
///
/// FILE is what `plan --format markdown` printed. There is one comment for each config and instance: the first run writes
/// it, later ones replace what it says, and nothing is written where that is as it was. In a pipeline for merge requests
/// everything but the token is found in GitLab's predefined variables.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  autogit plan --no-secrets --format markdown > plan.md
  autogit comment plan.md
  autogit comment - --url https://git.example.org --project ops/forge --merge-request 7 < plan.md

It takes a token of its own, with the scope `api` and the role Reporter in that one project:
`plan` goes on with one that only reads.")]
pub struct Args {
    /// The plan as Markdown; `-`: standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The GitLab that the merge request is on
    #[arg(long, value_name = "URL", env = "CI_SERVER_URL", hide_env_values = true, value_parser = instance_url)]
    url: Option<Url>,
    /// The project's id or path; by default that of the pipeline's merge request
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// The merge request's number
    #[arg(long, value_name = "N", env = "CI_MERGE_REQUEST_IID", hide_env_values = true)]
    merge_request: Option<u64>,
    /// The environment variable that holds the token
    #[arg(long, value_name = "NAME", default_value = "AUTOGIT_COMMENT_TOKEN")]
    token_env: String,
    /// A PEM file with the authority that signed GitLab's certificate
    #[arg(
        long,
        value_name = "PATH",
        env = "CI_SERVER_TLS_CA_FILE",
        hide_env_values = true
    )]
    ca_file: Option<PathBuf>,
}

/// Who writes.
#[derive(Deserialize)]
struct User {
    id: u64,
}

impl Args {
    pub async fn run(self, global: &Global) -> Result<Exit, Problem> {
        let text = self.text()?;
        let (_, config) = load(global)?;
        let instance = config.gitlab.url.as_ref().map(Url::to_string).unwrap_or_default();
        let marker = render::marker(&global.config.to_string_lossy(), &instance);
        let body = render::comment(&marker, &text);
        let url = self
            .url
            .clone()
            .ok_or_else(|| missing("the GitLab", "--url URL", "CI_SERVER_URL"))?;
        let project = self.project()?;
        let number = self
            .merge_request
            .ok_or_else(|| missing("the merge request", "--merge-request N", "CI_MERGE_REQUEST_IID"))?;
        let token = SecretRef::Env(self.token_env.clone());
        let token = Secrets::new(".", false).token(&token).await?;
        let mut settings = Settings::new(url, token);
        settings.ca_file = self.ca_file.clone();
        let client = Client::connect(settings)?;
        let notes = Notes::new(&client, &project, number);
        let done = publish(&client, &notes, &marker, &body).await;
        let done =
            done.map_err(|error| error.needs("Reporter of the project, with a token of the scope `api`"))?;
        println!("{done} the comment on !{number} of {project}.");
        Ok(Exit::Done)
    }

    fn text(&self) -> Result<String, Problem> {
        let is_input = self.file.as_os_str() == "-";
        let file = match is_input {
            true => "standard input".into(),
            false => self.file.display().to_string(),
        };
        let text = match is_input {
            true => std::io::read_to_string(std::io::stdin().lock().take(LARGEST)),
            false => std::fs::read_to_string(&self.file),
        };
        let text = text.map_err(|error| Problem::new(format!("failed to read {file}: {error}")))?;
        match text.trim().is_empty() {
            true => Err(Problem::new(format!("failed to comment: {file} is empty"))
                .help("`autogit plan --format markdown > FILE` writes one")),
            false => Ok(text),
        }
    }

    /// The project of the merge request, which in a pipeline of a fork is not the pipeline's.
    fn project(&self) -> Result<String, Problem> {
        let named = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        self.project
            .clone()
            .or_else(|| named("CI_MERGE_REQUEST_PROJECT_ID"))
            .or_else(|| named("CI_PROJECT_ID"))
            .ok_or_else(|| missing("the project", "--project PROJECT", "CI_MERGE_REQUEST_PROJECT_ID"))
    }
}

/// More than any plan is.
const LARGEST: u64 = 64 << 20;

fn missing(what: &str, argument: &str, variable: &str) -> Problem {
    Problem::new(format!("failed to comment: {what} is not known")).help(format!(
        "say {argument}, or run it in a pipeline for merge requests, where {variable} is set"
    ))
}

/// Writes the comment, or replaces what it says, and says which. Somebody else's is left alone, whatever it says.
async fn publish(client: &Client, notes: &Notes, marker: &str, body: &str) -> Result<&'static str, Error> {
    let me: User = client.reader().get("/user", &[]).await?;
    let is_ours =
        |note: &Note| !note.system && note.author.id == me.id && note.body.lines().next() == Some(marker);
    let Some(note) = notes.find(is_ours).await? else {
        return match notes.add(body).await {
            // The reply was lost: it may be there all the same.
            Err(error) if error.is_ambiguous() && notes.find(is_ours).await?.is_none() => Err(error),
            Err(error) if !error.is_ambiguous() => Err(error),
            _ => Ok("Wrote"),
        };
    };
    // GitLab keeps neither carriage returns nor a last line break.
    let same = note
        .body
        .lines()
        .map(str::trim_end)
        .eq(body.trim_end().lines().map(str::trim_end));
    match same {
        true => Ok("Nothing new for"),
        false => notes.replace(note.id, body).await.map(|()| "Updated"),
    }
}
