//! What GitLab's widgets are given of a plan.

use serde_json::json;

use super::super::{junit_report, terraform_report};
use super::plan;
use crate::core::Plan;

#[test]
fn the_terraform_widget_counts_resources_and_not_what_only_changes_hands() {
    let counts = terraform_report(&plan());
    assert_eq!(counts, json!({"create": 2, "update": 3, "delete": 1}));
    let nothing = terraform_report(&Plan::default());
    assert_eq!(nothing, json!({"create": 0, "update": 0, "delete": 0}));
}

#[test]
fn the_test_widget_fails_what_has_to_be_allowed_or_cannot_be_done() {
    insta::assert_snapshot!(junit_report(&plan()), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="autogit plan" tests="10" failures="3" errors="2">
    <testsuite name="autogit plan" tests="10" failures="3" errors="2">
    <testcase classname="repo" name="plan merge_method of repo.platform/tools"><error type="blocked" message="this token may not read it: take one of a maintainer">this token may not read it: take one of a maintainer</error></testcase>
    <testcase classname="repo" name="create repo.platform/api"><failure type="impact" message="exposes: create">exposes: create</failure></testcase>
    <testcase classname="repo" name="change repo.platform/web"/>
    <testcase classname="protected_branch" name="change protected_branch.platform/api:main"><failure type="impact" message="weakens: push_access_level: no_one → developer">weakens: push_access_level: no_one → developer</failure></testcase>
    <testcase classname="group" name="adopt group.platform"/>
    <testcase classname="repo" name="adopt repo.platform/web2"/>
    <testcase classname="group" name="create group.team/inner"><error type="blocked" message="group.team is declared absent">group.team is declared absent</error></testcase>
    <testcase classname="repo" name="delete repo.platform/old"><failure type="impact" message="destroys: delete">destroys: delete</failure></testcase>
    <testcase classname="repo" name="release repo.left/one"/>
    <testcase classname="repo" name="release repo.left/two"/>
    </testsuite>
    </testsuites>
    "#);
    insta::assert_snapshot!(junit_report(&Plan::default()), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="autogit plan" tests="0" failures="0" errors="0">
    <testsuite name="autogit plan" tests="0" failures="0" errors="0">
    </testsuite>
    </testsuites>
    "#);
}
