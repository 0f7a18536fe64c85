//! What rules in report mode would change, beside a plan.

use serde_json::json;

use super::super::{Style, View, json as as_json, markdown, text};
use super::{change, header, step, view};
use crate::core::{Action, Plan, Problem, Reason, Reported, Step};

fn reported() -> Vec<Reported> {
    let squash = |address: &str| -> Step {
        let squash = change("squash_option", json!("default_off"), json!("always"));
        step(address, Action::Update, Reason::ConfigChanged, vec![squash])
    };
    let mut differences = Plan {
        steps: (1..=12)
            .map(|number| squash(&format!("repo.a/{number}")))
            .collect(),
        ..Plan::default()
    };
    let branch = "protected_branch.a/1:main";
    differences
        .steps
        .push(step(branch, Action::Create, Reason::Missing, vec![]));
    differences.problems.push(Problem {
        address: "repo.b/`x`".parse().expect("an address"),
        field: Some("approvals".into()),
        message: "only the Enterprise Edition knows it".into(),
    });
    let named = |rule: &str, differences: Plan| Reported {
        rule: rule.into(),
        differences,
    };
    vec![
        named("squash", differences),
        named("</summary>`<b>", Plan::default()),
    ]
}

#[test]
fn reported_differences_are_counted_and_shown_apart() {
    let (header, plan, reported) = (header(), Plan::default(), reported());
    let view = View {
        reported: &reported,
        ..view(&header, &plan)
    };
    insta::assert_snapshot!(text(&view, Style::default()), @r"
    GitLab CE 18.8.4 at https://git.example.org, as root (administrator), state in .autogit

    rule squash (report): 14 differences in 13 repos
        ~ 12 × repo [the config changed]
            squash_option  default_off → always
            at repo.a/1, repo.a/2, repo.a/3, repo.a/4, repo.a/5, repo.a/6, repo.a/7, repo.a/8, repo.a/9,
               repo.a/10, … and 2 more
        + protected_branch.a/1:main [not there yet]
        ! repo.b/`x`: only the Enterprise Edition knows it

    rule </summary>`<b> (report): no differences

    No changes: live is as declared. 14 reported, not changed; 23 requests, 0 writes, 0.4 s
    ");
    insta::assert_snapshot!(markdown(&view), @r"
    ### No changes: live is as declared. 14 reported, not changed; 23 requests, 0 writes, 0.4 s

    `GitLab CE 18.8.4 at https://git.example.org, as root (administrator), state in .autogit`

    rule `squash` (report): 14 differences in 13 repos

    <details><summary>what it would change</summary>

    - `12 × repo`: the config changed
      - `squash_option`: `default_off → always`
      - at `repo.a/1`, `repo.a/2`, `repo.a/3`, `repo.a/4`, `repo.a/5`, `repo.a/6`, `repo.a/7`, `repo.a/8`, `repo.a/9`, `repo.a/10`, `repo.a/11`, `repo.a/12`
    - `protected_branch.a/1:main`: not there yet

    - ❌ `` repo.b/`x` approvals ``: `only the Enterprise Edition knows it`

    </details>

    rule `` </summary>`<b> `` (report): no differences
    ");
    let json = as_json(&view);
    assert_eq!(json["steps"], json!([]));
    let first = &json["reported"][0];
    assert_eq!(
        (&first["rule"], &first["count"], &first["repos"]),
        (&json!("squash"), &json!(14), &json!(13))
    );
    assert_eq!(first["steps"][0]["address"], "repo.a/1");
    assert_eq!(json["reported"][1]["count"], 0);
}
