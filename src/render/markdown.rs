//! A plan for the comments of a merge request. Whatever comes from a config or from live stands in code.

use super::View;
use super::block::{self, Block, Concern};
use super::value::{Shown, plain};
use crate::core::{Problem, Reported};

/// Bytes: GitLab takes a million characters, nobody reads as many.
const CAP: usize = 60_000;
/// How many of the resources of a block, and lines a side of a long value, are shown.
const SHOWN: usize = 50;

/// The plan as GitLab-flavoured Markdown, of at most about 60,000 bytes.
pub fn markdown(view: &View) -> String {
    let blocks = block::blocks(view.plan);
    let mut page = Page::default();
    page.out
        .push_str(&format!("### {}\n\n", super::summary(view, &blocks)));
    page.out
        .push_str(&format!("{}\n", code(&view.header.to_string())));
    if let Some(why) = &view.plan.provisional {
        page.out
            .push_str(&format!("\n{}\n", code(&super::provisional(why))));
    }
    page.list(view.plan.problems.iter().map(problem), |_| 1);
    page.list(block::concerns(&blocks).iter().map(concern), |_| 1);
    for (action, resources) in block::tally(&blocks).actions {
        let blocks: Vec<_> = blocks.iter().filter(|block| block.action() == action).collect();
        page.out.push_str(&format!(
            "\n<details><summary>{resources} to {}</summary>\n",
            action.verb()
        ));
        page.list(blocks.iter().map(|block| item(block)), |n| {
            blocks[n].addresses.len()
        });
        page.out.push_str("\n</details>\n");
    }
    for reported in view.reported {
        page.reported(reported);
    }
    page.out
}

#[derive(Default)]
struct Page {
    out: String,
}

impl Page {
    /// What a rule in report mode would change.
    fn reported(&mut self, reported: &Reported) {
        let differences = super::differences(reported);
        let rule = code(&reported.rule);
        self.out
            .push_str(&format!("\nrule {rule} (report): {differences}\n"));
        if reported.count() == 0 {
            return;
        }
        let blocks = block::blocks(&reported.differences);
        let summary = "what it would change";
        self.out
            .push_str(&format!("\n<details><summary>{summary}</summary>\n"));
        self.list(blocks.iter().map(item), |n| blocks[n].addresses.len());
        self.list(reported.differences.problems.iter().map(problem), |_| 1);
        self.out.push_str("\n</details>\n");
    }

    /// The items that still fit, and how many things the others stand for.
    fn list(&mut self, items: impl Iterator<Item = String>, weight: impl Fn(usize) -> usize) {
        let mut left_out = 0;
        for (number, item) in items.enumerate() {
            if number == 0 {
                self.out.push('\n');
            }
            match self.out.len() + item.len() <= CAP {
                true => self.out.push_str(&item),
                false => left_out += weight(number),
            }
        }
        if left_out > 0 {
            self.out.push_str(&format!("- … and {left_out} more\n"));
        }
    }
}

fn problem(problem: &Problem) -> String {
    let place = match &problem.field {
        Some(field) => format!("{} {}", problem.address, field),
        None => problem.address.to_string(),
    };
    format!("- ❌ {}: {}\n", code(&place), code(&problem.message))
}

fn concern(concern: &Concern) -> String {
    let Concern { impact, who, what } = concern;
    let verb = match impact.permission() {
        Some(_) => format!("⚠️ **{impact}**"),
        None => impact.to_string(),
    };
    format!("- {verb} {}: {}\n", code(who), code(what))
}

/// A block as an item of a list, with a list of its fields below.
fn item(block: &Block) -> String {
    let mut item = format!("- {}: {}\n", code(&block.name()), block.reason());
    for (change, last) in block.changes() {
        let field = code(&change.field);
        let afterwards = if last { " (afterwards)" } else { "" };
        match block.show(change, SHOWN) {
            Shown::Inline(value) => item.push_str(&format!("  - {field}: {}{afterwards}\n", code(&value))),
            Shown::Lines(lines) => {
                let lines: Vec<_> = lines
                    .iter()
                    .map(|line| format!("{} {}", line.mark, line.text))
                    .collect();
                item.push_str(&format!("  - {field}:{afterwards}\n\n{}", fenced(&lines)));
            }
        }
    }
    if block.addresses.len() > 1 {
        let (listed, more) = block.listed(SHOWN);
        let mut listed: Vec<_> = listed.iter().map(|address| code(address)).collect();
        if more > 0 {
            listed.push(format!("… and {more} more"));
        }
        item.push_str(&format!("  - at {}\n", listed.join(", ")));
    }
    if let Some(why) = block.blocked() {
        item.push_str(&format!("  - ⛔ blocked: {}\n", code(why)));
    }
    item
}

/// A code span that its content cannot end.
fn code(text: &str) -> String {
    let text = plain(text);
    let fence = "`".repeat(longest_run(&text) + 1);
    match fence.len() > 1 || text.starts_with(' ') || text.ends_with(' ') {
        true => format!("{fence} {text} {fence}"),
        false => format!("{fence}{text}{fence}"),
    }
}

/// A code block inside an item of the inner list, one that its content cannot end.
fn fenced(lines: &[String]) -> String {
    let longest = lines
        .iter()
        .map(|line| longest_run(line))
        .max()
        .unwrap_or_default();
    let fence = "`".repeat(3.max(longest + 1));
    let lines: String = lines
        .iter()
        .map(|line| format!("    {}\n", line.trim_end()))
        .collect();
    format!("    {fence}diff\n{lines}    {fence}\n\n")
}

/// The most backticks in a row.
fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or_default()
}
