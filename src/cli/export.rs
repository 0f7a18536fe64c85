//! `autogit export`: from a live GitLab to a config that declares it as it is.

use std::path::{Path, PathBuf};

use anstream::{eprintln, print};
use serde_json::Value;

use super::connect::{Endpoint, Instance, folder, instance_url, load};
use super::{Exit, Global, Problem};
use crate::config::{Block, Config, Node, SecretRef};
use crate::export::{self, Forge, Layout, Origin};
use crate::kinds::Extent;
use crate::render::count;

/// Write a config that declares what a GitLab holds; reads only
///
/// A token with the scope `read_api` suffices; what it may not see is left out with a comment that says so.
/// No secret is ever written: where one is, a comment says how to refer to it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  autogit export --url https://git.example.org > autogit.yaml
  autogit export --group platform --group data/lake
  autogit export --out forge --split-by group --factor")]
pub struct Args {
    #[command(flatten)]
    instance: Instance,
    /// The GitLab to read, instead of the config's
    #[arg(long, value_name = "URL", conflicts_with = "sandbox", value_parser = instance_url)]
    url: Option<url::Url>,
    /// With --url: the environment variable that holds the token
    #[arg(long, value_name = "NAME", default_value = "AUTOGIT_TOKEN", requires = "url")]
    token_env: String,
    /// With --url: a PEM file with the authority that signed its certificate
    #[arg(long, value_name = "PATH", requires = "url")]
    ca_file: Option<PathBuf>,
    /// Only this group and what is below it; may be repeated
    #[arg(long = "group", value_name = "PATH")]
    groups: Vec<String>,
    /// Write files into this folder, instead of to standard output
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// One file for each of these, included by the main one
    #[arg(long, value_enum, requires = "out")]
    split_by: Option<Split>,
    /// Turn what most repos share into rules and presets
    #[arg(long)]
    factor: bool,
}

/// What has a file of its own.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Split {
    /// Each group, with the repos that are directly in it
    Group,
}

impl Args {
    pub async fn run(self, global: &Global) -> Result<Exit, Problem> {
        let config = self.source(global)?;
        let visited = self.instance.visit(global, Endpoint::from(&config)).await?;
        let extent = match self.groups.is_empty() {
            true => Extent::All,
            false => Extent::Groups(
                self.groups
                    .iter()
                    .map(|path| path.trim_matches('/').into())
                    .collect(),
            ),
        };
        let found = export::observe(&visited.client.reader(), &visited.about, &extent).await?;
        let forge = Forge::new(found, &visited.about);
        let name = match self.instance.sandbox {
            true => "the sandbox".to_owned(),
            false => visited.url.as_str().trim_end_matches('/').to_owned(),
        };
        let origin = Origin {
            name: &name,
            about: &visited.about,
            extent: &extent,
            gitlab: self.gitlab(&config, global)?,
        };
        let layout = Layout {
            by_group: self.split_by.is_some(),
            factor: self.factor,
        };
        let files = export::files(&forge, &origin, layout)?;
        match &self.out {
            None => files.iter().for_each(|file| print!("{}", file.text)),
            Some(out) => {
                export::save(&files, out)?;
                let main = out.join(export::MAIN);
                eprintln!(
                    "Wrote {}: {} in {}.",
                    main.display(),
                    count(forge.resources.len() as u64, "resource"),
                    count(files.len() as u64, "file")
                );
                eprintln!(
                    "Look through it, then see that it changes nothing: autogit plan --config {}",
                    main.display()
                );
            }
        }
        Ok(Exit::Done)
    }

    /// The config that says how to reach GitLab: of the arguments, or the one that is there.
    fn source(&self, global: &Global) -> Result<Config, Problem> {
        let mut config = Config::default();
        if self.instance.sandbox {
            return Ok(config);
        }
        let Some(url) = &self.url else {
            let help = "name a GitLab with --url and --token-env, or write `gitlab:` in the config";
            return Ok(load(global).map_err(|problem| problem.help(help))?.1);
        };
        config.gitlab.url = Some(url.clone());
        config.gitlab.token = Some(SecretRef::Env(self.token_env.clone()));
        // The arguments mean the folder of now, whatever --config names.
        let ca_file = self.ca_file.as_ref().map(std::path::absolute).transpose();
        config.gitlab.ca_file =
            ca_file.map_err(|error| Problem::new(format!("failed to find --ca-file: {error}")))?;
        Ok(config)
    }

    /// The `gitlab:` section of what is written.
    fn gitlab(&self, config: &Config, global: &Global) -> Result<Option<Block>, Problem> {
        let gitlab = &config.gitlab;
        let Some(url) = gitlab.url.as_ref().filter(|_| !self.instance.sandbox) else {
            return Ok(None);
        };
        let mut block = Block::default();
        block.push("url", Node::Value(url.as_str().trim_end_matches('/').into()));
        if let Some(token) = &gitlab.token {
            let token = match token {
                SecretRef::File(file) => SecretRef::File(self.as_seen_from_out(file, global)?),
                other => other.clone(),
            };
            let token = serde_json::to_value(token).unwrap_or(Value::Null);
            block.push("token", Node::Value(token));
        }
        if let Some(file) = &gitlab.ca_file {
            let file = self.as_seen_from_out(file, global)?;
            block.push("ca_file", Node::Value(file.to_string_lossy().into()));
        }
        Ok(Some(block))
    }

    /// A path of the config as it has to be written in one that stands in another folder.
    fn as_seen_from_out(&self, file: &Path, global: &Global) -> Result<PathBuf, Problem> {
        let here = folder(&global.config);
        let same = match &self.out {
            None => true,
            Some(out) => std::fs::canonicalize(out).ok() == std::fs::canonicalize(here).ok(),
        };
        match same {
            true => Ok(file.to_owned()),
            false => std::path::absolute(here.join(file))
                .map_err(|error| Problem::new(format!("failed to find {}: {error}", file.display()))),
        }
    }
}
