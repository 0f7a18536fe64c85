//! The face: what a user sees, word for word.

use std::path::Path;
use std::process::Command;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::support::{Forge, Run, Running, files};

pub fn trials() -> Vec<Trial> {
    crate::trials![
        the_reference_of_the_command_line_is_current,
        what_is_wrong_with_a_config_is_shown_where_it_stands,
        the_plan_of_the_example_reads_well,
        documents_for_programs_keep_their_form,
        exit_codes_say_what_happened,
        the_examples_are_valid_and_fit_the_schema,
        the_examples_converge_on_a_sandbox,
        a_starter_file_validates_and_applies,
        the_sandbox_of_a_command_ends_with_it,
    ]
}

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn autogit(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_autogit"))
        .args(args)
        .env_clear()
        .env("COLUMNS", "100")
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn the_reference_of_the_command_line_is_current() {
    let mut reference = "# The command line\n\nWhat `--help` says, command by command.\n".to_owned();
    let top = autogit(&["--help"]);
    let commands = top.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let names = commands.filter_map(|line| line.split_whitespace().next());
    let mut calls: Vec<Vec<&str>> = names
        .filter(|name| *name != "help")
        .map(|name| vec![name])
        .collect();
    calls.extend([vec!["ledger", "list"], vec!["ledger", "forget"]]);
    assert!(calls.len() >= 11, "{calls:?}");
    calls.insert(0, Vec::new());
    for call in calls {
        let help = autogit(&[&call[..], &["--help"]].concat());
        let title = [&["autogit"], &call[..]].concat().join(" ");
        let lines: Vec<_> = help.lines().map(str::trim_end).collect();
        reference += &format!("\n## {title}\n\n```text\n{}\n```\n", lines.join("\n").trim_end());
    }
    is_current("docs/cli.md", &reference);
}

/// Compares a generated file with what is checked in; `AUTOGIT_BLESS=1` rewrites it.
#[track_caller]
fn is_current(file: &str, text: &str) {
    let path = Path::new(ROOT).join(file);
    if std::env::var_os("AUTOGIT_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let stale = std::fs::read_to_string(&path).unwrap_or_default() != text;
    assert!(!stale, "{file} is stale: run the tests once with AUTOGIT_BLESS=1");
}

/// Output without what differs from run to run.
fn steady(forge: &Forge, text: &str) -> String {
    let address = forge.url().trim_start_matches("http://");
    let text = text
        .replace(address, "git.example.org")
        .replace(&address.replace(':', "_"), "git.example.org");
    let text = regex::Regex::new(r"\d+\.\d+ s\b")
        .unwrap()
        .replace_all(&text, "0.0 s")
        .into_owned();
    let text = regex::Regex::new(r#""seconds": [\d.e-]+"#)
        .unwrap()
        .replace_all(&text, "\"seconds\": 0")
        .into_owned();
    let text = regex::Regex::new(r"\d+ requests")
        .unwrap()
        .replace_all(&text, "N requests")
        .into_owned();
    let text = regex::Regex::new(r"\d+ of N requests left")
        .unwrap()
        .replace_all(&text, "N of N requests left")
        .into_owned();
    regex::Regex::new(r#""requests": \d+"#)
        .unwrap()
        .replace_all(&text, "\"requests\": 0")
        .into_owned()
}

fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn transcript(forge: &Forge, command: &[&str]) -> String {
    let Run { code, stdout, stderr } = forge.run(command);
    let said: String = [stdout, stderr]
        .into_iter()
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join("--\n");
    let code = code.map_or("killed".to_owned(), |code| code.to_string());
    format!(
        "$ autogit {}\n{}[exit {code}]\n",
        command.join(" "),
        steady(forge, &said)
    )
}

fn what_is_wrong_with_a_config_is_shown_where_it_stands() {
    let forge = Forge::new();
    let wrong = [
        ("unknown key", "repos:\n  team/api: {visiblity: private}\n"),
        (
            "wrong type",
            "repos:\n  team/api: {topics: rust, lfs_enabled: maybe}\n",
        ),
        ("unknown value", "groups:\n  team: {visibility: secret}\n"),
        (
            "undeclared preset",
            "presets: {service: {}}\nrepos:\n  team/api: {preset: servise}\n",
        ),
        ("not built yet", "runner_pools:\n  linux: {}\n"),
        ("twice", "groups:\n  team: {}\n  Team: {}\n"),
        ("no yaml", "repos: {team/api: [}\n"),
        ("include", "include: [teams/*.yaml]\n"),
    ];
    let mut text = String::new();
    for (name, config) in wrong {
        forge.config(config);
        text += &format!("## {name}\n{}\n", transcript(&forge, &["validate"]));
    }
    snapshot("wrong_configs", &text);
}

/// The example config on this forge.
fn example() -> Forge {
    // GitLab's own protection of a default branch comes when it likes, and costs a request more or less.
    let forge = Forge::with(|options| options.protection_delay = std::time::Duration::from_secs(600));
    let text = std::fs::read_to_string(Path::new(ROOT).join("autogit.yaml")).unwrap();
    let text = text.replace("https://git.example.org", forge.url());
    std::fs::write(forge.dir.path().join("autogit.yaml"), text).unwrap();
    forge
}

fn the_plan_of_the_example_reads_well() {
    let forge = example();
    let mut text = transcript(&forge, &["plan"]);
    text += &transcript(&forge, &["apply", "--yes", "--parallelism", "1"]);
    text += &transcript(&forge, &["plan"]);
    text += &transcript(&forge, &["plan", "--explain", "repo.platform/api"]);
    text += &transcript(&forge, &["status"]);
    text += &transcript(&forge, &["ledger", "list"]);
    snapshot("example", &text);
}

fn documents_for_programs_keep_their_form() {
    let forge = example();
    let plan = forge.run(&["plan", "--format", "json"]).exits(0);
    let schema = forge.run(&["schema", "plan"]).exits(0).json();
    let errors: Vec<_> = jsonschema::validator_for(&schema)
        .unwrap()
        .iter_errors(&plan.json())
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    let mut text = steady(&forge, &plan.stdout);
    for command in [
        &["apply", "--yes", "--parallelism", "1", "--format", "json"][..],
        &["status", "--format", "json"],
        &["doctor", "--format", "json"],
        &["ledger", "list", "--format", "json"],
        &["validate", "--format", "json"],
    ] {
        let run = forge.run(command).exits(0);
        assert!(run.json()["version"].is_u64(), "{}", run.all());
        text += &format!("$ {}\n{}", command.join(" "), steady(&forge, &run.stdout));
    }
    snapshot("documents", &text);
}

fn exit_codes_say_what_happened() {
    let forge = example();
    forge.run(&["plan"]).exits(0);
    forge.run(&["plan", "--detailed-exitcode"]).exits(2);
    forge.run(&["apply", "--yes"]).exits(0);
    forge.run(&["plan", "--detailed-exitcode"]).exits(0);
    forge
        .run(&["plan", "--config", "none.yaml"])
        .exits(1)
        .says("none.yaml");
    forge.run(&["plan", "--nonsense"]).exits(2).says("--nonsense");
    forge
        .run(&["plan", "--explain", "repo.none/none"])
        .exits(1)
        .says("does not declare");
    forge.run(&["init"]).exits(1).says("there already");
}

/// Every config that the project shows.
fn examples() -> Vec<std::path::PathBuf> {
    let folder = Path::new(ROOT).join("examples");
    let mut found = vec![Path::new(ROOT).join("autogit.yaml")];
    let is_main = |text: &str| text.lines().any(|line| line.starts_with("autogit:"));
    let yaml = files(&folder)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    found.extend(yaml.filter(|path| is_main(&std::fs::read_to_string(path).unwrap())));
    assert!(found.len() > 2, "{found:?}");
    found
}

fn the_examples_are_valid_and_fit_the_schema() {
    let schema: Value = serde_json::from_str(&autogit(&["schema"])).unwrap();
    let checked_in = std::fs::read_to_string(Path::new(ROOT).join("schema/autogit.schema.json")).unwrap();
    assert_eq!(
        schema,
        serde_json::from_str::<Value>(&checked_in).unwrap(),
        "the schema is stale"
    );
    let validator = jsonschema::validator_for(&schema).unwrap();
    let forge = Forge::new();
    for example in examples() {
        let path = example.to_str().unwrap();
        forge
            .run(&["validate", "--config", path])
            .exits(0)
            .shows("0 warnings");
        let value = crate::openapi::yaml(&example);
        let errors: Vec<_> = validator
            .iter_errors(&value)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{path}: {errors:?}");
    }
}

fn the_examples_converge_on_a_sandbox() {
    let secrets = regex::Regex::new(r"env: (\w+)").unwrap();
    for example in examples() {
        let forge = Forge::new();
        let folder = example.parent().unwrap();
        let beside = match folder == Path::new(ROOT) {
            true => vec![example.clone()],
            false => files(folder),
        };
        for file in beside {
            let target = forge.dir.path().join(file.strip_prefix(folder).unwrap());
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::copy(&file, target).unwrap();
        }
        let name = example.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&example).unwrap();
        let with = |command: &[&'static str]| {
            let mut command = forge.autogit(&[command, &["--sandbox", "--config", name]].concat());
            let names = secrets.captures_iter(&text).map(|found| found[1].to_owned());
            let values = names.map(|name| (format!("a-value-for-{name}"), name));
            command.envs(values.map(|(value, name)| (name, value)));
            let run = Running::new(command.spawn().unwrap()).wait();
            assert_eq!(run.code, Some(0), "{}: {}", example.display(), run.all());
            run
        };
        with(&["apply", "--yes"]);
        with(&["plan", "--detailed-exitcode"]).shows("No changes");
    }
}

fn a_starter_file_validates_and_applies() {
    let forge = Forge::new();
    forge.run(&["init"]).exits(0).shows("Wrote autogit.yaml");
    forge.run(&["validate"]).exits(0).shows("0 warnings");
    forge.run(&["apply", "--sandbox", "--yes"]).exits(0);
    forge.run(&["plan", "--sandbox", "--detailed-exitcode"]).exits(0);
}

fn the_sandbox_of_a_command_ends_with_it() {
    let forge = example();
    let run = forge.start(&["apply", "--sandbox", "--yes"]);
    run.wait_to_show("group.platform");
    run.signal("KILL");
    run.wait();
    // Its directory is free again: nobody else could start there.
    crate::support::eventually("the sandbox ends", || {
        (forge.run(&["apply", "--sandbox", "--yes"]).code == Some(0)).then_some(())
    });
    forge.run(&["plan", "--sandbox", "--detailed-exitcode"]).exits(0);
}
