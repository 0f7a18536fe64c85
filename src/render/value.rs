//! Values on the page: what of a change is shown, with nothing in it that a terminal would act upon.

use serde_json::Value;

use crate::core::Change;

/// What is shown of a change.
#[derive(Debug, PartialEq, Eq)]
pub enum Shown {
    /// It fits beside the field's name.
    Inline(String),
    /// It goes below the field's name.
    Lines(Vec<Line>),
}

/// A line that is added (`+`), removed (`-`) or told about (` `).
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// `+`, `-` or a space.
    pub mark: &'static str,
    /// The line, escaped.
    pub text: String,
}

/// What is shown of a change: of a `made` resource only what it becomes, of long lists and texts at most `most` lines a side.
pub fn show(change: &Change, made: bool, most: usize) -> Shown {
    if change.secret {
        return Shown::Inline("(secret)".to_owned());
    }
    let (before, after) = (change.before.as_ref(), change.after.as_ref());
    if let (Some(Value::Array(before)), Some(Value::Array(after))) = (before, after) {
        let lines = items(before, after, most);
        if !lines.is_empty() {
            return Shown::Lines(lines);
        }
    }
    if let (Some(before), Some(after)) = (text(before), text(after))
        && (before.len() > 1 || after.len() > 1)
    {
        return Shown::Lines(lines(&before, &after, most));
    }
    let (before, after) = (
        before.filter(|value| !value.is_null()),
        after.filter(|value| !value.is_null()),
    );
    if let (true, Some(Value::Object(entries))) = (made || before.is_none(), after)
        && inline(&Value::Object(entries.clone())).chars().count() > LONG
    {
        return Shown::Lines(side("+", &entries.iter().map(entry).collect::<Vec<_>>(), most));
    }
    let side = |value: Option<&Value>| value.map_or_else(|| "(none)".to_owned(), inline);
    Shown::Inline(match (made, after) {
        (true, Some(after)) => inline(after),
        _ => format!("{} → {}", side(before), side(after)),
    })
}

/// A map that is longer goes one entry a line.
const LONG: usize = 60;

/// An entry of a map, on a line of its own.
fn entry((name, value): (&String, &Value)) -> String {
    format!("{}: {}", plain(name), inline(value))
}

/// A value in one line; words stand bare, any other text in quotes.
pub fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => word(text),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, value)| format!("{}: {}", word(name), inline(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn word(text: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "_-./:@*".contains(c);
    // Text such as `true` or `10` must not be taken for a boolean or a number.
    let other_type = || serde_json::from_str::<Value>(text).is_ok();
    if text.chars().all(bare) && text.contains(|c: char| c.is_ascii_alphanumeric()) && !other_type() {
        return text.to_owned();
    }
    format!("\"{}\"", plain(&text.replace('\\', r"\\").replace('"', "\\\"")))
}

/// The text with every character spelled out that could move the cursor, colour what follows, or hide or reorder it.
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || misleads(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Marks of direction, line ends other than `\n`, and what takes no room; not the joiners that scripts and emoji need.
fn misleads(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// What is in one list only; empty where they differ in order or number alone.
fn items(before: &[Value], after: &[Value], most: usize) -> Vec<Line> {
    let only = |these: &[Value], those: &[Value]| -> Vec<String> {
        these
            .iter()
            .filter(|item| !those.contains(item))
            .map(inline)
            .collect()
    };
    let mut lines = side("-", &only(before, after), most);
    lines.extend(side("+", &only(after, before), most));
    lines
}

/// The lines of a text, none for no text; `None` for what is no text.
fn text(value: Option<&Value>) -> Option<Vec<&str>> {
    match value {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::String(text)) => Some(text.split('\n').collect()),
        Some(_) => None,
    }
}

/// What differs between two texts: all between the lines that both begin and end with.
fn lines(before: &[&str], after: &[&str], most: usize) -> Vec<Line> {
    let head = before.iter().zip(after).take_while(|(b, a)| b == a).count();
    let (before, after) = (&before[head..], &after[head..]);
    let tail = before
        .iter()
        .rev()
        .zip(after.iter().rev())
        .take_while(|(b, a)| b == a)
        .count();
    let between = |lines: &[&str]| -> Vec<String> {
        lines[..lines.len() - tail]
            .iter()
            .map(|line| plain(line))
            .collect()
    };
    let alike = |number: usize| {
        let text = format!("… {} as before", super::count(number as u64, "line"));
        (number > 0).then_some(Line { mark: " ", text })
    };
    let mut shown = Vec::from_iter(alike(head));
    shown.extend(side("-", &between(before), most));
    shown.extend(side("+", &between(after), most));
    shown.extend(alike(tail));
    shown
}

fn side(mark: &'static str, texts: &[String], most: usize) -> Vec<Line> {
    let mut lines: Vec<_> = texts
        .iter()
        .take(most)
        .map(|text| Line {
            mark,
            text: text.clone(),
        })
        .collect();
    if texts.len() > most {
        let text = format!("… and {} more", texts.len() - most);
        lines.push(Line { mark, text });
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn shown(before: Value, after: Value, most: usize) -> Vec<String> {
        match show(&Change::new("field", Some(before), Some(after)), false, most) {
            Shown::Inline(text) => vec![text],
            Shown::Lines(lines) => lines
                .iter()
                .map(|line| line.mark.to_owned() + &line.text)
                .collect(),
        }
    }

    #[test]
    fn text_that_could_be_taken_for_something_else_is_quoted() {
        for (value, text) in [
            (json!("main"), "main"),
            (json!("release/*"), "release/*"),
            (json!(true), "true"),
            (json!("true"), r#""true""#),
            (json!("10"), r#""10""#),
            (json!(""), r#""""#),
            (json!("[a"), r#""[a""#),
            (json!("a \"b\" \\n"), r#""a \"b\" \\n""#),
            (json!("a\nb"), r#""a\nb""#),
            (json!("Zoë 👩‍🚀"), r#""Zoë 👩‍🚀""#),
            (json!({"a b": ["x", null]}), r#"{"a b": [x, null]}"#),
        ] {
            assert_eq!(inline(&value), text);
        }
    }

    #[test]
    fn lists_show_what_comes_and_goes() {
        assert_eq!(shown(json!(["a", "b"]), json!(["b", "c"]), 10), ["-a", "+c"]);
        assert_eq!(
            shown(json!(["a", "b"]), json!(["b", "a"]), 10),
            ["[a, b] → [b, a]"]
        );
        let many = json!(["a", "b", "c"]);
        assert_eq!(shown(json!([]), many, 1), ["+a", "+… and 2 more"]);
    }

    #[test]
    fn texts_show_the_lines_that_differ() {
        assert_eq!(
            shown(json!("a\nb"), json!("a\nc\nb"), 10),
            [" … 1 line as before", "+c", " … 1 line as before"]
        );
        assert_eq!(shown(json!(null), json!("a\nb"), 10), ["+a", "+b"]);
        assert_eq!(shown(json!("a"), json!("a\n"), 10), [" … 1 line as before", "+"]);
        assert_eq!(shown(json!("a"), json!("b"), 10), ["a → b"]);
    }

    proptest! {
        #[test]
        fn nothing_shown_moves_the_cursor(text in any::<String>()) {
            prop_assert!(!plain(&text).contains(char::is_control));
            let nested = inline(&json!({&text: [&text]}));
            prop_assert!(!nested.contains(char::is_control));
        }
    }
}
