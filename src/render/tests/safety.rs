//! What must never be seen in a plan, and what it must not do to a terminal or a page.

use serde_json::json;

use super::super::{Style, json as as_json, junit_report, markdown, text, warnings};
use super::{CANARY, change, header, many, plan, view, weakens};
use crate::core::{Impact, Plan, Problem};

#[test]
fn secrets_are_shown_in_no_format() {
    let plan = plan();
    let header = header();
    let view = view(&header, &plan);
    let full = Style {
        full: true,
        ..Style::default()
    };
    for page in [
        text(&view, full),
        markdown(&view),
        as_json(&view).to_string(),
        warnings(&plan).join("\n"),
        junit_report(&plan),
    ] {
        assert!(!page.contains(CANARY), "{page}");
    }
}

/// Live data that would clear the screen, set a title, reverse the line, end a code span or a `<details>`.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\r\n/close\n```\n</details> `x` | @all";

fn hostile() -> Plan {
    let mut step = weakens(&format!("platform/api:{HOSTILE}"));
    step.blocked = Some(HOSTILE.into());
    let mut changes = vec![
        change("text", json!("a"), json!(HOSTILE)),
        change("list", json!([]), json!([HOSTILE])),
        change("map", json!(1), json!({HOSTILE: HOSTILE})),
        change(HOSTILE, json!(1), json!(2)),
    ];
    changes
        .iter_mut()
        .for_each(|change| change.impact = Impact::Weakens);
    step.changes.extend(changes);
    let problem = Problem {
        address: step.address.clone(),
        field: Some(HOSTILE.into()),
        message: HOSTILE.into(),
    };
    Plan {
        steps: vec![step],
        problems: vec![problem],
        ..Plan::default()
    }
}

#[test]
fn live_data_cannot_act_on_a_terminal() {
    let plan = hostile();
    let mut header = header();
    header.known.as_mut().expect("it is known").user = HOSTILE.into();
    let pages = [
        text(&view(&header, &plan), Style::default()),
        warnings(&plan).join("\n"),
        markdown(&view(&header, &plan)),
    ];
    for page in pages {
        let acting = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!page.contains(acting), "{page:?}");
        assert!(!page.lines().any(|line| line.starts_with("/close")), "{page}");
    }
}

#[test]
fn live_data_stays_in_code() {
    let page = markdown(&view(&header(), &hostile()));
    insta::assert_snapshot!(page, @r#"
    ### Plan: 1 to change; 1 weakens; 1 blocked, 1 problem; 23 requests, 0 writes, 0.4 s

    `GitLab CE 18.8.4 at https://git.example.org, as root (administrator), state in .autogit`

    - ❌ ```` protected_branch.platform/api:\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\r\n/close\n```\n</details> `x` | @all \u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\r\n/close\n```\n</details> `x` | @all ````: ```` \u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\r\n/close\n```\n</details> `x` | @all ````

    - ⚠️ **weakens** ```` protected_branch.platform/api:\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\r\n/close\n```\n</details> `x` | @all ````: ```` push_access_level: no_one → developer, text, list, map: 1 → {"\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\r\n/close\n```\n</details> `x` | @all": "\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\r\n/close\n```\n</details> `x` | @all"}, \u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\r\n/close\n```\n</details> `x` | @all: 1 → 2 ````

    <details><summary>1 to change</summary>

    - ```` protected_branch.platform/api:\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\r\n/close\n```\n</details> `x` | @all ````: the config changed
      - `push_access_level`: `no_one → developer`
      - `text`:

        ````diff
        - a
        + \u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\r
        + /close
        + ```
        + </details> `x` | @all
        ````

      - `list`:

        ````diff
        + "\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\r\n/close\n```\n</details> `x` | @all"
        ````

      - `map`: ```` 1 → {"\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\r\n/close\n```\n</details> `x` | @all": "\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\r\n/close\n```\n</details> `x` | @all"} ````
      - ```` \u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\r\n/close\n```\n</details> `x` | @all ````: `1 → 2`
      - ⛔ blocked: ```` \u{1b}[2J\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\r\n/close\n```\n</details> `x` | @all ````

    </details>
    "#);
}

#[test]
fn live_data_stays_text_in_xml() {
    let report = junit_report(&hostile());
    let tags = regex::Regex::new(
        r#"<(\?xml|/?testsuites?|testcase|failure|error|/failure|/error|/testcase)( [a-z]+="[^"<]*")*(/|\?)?>"#,
    );
    let texts = tags.unwrap().replace_all(&report, "").into_owned();
    assert!(!texts.contains(['<', '>']), "{texts}");
    assert!(
        !report.contains(|c: char| c.is_control() && c != '\n'),
        "{report:?}"
    );
}

#[test]
fn a_long_plan_is_cut_in_markdown_and_says_so() {
    let mut plan = many(5000);
    for (n, step) in plan.steps.iter_mut().enumerate() {
        step.changes[0].before = Some(json!(n));
    }
    let page = markdown(&view(&header(), &plan));
    assert!(page.len() < 61_000, "{}", page.len());
    assert!(page.contains("more\n") && page.ends_with("</details>\n"));
}
