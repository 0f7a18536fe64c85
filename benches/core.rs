//! How long the pure core takes: diff and plan of 1,000, 10,000 and 100,000 resources.
//!
//! A third are repos, each with two protected branches. Run with `cargo bench --bench core`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use autogit::core::planner::{Inputs, plan};
use autogit::core::{Address, Entry, Fields, Key, Live, Ownership, Plan, Present, Wanted};
use autogit::engine::state::FingerprintKey;
use autogit::kinds;
use serde_json::{Value, json};

fn main() {
    println!("resources  first apply  one in ten drifted  no change");
    for size in [1_000, 10_000, 100_000] {
        let forge = Forge::of(size);
        let [first, drift, same] = [None, Some(10), Some(0)].map(|every| {
            let live = forge.live(every);
            best_of(5, || forge.plan(&live, every.is_some()))
        });
        println!("{size:9}  {first:>8.1} ms  {drift:>15.1} ms  {same:>6.1} ms");
    }
}

/// Milliseconds of the fastest run: what else the machine does only ever adds to it.
fn best_of(runs: usize, work: impl Fn() -> Plan) -> f64 {
    let once = |_| {
        let start = Instant::now();
        let made = work();
        let spent = start.elapsed();
        drop(made);
        spent
    };
    let fastest: Duration = (0..runs).map(once).min().expect("there is a run");
    fastest.as_secs_f64() * 1000.0
}

struct Forge {
    wanted: BTreeMap<Address, Wanted>,
    ledger: BTreeMap<Address, Entry>,
    key: FingerprintKey,
}

impl Forge {
    fn of(size: usize) -> Self {
        let key = FingerprintKey::new(&[7; FingerprintKey::LENGTH]);
        let mut wanted = BTreeMap::from([(Address::new("group", Key::top("team")), Wanted::default())]);
        for number in 0..size.div_ceil(3) {
            let path = format!("team/repo-{number}");
            let repo = json!({
                "description": format!("Repo {number}"), "visibility": "private", "merge_method": "ff",
                "topics": ["rust", "service"], "only_allow_merge_if_pipeline_succeeds": true,
            });
            let rule = json!({"push_access_level": "no_one", "merge_access_level": "maintainer"});
            wanted.insert(Address::new("repo", Key::top(path.as_str())), asks(repo));
            for branch in ["main", "release/*"] {
                let address = Address::new("protected_branch", Key::within(path.as_str(), branch));
                wanted.insert(address, asks(rule.clone()));
            }
        }
        let entry = |(address, wanted): (&Address, &Wanted)| {
            let prints = wanted
                .value
                .iter()
                .map(|(field, value)| (field.clone(), key.of(address, field, value)));
            let entry = Entry {
                id: address.to_string(),
                origin: Ownership::Created,
                fingerprints: prints.collect(),
                guards: None,
            };
            (address.clone(), entry)
        };
        let ledger = wanted.iter().map(entry).collect();
        Forge { wanted, ledger, key }
    }

    /// All as wanted, but for one in `every` (0: none is not); nothing at all where that is `None`.
    fn live(&self, every: Option<usize>) -> BTreeMap<Address, Live> {
        let found = |(number, (address, wanted)): (usize, (&Address, &Wanted))| {
            let Some(every) = every else {
                return (address.clone(), Live::Absent);
            };
            let mut value = wanted.value.clone();
            if number.checked_rem(every) == Some(1) {
                value.values_mut().for_each(|field| *field = json!("admin"));
            }
            let present = Present {
                id: address.to_string(),
                path: Some(address.key.path.clone()),
                value,
                ..Present::default()
            };
            (address.clone(), Live::Present(present))
        };
        self.wanted.iter().enumerate().map(found).collect()
    }

    fn plan(&self, live: &BTreeMap<Address, Live>, managed: bool) -> Plan {
        let none = BTreeMap::new();
        let inputs = Inputs {
            wanted: &self.wanted,
            live,
            ledger: if managed { &self.ledger } else { &none },
            rules: &kinds::rules(),
            prunes_owned: true,
            complete: &BTreeSet::new(),
            spared: &BTreeSet::new(),
            partial: false,
            fingerprint: &|address, field, value: &Value| self.key.of(address, field, value),
        };
        plan(&inputs).expect("nothing needs itself")
    }
}

fn asks(value: Value) -> Wanted {
    let Value::Object(value) = value else {
        unreachable!("written as an object above")
    };
    let value: Fields = value;
    Wanted {
        value,
        ..Wanted::default()
    }
}
