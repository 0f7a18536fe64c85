//! Reads a `gitlab.rb` back: what it sets, as far as that stands there literally. It is Ruby, and nothing of it is run.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::place::MOUNT;
use super::Ruby;
use crate::config::deploy::names_secret;

/// Something that a `gitlab.rb` sets.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The line that it begins on, counted from 1.
    pub number: usize,
    /// What is set, written as in [`super::Settings`]; the first word of a statement that sets nothing known.
    pub key: String,
    /// The value; `None` when it is more than a literal, so that only Ruby could tell.
    pub value: Option<Ruby>,
}

/// Everything that `text` sets, in its order. What is commented out sets nothing.
pub fn parse(text: &str) -> Vec<Line> {
    let mut reader = Reader { text, at: 0 };
    let (mut lines, mut counted, mut number) = (Vec::new(), 0, 1);
    while reader.find_statement() {
        number += text[counted..reader.at].matches('\n').count();
        counted = reader.at;
        let (key, value) = reader.statement();
        lines.push(Line { number, key, value });
    }
    lines
}

impl Line {
    /// The value as it may be shown, which no secret is.
    pub fn shown(&self) -> Value {
        match &self.value {
            _ if names_secret(&self.key) => "(secret)".into(),
            None => "(computed)".into(),
            Some(value) => veiled(value).to_json(),
        }
    }
}

/// A value in which what its keys call secret is replaced.
fn veiled(value: &Ruby) -> Ruby {
    match value {
        Ruby::List(items) => items.iter().map(veiled).collect(),
        Ruby::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| match names_secret(key) {
                true => (key.clone(), "(secret)".into()),
                false => (key.clone(), veiled(value)),
            });
            Ruby::Map(entries.collect())
        }
        plain => plain.clone(),
    }
}

/// A place in the text, always between two characters.
#[derive(Clone, Copy)]
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// Passes `literal` if it is next.
    fn eat(&mut self, literal: &str) -> bool {
        let is_next = self.rest().starts_with(literal);
        self.at += if is_next { literal.len() } else { 0 };
        is_next
    }

    /// Passes the characters that `fits`, and returns them.
    fn while_(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|next| !fits(next)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn spaces(&mut self) -> bool {
        !self.while_(|next| next == ' ' || next == '\t').is_empty()
    }

    /// Passes spaces, line breaks and comments.
    fn blank(&mut self) {
        loop {
            self.while_(char::is_whitespace);
            match self.peek() {
                Some('#') => self.while_(|next| next != '\n'),
                _ => return,
            };
        }
    }

    /// Goes to where the next statement begins, if there is one.
    fn find_statement(&mut self) -> bool {
        loop {
            self.blank();
            let begins_line = self.at == 0 || self.text[..self.at].ends_with('\n');
            if self.eat(";") {
                continue;
            }
            if begins_line && self.rest().lines().next() == Some("__END__") {
                return false;
            }
            if begins_line && self.rest().starts_with("=begin") {
                let end = self.rest().find("\n=end");
                self.at = end.map_or(self.text.len(), |end| self.at + end + 1);
                self.while_(|next| next != '\n');
                continue;
            }
            return self.peek().is_some();
        }
    }

    /// One statement: what it sets, and to what.
    fn statement(&mut self) -> (String, Option<Ruby>) {
        let start = *self;
        let key = self.key();
        let value = key.as_deref().and_then(|key| self.value_of(key));
        if value.is_none() {
            *self = start;
            let word = self.while_(|next| next.is_alphanumeric() || "_.:".contains(next));
            *self = start;
            self.skip();
            return (key.unwrap_or_else(|| word.to_owned()), None);
        }
        (key.unwrap_or_default(), value)
    }

    /// `external_url`, `gitlab_rails['smtp_address']`.
    fn key(&mut self) -> Option<String> {
        let mut key = self.name()?.to_owned();
        while self.eat("[") {
            let inner = match self.eat(":") {
                true => self.name()?.to_owned(),
                false => self.string()?,
            };
            if !self.eat("]") || inner.contains(['\'', '\\']) {
                return None;
            }
            key = format!("{key}['{inner}']");
        }
        Some(key)
    }

    fn name(&mut self) -> Option<&'a str> {
        let name = self.while_(|next| next.is_ascii_alphanumeric() || next == '_');
        let first = name.chars().next()?;
        (first == '_' || first.is_ascii_lowercase()).then_some(name)
    }

    /// What follows a key, up to the end of its statement. A plain name is a method, so that `=` would only name a variable.
    fn value_of(&mut self, key: &str) -> Option<Ruby> {
        let is_method = !key.ends_with(']');
        let spaced = self.spaces();
        let value = match (is_method, self.peek()?) {
            (false, '=') => {
                self.next();
                self.blank();
                self.value()
            }
            (true, '(') => {
                self.next();
                self.blank();
                let value = self.value();
                self.blank();
                value.filter(|_| self.eat(")"))
            }
            (true, _) if spaced => self.value(),
            _ => None,
        }?;
        self.spaces();
        let ends = matches!(self.peek(), None | Some('\n' | '\r' | '#' | ';'));
        ends.then_some(value)
    }

    fn value(&mut self) -> Option<Ruby> {
        match self.peek()? {
            '\'' | '"' => self.string().map(Ruby::Text),
            '[' => self.list(),
            '{' => self.map(),
            '%' => self.words(),
            'F' => self.secret(),
            next if next == '-' || next.is_ascii_digit() => self.number(),
            _ => match self.name()? {
                "nil" => Some(Ruby::Nil),
                "true" => Some(Ruby::Bool(true)),
                "false" => Some(Ruby::Bool(false)),
                _ => None,
            },
        }
    }

    fn number(&mut self) -> Option<Ruby> {
        let start = self.at;
        self.eat("-");
        let whole = self.while_(|next| next.is_ascii_digit() || next == '_');
        // Ruby takes a leading zero for octal.
        let is_decimal = whole == "0" || !whole.starts_with(['0', '_']) && !whole.ends_with('_');
        let fraction = self.rest().strip_prefix('.');
        let mut is_float = fraction.is_some_and(|rest| rest.starts_with(|next: char| next.is_ascii_digit()));
        if is_float {
            self.next();
            self.while_(|next| next.is_ascii_digit());
        }
        if self.eat("e") || self.eat("E") {
            is_float = true;
            let _ = self.eat("-") || self.eat("+");
            self.while_(|next| next.is_ascii_digit());
        }
        let text = self.text[start..self.at].replace('_', "");
        let number = match is_float {
            true => text.parse().map(Ruby::Float).ok(),
            false => text.parse().map(Ruby::Integer).ok(),
        };
        number.filter(|_| is_decimal)
    }

    fn string(&mut self) -> Option<String> {
        match self.next()? {
            '\'' => self.single_quoted(),
            '"' => self.double_quoted(),
            _ => None,
        }
    }

    fn single_quoted(&mut self) -> Option<String> {
        let mut text = String::new();
        loop {
            match self.next()? {
                '\'' => return Some(text),
                '\\' if matches!(self.peek(), Some('\'' | '\\')) => text.extend(self.next()),
                next => text.push(next),
            }
        }
    }

    /// Without interpolation, and with the escapes that mean one character.
    fn double_quoted(&mut self) -> Option<String> {
        let mut text = String::new();
        loop {
            match self.next()? {
                '"' => return Some(text),
                '#' if matches!(self.peek(), Some('{' | '$' | '@')) => return None,
                '\\' => text.push(self.escaped()?),
                next => text.push(next),
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        Some(match self.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            's' => ' ',
            'e' => '\u{1b}',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'v' => '\u{b}',
            'f' => '\u{c}',
            'u' if self.eat("{") => {
                let code = self.while_(|next| next.is_ascii_hexdigit());
                let code = u32::from_str_radix(code, 16).ok()?;
                self.eat("}").then(|| char::from_u32(code)).flatten()?
            }
            // Bytes, octal, control, a line that goes on.
            'u' | 'x' | 'c' | 'C' | 'M' | '0'..='7' | '\n' | '\r' => return None,
            other => other,
        })
    }

    fn list(&mut self) -> Option<Ruby> {
        self.next();
        let mut items = Vec::new();
        loop {
            self.blank();
            if self.eat("]") {
                return Some(Ruby::List(items));
            }
            items.push(self.value()?);
            self.blank();
            if !self.eat(",") && self.peek() != Some(']') {
                return None;
            }
        }
    }

    /// `%w[a b]`.
    fn words(&mut self) -> Option<Ruby> {
        if !self.eat("%w") {
            return None;
        }
        let close = match self.next()? {
            '[' => ']',
            '(' => ')',
            '{' => '}',
            _ => return None,
        };
        let words = self.while_(|next| next != close && next != '\\');
        self.next().filter(|next| *next == close)?;
        Some(words.split_whitespace().collect())
    }

    fn map(&mut self) -> Option<Ruby> {
        self.next();
        let mut entries = BTreeMap::new();
        loop {
            self.blank();
            if self.eat("}") {
                return Some(Ruby::Map(entries));
            }
            let key = self.map_key()?;
            self.blank();
            entries.insert(key, self.value()?);
            self.blank();
            if !self.eat(",") && self.peek() != Some('}') {
                return None;
            }
        }
    }

    /// `'key' =>`, `:key =>`, `key:`, `'key':`. Omnibus makes no difference between text and symbols as keys.
    fn map_key(&mut self) -> Option<String> {
        let (key, may_be_label) = match self.peek()? {
            '\'' | '"' => (self.string()?, true),
            ':' => {
                self.next();
                (self.name()?.to_owned(), false)
            }
            _ => {
                let key = self.while_(|next| next.is_ascii_alphanumeric() || next == '_');
                return self.eat(":").then(|| key.to_owned());
            }
        };
        if may_be_label && self.eat(":") {
            return Some(key);
        }
        self.blank();
        self.eat("=>").then_some(key)
    }

    /// `File.read('…')` of a file that AutoGit put there.
    fn secret(&mut self) -> Option<Ruby> {
        if !self.eat("File.read(") {
            return None;
        }
        let path = self.string()?;
        let name = path.strip_prefix(MOUNT)?.strip_prefix("/secrets/")?;
        self.eat(")").then(|| Ruby::Secret(name.to_owned()))
    }

    /// Passes a statement that is not understood: to the line break that ends it.
    fn skip(&mut self) {
        let (mut depth, mut last, mut heredocs) = (0_usize, ' ', Vec::new());
        while let Some(next) = self.peek() {
            match next {
                '#' => {
                    self.while_(|next| next != '\n');
                    continue;
                }
                '\'' | '"' | '`' => self.skip_string(),
                '<' if self.heredoc(&mut heredocs) => {}
                '\n' => {
                    self.next();
                    heredocs.drain(..).for_each(|end: &str| self.skip_heredoc(end));
                    if depth == 0 && !"=,\\|&+.".contains(last) {
                        return;
                    }
                    continue;
                }
                _ => {
                    self.next();
                    match next {
                        '[' | '(' | '{' => depth += 1,
                        ']' | ')' | '}' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                }
            }
            if !next.is_whitespace() {
                last = next;
            }
        }
    }

    fn skip_string(&mut self) {
        let quote = self.next();
        while let Some(next) = self.next() {
            match next {
                '\\' => {
                    self.next();
                }
                '#' if quote != Some('\'') && self.peek() == Some('{') => self.skip_interpolation(),
                next if Some(next) == quote => return,
                _ => {}
            }
        }
    }

    fn skip_interpolation(&mut self) {
        let mut depth = 0_usize;
        while let Some(next) = self.peek() {
            match next {
                '\'' | '"' | '`' => {
                    self.skip_string();
                    continue;
                }
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            self.next();
            if depth == 0 {
                return;
            }
        }
    }

    /// `<<EOS`, `<<-'EOS'`, `<<~EOS`: notes the word that ends it.
    fn heredoc(&mut self, ends: &mut Vec<&'a str>) -> bool {
        let start = *self;
        if self.eat("<<") {
            let indented = self.eat("-") || self.eat("~");
            let quoted = self.eat("'") || self.eat("\"");
            let word = self.while_(|next| next.is_alphanumeric() || next == '_');
            let is_constant = word.starts_with(|first: char| first.is_uppercase());
            if !word.is_empty() && (indented || quoted || is_constant) {
                let _ = quoted && (self.eat("'") || self.eat("\""));
                ends.push(word);
                return true;
            }
        }
        *self = start;
        false
    }

    fn skip_heredoc(&mut self, end: &str) {
        while self.peek().is_some() {
            let line = self.while_(|next| next != '\n');
            self.next();
            if line.trim() == end {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Settings, render};
    use super::*;

    fn value() -> impl Strategy<Value = Ruby> {
        let leaf = prop_oneof![
            Just(Ruby::Nil),
            any::<bool>().prop_map(Ruby::Bool),
            any::<i64>().prop_map(Ruby::Integer),
            (-1e20..1e20).prop_map(Ruby::Float),
            any::<String>().prop_map(Ruby::Text),
            "[ '\"\\\\#{}$@%\n\r\t=>]{0,12}".prop_map(Ruby::Text),
            "[a-z_]{1,12}".prop_map(Ruby::Secret),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Ruby::List),
                prop::collection::btree_map(any::<String>(), inner, 0..4).prop_map(Ruby::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_rendered_reads_back(
            settings in prop::collection::btree_map("[a-z_]{1,9}(\\['[a-z_]{1,9}'\\]){0,2}", value(), 0..8)
        ) {
            let settings: Settings = settings;
            let lines = parse(&render(&settings));
            let read = lines.into_iter().map(|line| (line.key, line.value));
            let written = settings.into_iter().map(|(key, value)| (key, Some(value)));
            prop_assert_eq!(read.collect::<Vec<_>>(), written.collect::<Vec<_>>());
        }

        #[test]
        fn any_text_is_read_to_its_end(text in "([a-z]{1,3}|[ =\n'\"\\[\\](){}<#\\\\-]|<<-?EOS\n){0,40}") {
            parse(&text);
        }
    }

    fn read(text: &str) -> Vec<(usize, String, Option<Ruby>)> {
        let lines = parse(text).into_iter();
        lines.map(|line| (line.number, line.key, line.value)).collect()
    }

    #[test]
    fn what_people_write_is_understood() {
        let text = r#"## GitLab URL
external_url "https://git.example.org" # the public one
registry_external_url('https://registry.example.org')
# gitlab_rails['time_zone'] = 'UTC'
  gitlab_rails["time_zone"]="Europe/Berlin"; nginx[:listen_port] = 80

gitlab_rails['trusted_proxies'] = %w[10.0.0.0/8 ::1]
gitlab_rails['omniauth_providers'] = [
  { name: "github", # ours
    'app_id' => 'x', :args => { scope: 'user:email' }, },
]
puma['worker_processes'] = 1_000
"#;
        let args = Ruby::Map(BTreeMap::from([("scope".into(), "user:email".into())]));
        let github = BTreeMap::from([
            ("name".into(), "github".into()),
            ("app_id".into(), "x".into()),
            ("args".into(), args),
        ]);
        let wanted: [(usize, &str, Ruby); 7] = [
            (2, "external_url", "https://git.example.org".into()),
            (3, "registry_external_url", "https://registry.example.org".into()),
            (5, "gitlab_rails['time_zone']", "Europe/Berlin".into()),
            (5, "nginx['listen_port']", 80.into()),
            (
                7,
                "gitlab_rails['trusted_proxies']",
                ["10.0.0.0/8", "::1"].into_iter().collect(),
            ),
            (
                8,
                "gitlab_rails['omniauth_providers']",
                Ruby::List(vec![Ruby::Map(github)]),
            ),
            (12, "puma['worker_processes']", 1000.into()),
        ];
        let wanted = wanted.map(|(number, key, value)| (number, key.to_owned(), Some(value)));
        assert_eq!(read(text), wanted);
    }

    #[test]
    fn what_only_ruby_could_tell_has_a_key_and_no_value() {
        let text = r##"gitlab_rails['ldap_servers'] = YAML.load <<-'EOS'
  main:
    password: "it's"
EOS
roles ['application_role']
nginx['listen_port'] = ENV['PORT'] || 80
gitlab_rails['a'] = "#{"}"}" +
  'x'
gitlab_rails['b'] = 'x' if true
external_url = 'http://a.example'
File.exist?('/x') and puts "y"
gitlab_rails['c'] = 1
=begin
gitlab_rails['d'] = 1
=end
__END__
gitlab_rails['e'] = 1
"##;
        let roles = ["application_role"].into_iter().collect();
        let wanted = [
            (1, "gitlab_rails['ldap_servers']", None),
            (5, "roles", Some(roles)),
            (6, "nginx['listen_port']", None),
            (7, "gitlab_rails['a']", None),
            (9, "gitlab_rails['b']", None),
            (10, "external_url", None),
            (11, "File.exist", None),
            (12, "gitlab_rails['c']", Some(1.into())),
        ];
        assert_eq!(
            read(text),
            wanted.map(|(number, key, value)| (number, key.to_owned(), value))
        );
    }

    #[test]
    fn no_secret_is_shown() {
        let text = "gitlab_rails['smtp_password'] = 'hunter2'\n\
            gitlab_rails['omniauth_providers'] = [{ 'args' => { 'client_secret' => 'hunter2', 'issuer' => 'x' } }]\n\
            gitlab_rails['db_key_base'] = ENV['hunter2']\n\
            nginx['ssl_certificate_key'] = '/etc/gitlab/ssl/key.pem'\n";
        let shown: Vec<_> = parse(text).iter().map(Line::shown).collect();
        let secret = "(secret)";
        assert_eq!(
            shown,
            [
                secret.into(),
                serde_json::json!([{"args": {"client_secret": secret, "issuer": "x"}}]),
                secret.into(),
                Value::from("/etc/gitlab/ssl/key.pem"),
            ]
        );
    }
}
