//! Users.

use apollo_compiler::resolvers::{ResolveInfo, ResolvedValue};

use super::object::gid;
use crate::entities::View;
use crate::store::{User, UserState};

/// A field of a user, of any of the types that show one.
pub fn user<'a>(view: View<'a>, user: &'a User, info: &ResolveInfo<'_>) -> Option<ResolvedValue<'a>> {
    let active = user.state == UserState::Active;
    Some(match info.field_name() {
        "active" => ResolvedValue::leaf(active),
        // The sandbox keeps no avatars, bots or public addresses.
        "avatarUrl" => ResolvedValue::null(),
        "bot" => ResolvedValue::leaf(false),
        "human" => ResolvedValue::leaf(true),
        "id" => gid("User", user.id),
        "name" => ResolvedValue::leaf(user.name.as_str()),
        "publicEmail" => ResolvedValue::leaf(""),
        "state" => ResolvedValue::leaf(if active { "active" } else { "blocked" }),
        "username" => ResolvedValue::leaf(user.username.as_str()),
        "webPath" => ResolvedValue::leaf(format!("/{}", user.username)),
        "webUrl" => ResolvedValue::leaf(format!("{}/{}", view.app.url(), user.username)),
        _ => return None,
    })
}
