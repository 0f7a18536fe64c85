//! Users.

use apollo_compiler::resolvers::{ResolveInfo, ResolvedValue};

use super::RESOURCE_NOT_AVAILABLE;
use super::connection::{Connection, Order, Place};
use super::object::{Arguments, Kind, Resolved, failed, gid, ids};
use crate::entities::View;
use crate::store::{User, UserState};

/// A field of a user, of any of the types that show one.
pub fn user<'a>(view: View<'a>, user: &'a User, info: &ResolveInfo<'_>) -> Option<ResolvedValue<'a>> {
    let active = user.state == UserState::Active;
    Some(match info.field_name() {
        "active" => ResolvedValue::leaf(active),
        // The sandbox keeps no avatars or public addresses.
        "avatarUrl" => ResolvedValue::null(),
        "bot" => ResolvedValue::leaf(user.bot_of.is_some()),
        "human" => ResolvedValue::leaf(user.bot_of.is_none()),
        "id" => gid("User", user.id),
        "name" => ResolvedValue::leaf(user.name.as_str()),
        "publicEmail" => ResolvedValue::leaf(""),
        "state" => ResolvedValue::leaf(if active { "active" } else { "blocked" }),
        "type" => ResolvedValue::leaf(match user.bot_of {
            Some(_) => "PROJECT_BOT",
            None => "HUMAN",
        }),
        "username" => ResolvedValue::leaf(user.username.as_str()),
        "webPath" => ResolvedValue::leaf(format!("/{}", user.username)),
        "webUrl" => ResolvedValue::leaf(format!("{}/{}", view.app.url(), user.username)),
        _ => return None,
    })
}

/// `users`: newest first. Only an administrator sees who is blocked.
pub fn list<'a>(view: View<'a>, info: &ResolveInfo<'_>) -> Resolved<'a> {
    if view.user.is_none() {
        return Err(failed(RESOURCE_NOT_AVAILABLE));
    }
    let names = info.texts("usernames");
    let ids = ids(info, "User")?;
    if names.is_some() && ids.is_some() {
        return Err(failed("Provide either a list of usernames or ids"));
    }
    let active = info.flag("active");
    let admins = info.flag("admins") == Some(true) && view.is_admin();
    let search = info.text("search").unwrap_or_default().to_lowercase();
    let is_named = |user: &User| {
        let named = |names: &Vec<&str>| names.iter().any(|name| user.username.eq_ignore_ascii_case(name));
        names.as_ref().is_none_or(named)
    };
    let is_found = |user: &User| {
        [&user.name, &user.username]
            .iter()
            .any(|name| name.to_lowercase().contains(&search))
    };
    let users = view
        .store
        .users
        .iter()
        .filter(|user| view.is_admin() || user.state == UserState::Active)
        .filter(|user| active.is_none_or(|active| active == (user.state == UserState::Active)))
        .filter(|user| !admins || user.admin)
        .filter(|user| ids.as_ref().is_none_or(|ids| ids.contains(&user.id)))
        .filter(|user| is_named(user) && is_found(user));
    let items = users.map(|user| {
        let place = Place {
            key: String::new(),
            id: user.id,
        };
        (place, Kind::User(user))
    });
    let order = Order {
        by: "id",
        descending: true,
    };
    let names = ("UserCoreConnection", "UserCoreEdge");
    Ok(Connection::page(names, order, items.collect(), info)?.into_value(view))
}
