//! Values to YAML that reads back as the same values, laid out for people.

use serde_json::Value;

use super::scalar;
use super::tree::Data;

/// How wide a line of YAML may get.
const WIDTH: usize = 100;

/// A map to be written, its keys in the order they are to stand in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    /// Comments at its head.
    pub notes: Vec<String>,
    /// Its keys.
    pub entries: Vec<Entry>,
    /// Whether each key has lines of its own even where all would fit on one.
    pub open: bool,
}

/// A key of a [`Block`].
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// What stands there.
    pub value: Node,
}

/// What stands at a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// A value.
    Value(Value),
    /// A map whose order or comments matter.
    Block(Block),
}

impl Block {
    /// Adds a key.
    pub fn push(&mut self, key: impl Into<String>, value: Node) {
        self.entries.push(Entry {
            key: key.into(),
            value,
        });
    }

    /// The block as YAML: a whole document, or a part of one that stands `depth` maps deep.
    pub fn to_yaml(&self, depth: usize) -> String {
        let mut out = String::new();
        self.write(depth, &mut out);
        out
    }

    fn write(&self, depth: usize, out: &mut String) {
        comments(&self.notes, depth, out);
        for entry in &self.entries {
            let indent = "  ".repeat(depth);
            let key = format!("{indent}{}:", text(&entry.key, true));
            match &entry.value {
                Node::Block(block) => block.at(&key, depth, out),
                Node::Value(Value::Object(fields)) => Block::from(fields).at(&key, depth, out),
                Node::Value(value) => scalar_or_list(&key, value, depth, out),
            }
        }
    }

    /// Writes the block after its key: on the same line where it is short, else below it.
    fn at(&self, key: &str, depth: usize, out: &mut String) {
        if self.entries.is_empty() {
            comments(&self.notes, depth, out);
            out.push_str(&format!("{key} {{}}\n"));
            return;
        }
        let line = self.flow().map(|flow| format!("{key} {flow}\n"));
        match line.filter(|line| line.chars().count() <= WIDTH + 1) {
            Some(line) => out.push_str(&line),
            None => {
                out.push_str(&format!("{key}\n"));
                self.write(depth + 1, out);
            }
        }
    }

    /// The block on one line, if nothing speaks against that.
    fn flow(&self) -> Option<String> {
        if self.open || !self.notes.is_empty() {
            return None;
        }
        let entries = self.entries.iter().map(|Entry { key, value }| {
            let value = match value {
                Node::Block(block) => block.flow()?,
                Node::Value(value) if has_lines(value) => return None,
                Node::Value(value) => flow(value),
            };
            Some(format!("{}: {value}", text(key, true)))
        });
        let entries: Option<Vec<_>> = entries.collect();
        Some(format!("{{{}}}", entries?.join(", ")))
    }
}

impl From<&serde_json::Map<String, Value>> for Block {
    fn from(fields: &serde_json::Map<String, Value>) -> Self {
        let mut block = Block::default();
        for (key, value) in fields {
            block.push(key, Node::Value(value.clone()));
        }
        block
    }
}

fn scalar_or_list(key: &str, value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth + 1);
    match value {
        Value::String(value) if is_block_text(value) => {
            let chomp = if value.ends_with('\n') { "" } else { "-" };
            out.push_str(&format!("{key} |{chomp}\n"));
            for line in value.lines() {
                let indent = if line.is_empty() { "" } else { &indent };
                out.push_str(&format!("{indent}{line}\n"));
            }
        }
        Value::String(value) => out.push_str(&format!("{key} {}\n", text(value, false))),
        Value::Array(items) => {
            let line = format!("{key} {}\n", flow(value));
            if items.is_empty() || line.chars().count() <= WIDTH + 1 {
                return out.push_str(&line);
            }
            out.push_str(&format!("{key}\n"));
            for item in items {
                out.push_str(&format!("{indent}- {}\n", flow(item)));
            }
        }
        other => out.push_str(&format!("{key} {}\n", flow(other))),
    }
}

/// Comments, broken into lines that fit.
pub(super) fn comments(notes: &[String], depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    for line in notes.iter().flat_map(|note| note.lines()) {
        // What is indented is meant to be taken out of the comment as it is.
        if line.starts_with(' ') || line.is_empty() {
            out.push_str(format!("{indent}# {line}").trim_end());
            out.push('\n');
            continue;
        }
        let mut width = 0;
        for word in line.split(' ') {
            let fits = width + 1 + word.chars().count() <= WIDTH;
            if width > 0 && fits {
                out.push(' ');
            } else {
                let begin = if width == 0 { "" } else { "\n" };
                let hang = if width == 0 { "" } else { "  " };
                out.push_str(&format!("{begin}{indent}# {hang}"));
                width = indent.len() + 1 + hang.len();
            }
            out.push_str(word);
            width += 1 + word.chars().count();
        }
        out.push('\n');
    }
}

/// A value as YAML on one line.
pub(super) fn flow(value: &Value) -> String {
    match value {
        Value::String(value) => text(value, true),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(key, value)| format!("{}: {}", text(key, true), flow(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// Text as a YAML scalar on one line, in quotes where it would be taken for something else.
pub(super) fn text(value: &str, in_flow: bool) -> String {
    let inner = |char: char| {
        char.is_alphanumeric() || " _./:-()+=@~*!;&%$^'\"".contains(char) || (char == ',' && !in_flow)
    };
    let is_plain = matches!(scalar::plain(value), Data::Text(_))
        && value.starts_with(|first: char| first.is_ascii_alphanumeric())
        && value.ends_with(|last: char| last.is_alphanumeric() || ".)!*+%".contains(last))
        && value.chars().all(inner)
        && !value.contains(": ")
        && !elsewhere_a_bool(value);
    match is_plain {
        true => value.to_owned(),
        false => quoted(value),
    }
}

/// Whether YAML before 1.2, which other programs still read, takes the text for true or false.
fn elsewhere_a_bool(value: &str) -> bool {
    let words = ["y", "n", "yes", "no", "on", "off"];
    words.iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// Text in double quotes, with whatever is not seen on paper written as its number.
fn quoted(value: &str) -> String {
    let mut out = String::from("\"");
    for char in value.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            _ if !is_seen(char) && u32::from(char) > 0xffff => {
                out.push_str(&format!("\\U{:08x}", u32::from(char)));
            }
            _ if !is_seen(char) => out.push_str(&format!("\\u{:04x}", u32::from(char))),
            _ => out.push(char),
        }
    }
    out.push('"');
    out
}

/// Whether a character shows, and shows as nothing but itself.
fn is_seen(char: char) -> bool {
    let hidden = matches!(char,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff0}'..='\u{fffb}' | '\u{fffe}'..='\u{ffff}' | '\u{e0000}'..='\u{10ffff}');
    !char.is_control() && !hidden && (char == ' ' || !char.is_whitespace())
}

fn has_lines(value: &Value) -> bool {
    value.as_str().is_some_and(is_block_text)
}

/// Whether text reads best, and back exactly, as a block of lines.
fn is_block_text(value: &str) -> bool {
    let body = value.strip_suffix('\n').unwrap_or(value);
    let plain_line = |line: &str| line.is_empty() || !line.trim_end().is_empty();
    value.contains('\n')
        && !body.is_empty()
        && !body.ends_with('\n')
        && !body.starts_with([' ', '\n'])
        && body.split('\n').all(plain_line)
        && value.chars().all(|char| char == '\n' || is_seen(char))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::{diagnostic::Report, parse::parse};
    use super::*;

    fn read(yaml: &str) -> Option<Value> {
        let mut report = Report::default();
        let file = report.sources.add("x.yaml".into(), yaml);
        parse(file, &[], &mut report).map(|root| root.to_json())
    }

    fn values() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ -~é\u{85}\u{2028}\u{feff}😀]{0,9}".prop_map(Value::from),
            "[a-c:#|>'\" ,\\[\\]{}&*!%@`?.~-]{0,12}".prop_map(Value::from),
            "([ a-c#:\t-]{0,5}\n){0,4}[ a-c]{0,3}".prop_map(Value::from),
        ];
        let list = proptest::collection::vec(scalar.clone(), 0..9).prop_map(Value::from);
        prop_oneof![scalar, list].prop_recursive(3, 24, 5, |inner| {
            proptest::collection::btree_map("[ -~]{1,30}", inner, 0..5).prop_map(|map| json!(map))
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_as_the_values_it_was(value in values(), open: bool, note in "[ -~]{0,140}") {
            let mut inner = Block { open, notes: vec![note], ..Block::default() };
            inner.push("value", Node::Value(value.clone()));
            let mut outer = Block::default();
            outer.push("first", Node::Block(inner));
            outer.push("second", Node::Value(value.clone()));
            let yaml = outer.to_yaml(0);
            let expected = json!({"first": {"value": value}, "second": value});
            prop_assert_eq!(read(&yaml), Some(expected), "{}", yaml);
        }
    }

    #[test]
    fn lines_read_well() {
        let main = json!({"merge_access_level": "maintainer", "push_access_level": "no_one"});
        let mut repo = Block {
            notes: vec!["left out: a, b: nobody may read it".into()],
            ..Block::default()
        };
        repo.push("description", Node::Value("The API: v2".into()));
        repo.push("suffix", Node::Value("It is (all) here, now.".into()));
        repo.push("topics", Node::Value(json!(["go, rust", "yes", "null", "1"])));
        repo.push(
            "merge_commit_template",
            Node::Value("%{title}\n\n  more\n".into()),
        );
        repo.push(
            "protected_branches",
            Node::Value(json!({"main": main, "release/*": main, "@x": {}})),
        );
        let mut repos = Block {
            open: true,
            ..Block::default()
        };
        repos.push("platform/api", Node::Block(repo));
        repos.push("platform/web", Node::Block(Block::default()));
        let mut root = Block::default();
        root.push("repos", Node::Block(repos));
        let expected = "\
repos:
  platform/api:
    # left out: a, b: nobody may read it
    description: \"The API: v2\"
    suffix: It is (all) here, now.
    topics: [\"go, rust\", \"yes\", \"null\", \"1\"]
    merge_commit_template: |
      %{title}

        more
    protected_branches:
      \"@x\": {}
      main: {merge_access_level: maintainer, push_access_level: no_one}
      release/*: {merge_access_level: maintainer, push_access_level: no_one}
  platform/web: {}
";
        assert_eq!(root.to_yaml(0), expected);
    }
}
