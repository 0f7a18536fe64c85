//! Who may fetch from and push to a repository over HTTP, and what a push may do to protected branches.

use axum::http::{HeaderMap, StatusCode};

use crate::{
    auth::{self, Identity},
    job_token,
    policy::Ability,
    store::{Project, Source, Store, User},
};

/// What a client wants to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Fetch.
    UploadPack,
    /// Push.
    ReceivePack,
}

impl Service {
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "git-upload-pack" => Some(Self::UploadPack),
            "git-receive-pack" => Some(Self::ReceivePack),
            _ => None,
        }
    }

    /// Scopes of tokens that allow it.
    fn scopes(self) -> &'static [&'static str] {
        match self {
            Self::UploadPack => &["api", "read_api", "read_repository", "write_repository"],
            Self::ReceivePack => &["api", "write_repository"],
        }
    }
}

/// A refusal, as plain text.
pub type Denied = (StatusCode, &'static str);

const ACCESS_DENIED: Denied = (
    StatusCode::UNAUTHORIZED,
    "HTTP Basic: Access denied. If a password was provided for Git authentication, the password was incorrect or you're required to use a token instead of a password. If a token was provided, it was either incorrect, expired, or improperly scoped.",
);
const NOT_FOUND: Denied = (
    StatusCode::NOT_FOUND,
    "The project you were looking for could not be found or you don't have permission to view it.",
);

/// A request that is let through.
pub struct Granted {
    pub project: Project,
    /// `None` for an anonymous visitor, who can only fetch.
    pub username: Option<String>,
    /// What the hook has to know of the user.
    pub hook: Vec<(&'static str, String)>,
}

/// Decides on a request for the repository at `path`.
pub fn check(
    store: &Store,
    url: &str,
    path: &str,
    service: Service,
    headers: &HeaderMap,
) -> Result<Granted, Denied> {
    let project = find(store, path);
    let Some((login, token)) = auth::basic(headers) else {
        let public = project.filter(|project| store.can(None, Ability::ReadCode, *project));
        return match (public, service) {
            (Some(project), Service::UploadPack) => Ok(Granted {
                project: project.clone(),
                username: None,
                hook: Vec::new(),
            }),
            _ => Err(ACCESS_DENIED),
        };
    };
    let identity = match login == job_token::USER && job_token::is_one(&token) {
        true => job_token::authenticate(store, &token),
        false => auth::authenticate(store, &token),
    };
    let identity = identity.map_err(|_| ACCESS_DENIED)?;
    let user = identity
        .user
        .and_then(|id| store.users.get(id))
        .ok_or(ACCESS_DENIED)?;
    let job = identity.job.and_then(|id| store.jobs.get(id));
    let project = project
        .filter(|project| store.can(Some(user), Ability::ReadProject, *project))
        .filter(|project| job.is_none_or(|job| job.project_id == project.id));
    match job {
        Some(_) => check_job(project, service)?,
        None => check_scopes(&identity, service)?,
    }
    let project = project.ok_or(NOT_FOUND)?;
    check_abilities(store, user, project, service)?;
    Ok(Granted {
        project: project.clone(),
        username: Some(user.username.clone()),
        hook: hook(store, url, user, project),
    })
}

fn find<'a>(store: &'a Store, path: &str) -> Option<&'a Project> {
    store
        .project_by_path(path)
        .or_else(|| match store.redirect(path)? {
            Source::Project(id) => store.projects.get(id),
            Source::Group(_) => None,
        })
}

/// A job pushes only where its project lets it.
fn check_job(project: Option<&Project>, service: Service) -> Result<(), Denied> {
    let setting =
        project.and_then(|project| project.settings.get("ci_push_repository_for_job_token_allowed"));
    match service == Service::UploadPack || setting.is_some_and(|setting| setting == true) {
        true => Ok(()),
        false => Err((StatusCode::FORBIDDEN, "You are not allowed to upload code.")),
    }
}

fn check_scopes(identity: &Identity, service: Service) -> Result<(), Denied> {
    let has = |service: Service| service.scopes().iter().any(|scope| identity.has_scope(scope));
    if has(service) {
        return Ok(());
    }
    if has(Service::UploadPack) {
        return Err((StatusCode::FORBIDDEN, "You are not allowed to upload code."));
    }
    Err(ACCESS_DENIED)
}

fn check_abilities(store: &Store, user: &User, project: &Project, service: Service) -> Result<(), Denied> {
    let forbidden = |message| Err((StatusCode::FORBIDDEN, message));
    if !store.can(Some(user), Ability::ReadCode, project) {
        return forbidden("You are not allowed to download code from this project.");
    }
    if service == Service::UploadPack || store.can(Some(user), Ability::PushCode, project) {
        return Ok(());
    }
    if store.is_archived(project) {
        return forbidden("You can't push code to an archived project.");
    }
    forbidden("You are not allowed to push code to this project.")
}

/// The environment that `pre-receive.sh` reads.
fn hook(store: &Store, url: &str, user: &User, project: &Project) -> Vec<(&'static str, String)> {
    let flag = |flag: bool| if flag { "1" } else { "0" };
    let rules: Vec<_> = store
        .protected_branches
        .children(project.id)
        // No branch has these in its name, and to a shell they are patterns.
        .filter(|rule| !rule.name.contains(['?', '[', '\\', '\n']))
        .map(|rule| {
            let grants = |levels| store.grants(levels, user, project);
            format!(
                "{} {} {} {}",
                flag(grants(&rule.push_access_levels)),
                flag(grants(&rule.merge_access_levels)),
                flag(rule.allow_force_push),
                rule.name
            )
        })
        .collect();
    let first_push = match &project.default_branch {
        None if !store.can_push(Some(user), project, "") => format!(
            "\nA default branch (e.g. main) does not yet exist for {path}\nAsk a project Owner or Maintainer to create a default branch:\n\n  {url}/{path}/-/project_members\n",
            path = project.full_path,
        ),
        _ => String::new(),
    };
    let may_delete = store.can(Some(user), Ability::AdminProject, project);
    vec![
        ("SANDBOX_RULES", rules.join("\n")),
        (
            "SANDBOX_DEFAULT_BRANCH",
            project.default_branch.clone().unwrap_or_default(),
        ),
        ("SANDBOX_MAY_DELETE", flag(may_delete).to_owned()),
        ("SANDBOX_FIRST_PUSH", first_push),
    ]
}
