//! Versions of GitLab, and the stops on the way from one to another. Pure.
//!
//! Source: <https://docs.gitlab.com/update/upgrade_paths/>.

use std::fmt;

use crate::config::Edition;

/// A version of GitLab: `18.8.4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// `18`.
    pub major: u16,
    /// `8`.
    pub minor: u16,
    /// `4`.
    pub patch: u16,
}

/// A version of an edition, as an image or a file of GitLab names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// Its version.
    pub version: Version,
    /// Its edition, where it is told.
    pub edition: Option<Edition>,
}

/// A minor version that an upgrade must not jump over: `18.5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stop {
    /// `18`.
    pub major: u16,
    /// `5`.
    pub minor: u16,
}

/// The stops before they came to follow a rule, with 17.5. Older ones lead to versions that no image is run of any more.
const LISTED: [(u16, u16); 7] = [(15, 0), (15, 4), (15, 11), (16, 3), (16, 7), (16, 11), (17, 3)];
/// The first stop that follows the rule.
const RULED_FROM: (u16, u16) = (17, 5);
/// The minor versions that are stops, by the rule.
const RULED: [u16; 4] = [2, 5, 8, 11];

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl Version {
    /// Reads `18.8.4`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(|part| {
            let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| part.parse().ok()).flatten()
        });
        let version = Version {
            major: parts.next()??,
            minor: parts.next()??,
            patch: parts.next()??,
        };
        parts.next().is_none().then_some(version)
    }

    /// Its minor version.
    pub fn minor(self) -> Stop {
        Stop {
            major: self.major,
            minor: self.minor,
        }
    }
}

impl Release {
    /// Reads `18.8.4-ce.0` (a tag), `18.8.4-ee` or `18.8.4` (a file `VERSION`); `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (version, rest) = text.trim().split_once('-').unwrap_or((text.trim(), ""));
        let edition = match rest.split('.').next() {
            Some("ce") => Some(Edition::Ce),
            Some("ee") => Some(Edition::Ee),
            _ => None,
        };
        Some(Release {
            version: Version::parse(version)?,
            edition,
        })
    }

    /// What the data of an instance says of the version that last used it: only the Enterprise Edition names itself.
    pub fn of_data(told: &[u8]) -> Option<Self> {
        let release = Release::parse(&String::from_utf8_lossy(told))?;
        Some(Release {
            edition: release.edition.or(Some(Edition::Ce)),
            ..release
        })
    }

    /// What the name of an image tells: nothing, where it has a digest alone, or a tag of one's own.
    pub fn of_image(image: &str) -> Option<Self> {
        let named = image.split('@').next().unwrap_or_default();
        let (repository, tag) = named.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'))?;
        let mut release = Release::parse(tag)?;
        let by_name = [("gitlab-ce", Edition::Ce), ("gitlab-ee", Edition::Ee)];
        let named = by_name.iter().find(|(name, _)| repository.ends_with(name));
        release.edition = release.edition.or(named.map(|(_, edition)| *edition));
        Some(release)
    }
}

impl Stop {
    /// The stop after this minor version.
    fn after(self) -> Stop {
        let here = (self.major, self.minor);
        let listed = LISTED.iter().chain([&RULED_FROM]).find(|stop| **stop > here);
        let (major, minor) = match (listed, RULED.iter().find(|minor| **minor > self.minor)) {
            (Some(stop), _) => *stop,
            (None, Some(minor)) => (self.major, *minor),
            (None, None) => (self.major + 1, RULED[0]),
        };
        Stop { major, minor }
    }
}

/// The stop after a version: the next that an upgrade must not jump over.
pub fn next_stop(version: Version) -> Stop {
    version.minor().after()
}

/// The minor versions to be deployed one after the other on the way from one version to another, the last included. One alone: there is
/// no stop between.
pub fn path(from: Version, to: Version) -> Vec<Stop> {
    let stops = std::iter::successors(Some(from.minor().after()), |stop| Some(stop.after()));
    let mut path: Vec<Stop> = stops.take_while(|stop| *stop < to.minor()).collect();
    path.push(to.minor());
    path
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    fn way(from: &str, to: &str) -> String {
        let path: Vec<_> = path(version(from), version(to))
            .iter()
            .map(ToString::to_string)
            .collect();
        path.join(" ")
    }

    #[test]
    fn the_stops_are_those_that_gitlab_lists() {
        let all = "15.0 15.4 15.11 16.3 16.7 16.11 17.3 17.5 17.8 17.11 18.2 18.5 18.8 18.11 19.2 19.3";
        assert_eq!(way("14.10.5", "19.3.0"), all);
        assert_eq!(way("18.2.4", "18.8.4"), "18.5 18.8");
        assert_eq!(way("18.2.4", "18.5.3"), "18.5");
        assert_eq!(way("18.5.0", "18.5.3"), "18.5");
        assert_eq!(way("18.6.1", "18.7.0"), "18.7");
        assert_eq!(way("17.11.7", "18.0.1"), "18.0");
        assert_eq!(way("18.11.1", "19.4.0"), "19.2 19.4");
    }

    #[test]
    fn releases_are_read_from_tags_and_files_and_nothing_else() {
        let release = |text: &str, edition| Release {
            version: version(text),
            edition,
        };
        let (ce, ee) = (Some(Edition::Ce), Some(Edition::Ee));
        for (image, expected) in [
            ("gitlab/gitlab-ce:18.8.4-ce.0", Some(release("18.8.4", ce))),
            (
                "registry.lan:5000/gitlab/gitlab-ee:18.8.4-ee.0",
                Some(release("18.8.4", ee)),
            ),
            (
                "gitlab/gitlab-ce:18.8.4-ce.0@sha256:00",
                Some(release("18.8.4", ce)),
            ),
            ("mirror.lan/gitlab-ee:18.8.4", Some(release("18.8.4", ee))),
            ("autogit-standin:18.8.4-ce.0", Some(release("18.8.4", ce))),
            ("gitlab/gitlab-ce@sha256:00", None),
            ("registry.lan:5000/gitlab-ce", None),
            ("gitlab/gitlab-ce:latest", None),
            ("ours:2026.03", None),
        ] {
            assert_eq!(Release::of_image(image), expected, "{image}");
        }
        assert_eq!(Release::parse("18.8.4\n"), Some(release("18.8.4", None)));
        assert_eq!(Release::parse("18.8.4-ee\n"), Some(release("18.8.4", ee)));
        for text in [
            "",
            "18.8",
            "18.8.4.1",
            "v18.8.4",
            "18.8.x",
            "18.+8.4",
            "99999.1.1",
        ] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    prop_compose! {
        fn any_version()(major in 15..30_u16, minor in 0..12_u16, patch in 0..20_u16) -> Version {
            Version { major, minor, patch }
        }
    }

    proptest! {
        /// Whoever goes the path step by step is never sent by another way, and no step of it jumps.
        #[test]
        fn every_step_of_a_path_is_allowed(a in any_version(), b in any_version()) {
            let (from, to) = (a.min(b), a.max(b));
            let path = path(from, to);
            prop_assert!(path.is_sorted());
            prop_assert_eq!(*path.last().unwrap(), to.minor());
            let mut here = from;
            for stop in path {
                let next = Version { major: stop.major, minor: stop.minor, patch: to.patch };
                prop_assert_eq!(super::path(here, next).len(), 1, "{} to {}", here, next);
                here = next;
            }
        }

        /// However far somebody goes, at every stop between they have been.
        #[test]
        fn no_stop_is_left_out(a in any_version(), b in any_version()) {
            let (from, to) = (a.min(b), a.max(b));
            let path = path(from, to);
            for major in from.major..=to.major {
                for minor in RULED {
                    let stop = Stop { major, minor };
                    let is_ruled = (major, minor) >= RULED_FROM;
                    let is_between = from.minor() < stop && stop < to.minor();
                    prop_assert!(!(is_ruled && is_between) || path.contains(&stop));
                }
            }
        }
    }
}
