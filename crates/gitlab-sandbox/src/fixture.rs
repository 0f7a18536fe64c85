//! A small forge for unit tests: one group, one project, and a user of every role.

use jiff::Timestamp;
use serde_json::Map;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::{
    app::{App, Edition, Options},
    auth::Identity,
    rest, secret,
    store::{
        AccessLevel, DeployKey, Grantee, Group, Member, PersonalAccessToken, Project, ProtectedBranch,
        Sequence, Source, Store, User, UserState, Visibility,
    },
};

/// The project `acme/app`.
pub const PROJECT: u64 = 1;

/// Users in the order of their ids: an administrator, and one for every role in the group `acme`.
pub const USERS: [(&str, u8); 6] = [
    ("root", 0),
    ("guest", 10),
    ("reporter", 20),
    ("developer", 30),
    ("maintainer", 40),
    ("stranger", 0),
];

/// A store in a directory of its own.
pub struct Forge {
    pub app: App,
    /// `http://host:port`; nothing listens there until [`Forge::serve`].
    pub url: String,
    listener: Option<TcpListener>,
    _dir: TempDir,
}

impl Forge {
    pub async fn new(edition: Edition) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let mut options = Options::new(dir.path());
        options.edition = edition;
        let app = App::open(options, url.clone()).expect("an empty directory");
        app.write(|store| {
            fill(store);
            Ok(())
        })
        .expect("a log");
        Self {
            app,
            url,
            listener: Some(listener),
            _dir: dir,
        }
    }

    /// Serves in the background until the test ends.
    pub fn serve(&mut self) {
        let listener = self.listener.take().expect("is served once");
        let service = rest::router(self.app.clone());
        tokio::spawn(async move { axum::serve(listener, service).await });
    }

    /// The user of that name, with the scope `api`.
    pub fn identity(&self, username: &str) -> Identity {
        let store = self.app.read();
        let user = store.user_by_username(username).expect("a user of the fixture");
        Identity {
            user: Some(user.id),
            token: Some(user.id),
            scopes: vec!["api".to_owned()],
            demoted: None,
            job: None,
        }
    }

    /// The only token of that user.
    pub fn token(username: &str) -> String {
        format!("token-of-{username}")
    }

    pub fn protect(&self, name: &str, push: &[Grantee], merge: &[Grantee], allow_force_push: bool) -> u64 {
        self.app
            .write(|store| {
                let id = protect(store, PROJECT, name, (push, merge));
                store
                    .protected_branches
                    .update(id, |branch| branch.allow_force_push = allow_force_push);
                Ok(id)
            })
            .expect("a log")
    }

    /// A deploy key of the project that may push, of the user with that id.
    pub fn deploy_key(&self, user_id: u64) -> u64 {
        self.app
            .write(|store| {
                let id = store.deploy_keys.next_id();
                store.deploy_keys.insert(DeployKey {
                    id,
                    project_id: PROJECT,
                    user_id,
                    title: "release robot".to_owned(),
                    key: format!("ssh-ed25519 AAAA{id}"),
                    can_push: true,
                    expires_at: None,
                    created_at: Timestamp::now(),
                });
                Ok(id)
            })
            .expect("a log")
    }
}

fn fill(store: &mut Store) {
    let now = Timestamp::now();
    let group = add_group(store, "acme", None);
    for (username, level) in USERS {
        let id = add_user(store, username);
        store.users.update(id, |user| user.admin = username == "root");
        if level > 0 {
            let member = store.members.next_id();
            store.members.insert(Member {
                id: member,
                source: Source::Group(group),
                user_id: id,
                access_level: level,
                expires_at: None,
                created_by: None,
                created_at: now,
            });
        }
    }
    add_project(store, group, "app");
}

pub fn add_group(store: &mut Store, path: &str, parent: Option<u64>) -> u64 {
    let id = store.next(Sequence::Namespaces);
    let above = parent
        .and_then(|parent| store.groups.get(parent))
        .map(|group| format!("{}/", group.full_path));
    store.groups.insert(Group {
        id,
        name: path.to_uppercase(),
        path: path.to_owned(),
        parent_id: parent,
        full_path: format!("{}{path}", above.unwrap_or_default()),
        description: String::new(),
        visibility: Visibility::Private,
        archived: false,
        marked_for_deletion_on: None,
        runners_token: String::new(),
        created_at: Timestamp::now(),
        updated_at: Timestamp::now(),
        settings: Map::new(),
    });
    id
}

fn add_user(store: &mut Store, username: &str) -> u64 {
    let id = store.users.next_id();
    let namespace_id = store.next(Sequence::Namespaces);
    store.users.insert(User {
        id,
        username: username.to_owned(),
        name: username.to_uppercase(),
        email: format!("{username}@example.com"),
        state: UserState::Active,
        admin: false,
        namespace_id,
        can_create_group: true,
        projects_limit: 100,
        external: false,
        private_profile: false,
        bot_of: None,
        created_at: Timestamp::now(),
    });
    store.tokens.insert(PersonalAccessToken {
        id,
        user_id: id,
        name: "test".to_owned(),
        description: None,
        scopes: vec!["api".to_owned()],
        digest: secret::digest(&Forge::token(username)),
        revoked: false,
        previous: None,
        expires_at: None,
        last_used_at: None,
        created_at: Timestamp::now(),
    });
    id
}

pub fn add_project(store: &mut Store, namespace_id: u64, path: &str) -> u64 {
    let id = store.projects.next_id();
    let above = store
        .groups
        .get(namespace_id)
        .map(|group| group.full_path.clone())
        .unwrap_or_default();
    store.projects.insert(Project {
        id,
        name: path.to_owned(),
        path: path.to_owned(),
        namespace_id,
        full_path: format!("{above}/{path}"),
        creator_id: 1,
        description: None,
        visibility: Visibility::Private,
        topics: Vec::new(),
        forked_from: None,
        import: None,
        default_branch: None,
        archived: false,
        marked_for_deletion_on: None,
        awaits_protection: false,
        readme: None,
        runners_token: String::new(),
        created_at: Timestamp::now(),
        updated_at: Timestamp::now(),
        last_activity_at: Timestamp::now(),
        settings: Map::new(),
    });
    id
}

pub fn protect(
    store: &mut Store,
    project_id: u64,
    name: &str,
    (push, merge): (&[Grantee], &[Grantee]),
) -> u64 {
    let mut levels = |grantees: &[Grantee]| {
        let level = |who: &Grantee| AccessLevel {
            id: store.next(Sequence::AccessLevels),
            who: *who,
        };
        grantees.iter().map(level).collect()
    };
    let (push_access_levels, merge_access_levels) = (levels(push), levels(merge));
    let id = store.protected_branches.next_id();
    store.protected_branches.insert(ProtectedBranch {
        id,
        project_id,
        name: name.to_owned(),
        allow_force_push: false,
        code_owner_approval_required: false,
        push_access_levels,
        merge_access_levels,
        unprotect_access_levels: Vec::new(),
        created_at: Timestamp::now(),
        updated_at: Timestamp::now(),
    });
    id
}
