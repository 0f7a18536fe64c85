//! Amounts with their units: `8GiB`, `20m`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Units of [`Size`], largest first.
const UNITS: [(&str, u64); 4] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
];

/// Bytes, written `512MiB`, `8GiB` or `1TiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = UNITS
            .iter()
            .find(|(_, unit)| self.0 > 0 && self.0.is_multiple_of(*unit));
        match exact {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl Size {
    fn parse(text: &str) -> Option<Self> {
        let (name, unit) = UNITS.iter().find(|(name, _)| text.ends_with(name))?;
        let count: u64 = text.strip_suffix(name)?.parse().ok()?;
        count.checked_mul(*unit).map(Size)
    }
}

/// A span of time, written `30s`, `20m` or `2h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub std::time::Duration);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            seconds if seconds > 0 && seconds % 3600 == 0 => write!(f, "{}h", seconds / 3600),
            seconds if seconds > 0 && seconds % 60 == 0 => write!(f, "{}m", seconds / 60),
            seconds => write!(f, "{seconds}s"),
        }
    }
}

impl Duration {
    /// Reads `20m`; `None` for what is no such amount.
    pub fn parse(text: &str) -> Option<Self> {
        let unit = match text.chars().last()? {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86400,
            _ => return None,
        };
        let count: u64 = text[..text.len() - 1].parse().ok()?;
        let seconds = count.checked_mul(unit)?;
        Some(Duration(std::time::Duration::from_secs(seconds)))
    }
}

macro_rules! as_text {
    ($type:ty, $pattern:literal, $example:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let wrong = || serde::de::Error::custom(concat!("write it like `", $example, "`"));
                Self::parse(&text).ok_or_else(wrong)
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": $pattern, "examples": [$example]})
            }
        }
    };
}

as_text!(Size, "^[1-9][0-9]{0,8}(KiB|MiB|GiB|TiB)$", "8GiB");
as_text!(Duration, "^[1-9][0-9]{0,8}[smhd]$", "20m");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_back_as_written() {
        for text in ["512MiB", "8GiB", "1TiB"] {
            assert_eq!(Size::parse(text).unwrap().to_string(), text);
        }
        for text in ["30s", "20m", "2h"] {
            assert_eq!(Duration::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Duration::parse("1d").unwrap().to_string(), "24h");
        assert!(Size::parse("8G").is_none() && Size::parse("99999999999TiB").is_none());
    }
}
