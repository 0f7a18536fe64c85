//! The format for programs, and its published schema.

use std::path::Path;

use serde_json::json;

use super::super::{json as as_json, plan_schema};
use super::{header, many, plan, view};
use crate::core::Plan;

#[test]
fn json_of_everything() {
    let plan = as_json(&view(&header(), &plan()));
    insta::assert_snapshot!(serde_json::to_string_pretty(&plan["steps"][1]).unwrap(), @r#"
    {
      "action": "update",
      "address": "repo.platform/api",
      "after": [
        0
      ],
      "changes": [
        {
          "after": true,
          "cause": "first",
          "field": "archived",
          "impact": "neutral",
          "secret": false
        }
      ],
      "impact": "neutral",
      "kind": "repo",
      "last": true,
      "notes": [],
      "number": 1,
      "reason": "missing",
      "reason_text": "not there yet"
    }
    "#);
    insta::assert_snapshot!(serde_json::to_string_pretty(&plan["steps"][2]["changes"][5]).unwrap(), @r#"
    {
      "cause": "config",
      "field": "import_url",
      "impact": "neutral",
      "secret": true
    }
    "#);
    let mut rest = plan;
    rest["steps"] = json!(rest["steps"].as_array().unwrap().len());
    insta::assert_snapshot!(serde_json::to_string_pretty(&rest).unwrap(), @r#"
    {
      "blocked": 1,
      "cost": {
        "requests": 23,
        "seconds": 0.4123,
        "writes": 0
      },
      "counts": {
        "adopt": 2,
        "create": 2,
        "delete": 1,
        "release": 2,
        "update": 2
      },
      "format": "autogit-plan",
      "header": {
        "edition": "ce",
        "role": "administrator",
        "store": ".autogit",
        "url": "https://git.example.org",
        "user": "root",
        "version": "18.8.4"
      },
      "impacts": {
        "destroys": 1,
        "exposes": 1,
        "locks_out": 0,
        "tightens": 1,
        "weakens": 1
      },
      "left_in_place": 4,
      "partial": false,
      "problems": [
        {
          "address": "repo.platform/tools",
          "field": "merge_method",
          "message": "this token may not read it: take one of a maintainer"
        }
      ],
      "reported": [],
      "steps": 10,
      "unchanged": 12,
      "version": 1
    }
    "#);
}

#[test]
fn the_published_schema_is_current_and_json_plans_keep_to_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/plan.schema.json");
    let schema = format!("{}\n", serde_json::to_string_pretty(&plan_schema()).unwrap());
    if std::env::var_os("AUTOGIT_BLESS").is_some() {
        std::fs::write(&path, &schema).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        published, schema,
        "run the tests with AUTOGIT_BLESS=1 to write it anew"
    );

    let schema = serde_json::from_str(&published).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for plan in [plan(), many(3), Plan::default()] {
        let mut rendered = as_json(&view(&header(), &plan));
        assert!(validator.is_valid(&rendered), "{rendered:#}");
        rendered["cost"] = json!("free");
        assert!(!validator.is_valid(&rendered));
    }
}
