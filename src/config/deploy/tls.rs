//! How HTTPS is had.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::model::SecretRef;

/// How HTTPS is had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Tls {
    /// AutoGit makes a certificate authority of its own and a certificate for the URL's host, and renews it. Whoever uses the
    /// instance has to trust the authority; AutoGit does.
    SelfSigned {},
    /// A certificate that somebody else renews.
    Certificate {
        /// A PEM file with the certificate and what leads from it to its authority, relative to the config.
        #[schemars(extend("examples" = ["tls/fullchain.pem"]))]
        chain: PathBuf,
        /// Reference to its private key, in PEM.
        #[schemars(extend("examples" = [{"file": "tls/key.pem"}]))]
        key: SecretRef,
    },
    /// GitLab asks Let's Encrypt for a certificate. Needs port 80 of the URL's host to lead to port 80 of the container.
    LetsEncrypt {
        /// Whom Let's Encrypt writes to.
        #[schemars(extend("examples" = [["ada@example.org"]]), length(min = 1))]
        contacts: Vec<String>,
    },
}
