//! What GitLab is told, as real Ruby understands it: the same as AutoGit means, whatever values hold.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use autogit::instance::omnibus::{Ruby, Settings, render};
use autogit::instance::{Blueprint, Place};
use libtest_mimic::Trial;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value};

/// Evaluates files of settings, one after the other, in a world that has nothing but them and the secret files.
const RECORDER: &str = r#"
require 'json'
class Mash < Hash
  def [](key) = key?(key.to_s) ? super(key.to_s) : self[key] = Mash.new
  def []=(key, value)
    super(key.to_s, value)
  end
end
class Recorder < BasicObject
  class File
    def self.read(path) = { 'secret' => path.delete_prefix('/etc/autogit/secrets/') }
  end
  def initialize
    @all = ::Mash.new
  end
  def method_missing(name, *values)
    values.empty? ? @all[name] : @all[name] = values.first
  end
  def evaluate(path)
    instance_eval(::IO.read(path, encoding: 'UTF-8'), path, 1)
    @all
  end
end
puts JSON.generate(ARGV.map { |path| Recorder.new.evaluate(path) })
"#;

pub fn trials() -> Vec<Trial> {
    let absent = Command::new("ruby").arg("--version").output().is_err();
    let trials = crate::trials![
        ruby_understands_every_example_as_it_is_meant,
        no_value_breaks_out_of_its_setting
    ];
    trials
        .into_iter()
        .map(|trial| trial.with_ignored_flag(absent))
        .collect()
}

/// What Ruby makes of each of these.
fn evaluated(all: &[Settings]) -> Vec<Value> {
    let dir = tempfile::TempDir::new().unwrap();
    let paths = all.iter().enumerate().map(|(number, settings)| {
        let path = dir.path().join(format!("{number}.rb"));
        std::fs::write(&path, render(settings)).unwrap();
        path
    });
    let paths: Vec<_> = paths.collect();
    let mut ruby = Command::new("ruby");
    let ruby = ruby
        .args(["-W0", "-"])
        .args(&paths)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut ruby = ruby.spawn().unwrap();
    ruby.stdin.take().unwrap().write_all(RECORDER.as_bytes()).unwrap();
    let output = ruby.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What is meant: settings within others stand in them.
fn meant(settings: &Settings) -> Value {
    let mut all = Value::Object(Map::new());
    for (key, value) in settings {
        let parts = key.split("['").map(|part| part.trim_end_matches("']"));
        let place = parts.fold(&mut all, |place, part| &mut place[part]);
        *place = value.to_json();
    }
    all
}

/// Every `deploy` section that the project shows.
fn shown() -> Vec<(String, Settings)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let examples = std::fs::read_dir(root.join("examples")).unwrap();
    let examples = examples.map(|entry| entry.unwrap().path());
    let yaml = examples.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    let shapes = autogit::kinds::shapes();
    let deployed = yaml.filter_map(|path| {
        let config = autogit::config::load(&path, &shapes).config?;
        let spec = config.gitlab.deploy?.spec;
        let place = Place::new(Path::new(".autogit"), "gitlab");
        let blueprint = Blueprint::new(&spec, &config.gitlab.url?, &place);
        Some((path.display().to_string(), blueprint.settings))
    });
    deployed.collect()
}

fn ruby_understands_every_example_as_it_is_meant() {
    let shown = shown();
    assert!(shown.len() > 1, "no example deploys an instance");
    let settings: Vec<_> = shown.iter().map(|(_, settings)| settings.clone()).collect();
    for ((path, settings), understood) in shown.iter().zip(evaluated(&settings)) {
        assert_eq!(understood, meant(settings), "{path}");
    }
}

fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("'".to_owned()),
        Just("\"".to_owned()),
        Just("\\".to_owned()),
        Just("#{puts 1}".to_owned()),
        Just("#$0 #@a".to_owned()),
        Just("\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("\0".to_owned()),
        Just("\u{1a}\u{4}".to_owned()),
        Just("'; external_url 'http://evil'; x '".to_owned()),
        Just("\n__END__\n".to_owned()),
        Just("\n=begin\n".to_owned()),
        Just("`id`".to_owned()),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn value() -> impl Strategy<Value = Ruby> {
    let leaf = prop_oneof![
        6 => hostile().prop_map(Ruby::Text),
        1 => any::<i64>().prop_map(Ruby::Integer),
        1 => (-1e20..1e20).prop_map(Ruby::Float),
        1 => any::<bool>().prop_map(Ruby::Bool),
        1 => Just(Ruby::Nil),
        1 => "[a-z_.-]{1,9}".prop_map(Ruby::Secret),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Ruby::List),
            prop::collection::btree_map(hostile(), inner, 0..4).prop_map(Ruby::Map),
        ]
    })
}

fn no_value_breaks_out_of_its_setting() {
    let settings = prop::collection::btree_map("x_[a-z]{1,6}(\\['[a-z_]{1,9}'\\])?", value(), 1..8);
    // A setting within another needs the other to be a hash.
    let apart = settings.prop_map(|settings: Settings| {
        let section = |key: &str| key.split('[').next().map(str::to_owned);
        let mut seen = std::collections::BTreeSet::new();
        settings
            .into_iter()
            .filter(|(key, _)| seen.insert(section(key)))
            .collect::<Settings>()
    });
    let mut runner = TestRunner::deterministic();
    let all: Vec<_> = (0..400)
        .map(|_| apart.new_tree(&mut runner).unwrap().current())
        .collect();
    for (settings, understood) in all.iter().zip(evaluated(&all)) {
        assert_eq!(understood, meant(settings), "{}", render(settings));
    }
}
