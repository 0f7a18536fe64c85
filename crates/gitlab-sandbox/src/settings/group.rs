//! Settings of a group, with GitLab's defaults.

use super::{
    At,
    Initial::{Bool, Int, Null, Text},
    Kind::{self, Boolean, Integer, Level, OneOf},
    PROTECTION_DEFAULTS, Setting, Shown,
};

/// What both editions declare, beside name, path, description and visibility.
pub const GROUP: &[Setting] = &[
    Setting::new("share_with_group_lock", Boolean, Bool(false)),
    Setting::new("require_two_factor_authentication", Boolean, Bool(false)),
    Setting::new("two_factor_grace_period", Integer, Int(48)),
    Setting::new(
        "project_creation_level",
        OneOf(&["noone", "owner", "maintainer", "developer", "administrator"]),
        Text("developer"),
    ),
    Setting::new("auto_devops_enabled", Boolean, Null),
    Setting::new(
        "subgroup_creation_level",
        OneOf(&["owner", "maintainer"]),
        Text("maintainer"),
    ),
    Setting::new("emails_enabled", Boolean, Bool(true)),
    Setting::new("show_diff_preview_in_email", Boolean, Bool(true)),
    Setting::new("mentions_disabled", Boolean, Null),
    Setting::new("lfs_enabled", Boolean, Bool(true)),
    Setting::new("request_access_enabled", Boolean, Bool(true)),
    Setting::new("default_branch", Kind::Text, Null),
    Setting::new("default_branch_protection", Level(&[0, 1, 2, 3, 4]), Int(2)),
    Setting::new("default_branch_protection_defaults", PROTECTION_DEFAULTS, Null).shown(Shown::Elsewhere),
    Setting::new(
        "enabled_git_access_protocol",
        OneOf(&["ssh", "http", "all"]),
        Null,
    )
    .shown(Shown::Elsewhere),
    Setting::new(
        "shared_runners_setting",
        OneOf(&[
            "disabled_and_unoverridable",
            "disabled_and_overridable",
            "enabled",
        ]),
        Text("enabled"),
    )
    .at(At::Update),
    Setting::new("prevent_sharing_groups_outside_hierarchy", Boolean, Bool(false))
        .at(At::Update)
        .shown(Shown::Elsewhere),
    Setting::new("lock_math_rendering_limits_enabled", Boolean, Bool(false)).at(At::Update),
    Setting::new("math_rendering_limits_enabled", Boolean, Bool(true)).at(At::Update),
    Setting::new("max_artifacts_size", Integer, Null).at(At::Update),
];
