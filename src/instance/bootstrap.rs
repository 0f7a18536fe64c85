//! AutoGit's own token on the instance: made through the container, kept 0600, renewed before it expires, never printed.

use secrecy::SecretString;

use super::{Error, Place};

impl Place {
    /// The token that is kept; `None` before there is one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_token(&self) -> Result<Option<SecretString>, Error> {
        let path = self.token();
        match std::fs::read_to_string(&path) {
            Ok(token) => Ok(Some(token.trim_end().to_owned().into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::Io {
                doing: "read",
                path,
                error,
            }),
        }
    }
}
