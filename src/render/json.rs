//! A plan for programs: a published format of its own, so that the core's types may change without it.

use schemars::{JsonSchema, schema_for};
use serde::Serialize;
use serde_json::Value;

use super::block::{self, Tally};
use super::{Cost, Header, View};
use crate::core::{Action, Cause, Change, Impact, Plan, Problem, Reason, Reported, Step};

/// The version of the format: raised when something that was there changes or goes.
const VERSION: u32 = 1;

/// The plan for programs, as [`plan_schema`] describes.
pub fn json(view: &View) -> Value {
    let Plan {
        steps,
        problems,
        unchanged,
        left_in_place,
        partial,
        provisional,
    } = view.plan;
    let tally = block::tally(&block::blocks(view.plan));
    let document = Document {
        format: Format::AutogitPlan,
        version: VERSION,
        header: view.header,
        steps: steps
            .iter()
            .enumerate()
            .map(|(number, step)| StepOut::new(number, step))
            .collect(),
        problems: problems.iter().map(ProblemOut::new).collect(),
        reported: view.reported.iter().map(ReportedOut::new).collect(),
        counts: Counts::new(&tally),
        impacts: Impacts::new(&tally),
        blocked: tally.blocked,
        unchanged: *unchanged,
        left_in_place: *left_in_place,
        partial: *partial,
        provisional: provisional.as_deref(),
        cost: view.cost,
    };
    serde_json::to_value(document).expect("a plan has string keys only")
}

/// The JSON Schema of what [`json`] returns.
pub fn plan_schema() -> Value {
    schema_for!(Document).to_value()
}

/// A plan of `autogit plan --format json`: what would be done to make the forge as declared, and why.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "AutoGit plan")]
struct Document<'a> {
    /// What this document is.
    format: Format,
    /// The version of the format. Fields and enum values may be added within a version.
    #[schemars(extend("const" = VERSION))]
    version: u32,
    /// What the plan was made against.
    header: &'a Header,
    /// What is done, in an order in which it could be done one after the other.
    steps: Vec<StepOut<'a>>,
    /// What could not be planned.
    problems: Vec<ProblemOut<'a>>,
    /// What rules in report mode would change, beyond the steps; nothing of it is done.
    reported: Vec<ReportedOut<'a>>,
    /// How many resources each action is done to.
    counts: Counts,
    /// How many resources have each impact. One resource may count under several.
    impacts: Impacts,
    /// How many resources are blocked.
    blocked: usize,
    /// How many declared resources are as declared.
    unchanged: usize,
    /// How many resources were seen that are not declared, and stay as they are.
    left_in_place: usize,
    /// Only targets, and what they need, were planned.
    partial: bool,
    /// Why what lives on the instance is planned as it is declared, without having been looked at; left out where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    provisional: Option<&'a str>,
    /// What it took to make the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<Cost>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Format {
    AutogitPlan,
}

/// One action on one resource. A resource has a second step where part of it has to wait (`last`).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Step")]
struct StepOut<'a> {
    /// Its place in `steps`, from 0.
    number: usize,
    /// The resource: `protected_branch.platform/api:main`.
    address: String,
    /// The resource's kind: `protected_branch`.
    kind: &'a str,
    /// What is done.
    #[serde(with = "ActionOut")]
    action: Action,
    /// Why.
    #[serde(with = "ReasonOut")]
    reason: Reason,
    /// Why, for people.
    reason_text: String,
    /// The worst of what it does to people.
    #[serde(with = "ImpactOut")]
    impact: Impact,
    /// The fields that differ.
    changes: Vec<ChangeOut<'a>>,
    /// The numbers of the steps that must have succeeded before.
    after: &'a [usize],
    /// The part of a change that waits until what lives in the resource is done.
    last: bool,
    /// Why it cannot be done; left out where it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked: Option<&'a str>,
    /// What there is to know about how it is done.
    notes: &'a [String],
}

impl<'a> StepOut<'a> {
    fn new(number: usize, step: &'a Step) -> Self {
        StepOut {
            number,
            address: step.address.to_string(),
            kind: &step.address.kind,
            action: step.action,
            reason: step.reason.clone(),
            reason_text: step.reason.to_string(),
            impact: step.impact,
            changes: step.changes.iter().map(ChangeOut::new).collect(),
            after: &step.after,
            last: step.last,
            blocked: step.blocked.as_deref(),
            notes: &step.notes,
        }
    }
}

/// One field's before and after.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Change")]
pub(super) struct ChangeOut<'a> {
    /// The field, dotted where it is nested.
    field: &'a str,
    /// What is live; left out where nothing is, where it cannot be read back, and for secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'a Value>,
    /// What is asked for; left out for secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'a Value>,
    /// What it does to people.
    #[serde(with = "ImpactOut")]
    impact: Impact,
    /// Why the two differ.
    #[serde(with = "CauseOut")]
    cause: Cause,
    /// A value that is never shown.
    secret: bool,
}

impl<'a> ChangeOut<'a> {
    pub(super) fn new(change: &'a Change) -> Self {
        let shown = |value: &'a Option<Value>| value.as_ref().filter(|_| !change.secret);
        ChangeOut {
            field: &change.field,
            before: shown(&change.before),
            after: shown(&change.after),
            impact: change.impact,
            cause: change.cause,
            secret: change.secret,
        }
    }
}

/// Something that keeps a resource from being planned.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
struct ProblemOut<'a> {
    /// The resource.
    address: String,
    /// The field, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// What is wrong and what to do.
    message: &'a str,
}

impl<'a> ProblemOut<'a> {
    fn new(problem: &'a Problem) -> Self {
        ProblemOut {
            address: problem.address.to_string(),
            field: problem.field.as_deref(),
            message: &problem.message,
        }
    }
}

/// What a rule in report mode would change.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Reported")]
struct ReportedOut<'a> {
    /// The rule.
    rule: &'a str,
    /// How many differences there are: a field of a resource, or a resource made or removed, is one.
    count: usize,
    /// How many repos they are in.
    repos: usize,
    /// What would be done; the steps are numbered by themselves.
    steps: Vec<StepOut<'a>>,
    /// What could not be done.
    problems: Vec<ProblemOut<'a>>,
}

impl<'a> ReportedOut<'a> {
    fn new(reported: &'a Reported) -> Self {
        let Plan { steps, problems, .. } = &reported.differences;
        let steps = steps.iter().enumerate();
        ReportedOut {
            rule: &reported.rule,
            count: reported.count(),
            repos: reported.repos(),
            steps: steps.map(|(number, step)| StepOut::new(number, step)).collect(),
            problems: problems.iter().map(ProblemOut::new).collect(),
        }
    }
}

/// How many resources each action is done to.
#[derive(Serialize, JsonSchema)]
struct Counts {
    create: usize,
    adopt: usize,
    update: usize,
    delete: usize,
    release: usize,
}

impl Counts {
    fn new(tally: &Tally) -> Self {
        let of = |action| tally.actions.get(&action).copied().unwrap_or_default();
        Counts {
            create: of(Action::Create),
            adopt: of(Action::Adopt),
            update: of(Action::Update),
            delete: of(Action::Delete),
            release: of(Action::Release),
        }
    }
}

/// How many resources have each impact beyond neutral.
#[derive(Serialize, JsonSchema)]
struct Impacts {
    tightens: usize,
    weakens: usize,
    exposes: usize,
    locks_out: usize,
    destroys: usize,
}

impl Impacts {
    fn new(tally: &Tally) -> Self {
        let of = |impact| tally.impacts.get(&impact).copied().unwrap_or_default();
        Impacts {
            tightens: of(Impact::Tightens),
            weakens: of(Impact::Weakens),
            exposes: of(Impact::Exposes),
            locks_out: of(Impact::LocksOut),
            destroys: of(Impact::Destroys),
        }
    }
}

/// What is done to a resource.
#[derive(Serialize, JsonSchema)]
#[serde(remote = "Action", rename_all = "snake_case")]
#[schemars(rename = "Action")]
enum ActionOut {
    /// Made anew.
    Create,
    /// Taken over as it is, with the changes listed.
    Adopt,
    /// Changed in place.
    Update,
    /// Removed.
    Delete,
    /// Left as it is and no longer managed.
    Release,
}

/// Why a step is in the plan.
#[derive(Serialize, JsonSchema)]
#[serde(remote = "Reason", rename_all = "snake_case")]
#[schemars(rename = "Reason")]
enum ReasonOut {
    /// Declared, and not there.
    Missing,
    /// Applied before, and not there any more.
    Vanished,
    /// Declared, there, and not managed so far.
    Found,
    /// Another one stands where the managed one was.
    Replaced,
    /// The config asks for something else than was applied last.
    ConfigChanged,
    /// Live moved while the config did not.
    Drift,
    /// Declared with `absent: true`.
    DeclaredAbsent,
    /// AutoGit created it, and it is no longer declared.
    Undeclared,
    /// Not declared, in a collection that `prune: all` holds complete.
    Extra,
    /// A guard that an interrupted run left behind.
    LeftoverGuard,
    /// No longer declared, and not AutoGit's to remove.
    LeftTheFile,
    /// Gone already.
    Gone,
    /// A run is taken back.
    TakenBack,
}

/// What something does to people, from the harmless to the irreversible.
#[derive(Serialize, JsonSchema)]
#[serde(remote = "Impact", rename_all = "snake_case")]
#[schemars(rename = "Impact")]
enum ImpactOut {
    /// Nobody gains or loses anything they would notice as access.
    Neutral,
    /// Somebody may do less than before.
    Tightens,
    /// A protection becomes weaker: somebody may write or merge who could not.
    Weakens,
    /// Somebody may read who could not.
    Exposes,
    /// Somebody loses the access they work with.
    LocksOut,
    /// Something is lost that cannot be made again from the config.
    Destroys,
}

/// Why a field's declared and live values differ.
#[derive(Serialize, JsonSchema)]
#[serde(remote = "Cause", rename_all = "snake_case")]
#[schemars(rename = "Cause")]
enum CauseOut {
    /// AutoGit never applied this field.
    First,
    /// The config asks for something else than was last applied.
    Config,
    /// The config did not change; live moved.
    Drift,
}
