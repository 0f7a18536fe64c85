//! What a user sees of a plan, as snapshots.

mod json;
mod report;
mod reported;
mod safety;

use serde_json::{Value, json};

use super::{Cost, Header, Known, Role, Style, View, json as as_json, markdown, text, warnings};
use crate::config::Edition;
use crate::core::{Action, Cause, Change, Fields, Impact, Ownership, Plan, Problem, Reason, Step};

const CANARY: &str = "glpat-canary";

fn header() -> Header {
    Header {
        url: "https://git.example.org".into(),
        known: Some(Known {
            user: "root".into(),
            role: Role::Administrator,
            edition: Edition::Ce,
            version: "18.8.4".into(),
        }),
        store: ".autogit".into(),
    }
}

fn view<'a>(header: &'a Header, plan: &'a Plan) -> View<'a> {
    let cost = Some(Cost {
        requests: 23,
        writes: 0,
        seconds: 0.4123,
    });
    View {
        header,
        plan,
        reported: &[],
        cost,
    }
}

fn plain_text(plan: &Plan) -> String {
    text(&view(&header(), plan), Style::default())
}

fn step(address: &str, action: Action, reason: Reason, changes: Vec<Change>) -> Step {
    Step {
        address: address.parse().expect("an address"),
        action,
        reason,
        impact: changes
            .iter()
            .map(|change| change.impact)
            .max()
            .unwrap_or_default(),
        changes,
        value: Fields::new(),
        id: None,
        origin: Ownership::Created,
        last: false,
        after: Vec::new(),
        blocked: None,
        notes: Vec::new(),
    }
}

fn change(field: &str, before: Value, after: Value) -> Change {
    Change {
        cause: Cause::Config,
        ..Change::new(field, Some(before), Some(after))
    }
}

fn weakens(branch: &str) -> Step {
    let level = Change {
        impact: Impact::Weakens,
        ..change("push_access_level", json!("no_one"), json!("developer"))
    };
    let address = format!("protected_branch.{branch}");
    step(&address, Action::Update, Reason::ConfigChanged, vec![level])
}

/// One of everything.
fn plan() -> Plan {
    let asked = |field, value| Change::new(field, None, Some(value));
    let mut made = step(
        "repo.platform/api",
        Action::Create,
        Reason::Missing,
        vec![
            asked("description", json!("The public API")),
            asked("visibility", json!("public")),
        ],
    );
    made.impact = Impact::Exposes;
    let mut archived = step(
        "repo.platform/api",
        Action::Update,
        Reason::Missing,
        vec![asked("archived", json!(true))],
    );
    (archived.last, archived.after) = (true, vec![0]);
    let mut settings = step(
        "repo.platform/web",
        Action::Update,
        Reason::ConfigChanged,
        vec![
            change("topics", json!(["legacy", "service"]), json!(["new", "service"])),
            change(
                "merge_commit_template",
                json!("Merge\n\nold\nend"),
                json!("Merge\n\nnew\nend"),
            ),
            Change {
                cause: Cause::Drift,
                ..change("squash_option", json!("default_off"), json!("always"))
            },
            change("container_expiration_policy.keep_n", json!(5), json!(10)),
            Change::new("ci_config_path", None, Some(json!(""))),
            Change {
                secret: true,
                ..change("import_url", json!(CANARY), json!(CANARY))
            },
        ],
    );
    settings.after = vec![0];
    let mut removed = step(
        "repo.platform/old",
        Action::Delete,
        Reason::DeclaredAbsent,
        vec![],
    );
    removed.impact = Impact::Destroys;
    let mut blocked = step("group.team/inner", Action::Create, Reason::Missing, vec![]);
    blocked.blocked = Some("group.team is declared absent".into());
    let tightens = Change {
        impact: Impact::Tightens,
        ..change("visibility", json!("public"), json!("private"))
    };
    Plan {
        steps: vec![
            made,
            archived,
            settings,
            weakens("platform/api:main"),
            step("group.platform", Action::Adopt, Reason::Found, vec![]),
            step("repo.platform/web2", Action::Adopt, Reason::Found, vec![tightens]),
            blocked,
            removed,
            step("repo.left/one", Action::Release, Reason::LeftTheFile, vec![]),
            step("repo.left/two", Action::Release, Reason::LeftTheFile, vec![]),
        ],
        problems: vec![Problem {
            address: "repo.platform/tools".parse().expect("an address"),
            field: Some("merge_method".into()),
            message: "this token may not read it: take one of a maintainer".into(),
        }],
        unchanged: 12,
        left_in_place: 4,
        partial: false,
        provisional: None,
    }
}

/// `number` protections that all become weaker.
fn many(number: usize) -> Plan {
    let steps = (0..number)
        .map(|n| weakens(&format!("platform/service-{n}:main")))
        .collect();
    Plan {
        steps,
        ..Plan::default()
    }
}

#[test]
fn text_of_everything() {
    insta::assert_snapshot!(plain_text(&plan()), @r#"
    GitLab CE 18.8.4 at https://git.example.org, as root (administrator), state in .autogit

    + repo.platform/api [not there yet]  ! exposes
        description  "The public API"
        visibility   public
        archived     true  (afterwards)

    ~ repo.platform/web [the config changed]
        topics
          - legacy
          + new
        merge_commit_template
            … 2 lines as before
          - old
          + new
            … 1 line as before
        squash_option                       default_off → always  (drift)
        container_expiration_policy.keep_n  5 → 10
        ci_config_path                      (none) → ""
        import_url                          (secret)

    ~ protected_branch.platform/api:main [the config changed]  ! weakens
        push_access_level  no_one → developer  ! weakens

    ~ (adopt) group.platform [there already, not managed so far]

    ~ (adopt) repo.platform/web2 [there already, not managed so far]  tightens
        visibility  public → private  tightens

    + group.team/inner [not there yet]
        blocked: group.team is declared absent

    - repo.platform/old [declared absent]  ! destroys

    = 2 × repo [no longer declared; left as it is]
        at repo.left/one, repo.left/two

    Plan: 2 to create, 2 to adopt, 2 to change, 1 to delete, 2 to release; 1 tightens, 1 weakens, 1 exposes, 1 destroys; 1 blocked, 1 problem; 12 unchanged, 4 left in place; 23 requests, 0 writes, 0.4 s
    "#);
}

#[test]
fn markdown_of_everything() {
    insta::assert_snapshot!(markdown(&view(&header(), &plan())), @r#"
    ### Plan: 2 to create, 2 to adopt, 2 to change, 1 to delete, 2 to release; 1 tightens, 1 weakens, 1 exposes, 1 destroys; 1 blocked, 1 problem; 12 unchanged, 4 left in place; 23 requests, 0 writes, 0.4 s

    `GitLab CE 18.8.4 at https://git.example.org, as root (administrator), state in .autogit`

    - ❌ `repo.platform/tools merge_method`: `this token may not read it: take one of a maintainer`

    - ⚠️ **destroys** `repo.platform/old`: `delete`
    - ⚠️ **exposes** `repo.platform/api`: `create`
    - ⚠️ **weakens** `protected_branch.platform/api:main`: `push_access_level: no_one → developer`
    - tightens `repo.platform/web2`: `visibility: public → private`

    <details><summary>2 to create</summary>

    - `repo.platform/api`: not there yet
      - `description`: `"The public API"`
      - `visibility`: `public`
      - `archived`: `true` (afterwards)
    - `group.team/inner`: not there yet
      - ⛔ blocked: `group.team is declared absent`

    </details>

    <details><summary>2 to adopt</summary>

    - `group.platform`: there already, not managed so far
    - `repo.platform/web2`: there already, not managed so far
      - `visibility`: `public → private`

    </details>

    <details><summary>2 to change</summary>

    - `repo.platform/web`: the config changed
      - `topics`:

        ```diff
        - legacy
        + new
        ```

      - `merge_commit_template`:

        ```diff
          … 2 lines as before
        - old
        + new
          … 1 line as before
        ```

      - `squash_option`: `default_off → always`
      - `container_expiration_policy.keep_n`: `5 → 10`
      - `ci_config_path`: `(none) → ""`
      - `import_url`: `(secret)`
    - `protected_branch.platform/api:main`: the config changed
      - `push_access_level`: `no_one → developer`

    </details>

    <details><summary>1 to delete</summary>

    - `repo.platform/old`: declared absent

    </details>

    <details><summary>2 to release</summary>

    - `2 × repo`: no longer declared; left as it is
      - at `repo.left/one`, `repo.left/two`

    </details>
    "#);
}

#[test]
fn colours_are_all_that_a_coloured_plan_adds() {
    let plan = plan();
    let style = Style {
        colour: true,
        ..Style::default()
    };
    let coloured = text(&view(&header(), &plan), style);
    assert!(coloured.contains("\u{1b}[32m+\u{1b}[0m"), "{coloured:?}");
    let stripped = anstream::adapter::strip_str(&coloured).to_string();
    assert_eq!(stripped, plain_text(&plan));
    assert!(!plain_text(&plan).contains('\u{1b}'));
}

#[test]
fn the_same_change_on_many_is_one_block() {
    let plan = many(287);
    insta::assert_snapshot!(plain_text(&plan), @"
    GitLab CE 18.8.4 at https://git.example.org, as root (administrator), state in .autogit

    ~ 287 × protected_branch [the config changed]  ! weakens
        push_access_level  no_one → developer  ! weakens
        at protected_branch.platform/service-0:main, protected_branch.platform/service-1:main,
           protected_branch.platform/service-2:main, protected_branch.platform/service-3:main,
           protected_branch.platform/service-4:main, protected_branch.platform/service-5:main,
           protected_branch.platform/service-6:main, protected_branch.platform/service-7:main,
           protected_branch.platform/service-8:main, protected_branch.platform/service-9:main,
           … and 277 more

    Plan: 287 to change; 287 weakens; 23 requests, 0 writes, 0.4 s
    ");
    let full = Style {
        full: true,
        width: Some(40),
        ..Style::default()
    };
    let full = text(&view(&header(), &plan), full);
    assert!((0..287).all(|n| full.contains(&format!("platform/service-{n}:main"))));
    assert_eq!(warnings(&plan).len(), 1);
}

#[test]
fn lists_of_addresses_keep_to_the_width() {
    let style = Style {
        width: Some(80),
        ..Style::default()
    };
    let page = text(&view(&header(), &many(4)), style);
    let listed = page.lines().skip_while(|line| !line.starts_with("    at"));
    let listed: Vec<_> = listed.take(4).collect();
    insta::assert_snapshot!(listed.join("\n"), @"
    at protected_branch.platform/service-0:main,
       protected_branch.platform/service-1:main,
       protected_branch.platform/service-2:main,
       protected_branch.platform/service-3:main
    ");
}

#[test]
fn resources_that_differ_in_anything_shown_are_apart() {
    let mut plan = many(4);
    plan.steps[1].reason = Reason::Drift;
    plan.steps[2].blocked = Some("it is archived".into());
    plan.steps[3].changes[0].after = Some(json!("maintainer"));
    let page = plain_text(&plan);
    let blocks = page.lines().filter(|line| line.starts_with('~'));
    assert_eq!(blocks.count(), 4, "{page}");
}

#[test]
fn warnings_name_whatever_has_to_be_allowed_worst_first() {
    insta::assert_snapshot!(warnings(&plan()).join("\n"), @"
    destroys repo.platform/old (delete)
    exposes repo.platform/api (create)
    weakens protected_branch.platform/api:main (push_access_level: no_one → developer)
    ");
}

#[test]
fn a_step_counts_under_each_of_its_impacts() {
    let mut plan = many(1);
    let visibility = change("visibility", json!("private"), json!("public"));
    plan.steps[0].changes.push(Change {
        impact: Impact::Exposes,
        ..visibility
    });
    plan.steps[0].impact = Impact::Exposes;
    let impacts = &as_json(&view(&header(), &plan))["impacts"];
    assert_eq!((&impacts["weakens"], &impacts["exposes"]), (&json!(1), &json!(1)));
    assert_eq!(warnings(&plan).len(), 2);
}

#[test]
fn a_change_that_only_waits_is_counted() {
    let mut plan = many(1);
    plan.steps[0].last = true;
    let page = plain_text(&plan);
    assert!(page.contains("Plan: 1 to change; 1 weakens;"), "{page}");
}

#[test]
fn plans_without_steps() {
    let last_line = |plan: &Plan| plain_text(plan).lines().last().unwrap_or_default().to_owned();
    let empty = Plan {
        unchanged: 12,
        ..Plan::default()
    };
    insta::assert_snapshot!(last_line(&empty), @"No changes: live is as declared. 12 unchanged; 23 requests, 0 writes, 0.4 s");
    insta::assert_snapshot!(last_line(&Plan { partial: true, ..empty.clone() }), @"No changes: the targets are as declared; nothing else was planned. 12 unchanged; 23 requests, 0 writes, 0.4 s");
    insta::assert_snapshot!(last_line(&Plan { problems: plan().problems, ..empty }), @"Plan: 1 problem; 12 unchanged; 23 requests, 0 writes, 0.4 s");
    insta::assert_snapshot!(last_line(&Plan { partial: true, ..many(2) }), @"Plan of the targets only: 2 to change; 2 weakens; 23 requests, 0 writes, 0.4 s");
}
