//! A plan as the reports that GitLab shows beside a merge request: counts for its Terraform widget, JUnit for its test widget.

use std::fmt::Write;

use serde_json::{Value, json};

use super::block::{self, Block};
use super::value::plain;
use crate::core::{Action, Address, Plan};

/// The counts that `artifacts:reports:terraform` takes. What is only taken over or released changes nothing there.
pub fn terraform_report(plan: &Plan) -> Value {
    let blocks = block::blocks(plan);
    let resources = |actions: &[Action]| {
        let changing = |block: &&Block| block.action() != Action::Adopt || block.changes().next().is_some();
        let counted = blocks.iter().filter(changing);
        let counted = counted.filter(|block| actions.contains(&block.action()));
        counted.map(|block| block.addresses.len()).sum::<usize>()
    };
    json!({
        "create": resources(&[Action::Create]),
        "update": resources(&[Action::Update, Action::Adopt]),
        "delete": resources(&[Action::Delete]),
    })
}

/// How one resource comes out.
enum Verdict<'a> {
    /// It may be done without being asked for.
    Passed,
    /// Something of it has to be allowed: a line for each impact.
    Failed(String),
    /// It cannot be done, and why.
    Error(&'a str),
}

/// One test case for each resource that the plan is about: a failure where an impact has to be allowed, an error where
/// something cannot be planned or done.
pub fn junit_report(plan: &Plan) -> String {
    let blocks = block::blocks(plan);
    let resources = blocks.iter().map(|block| block.addresses.len()).sum::<usize>() + plan.problems.len();
    let count = |is: fn(&Verdict) -> bool| {
        let counted = blocks.iter().filter(|block| is(&verdict(block)));
        counted.map(|block| block.addresses.len()).sum::<usize>()
    };
    let failures = count(|verdict| matches!(verdict, Verdict::Failed(_)));
    let errors = count(|verdict| matches!(verdict, Verdict::Error(_))) + plan.problems.len();
    let counts = format!("tests=\"{resources}\" failures=\"{failures}\" errors=\"{errors}\"");
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"autogit plan\" {counts}>\n\
         <testsuite name=\"autogit plan\" {counts}>\n"
    );
    for problem in &plan.problems {
        let doing = match &problem.field {
            Some(field) => format!("plan {} of", plain(field)),
            None => "plan".to_owned(),
        };
        case(
            &mut out,
            &doing,
            &problem.address,
            &Verdict::Error(&problem.message),
        );
    }
    for block in &blocks {
        let verdict = verdict(block);
        for address in &block.addresses {
            case(&mut out, block.action().verb(), address, &verdict);
        }
    }
    out.push_str("</testsuite>\n</testsuites>\n");
    out
}

fn verdict<'a>(block: &Block<'a>) -> Verdict<'a> {
    let to_allow = to_allow(block);
    match block.blocked() {
        Some(why) => Verdict::Error(why),
        None if to_allow.is_empty() => Verdict::Passed,
        None => Verdict::Failed(to_allow),
    }
}

/// What in a block has to be allowed, a line each.
fn to_allow(block: &Block) -> String {
    let impacts = block.impacts().into_iter();
    let lines: Vec<_> = impacts
        .filter(|impact| impact.permission().is_some())
        .map(|impact| format!("{impact}: {}", block::concern(block, impact).what))
        .collect();
    lines.join("\n")
}

fn case(out: &mut String, doing: &str, address: &Address, verdict: &Verdict) {
    let name = xml(&format!("{doing} {}", plain(&address.to_string())));
    let kind = xml(&address.kind);
    let _ = write!(out, "<testcase classname=\"{kind}\" name=\"{name}\"");
    let _ = match verdict {
        Verdict::Passed => writeln!(out, "/>"),
        Verdict::Failed(why) => {
            let (message, why) = (xml(why.lines().next().unwrap_or_default()), xml(why));
            writeln!(
                out,
                "><failure type=\"impact\" message=\"{message}\">{why}</failure></testcase>"
            )
        }
        Verdict::Error(why) => {
            let why = xml(&plain(why));
            writeln!(
                out,
                "><error type=\"blocked\" message=\"{why}\">{why}</error></testcase>"
            )
        }
    };
}

/// `text` as character data or an attribute's value. What XML has no way to say is replaced.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            '\0'..' ' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_ends_it() {
        assert_eq!(
            xml("a<b>&\"'\n\u{0}\u{1b}\u{ffff}é"),
            "a&lt;b&gt;&amp;&quot;&apos;&#10;\u{fffd}\u{fffd}\u{fffd}é"
        );
    }
}
