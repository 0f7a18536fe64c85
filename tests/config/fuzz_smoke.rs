//! A short run of what `fuzz/` does at length; `PROPTEST_CASES` makes it longer.

use autogit::config::starter;
use proptest::prelude::*;

use crate::load_any::load_any;

/// Pieces that YAML and the language give a meaning to.
const PIECES: &[&str] = &[
    "autogit: 1\n",
    "repos:\n",
    "  a/b:\n",
    "    topics: [x]\n",
    "presets: {p: {}}\n",
    "preset: p",
    "{",
    "}",
    "[",
    "]",
    ":",
    ": ",
    "- ",
    "? ",
    "\n",
    "\n  ",
    "\n\t",
    "\"",
    "'",
    "|\n  x\n",
    ">-\n",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "!x",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "#",
    ", ",
    "~",
    "null",
    "true",
    "1e9",
    "0x7f",
    "\u{feff}",
    "\r",
    "\r\n",
    "é",
    "\u{2028}",
    "\0",
    "gitlab: {token: x}\n",
    "absent: true",
    "moved_from: a/b",
    "protected_branches: {main: {}}",
    "rules: {r: {match: {path: \"**\"}}}\n",
    "locked: {topics: [x]}",
    "mode: report",
    "    members: {a: owner}\n",
    "    members_policy: exact\n",
    "at_least",
    "variables: {K: {value: {env: X}}}\n",
    "{exec: [x]}",
    "\"K:*\": ",
    "match: {not: [x], topics: [x], archived: true}",
    "groups: {a: {members: {b: 1}}}\n",
    "state: {gitlab: {project: a/b, name: x}}\n",
    "include: [x.yaml]\n",
    "prune: all\n",
    "x-y: &a ",
];

proptest! {
    #[test]
    fn fuzz_smoke_arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        load_any(&bytes);
    }

    #[test]
    fn fuzz_smoke_pieces_of_the_language(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..40)) {
        load_any(pieces.concat().as_bytes());
    }

    #[test]
    fn fuzz_smoke_mutated_starter(edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..6usize, proptest::sample::select(PIECES)), 1..6)) {
        let mut bytes = starter().as_bytes().to_vec();
        for (at, removed, piece) in edits {
            let at = at.index(bytes.len() + 1);
            let end = (at + removed).min(bytes.len());
            bytes.splice(at..end, piece.bytes());
        }
        load_any(&bytes);
    }
}
