//! A plan's Markdown as the body of a comment, which the next plan finds again.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// What could end a marker, its line, or one of its words.
const TELLING: &AsciiSet = &CONTROLS.add(b' ').add(b'<').add(b'>').add(b'%');

/// What GitLab takes, in characters.
const LONGEST: usize = 1_000_000;

const CUT: &str = "> **This is only the beginning:** the plan is too long for a comment. The job's log or its files have it whole.\n\n";

/// The line by which the comment of one config on one instance is known; not shown by GitLab.
pub fn marker(config: &str, instance: &str) -> String {
    let word = |text| utf8_percent_encode(text, TELLING);
    format!("<!-- autogit plan {} {} -->", word(config), word(instance))
}

/// The comment: `marker`, and as much of `text` as fits.
pub fn comment(marker: &str, text: &str) -> String {
    let text = without_quick_actions(text.trim_end());
    let whole = format!("{marker}\n\n{text}\n");
    let Some((end, _)) = whole.char_indices().nth(LONGEST) else {
        return whole;
    };
    let room = end - CUT.len() - marker.len() - "\n\n\n".len();
    let fits = text
        .char_indices()
        .map(|(at, _)| at)
        .take_while(|at| *at <= room)
        .last();
    let beginning = &text[..fits.unwrap_or_default()];
    let lines = beginning.rfind('\n').unwrap_or(beginning.len());
    format!("{marker}\n\n{CUT}{}\n", &beginning[..lines])
}

/// GitLab carries out a line of a comment that begins with a slash, such as `/merge`: a plan must not be able to say it.
fn without_quick_actions(text: &str) -> String {
    let escaped = |line: &str| {
        let indent = line.len() - line.trim_start().len();
        match line[indent..].starts_with('/') {
            true => format!("{}\\{}", &line[..indent], &line[indent..]),
            false => line.to_owned(),
        }
    };
    text.lines().map(escaped).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_one_line_whatever_it_is_made_of() {
        let marker = marker("--> \n/x.yaml", "https://h/--><script>");
        assert_eq!(marker.lines().count(), 1);
        assert_eq!(marker.matches("-->").count(), 1);
        assert_ne!(super::marker("a", "b c"), super::marker("a b", "c"));
    }

    #[test]
    fn what_is_too_long_is_cut_at_a_line_and_says_so() {
        let marker = marker("autogit.yaml", "https://git.example.org");
        let line = "- é is more than a byte\n";
        let short = comment(&marker, line);
        assert_eq!(short, format!("{marker}\n\n- é is more than a byte\n"));
        let long = comment(&marker, &line.repeat(60_000));
        assert!(long.chars().count() <= LONGEST);
        assert!(long.len() > LONGEST / 2, "{}", long.len());
        assert!(long.starts_with(&format!("{marker}\n\n> **This is only the beginning")));
        assert!(long.ends_with(line));
        let exact = "x".repeat(LONGEST - marker.chars().count() - 3);
        assert!(!comment(&marker, &exact).contains("beginning"));
        assert!(comment(&marker, &format!("{exact}x")).contains("beginning"));
    }

    #[test]
    fn no_line_is_a_quick_action() {
        let body = comment("<!-- m -->", "/merge\n  /approve\n- /fine\n");
        assert_eq!(body, "<!-- m -->\n\n\\/merge\n  \\/approve\n- /fine\n");
    }
}
