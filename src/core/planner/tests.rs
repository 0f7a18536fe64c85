//! The planner against a small world of boxes and the things in them, with no GitLab anywhere.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::core::{Key, diff};

/// Boxes stand in boxes, by path.
const BOX: Rules = Rules {
    name: "box",
    parent: None,
    needs: |key, _| {
        key.path
            .parent()
            .map(|parent| Address::new("box", Key::top(parent)))
            .into_iter()
            .collect()
    },
    impact: |change| match (change.field.as_str(), &change.after) {
        ("", None) => Impact::Destroys,
        ("open", Some(after)) if *after == json!(true) => Impact::Exposes,
        ("path", _)
            if Path::from(change.before_str()).parent() != Path::from(change.after_str()).parent() =>
        {
            Impact::Exposes
        }
        _ => Impact::Neutral,
    },
    among: |_| Impact::Neutral,
    leaves: |_, _| None,
    first: |_| false,
    last: |change| change.field == "sealed" && change.after == Some(json!(true)),
    spreads: |_| false,
    fits: |_, _| None,
    seals: |fields| (fields.get("sealed") == Some(&json!(true))).then_some("is sealed"),
    lacks: |_| None,
    refuses: |_, _, _| None,
    notes: |_, _, _| Vec::new(),
    create_only: &["made_of"],
    prunable: false,
};

/// Things are named within a box.
const THING: Rules = Rules {
    name: "thing",
    parent: Some("box"),
    needs: |key, _| vec![Address::new("box", Key::top(key.path.clone()))],
    impact: |change| {
        if change.field.is_empty() && change.after.is_none() {
            Impact::Weakens
        } else {
            Impact::Neutral
        }
    },
    among: |among| {
        let n = |fields: Option<&Fields>| fields?.get("n")?.as_u64();
        let louder = |found: &Present| n(among.fields) > n(Some(&found.value));
        if among.found.is_none() && among.beside.iter().any(|(_, found)| louder(found)) {
            Impact::Weakens
        } else {
            Impact::Neutral
        }
    },
    leaves: |_, left| {
        let kept = left.iter().any(|fields| fields.contains_key("keeper"));
        (!kept && left.iter().any(|fields| fields.contains_key("kept"))).then_some("nobody would keep it")
    },
    first: |fields| fields.contains_key("keeper"),
    last: |_| false,
    spreads: |_| false,
    fits: |fields, outer| {
        let size = |fields: &Fields| fields.get("size").and_then(Value::as_u64);
        let room = outer.iter().find_map(|fields| size(fields))?;
        (size(fields)? > room).then(|| "it is too large for".to_owned())
    },
    seals: |_| None,
    lacks: |fields| {
        fields
            .contains_key("unmakeable")
            .then_some("there is nothing to make it of")
    },
    notes: |_, _, _| Vec::new(),
    refuses: |change, fields, found| {
        let is_fixed = found.value.get("fixed") == Some(&json!(true)) && !fields.contains_key("loose");
        (change.field == "n" && is_fixed).then(|| "it is fixed".to_owned())
    },
    create_only: &[],
    prunable: true,
};

#[derive(Clone, Debug, Default)]
struct World {
    wanted: BTreeMap<Address, Wanted>,
    live: BTreeMap<Address, Live>,
    ledger: BTreeMap<Address, Entry>,
    spared: BTreeSet<(String, Path)>,
    next_id: u64,
}

fn at(text: &str) -> Address {
    text.parse().expect("an address")
}

fn fields(value: Value) -> Fields {
    value.as_object().expect("an object").clone()
}

fn print(_: &Address, field: &str, value: &Value) -> String {
    format!("{field}={value}")
}

impl World {
    fn wants(mut self, address: &str, value: Value) -> Self {
        self.wanted.insert(
            at(address),
            Wanted {
                value: fields(value),
                ..Wanted::default()
            },
        );
        self
    }

    fn wants_absent(mut self, address: &str) -> Self {
        self.wanted.insert(
            at(address),
            Wanted {
                absent: true,
                ..Wanted::default()
            },
        );
        self
    }

    fn has(mut self, address: &str, id: &str, value: Value) -> Self {
        let present = Present {
            id: id.into(),
            value: fields(value),
            ..Present::default()
        };
        self.live.insert(at(address), Live::Present(present));
        self
    }

    /// Wants something that is now at another path to be moved here.
    fn moves(self, address: &str, id: &str, from: &str) -> Self {
        let mut world = self.wants(address, json!({})).has(address, id, json!({}));
        world = world.manages(address, id, Ownership::Created, json!({}));
        if let Some(Live::Present(found)) = world.live.get_mut(&at(address)) {
            found.path = Some(from.into());
        }
        let wanted = world.wanted.get_mut(&at(address)).expect("it was just added");
        wanted.moved_from = Some(from.into());
        world
    }

    fn manages(mut self, address: &str, id: &str, origin: Ownership, applied: Value) -> Self {
        let fingerprints = fields(applied).into_iter().map(|(field, value)| {
            let print = print(&at(address), &field, &value);
            (field, print)
        });
        let entry = Entry {
            id: id.into(),
            origin,
            fingerprints: fingerprints.collect(),
            guards: None,
        };
        self.ledger.insert(at(address), entry);
        self
    }

    fn plan_with(&self, prunes_owned: bool, complete: &[(&str, &str)]) -> Result<Plan, Circle> {
        let complete = complete
            .iter()
            .map(|(kind, path)| (kind.to_string(), Path::from(*path)));
        let mut live = self.live.clone();
        for address in self.wanted.keys().chain(self.ledger.keys()) {
            live.entry(address.clone()).or_insert(Live::Absent);
            for need in (rules(address).needs)(&address.key, None) {
                live.entry(need).or_insert(Live::Absent);
            }
        }
        plan(&Inputs {
            wanted: &self.wanted,
            live: &live,
            ledger: &self.ledger,
            rules: &[BOX, THING],
            prunes_owned,
            complete: &complete.collect(),
            spared: &self.spared,
            partial: false,
            fingerprint: &print,
        })
    }

    fn plan(&self) -> Plan {
        self.plan_with(true, &[]).expect("no circle")
    }

    /// Does what a plan says, as an engine would whose every write works.
    fn carry_out(&mut self, plan: &Plan) {
        for step in plan.steps.iter().filter(|step| step.blocked.is_none()) {
            match step.action {
                Action::Release => {
                    self.ledger.remove(&step.address);
                    continue;
                }
                Action::Delete => {
                    self.live.retain(|address, _| {
                        *address != step.address
                            && !(step.address.kind == "box" && inside(address, &step.address))
                    });
                    self.ledger.remove(&step.address);
                    continue;
                }
                Action::Create if !step.last => {
                    self.next_id += 1;
                    let present = Present {
                        id: format!("new {}", self.next_id),
                        value: step.value.clone(),
                        ..Present::default()
                    };
                    self.live.insert(step.address.clone(), Live::Present(present));
                }
                _ => {}
            }
            let Some(Live::Present(found)) = self.live.get_mut(&step.address) else {
                panic!("{} is not there when its step comes", step.address)
            };
            for change in diff::diff(&step.value, &found.value) {
                found.value.insert(change.field, change.after.expect("a value"));
            }
            let id = found.id.clone();
            let before = self
                .ledger
                .remove(&step.address)
                .map(|entry| entry.fingerprints)
                .unwrap_or_default();
            let prints = step
                .value
                .iter()
                .map(|(field, value)| (field.clone(), print(&step.address, field, value)));
            let fingerprints = before.into_iter().chain(prints).collect();
            let entry = Entry {
                id,
                origin: step.origin,
                fingerprints,
                guards: None,
            };
            self.ledger.insert(step.address.clone(), entry);
        }
    }
}

fn rules(address: &Address) -> Rules {
    if address.kind == "box" { BOX } else { THING }
}

fn inside(address: &Address, outer: &Address) -> bool {
    let (path, outer) = (address.key.path.as_str(), outer.key.path.as_str());
    path == outer || path.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
}

fn shown(plan: &Plan) -> Vec<String> {
    plan.steps
        .iter()
        .map(|step| {
            let changes: Vec<_> = step.changes.iter().map(|change| change.field.as_str()).collect();
            format!(
                "{} {} {:?} {}",
                step.action.symbol(),
                step.address,
                step.reason,
                changes.join(",")
            )
        })
        .collect()
}

#[test]
fn what_is_missing_is_made_after_what_it_needs() {
    let world = World::default()
        .wants("thing.a/b:x", json!({"n": 1}))
        .wants("box.a/b", json!({}))
        .wants("box.a", json!({}));
    assert_eq!(
        shown(&world.plan()),
        [
            "+ box.a Missing ",
            "+ box.a/b Missing ",
            "+ thing.a/b:x Missing n"
        ]
    );
}

#[test]
fn what_is_there_is_adopted_with_its_differences_and_never_removed_later() {
    let mut world =
        World::default()
            .wants("box.a", json!({"n": 1}))
            .has("box.a", "7", json!({"n": 2, "other": 3}));
    let plan = world.plan();
    assert_eq!(shown(&plan), ["~ box.a Found n"]);
    world.carry_out(&plan);
    assert_eq!(world.ledger[&at("box.a")].origin, Ownership::Adopted);
    assert_eq!(world.plan().steps, []);
}

#[test]
fn drift_is_told_from_a_changed_config() {
    let world = World::default()
        .wants("box.a", json!({"n": 1, "m": 5}))
        .has("box.a", "7", json!({"n": 2, "m": 4}))
        .manages("box.a", "7", Ownership::Created, json!({"n": 1, "m": 4}));
    let plan = world.plan();
    let causes: Vec<_> = plan.steps[0]
        .changes
        .iter()
        .map(|change| (change.field.as_str(), change.cause))
        .collect();
    assert_eq!(causes, [("m", Cause::Config), ("n", Cause::Drift)]);
    assert_eq!(plan.steps[0].reason, Reason::ConfigChanged);
}

#[test]
fn another_one_of_the_same_name_is_adopted_not_owned() {
    let world = World::default()
        .wants("box.a", json!({}))
        .has("box.a", "8", json!({}))
        .manages("box.a", "7", Ownership::Created, json!({}));
    let plan = world.plan();
    assert_eq!(
        (plan.steps[0].reason.clone(), plan.steps[0].origin),
        (Reason::Replaced, Ownership::Adopted)
    );
}

#[test]
fn prune_takes_only_what_is_ours_unless_the_collection_is_complete() {
    let world = World::default()
        .wants("box.a", json!({}))
        .has("box.a", "1", json!({}))
        .manages("box.a", "1", Ownership::Created, json!({}))
        .has("thing.a:ours", "2", json!({}))
        .manages("thing.a:ours", "2", Ownership::Created, json!({}))
        .has("thing.a:replaced", "33", json!({}))
        .manages("thing.a:replaced", "3", Ownership::Created, json!({}))
        .has("thing.a:adopted", "4", json!({}))
        .manages("thing.a:adopted", "4", Ownership::Adopted, json!({}))
        .has("thing.a:foreign", "5", json!({}))
        .has("box.left", "6", json!({}))
        .manages("box.left", "6", Ownership::Created, json!({}))
        .has("thing.left:x", "7", json!({}))
        .manages("thing.left:x", "7", Ownership::Created, json!({}));
    assert_eq!(
        shown(&world.plan()).into_iter().collect::<BTreeSet<_>>(),
        BTreeSet::from([
            "= box.left LeftTheFile ".to_owned(),
            "- thing.a:ours Undeclared ".to_owned(),
            "= thing.a:adopted LeftTheFile ".to_owned(),
            "= thing.a:replaced LeftTheFile ".to_owned(),
            "= thing.left:x LeftTheFile ".to_owned(),
        ])
    );
    let removed = |plan: &Plan| -> BTreeSet<String> {
        let deletes = plan.steps.iter().filter(|step| step.action == Action::Delete);
        deletes.map(|step| step.address.to_string()).collect()
    };
    let all = world.plan_with(true, &[("thing", "a")]).unwrap();
    let expected = [
        "thing.a:adopted",
        "thing.a:foreign",
        "thing.a:ours",
        "thing.a:replaced",
    ];
    assert_eq!(removed(&all), expected.map(str::to_owned).into());
    assert!(removed(&world.plan_with(false, &[]).unwrap()).is_empty());
    let mut spared = world;
    spared.spared.insert(("thing".into(), "a".into()));
    let plan = spared.plan();
    assert!(removed(&plan).is_empty());
    assert!(shown(&plan).contains(&"= thing.a:ours LeftTheFile ".to_owned()));
}

#[test]
fn what_cannot_be_read_is_neither_made_nor_forgotten() {
    let mut world = World::default()
        .wants("box.a", json!({"n": 1}))
        .wants("thing.a:x", json!({}))
        .manages("thing.b:y", "9", Ownership::Created, json!({}));
    for address in ["box.a", "thing.b:y"] {
        world
            .live
            .insert(at(address), Live::Unreadable("forbidden".into()));
    }
    let plan = world.plan();
    let problems: Vec<_> = plan
        .problems
        .iter()
        .map(|problem| problem.address.to_string())
        .collect();
    assert_eq!(problems, ["box.a", "thing.b:y"]);
    assert_eq!(plan.steps.len(), 1);
    assert_eq!(plan.steps[0].blocked.as_deref(), Some("box.a could not be read"));
}

#[test]
fn unknown_and_hidden_fields_are_problems_and_the_rest_goes_on() {
    let mut world = World::default().wants(
        "box.a",
        json!({"n": 1, "hidden": 2, "unknown": 3, "made_of": "tin"}),
    );
    let unreadable = BTreeMap::from([("hidden".to_owned(), "needs more rights".to_owned())]);
    let present = Present {
        id: "1".into(),
        value: fields(json!({"n": 0})),
        unreadable,
        ..Present::default()
    };
    world.live.insert(at("box.a"), Live::Present(present));
    let plan = world.plan();
    assert_eq!(shown(&plan), ["~ box.a Found n"]);
    let fields: Vec<_> = plan
        .problems
        .iter()
        .map(|problem| problem.field.clone().unwrap())
        .collect();
    assert_eq!(fields, ["hidden", "unknown"]);
    let written: Vec<_> = plan.steps[0].value.keys().collect();
    assert_eq!(
        written,
        ["made_of", "n"],
        "what cannot be compared is not written"
    );
}

#[test]
fn removal_runs_the_other_way_round() {
    let world = World::default()
        .wants_absent("box.a")
        .wants_absent("box.a/b")
        .wants_absent("thing.a/b:x")
        .has("box.a", "1", json!({}))
        .has("box.a/b", "2", json!({}))
        .has("thing.a/b:x", "3", json!({}));
    assert_eq!(
        shown(&world.plan()),
        [
            "- thing.a/b:x DeclaredAbsent ",
            "- box.a/b DeclaredAbsent ",
            "- box.a DeclaredAbsent "
        ]
    );
}

#[test]
fn nothing_declared_goes_with_what_it_stands_in() {
    let world = World::default()
        .wants_absent("box.a")
        .wants("box.a/b", json!({}))
        .has("box.a", "1", json!({}))
        .has("box.a/b", "2", json!({}));
    let plan = world.plan();
    let delete = plan.steps.iter().find(|step| step.action == Action::Delete);
    assert_eq!(
        delete.and_then(|step| step.blocked.as_deref()),
        Some("box.a/b is declared, and would go with it")
    );
}

#[test]
fn nothing_goes_before_what_moves_out_of_it() {
    let world = World::default()
        .wants("box.z", json!({}))
        .wants_absent("box.a")
        .has("box.a", "1", json!({}))
        .moves("box.z/c", "3", "a/b/c");
    let plan = world.plan();
    assert_eq!(
        shown(&plan),
        [
            "+ box.z Missing ",
            "~ box.z/c ConfigChanged path",
            "- box.a DeclaredAbsent "
        ]
    );
    assert_eq!(plan.steps[2].after, [1]);
    assert_eq!(plan.steps[2].blocked, None);
}

#[test]
fn a_move_is_judged_from_where_the_moves_around_it_lead() {
    let world = World::default().moves("box.new", "1", "old");
    let path = |world: &World, address: &str| {
        let steps = world.plan().steps;
        let mut steps = steps.into_iter().filter(|step| step.address == at(address));
        steps.next().map(|step| step.changes[0].clone())
    };
    let renamed = path(&world.clone().moves("box.new/b", "2", "old/a"), "box.new/b");
    let renamed = renamed.expect("its name changes");
    assert_eq!((renamed.before_str(), renamed.after_str()), ("old/a", "new/b"));
    assert_eq!(renamed.impact, Impact::Neutral);
    let left = path(&world.clone().moves("box.b", "2", "old/b"), "box.b");
    assert_eq!(left.map(|change| change.impact), Some(Impact::Exposes));
    assert_eq!(path(&world.moves("box.new/b", "2", "old/b"), "box.new/b"), None);
}

#[test]
fn nothing_in_a_collection_goes_before_what_stays_there_stands() {
    let world = World::default()
        .wants("box.a", json!({}))
        .wants("thing.a:z", json!({}))
        .has("box.a", "1", json!({}))
        .manages("box.a", "1", Ownership::Created, json!({}))
        .has("thing.a:b", "2", json!({}))
        .manages("thing.a:b", "2", Ownership::Created, json!({}));
    let plan = world.plan();
    assert_eq!(shown(&plan), ["+ thing.a:z Missing ", "- thing.a:b Undeclared "]);
    assert_eq!(plan.steps[1].after, [0]);
}

#[test]
fn what_seals_comes_last_and_what_is_sealed_takes_no_changes() {
    let world = World::default()
        .wants("box.a", json!({"n": 1, "sealed": true}))
        .wants("thing.a:x", json!({}))
        .has("box.a", "1", json!({"n": 0, "sealed": false}));
    let plan = world.plan();
    assert_eq!(
        shown(&plan),
        ["~ box.a Found n", "+ thing.a:x Missing ", "~ box.a Found sealed"]
    );
    assert_eq!(plan.steps[2].after, [0, 1]);

    let sealed = world.clone().has("box.a", "1", json!({"n": 1, "sealed": true}));
    assert_eq!(sealed.plan().steps[1].blocked.as_deref(), Some("box.a is sealed"));
    let opened = sealed.wants("box.a", json!({"sealed": false}));
    assert_eq!(
        opened
            .plan()
            .steps
            .iter()
            .filter(|step| step.blocked.is_some())
            .count(),
        0
    );
}

#[test]
fn a_need_that_is_neither_declared_nor_there_blocks() {
    let world = World::default().wants("thing.a:x", json!({}));
    let blocked = world.plan().steps[0].blocked.clone().unwrap();
    assert_eq!(
        blocked,
        "box.a is neither declared nor there: declare it, or create it first"
    );
    let absent = world.wants_absent("box.a");
    assert_eq!(
        absent.plan().steps[0].blocked.as_deref(),
        Some("box.a is declared absent")
    );
}

#[test]
fn what_is_made_is_judged_beside_what_is_there() {
    let impact = |beside: &str, asked: u8| {
        let world = World::default()
            .wants("box.a", json!({}))
            .has("box.a", "1", json!({}));
        let world = world
            .has(beside, "2", json!({"n": 1}))
            .wants("thing.a:x", json!({"n": asked}));
        world
            .plan()
            .steps
            .into_iter()
            .find(|step| step.action == Action::Create)
            .unwrap()
            .impact
    };
    assert_eq!(impact("thing.a:y", 2), Impact::Weakens);
    assert_eq!(impact("thing.a:y", 1), Impact::Neutral);
    assert_eq!(impact("thing.ab:y", 2), Impact::Neutral);
}

#[test]
fn what_does_not_fit_is_blocked_by_what_is_declared_before_what_is_live() {
    let world = World::default()
        .wants("thing.a:x", json!({"size": 2}))
        .has("box.a", "1", json!({"size": 1}));
    let blocked = |world: &World| world.plan().steps.iter().find_map(|step| step.blocked.clone());
    assert_eq!(blocked(&world).as_deref(), Some("it is too large for box.a"));
    assert_eq!(blocked(&world.wants("box.a", json!({"size": 2}))), None);
}

#[test]
fn a_circle_is_named_whole() {
    const LOOP: Rules = Rules {
        name: "loop",
        needs: |key, _| {
            let next = if key.path.as_str() == "a" { "b" } else { "a" };
            vec![Address::new("loop", Key::top(next))]
        },
        ..BOX
    };
    let wanted = BTreeMap::from(["loop.a", "loop.b"].map(|address| (at(address), Wanted::default())));
    let live = wanted
        .keys()
        .map(|address| (address.clone(), Live::Absent))
        .collect();
    let inputs = Inputs {
        wanted: &wanted,
        live: &live,
        ledger: &BTreeMap::new(),
        rules: &[LOOP],
        prunes_owned: true,
        complete: &BTreeSet::new(),
        spared: &BTreeSet::new(),
        partial: false,
        fingerprint: &print,
    };
    assert_eq!(
        plan(&inputs).unwrap_err().to_string(),
        "2 need each other: loop.a → loop.b → loop.a"
    );
}

#[test]
fn a_leftover_guard_goes_once_what_it_guards_stands() {
    let mut world = World::default()
        .wants("box.a", json!({}))
        .wants("thing.a:main", json!({}))
        .has("box.a", "1", json!({}))
        .manages("box.a", "1", Ownership::Created, json!({}))
        .has("thing.a:main*", "2", json!({}))
        .manages("thing.a:main*", "2", Ownership::Created, json!({}));
    world.ledger.get_mut(&at("thing.a:main*")).unwrap().guards = Some(at("thing.a:main"));
    let plan = world.plan_with(false, &[]).unwrap();
    assert_eq!(
        shown(&plan),
        ["+ thing.a:main Missing ", "- thing.a:main* LeftoverGuard "]
    );
    assert_eq!(
        (plan.steps[1].impact, plan.steps[1].after.clone()),
        (Impact::Neutral, vec![0])
    );
}

#[test]
fn secrets_are_compared_by_fingerprint_and_never_shown() {
    let secret = |print: Option<&str>| Wanted {
        value: fields(json!({"token": {"env": "TOKEN"}})),
        secrets: BTreeMap::from([("token".to_owned(), print.map(str::to_owned))]),
        ..Wanted::default()
    };
    let mut world = World::default().has("box.a", "1", json!({}));
    world.wanted.insert(at("box.a"), secret(Some("new")));
    let entry = Entry {
        id: "1".into(),
        origin: Ownership::Created,
        fingerprints: BTreeMap::from([("token".to_owned(), "old".to_owned())]),
        guards: None,
    };
    world.ledger.insert(at("box.a"), entry);
    let plan = world.plan();
    let change = &plan.steps[0].changes[0];
    assert!(change.secret && change.before.is_none() && change.cause == Cause::Config);
    assert!(change.after.is_none() && plan.steps[0].value.contains_key("token"));
    for unchanged in [Some("old"), None] {
        world.wanted.insert(at("box.a"), secret(unchanged));
        assert_eq!(world.plan().steps, [], "{unchanged:?}");
    }
}

#[test]
fn targets_bring_what_they_need_and_nothing_else() {
    let world = World::default()
        .wants("box.a", json!({}))
        .wants("box.a/b", json!({}))
        .wants("box.c", json!({}))
        .wants("thing.a/b:x", json!({}));
    let chosen = narrow(&world.wanted, [at("thing.a/b:x")], &[BOX, THING]);
    let names: Vec<_> = chosen.keys().map(Address::to_string).collect();
    assert_eq!(names, ["box.a", "box.a/b", "thing.a/b:x"]);
}

/// Any small world: what is wanted, there and managed overlap at random.
fn any_world() -> impl Strategy<Value = World> {
    let address = prop_oneof![
        prop::sample::select(vec!["box.a", "box.a/b", "box.a/b/c", "box.d"]),
        prop::sample::select(vec![
            "thing.a:x",
            "thing.a:y",
            "thing.a/b:x",
            "thing.d:x",
            "thing.d:z"
        ]),
    ];
    let value = (0..3u8, any::<bool>(), any::<bool>())
        .prop_map(|(n, open, sealed)| json!({"n": n, "open": open, "sealed": sealed}));
    let one = (address, 0..4u8, value.clone(), value, 0..4u8, any::<bool>());
    prop::collection::vec(one, 0..10).prop_map(|all| {
        let mut world = World::default();
        for (address, want, asked, there, known, created) in all {
            // Every box that anything stands in is there and wanted, so that nothing is blocked for want of it.
            for outer in ["box.a", "box.a/b", "box.d"] {
                if !world.wanted.contains_key(&at(outer)) {
                    world = world.wants(outer, json!({"n": 1}));
                }
            }
            world = match want {
                0 => world,
                1 if address.starts_with("thing") => world.wants_absent(address),
                _ => world.wants(
                    address,
                    if address.starts_with("box") {
                        json!({"n": asked["n"], "open": asked["open"]})
                    } else {
                        asked
                    },
                ),
            };
            if known < 3 {
                let there = if address.starts_with("box") {
                    json!({"n": there["n"], "open": false})
                } else {
                    there
                };
                world = world.has(address, &format!("id {known}"), there.clone());
                if known < 2 {
                    let origin = if created {
                        Ownership::Created
                    } else {
                        Ownership::Adopted
                    };
                    world = world.manages(address, "id 1", origin, there);
                }
            }
        }
        world
    })
}

#[test]
fn a_secret_that_can_be_read_back_is_compared_and_never_shown() {
    let mut world =
        World::default()
            .has("box.a", "1", json!({}))
            .manages("box.a", "1", Ownership::Created, json!({}));
    let wanted = Wanted {
        value: fields(json!({"token": {"env": "TOKEN"}})),
        secrets: BTreeMap::from([(
            "token".to_owned(),
            Some(print(&at("box.a"), "token", &json!("canary"))),
        )]),
        ..Wanted::default()
    };
    world.wanted.insert(at("box.a"), wanted);
    let mut live_is = |secret: &str| {
        let Some(Live::Present(found)) = world.live.get_mut(&at("box.a")) else {
            unreachable!("it was added above")
        };
        found.secrets.insert("token".into(), secret.into());
        world.plan()
    };
    assert_eq!(live_is("canary").steps, []);
    let plan = live_is("other canary");
    assert_eq!(shown(&plan), ["~ box.a ConfigChanged token"]);
    assert!(!format!("{plan:?}").contains("canary"));
    // What was never applied is somebody else's where it can be seen, and only then.
    assert_eq!(plan.steps[0].changes[0].cause, Cause::First);
    assert_eq!(
        live_is("").steps[0].changes[0].cause,
        Cause::Config,
        "nothing is lost"
    );
    if let Some(Live::Present(found)) = world.live.get_mut(&at("box.a")) {
        found.secrets.clear();
    }
    assert_eq!(world.plan().steps[0].changes[0].cause, Cause::Config);
}

#[test]
fn a_change_that_is_refused_is_a_problem_and_the_rest_goes_on() {
    let there = || World::default().has("thing.a:x", "1", json!({"n": 1, "fixed": true, "text": "old"}));
    let plan = there().wants("thing.a:x", json!({"n": 2, "text": "new"})).plan();
    assert_eq!(shown(&plan), ["~ thing.a:x Found text"]);
    let problem = &plan.problems[0];
    assert_eq!(
        (problem.field.as_deref(), &*problem.message),
        (Some("n"), "it is fixed")
    );
    assert!(!plan.steps[0].value.contains_key("n"));
    let loose = json!({"n": 2, "text": "old", "loose": 1});
    let plan = there().wants("thing.a:x", loose).plan();
    assert!(
        plan.problems
            .iter()
            .all(|problem| problem.field.as_deref() == Some("loose"))
    );
}

#[test]
fn what_cannot_be_made_is_a_problem_and_no_step() {
    let world = World::default()
        .has("box.a", "1", json!({}))
        .wants("thing.a:x", json!({"unmakeable": true}));
    let plan = world.plan();
    assert_eq!((plan.steps.len(), plan.problems.len()), (0, 1));
    let there = world.has("thing.a:x", "2", json!({"unmakeable": true})).plan();
    assert_eq!(shown(&there), ["~ thing.a:x Found "]);
    assert!(there.is_settled(), "taking it over changes nothing");
}

#[test]
fn what_is_needed_together_is_not_taken_away_one_by_one() {
    let world = World::default()
        .wants("box.a", json!({}))
        .has("box.a", "1", json!({}))
        .has("thing.a:x", "2", json!({"keeper": 1}))
        .has("thing.a:y", "3", json!({"keeper": 1}))
        .has("thing.a:z", "4", json!({"kept": 1}))
        .wants("thing.a:z", json!({}))
        .wants_absent("thing.a:x");
    let blocked = |world: &World| -> Vec<String> {
        let blocked = world
            .plan()
            .steps
            .into_iter()
            .filter(|step| step.blocked.is_some());
        blocked.map(|step| step.address.to_string()).collect()
    };
    assert_eq!(blocked(&world), [""; 0]);
    let world = world.wants_absent("thing.a:y");
    assert_eq!(blocked(&world), ["thing.a:x", "thing.a:y"]);
    let world = world
        .wants("thing.a:new", json!({"keeper": 2}))
        .wants("thing.a:other", json!({}));
    assert_eq!(blocked(&world), [""; 0]);
    // Who is to keep it stands before the others leave; what only comes along need not wait.
    let plan = world.plan();
    let number = |address: &str| {
        plan.steps
            .iter()
            .position(|step| step.address == at(address))
            .unwrap()
    };
    let waits = |address: &str| plan.steps[number(address)].after.contains(&number("thing.a:new"));
    assert!(waits("thing.a:x") && waits("thing.a:y") && !waits("thing.a:other"));
}

#[test]
fn a_complete_collection_keeps_what_is_kept_for_a_reason() {
    let mut world = World::default()
        .wants("box.a", json!({}))
        .has("box.a", "1", json!({}))
        .manages("box.a", "1", Ownership::Created, json!({}))
        .has("thing.a:bot", "2", json!({}))
        .has("thing.a:extra", "3", json!({}));
    if let Some(Live::Present(found)) = world.live.get_mut(&at("thing.a:bot")) {
        found.kept = Some("it is a bot".into());
    }
    let plan = world.plan_with(false, &[("thing", "a")]).unwrap();
    assert_eq!(shown(&plan), ["- thing.a:extra Extra "]);
    assert_eq!(plan.left_in_place, 1);
}

/// Worlds in which kinds have their say: what cannot be made or changed, what comes first, what must not be left alone,
/// and what is never removed though the collection is complete.
fn any_stubborn_world() -> impl Strategy<Value = World> {
    let marks = prop::sample::subsequence(vec!["keeper", "kept", "unmakeable", "loose"], 0..3);
    let one = (
        prop::sample::select(vec!["thing.a:x", "thing.a:y", "thing.a/b:x", "thing.a/b:w"]),
        marks.clone(),
        marks,
        0..4u8,
        any::<(bool, bool, bool)>(),
    );
    (any_world(), prop::collection::vec(one, 0..6)).prop_map(|(mut world, all)| {
        for (address, asked, there, want, (fixed, kept, known)) in all {
            let marked = |marks: Vec<&str>, n: u8| {
                let marks = marks.into_iter().map(|mark| (mark.to_owned(), json!(1)));
                Value::Object(marks.chain([("n".to_owned(), json!(n))]).collect())
            };
            world = match want {
                0 => world,
                1 => world.wants_absent(address),
                n => world.wants(address, marked(asked, n)),
            };
            for outer in ["box.a", "box.a/b"] {
                world.wanted.entry(at(outer)).or_default();
            }
            if known {
                world = world.has(address, "id 1", marked(there, 0));
                if let Some(Live::Present(found)) = world.live.get_mut(&at(address)) {
                    found.value.insert("fixed".into(), fixed.into());
                    found.kept = kept.then(|| "it is a bot".to_owned());
                }
            }
        }
        world
    })
}

proptest! {
    /// What is left then is what was blocked or refused before, and nothing that is done gets any further.
    #[test]
    fn what_cannot_be_done_is_all_that_is_left(mut world in any_stubborn_world()) {
        let plan_of = |world: &World| world.plan_with(true, &[("thing", "a"), ("thing", "a/b")]).expect("no circle");
        let plan = plan_of(&world);
        let kept = |world: &World| -> Vec<Address> {
            let kept = world.live.iter().filter(|(address, live)| {
                matches!(live, Live::Present(found) if found.kept.is_some())
                    && world.wanted.get(address).is_none_or(|wanted| !wanted.absent)
            });
            kept.map(|(address, _)| address.clone()).collect()
        };
        let stays = kept(&world);
        world.carry_out(&plan);
        prop_assert_eq!(kept(&world), stays);
        let again = plan_of(&world);
        prop_assert!(again.steps.iter().all(|step| step.blocked.is_some()), "{:?}", again.steps);
        prop_assert_eq!(&again.problems, &plan.problems);
        let blocked = plan.steps.iter().filter(|step| step.blocked.is_some()).map(|step| &step.address);
        prop_assert_eq!(blocked.collect::<BTreeSet<_>>(), again.steps.iter().map(|step| &step.address).collect());
    }

    /// Before what stands first, nothing is taken away from its collection.
    #[test]
    fn what_comes_first_does(world in any_stubborn_world()) {
        let plan = world.plan_with(true, &[("thing", "a"), ("thing", "a/b")]).expect("no circle");
        let collection = |step: &Step| (step.address.kind.clone(), step.address.key.path.clone());
        let makes = |step: &Step| step.action != Action::Delete && step.action != Action::Release;
        let is_first = |step: &Step| makes(step) && (rules(&step.address).first)(&step.value);
        // What is only made takes nothing away.
        let takes = |step: &Step| step.action != Action::Create && !is_first(step);
        for (number, step) in plan.steps.iter().enumerate().filter(|(_, step)| takes(step)) {
            let mut later = plan.steps[number..].iter();
            prop_assert!(!later.any(|other| is_first(other) && collection(other) == collection(step)), "{:?}", shown(&plan));
        }
    }

    #[test]
    fn carrying_out_a_plan_leaves_nothing_to_plan(mut world in any_world()) {
        let plan = world.plan();
        world.carry_out(&plan);
        let again = world.plan();
        prop_assert!(again.steps.is_empty() && again.problems.is_empty(), "{:?} {:?}", shown(&again), again.problems);
    }

    #[test]
    fn steps_come_after_what_they_wait_for(world in any_world()) {
        let plan = world.plan();
        for (number, step) in plan.steps.iter().enumerate() {
            prop_assert!(step.after.iter().all(|&before| before < number));
        }
        prop_assert_eq!(&plan, &world.plan());
    }
}
