//! Why the Docker Engine, or the way to it, said no.

use bollard::errors::Error as Cause;

/// Why something could not be read from or done with the Docker Engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Engine does not answer.
    #[error("failed to reach the Docker Engine at {host}: {why}")]
    Unreachable {
        /// How it is addressed.
        host: String,
        /// Why.
        why: String,
    },
    /// The Engine refused.
    #[error("failed to {doing}: {why}")]
    Refused {
        /// What was to be done: `start the container gitlab`.
        doing: String,
        /// What the Engine says.
        why: String,
        /// The HTTP status, where there is one.
        status: Option<u16>,
    },
}

impl Error {
    pub(super) fn new(doing: impl Into<String>, cause: Cause) -> Self {
        let (why, status) = match cause {
            Cause::DockerResponseServerError { status_code, message } => (message, Some(status_code)),
            other => (other.to_string(), None),
        };
        Error::Refused {
            doing: doing.into(),
            why,
            status,
        }
    }

    /// Whether the Engine says that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(
            self,
            Error::Refused {
                status: Some(404),
                ..
            }
        )
    }

    /// Whether the Engine says that the state of a thing does not allow it: a container that is restarting runs no programs.
    pub fn is_conflict(&self) -> bool {
        matches!(
            self,
            Error::Refused {
                status: Some(409),
                ..
            }
        )
    }

    /// What to do about it, where that is known.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Error::Unreachable { why, .. } if why.contains("ermission denied") => Some(
                "add yourself to the group `docker` and sign in again, or run AutoGit as a user who may use it".into(),
            ),
            Error::Unreachable { .. } => {
                Some("start Docker, or say where it is in `gitlab.deploy.docker.host`".into())
            }
            Error::Refused { .. } => None,
        }
    }
}

/// `Ok(None)` where the Engine says that there is no such thing.
pub(super) fn optional<T>(doing: &str, outcome: Result<T, Cause>) -> Result<Option<T>, Error> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(Cause::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
        Err(cause) => Err(Error::new(doing, cause)),
    }
}
