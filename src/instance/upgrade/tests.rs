//! What is judged of a change of version.

use proptest::prelude::*;

use super::*;

fn versions(from: &str, to: &str) -> Versions {
    Versions {
        from: Release::of_image(from),
        to: Release::of_image(to),
        is_other_image: true,
    }
}

/// From and to one version each, of the Community Edition.
fn ce(from: &str, to: &str) -> Versions {
    let image = |version: &str| format!("gitlab/gitlab-ce:{version}-ce.0");
    versions(&image(from), &image(to))
}

#[test]
fn a_jump_is_refused_with_the_whole_way() {
    let refusal = weigh(ce("17.9.0", "18.8.4")).unwrap_err();
    assert_eq!(
        refusal,
        "GitLab cannot be upgraded from 17.9.0 to 18.8.4 at once: deploy the last patch of 17.11 first \
         (17.9.0 → 17.11.x → 18.2.x → 18.5.x → 18.8.4)"
    );
    for (from, to) in [("18.5.3", "18.8.4"), ("18.8.4", "18.8.5"), ("18.8.4", "18.11.1")] {
        assert_eq!(weigh(ce(from, to)), Ok(()), "{from} {to}");
    }
}

#[test]
fn there_is_no_way_back() {
    for to in ["18.8.3", "18.5.3", "17.11.0"] {
        let refusal = weigh(ce("18.8.4", to)).unwrap_err();
        assert!(
            refusal.contains("cannot go back") && refusal.contains("backup restore"),
            "{refusal}"
        );
    }
}

#[test]
fn editions_go_one_way() {
    let (ce, ee) = ("gitlab/gitlab-ce:18.8.4-ce.0", "gitlab/gitlab-ee:18.8.4-ee.0");
    assert!(
        weigh(versions(ee, ce))
            .unwrap_err()
            .contains("convert_to_ee/revert")
    );
    assert_eq!(weigh(versions(ce, ee)), Ok(()));
    assert!(steps(versions(ce, ee), None)[0].contains("becomes the Enterprise Edition"));
    assert_eq!(Release::of_data(b"18.8.4\n").unwrap().edition, Some(Edition::Ce));
    assert_eq!(
        Release::of_data(b"18.8.4-ee\n").unwrap().edition,
        Some(Edition::Ee)
    );
}

#[test]
fn a_digest_alone_is_no_version_to_upgrade_to() {
    let to = "gitlab/gitlab-ce@sha256:00";
    let refusal = weigh(versions("gitlab/gitlab-ce:18.8.4-ce.0", to)).unwrap_err();
    assert!(refusal.contains("write the tag before the digest"), "{refusal}");
    let new = Versions {
        from: None,
        to: None,
        is_other_image: true,
    };
    assert_eq!(weigh(new), Ok(()));
}

#[test]
fn the_steps_are_told_in_their_order() {
    let steps = steps(ce("18.5.3", "18.8.4"), None);
    assert_eq!(
        steps,
        [
            "upgrade 18.5.3 → 18.8.4, in this order:",
            "  1. the settings are checked against 18.8.4",
            "  2. background migrations of 18.5.3 are awaited, up to 2h",
            "  3. a backup is made",
            "  4. the container is made anew, and database migrations run as it starts: users are cut off until it is \
             ready, 5 to 20 minutes as a rule",
            "  5. background migrations go on while it is in use; the next upgrade awaits them",
            "what else changes: https://docs.gitlab.com/update/versions/gitlab_18_changes/",
        ]
    );
}

#[test]
fn a_backup_has_somewhere_to_go_or_is_declined() {
    let declined = Upgrade {
        backup: Some(false),
        migrations_within: None,
    };
    let patch = ce("18.8.4", "18.8.5");
    let lacking = lacks_backup(patch, false, None).unwrap();
    assert!(lacking.contains("upgrade: {backup: false}"), "{lacking}");
    assert_eq!(lacks_backup(patch, true, None), None);
    assert_eq!(lacks_backup(patch, false, Some(&declined)), None);
    assert_eq!(lacks_backup(ce("18.8.4", "18.8.4"), false, None), None);
}

#[test]
fn a_patch_takes_less() {
    let declined = Upgrade {
        backup: Some(false),
        migrations_within: None,
    };
    let steps = steps(ce("18.8.4", "18.8.5"), Some(&declined));
    assert_eq!(steps.len(), 3);
    assert!(steps[1].contains("no backup is made"), "{steps:?}");
    assert!(super::steps(ce("18.8.4", "18.8.4"), None).is_empty());
    assert!(
        super::steps(ce("16.11.9", "17.3.0"), None)
            .last()
            .unwrap()
            .contains("17.1")
    );
}

proptest! {
    /// What is allowed is never a jump nor a step back.
    #[test]
    fn only_steps_to_the_next_stop_are_allowed(a in (15..30_u16, 0..12_u16), b in (15..30_u16, 0..12_u16)) {
        let image = |(major, minor)| format!("gitlab/gitlab-ce:{major}.{minor}.0-ce.0");
        let judged = versions(&image(a), &image(b));
        let (from, to) = (judged.from.unwrap().version, judged.to.unwrap().version);
        let is_a_step = from <= to && stops::path(from, to).len() == 1;
        prop_assert_eq!(weigh(judged).is_ok(), is_a_step);
    }
}
