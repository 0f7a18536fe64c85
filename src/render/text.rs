//! A plan for a terminal.

use std::collections::BTreeSet;

use anstyle::AnsiColor;

use super::View;
use super::block::{self, Block};
use super::value::{Shown, plain};
use crate::core::{Action, Cause, Change, Impact, Reason, Reported};

/// How many of the resources of a block, and lines a side of a long value, are shown.
const SHOWN: usize = 10;

/// How text is set.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// With ANSI colours.
    pub colour: bool,
    /// Columns to fill with lists of addresses. Default: 100.
    pub width: Option<usize>,
    /// Long lists and texts in full.
    pub full: bool,
}

/// The plan for a terminal. Its problems are counted only: they are shown where the config has them.
pub fn text(view: &View, style: Style) -> String {
    let blocks = block::blocks(view.plan);
    let mut page = Page {
        out: String::new(),
        inset: 0,
        style,
    };
    let header = page.paint(
        AnsiColor::BrightBlack.on_default(),
        &plain(&view.header.to_string()),
    );
    page.line(0, &header);
    if let Some(why) = &view.plan.provisional {
        page.line(0, &super::provisional(why));
    }
    for block in &blocks {
        page.line(0, "");
        page.block(block);
    }
    for reported in view.reported {
        page.reported(reported);
    }
    page.line(0, "");
    let summary = page.paint(anstyle::Style::new().bold(), &super::summary(view, &blocks));
    page.line(0, &summary);
    page.out
}

struct Page {
    out: String,
    /// How far everything stands in.
    inset: usize,
    style: Style,
}

impl Page {
    fn line(&mut self, indent: usize, line: &str) {
        self.out.extend(std::iter::repeat_n(' ', self.inset + indent));
        self.out.push_str(line);
        self.out.push('\n');
    }

    fn paint(&self, look: impl Into<anstyle::Style>, text: &str) -> String {
        let look = look.into();
        match self.style.colour {
            true => format!("{look}{text}{look:#}"),
            false => text.to_owned(),
        }
    }

    /// A mark or marked line in the colour of what it says.
    fn marked(&self, mark: &str, text: &str) -> String {
        let look = match mark {
            "+" => AnsiColor::Green.on_default(),
            "-" => AnsiColor::Red.on_default(),
            "~" => AnsiColor::Yellow.on_default(),
            _ => AnsiColor::BrightBlack.on_default(),
        };
        self.paint(look, text)
    }

    fn block(&mut self, block: &Block) {
        let mark = match block.action() {
            Action::Adopt => "~ (adopt)",
            action => action.symbol(),
        };
        let mark = self.marked(block.action().symbol(), mark);
        let name = self.paint(anstyle::Style::new().bold(), &block.name());
        let impacts = self.impacts(&block.impacts());
        self.line(0, &format!("{mark} {name} [{}]{impacts}", block.reason()));
        self.fields(block);
        self.addresses(block);
        for note in block.notes() {
            let note = format!("→ {}", plain(note));
            let note = self.marked("", &note);
            self.line(4, &note);
        }
        if let Some(why) = block.blocked() {
            let blocked = self.paint(AnsiColor::Red.on_default(), "blocked:");
            self.line(4, &format!("{blocked} {}", plain(why)));
        }
    }

    /// What a rule in report mode would change: nothing of it is done.
    fn reported(&mut self, reported: &Reported) {
        self.line(0, "");
        let rule = self.paint(
            anstyle::Style::new().bold(),
            &format!("rule {}", plain(&reported.rule)),
        );
        self.line(0, &format!("{rule} (report): {}", super::differences(reported)));
        self.inset = 4;
        let most = if self.style.full { usize::MAX } else { SHOWN };
        let blocks = block::blocks(&reported.differences);
        let problems = &reported.differences.problems;
        for block in blocks.iter().take(most) {
            self.block(block);
        }
        for problem in problems.iter().take(most) {
            self.line(0, &plain(&format!("! {}: {}", problem.address, problem.message)));
        }
        let more = blocks.len().saturating_sub(most) + problems.len().saturating_sub(most);
        if more > 0 {
            self.line(0, &format!("… and {more} more"));
        }
        self.inset = 0;
    }

    fn fields(&mut self, block: &Block) {
        let most = if self.style.full { usize::MAX } else { SHOWN };
        let shown: Vec<_> = block
            .changes()
            .map(|(change, last)| {
                let notes = self.notes(block, change, last);
                (plain(&change.field), block.show(change, most), notes)
            })
            .collect();
        let beside = shown
            .iter()
            .filter(|(_, shown, _)| matches!(shown, Shown::Inline(_)));
        let width = beside
            .map(|(field, ..)| field.chars().count())
            .max()
            .unwrap_or_default();
        for (field, shown, notes) in shown {
            match shown {
                Shown::Inline(value) => self.line(4, &format!("{field:width$}  {value}{notes}")),
                Shown::Lines(lines) => {
                    self.line(4, &format!("{field}{notes}"));
                    for line in lines {
                        let text = format!("{} {}", line.mark, line.text);
                        let text = self.marked(line.mark, text.trim_end());
                        self.line(6, &text);
                    }
                }
            }
        }
    }

    /// What there is to say of a change beside its values.
    fn notes(&self, block: &Block, change: &Change, last: bool) -> String {
        let mut notes = String::new();
        if last {
            notes.push_str("  (afterwards)");
        }
        if change.cause == Cause::Drift && *block.reason() != Reason::Drift {
            notes.push_str("  (drift)");
        }
        let impact = Some(change.impact).filter(|impact| *impact != Impact::Neutral);
        notes + &self.impacts(&impact.into_iter().collect())
    }

    /// Impacts, with a `!` before those that have to be allowed.
    fn impacts(&self, impacts: &BTreeSet<Impact>) -> String {
        let Some(worst) = impacts.last() else {
            return String::new();
        };
        let verbs: Vec<_> = impacts.iter().rev().map(|impact| impact.verb()).collect();
        let verbs = verbs.join(", ");
        match worst.permission() {
            Some(_) => format!(
                "  {}",
                self.paint(AnsiColor::Red.on_default().bold(), &format!("! {verbs}"))
            ),
            None => format!("  {}", self.marked("", &verbs)),
        }
    }

    /// The resources of a block of several, as many to a line as fit.
    fn addresses(&mut self, block: &Block) {
        if block.addresses.len() == 1 {
            return;
        }
        let most = if self.style.full { usize::MAX } else { SHOWN };
        let (mut words, more) = block.listed(most);
        if more > 0 {
            words.push(format!("… and {more} more"));
        }
        let last = words.len() - 1;
        words[..last].iter_mut().for_each(|word| word.push(','));
        let width = self.style.width.unwrap_or(100).saturating_sub("    at ".len());
        let mut lines: Vec<String> = Vec::new();
        for word in words {
            match lines.last_mut() {
                Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                    line.push(' ');
                    line.push_str(&word);
                }
                _ => lines.push(word),
            }
        }
        for (number, line) in lines.iter().enumerate() {
            let lead = if number == 0 { "at" } else { "  " };
            self.line(4, &format!("{lead} {line}"));
        }
    }
}
