//! `autogit plan`: the difference between the config and what is live. Writes nothing.

use std::path::PathBuf;
use std::time::Instant;

use anstream::{eprintln, print, println};
use serde_json::json;

use super::connect::{Claimed, Instance, desired, load};
use super::output::{color, stdout_color};
use super::stage::{self, Outlook};
use super::{Exit, Global, Problem, findings};
use crate::config::{Config, Edition, Listed, Loaded, Prune};
use crate::core::{Address, Plan, Reported, Step};
use crate::engine::{Planned, SavedPlan, Seen, Session, Stage, Survey, Targets};
use crate::render::{self, Cost, Header, Known, Role, Style, View, count};

/// Show what `apply` would change; writes nothing
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  autogit plan
  autogit plan --out plan.json && autogit apply plan.json
  autogit plan --target 'repo.platform/*' --format markdown
  autogit plan --explain repo.platform/api")]
pub struct Args {
    #[command(flatten)]
    instance: Instance,
    #[command(flatten)]
    chosen: Chosen,
    /// Save the plan to a file, for `apply FILE`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How to print the plan
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write counts to a file, for GitLab's `artifacts:reports:terraform`
    #[arg(long, value_name = "FILE")]
    terraform_report: Option<PathBuf>,
    /// Write a test case for each resource to a file, for GitLab's `artifacts:reports:junit`
    #[arg(long, value_name = "FILE")]
    junit_report: Option<PathBuf>,
    /// Resolve no secret but the token: for configs of people you do not trust. What is secret is not compared then
    #[arg(long)]
    no_secrets: bool,
    /// Exit with 2 when there are changes
    #[arg(long)]
    detailed_exitcode: bool,
    /// Show where each value of a resource comes from, instead of a plan
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["out", "targets", "terraform_report", "junit_report"])]
    explain: Option<Address>,
}

/// Which part of what is declared a command is about.
#[derive(clap::Args)]
pub struct Chosen {
    /// Only addresses that match this glob, and what they need; nothing is pruned then
    #[arg(long = "target", value_name = "GLOB")]
    targets: Vec<String>,
}

impl Chosen {
    /// The targets.
    pub fn targets(&self) -> Result<Targets, Problem> {
        Targets::new(&self.targets).map_err(|error| Problem::new(format!("failed to read --target: {error}")))
    }
}

/// How a plan is printed.
#[derive(Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs; `autogit schema plan` describes it
    Json,
    /// For comments on merge requests
    Markdown,
}

impl Args {
    pub async fn run(self, global: &Global) -> Result<Exit, Problem> {
        let started = Instant::now();
        let (loaded, config) = load(global)?;
        if let Some(address) = self.explain.as_ref().filter(|address| !loaded.depends(address)) {
            return explain(&loaded, address, None, self.format);
        }
        let claimed = self.instance.claim(global, (&config).into(), None).await?;
        let stage = stage::survey(&claimed, &config, !self.no_secrets).await?;
        if let Some(stage) = stage.filter(Stage::has_something) {
            return self
                .outlook(global, &claimed, &stage, (&loaded, &config), started)
                .await;
        }
        let connected = claimed.connect(&self.instance).await?;
        let session = &connected.session;
        if let (Some(address), Some(roots)) = (&self.explain, loaded.roots()) {
            let inventory = session.inventory(&roots).await?;
            return explain(&loaded, address, Some(&inventory.repos), self.format);
        }
        findings::show_edition(&loaded.sources, &config, &session.about);
        let targets = self.chosen.targets()?;
        let (desired, sources) = desired(global, session, &loaded, config).await?;
        let config = &desired.config;
        let Planned {
            survey,
            plan,
            reported,
        } = session.plan(&desired, &targets, !self.no_secrets).await?;
        let departure = stage::departure(global, &self.instance, config, &session.store).await?;
        let departure = departure.filter(|_| !plan.partial);
        let is_departing = departure.is_some();
        let plan = match departure {
            Some(departure) => plan.then(departure.plan),
            None => plan,
        };
        show(session, &plan, &reported, started, self.format, global);
        if survey.ledger.serial == 0 && config.prune != Prune::None && self.format == Format::Text {
            note_first_run(session);
        }
        let found = findings::of_plan(&plan, config);
        findings::show(&sources, &found, color());
        let changes = !plan.steps.iter().all(Step::takes_over_only);
        if self.no_secrets && survey.unresolved() > 0 && self.format == Format::Text {
            let secrets = count(survey.unresolved() as u64, "secret");
            eprintln!("\u{1b}[2mnote: {secrets} neither resolved nor compared\u{1b}[0m");
        }
        self.write_reports(&plan)?;
        if is_departing && self.out.is_some() {
            return Err(Problem::new(
                "failed to save the plan: what becomes of an instance that is not deployed any more is not applied from a file",
            )
            .help("run `autogit apply`, which asks before it changes anything"));
        }
        if let Some(path) = &self.out {
            save(&self.instance, config, session, &survey, plan).write(path)?;
            let but = if found.is_empty() {
                ""
            } else {
                ", without what could not be planned"
            };
            eprintln!("Saved the plan to {}{but}.", path.display());
        }
        Ok(match (found.is_empty(), changes) {
            (false, _) => Exit::Failed,
            (true, true) if self.detailed_exitcode => Exit::Changes,
            (true, _) => Exit::Done,
        })
    }
}

impl Args {
    /// The plan of an instance that is not as declared yet, and of what lives on it.
    async fn outlook(
        &self,
        global: &Global,
        claimed: &Claimed<'_>,
        stage: &Stage,
        (loaded, config): (&Loaded, &Config),
        started: Instant,
    ) -> Result<Exit, Problem> {
        let targets = self.chosen.targets()?;
        let outlook =
            Outlook::new(stage, claimed, global, &self.instance, (loaded, config), &targets).await?;
        show_offline(&outlook.header, &outlook.plan, started, self.format, global);
        let found = findings::of_plan(&outlook.plan, config);
        findings::show(&loaded.sources, &found, color());
        self.write_reports(&outlook.plan)?;
        if self.out.is_some() {
            return Err(Problem::new(
                "failed to save the plan: the instance itself is not as declared, and what lives on it is planned again once it is",
            )
            .help("run `autogit apply`, which asks before it changes anything"));
        }
        let changes = !outlook.plan.steps.iter().all(Step::takes_over_only);
        Ok(match (found.is_empty(), changes) {
            (false, _) => Exit::Failed,
            (true, true) if self.detailed_exitcode => Exit::Changes,
            (true, _) => Exit::Done,
        })
    }

    /// Writes the reports that were asked for.
    fn write_reports(&self, plan: &Plan) -> Result<(), Problem> {
        let terraform = || format!("{:#}\n", render::terraform_report(plan));
        let junit = || render::junit_report(plan);
        let reports: [(&Option<PathBuf>, &dyn Fn() -> String); 2] =
            [(&self.terraform_report, &terraform), (&self.junit_report, &junit)];
        for (path, report) in reports {
            let Some(path) = path else { continue };
            std::fs::write(path, report())
                .map_err(|error| Problem::new(format!("failed to write {}: {error}", path.display())))?;
        }
        Ok(())
    }
}

/// Says where ownership starts, which decides what may be pruned.
fn note_first_run(session: &Session) {
    let store = session.store.describe();
    eprintln!(
        "\u{1b}[2mnote: no state in {store} yet: nothing is owned by AutoGit, so nothing is pruned\u{1b}[0m"
    );
}

/// Prints a plan to standard output.
pub fn show(
    session: &Session,
    plan: &Plan,
    reported: &[Reported],
    started: Instant,
    format: Format,
    global: &Global,
) {
    let header = header(session);
    let counts = session.client.counts();
    let cost = Cost {
        requests: counts.reads,
        writes: counts.writes,
        seconds: started.elapsed().as_secs_f64(),
    };
    let view = View {
        header: &header,
        plan,
        reported,
        cost: Some(cost),
    };
    print_view(&view, format, global);
}

/// Prints the plan of an instance that is not as declared yet.
pub fn show_offline(header: &Header, plan: &Plan, started: Instant, format: Format, global: &Global) {
    let cost = Cost {
        requests: 0,
        writes: 0,
        seconds: started.elapsed().as_secs_f64(),
    };
    let view = View {
        header,
        plan,
        reported: &[],
        cost: Some(cost),
    };
    print_view(&view, format, global);
}

fn print_view(view: &View, format: Format, global: &Global) {
    let style = Style {
        colour: stdout_color(),
        width: None,
        full: global.verbose > 0,
    };
    match format {
        Format::Text => print!("{}", render::text(view, style)),
        Format::Json => println!("{:#}", render::json(view)),
        Format::Markdown => print!("{}", render::markdown(view)),
    }
}

/// What a session works on, and for whom.
pub fn header(session: &Session) -> Header {
    let about = &session.about;
    Header {
        url: session.url.to_string(),
        known: Some(Known {
            user: about.user.clone(),
            role: if about.admin {
                Role::Administrator
            } else {
                Role::User
            },
            edition: if about.enterprise {
                Edition::Ee
            } else {
                Edition::Ce
            },
            version: about.version.clone(),
        }),
        store: session.store.describe(),
    }
}

fn save(instance: &Instance, config: &Config, session: &Session, survey: &Survey, plan: Plan) -> SavedPlan {
    SavedPlan {
        version: SavedPlan::VERSION,
        url: session.url.clone(),
        token: config.gitlab.token.clone(),
        ca_file: config.gitlab.ca_file.clone(),
        state: config.state.clone(),
        sandbox: instance.sandbox,
        moved: survey.moved.clone(),
        recorded: SavedPlan::recorded(&plan, &survey.ledger),
        seen: Seen::of(&plan, &survey.live, &session.key),
        plan,
    }
}

fn explain(
    loaded: &Loaded,
    address: &Address,
    listed: Option<&[Listed]>,
    format: Format,
) -> Result<Exit, Problem> {
    let explanation = loaded.explain(address, listed).ok_or_else(|| {
        Problem::new(format!(
            "failed to explain {address}: the config does not declare it"
        ))
    })?;
    if format == Format::Json {
        println!(
            "{:#}",
            json!({"format": "autogit-explanation", "version": 1, "explanation": explanation})
        );
        return Ok(Exit::Done);
    }
    println!("{address}  ({})", explanation.position);
    for field in &explanation.fields {
        println!("  {} = {}", field.field, field.value);
        println!("      from {}", field.origin);
        for (value, origin) in &field.overridden {
            println!("      over {value} from {origin}");
        }
    }
    Ok(Exit::Done)
}
