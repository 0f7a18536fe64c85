//! Users and tokens.

use serde_json::{Map, Value, json};

use super::{View, members, time};
use crate::store::{PersonalAccessToken, Source, User};

impl View<'_> {
    /// What everyone sees of a user.
    pub fn user_basic(self, user: &User) -> Value {
        json!({
            "id": user.id,
            "username": user.username,
            "public_email": "",
            "name": user.name,
            "state": user.state,
            "locked": false,
            "avatar_url": null,
            "web_url": format!("{}/{}", self.app.url(), user.username),
        })
    }

    /// A user's profile, as others see it.
    pub fn user(self, user: &User) -> Value {
        Value::Object(self.profile(user))
    }

    /// A user as they see themselves; an administrator sees more.
    pub fn user_public(self, user: &User) -> Value {
        let mut entity = self.profile(user);
        let admin = self.user.is_some_and(|viewer| viewer.admin);
        entity.extend(members(json!({
            "last_sign_in_at": null,
            "confirmed_at": time(user.created_at),
            "last_activity_on": null,
            "email": user.email,
            "theme_id": 3,
            "color_scheme_id": 1,
            "projects_limit": user.projects_limit,
            "current_sign_in_at": null,
            "identities": [],
            "can_create_group": user.can_create_group,
            "can_create_project": user.projects_limit > 0,
            "two_factor_enabled": false,
            "external": user.external,
            "private_profile": user.private_profile,
            "commit_email": user.email,
            "preferred_language": "en",
        })));
        if self.app.is_ee() {
            entity.insert("shared_runners_minutes_limit".to_owned(), Value::Null);
            entity.insert("extra_shared_runners_minutes_limit".to_owned(), Value::Null);
            entity.insert("scim_identities".to_owned(), json!([]));
        }
        if admin {
            entity.extend(members(json!({
                "is_admin": user.admin,
                "note": null,
                "namespace_id": user.namespace_id,
                "created_by": null,
            })));
        }
        Value::Object(entity)
    }

    /// A user by themselves, as an administrator sees them.
    pub fn user_details(self, user: &User) -> Value {
        let roles = self
            .store
            .members
            .iter()
            .filter(|member| member.user_id == user.id);
        let highest = roles.map(|member| member.access_level).max().unwrap_or(0);
        let mut entity = members(self.user_public(user));
        entity.extend(members(json!({
            "highest_role": highest,
            "current_sign_in_ip": null,
            "last_sign_in_ip": null,
            "sign_in_count": 0,
        })));
        Value::Object(entity)
    }

    fn profile(self, user: &User) -> Map<String, Value> {
        let mut entity = members(self.user_basic(user));
        entity.extend(members(json!({
            "created_at": time(user.created_at),
            "bio": "",
            "location": "",
            "linkedin": "",
            "twitter": "",
            "discord": "",
            "website_url": "",
            "github": "",
            "job_title": "",
            "pronouns": null,
            "organization": "",
            "bot": user.bot_of.is_some(),
            "work_information": null,
            "local_time": null,
            "followers": 0,
            "following": 0,
        })));
        if self.user.is_some() {
            entity.insert("is_followed".to_owned(), json!(false));
        }
        entity
    }

    /// A token, without its secret.
    pub fn token(self, token: &PersonalAccessToken) -> Value {
        json!({
            "id": token.id,
            "name": token.name,
            "revoked": token.revoked,
            "created_at": time(token.created_at),
            "description": token.description,
            "scopes": token.scopes,
            "user_id": token.user_id,
            "last_used_at": token.last_used_at.map(time),
            "active": token.is_active(),
            "expires_at": token.expires_at,
        })
    }

    /// A token, with the addresses it was used from, which the sandbox does not keep.
    pub fn token_with_uses(self, token: &PersonalAccessToken) -> Value {
        let mut entity = self.token(token);
        entity["last_used_ips"] = json!([]);
        entity
    }

    /// The token of a project or group.
    pub fn resource_token(self, token: &PersonalAccessToken) -> Value {
        let bot_of = self.store.users.get(token.user_id).and_then(|user| user.bot_of);
        let member = bot_of.and_then(|source| self.store.members.find(&(source, token.user_id)));
        let mut entity = self.token(token);
        entity["access_level"] = json!(member.map(|member| member.access_level));
        entity["resource_type"] = json!(match bot_of {
            Some(Source::Project(_)) => "project",
            _ => "group",
        });
        entity["resource_id"] = json!(bot_of.map(|(Source::Project(id) | Source::Group(id))| id));
        entity
    }
}
