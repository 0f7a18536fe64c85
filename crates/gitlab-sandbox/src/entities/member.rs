//! Members, protected branches and deploy keys.

use ring::digest;
use serde_json::{Value, json};

use super::{View, members, time};
use crate::store::{AccessLevel, DeployKey, Grantee, Member, ProtectedBranch};

impl View<'_> {
    pub fn member(self, member: &Member) -> Value {
        let user = self.store.users.get(member.user_id);
        let mut entity = user
            .map(|user| members(self.user_basic(user)))
            .unwrap_or_default();
        entity.extend(members(json!({
            "access_level": member.access_level,
            "created_at": time(member.created_at),
            "expires_at": member.expires_at,
        })));
        if let Some(creator) = member.created_by.and_then(|id| self.store.users.get(id)) {
            entity.insert("created_by".to_owned(), self.user_basic(creator));
        }
        if self.app.is_ee() {
            if let Some(user) = user.filter(|_| self.user.is_some_and(|viewer| viewer.admin)) {
                entity.insert("email".to_owned(), json!(user.email));
            }
            entity.insert("membership_state".to_owned(), json!("active"));
        }
        Value::Object(entity)
    }

    pub fn protected_branch(self, branch: &ProtectedBranch) -> Value {
        let mut entity = members(json!({
            "id": branch.id,
            "name": branch.name,
            "push_access_levels": self.access_levels(&branch.push_access_levels, true),
            "merge_access_levels": self.access_levels(&branch.merge_access_levels, false),
            "allow_force_push": branch.allow_force_push,
        }));
        if self.app.is_ee() {
            let levels = self.access_levels(&branch.unprotect_access_levels, false);
            entity.insert("unprotect_access_levels".to_owned(), json!(levels));
            let required = branch.code_owner_approval_required;
            entity.insert("code_owner_approval_required".to_owned(), json!(required));
            entity.insert("inherited".to_owned(), json!(false));
        }
        Value::Object(entity)
    }

    /// Access levels; only those for pushing know deploy keys.
    fn access_levels(self, levels: &[AccessLevel], push: bool) -> Vec<Value> {
        let show = |level: &AccessLevel| {
            let role = match level.who {
                Grantee::Role(role) => role,
                _ => 40,
            };
            let mut entity = members(json!({
                "id": level.id,
                "access_level": role,
                "access_level_description": self.grantee(level.who),
            }));
            let mut id_of = |key: &str, id: Option<u64>| entity.insert(key.to_owned(), json!(id));
            if push {
                id_of(
                    "deploy_key_id",
                    if let Grantee::DeployKey(id) = level.who {
                        Some(id)
                    } else {
                        None
                    },
                );
            }
            if self.app.is_ee() {
                id_of(
                    "user_id",
                    if let Grantee::User(id) = level.who {
                        Some(id)
                    } else {
                        None
                    },
                );
                id_of(
                    "group_id",
                    if let Grantee::Group(id) = level.who {
                        Some(id)
                    } else {
                        None
                    },
                );
            }
            Value::Object(entity)
        };
        levels.iter().map(show).collect()
    }

    /// What GitLab calls a role, or the name of a user, group or key.
    pub fn grantee(self, who: Grantee) -> String {
        let named = |name: Option<&String>, kind: &str| name.cloned().unwrap_or_else(|| kind.to_owned());
        match who {
            Grantee::Role(0) => "No one".to_owned(),
            Grantee::Role(30) => "Developers + Maintainers".to_owned(),
            Grantee::Role(40) => "Maintainers".to_owned(),
            Grantee::Role(_) => "Instance admins".to_owned(),
            Grantee::User(id) => named(self.store.users.get(id).map(|user| &user.name), "User"),
            Grantee::Group(id) => named(self.store.groups.get(id).map(|group| &group.name), "Group"),
            Grantee::DeployKey(id) => {
                named(self.store.deploy_keys.get(id).map(|key| &key.title), "Deploy key")
            }
        }
    }

    pub fn deploy_key(self, key: &DeployKey) -> Value {
        json!({
            "id": key.id,
            "title": key.title,
            "created_at": time(key.created_at),
            "expires_at": key.expires_at.map(time),
            "last_used_at": null,
            "key": key.key,
            "usage_type": "auth",
            "fingerprint_sha256": fingerprint(&key.key),
            "can_push": key.can_push,
        })
    }
}

/// SHA-256 of the key's blob, as OpenSSH shows it.
fn fingerprint(key: &str) -> Option<String> {
    let blob = decode_base64(key.split_whitespace().nth(1)?)?;
    let digest = digest::digest(&digest::SHA256, &blob);
    Some(format!("SHA256:{}", encode_base64(digest.as_ref())))
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for char in text.trim_end_matches('=').bytes() {
        let value = BASE64.iter().position(|known| *known == char)?;
        bits = (bits << 6 | u32::try_from(value).ok()?) & 0xff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    Some(bytes)
}

/// Without padding.
fn encode_base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for place in 0..=chunk.len() {
            let index = (bits >> (18 - 6 * place)) & 0x3f;
            text.push(char::from(BASE64[usize::try_from(index).unwrap_or(0)]));
        }
    }
    text
}
