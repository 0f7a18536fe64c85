//! Logs of containers, which may go on.

use bollard::query_parameters::LogsOptionsBuilder;
use jiff::Timestamp;

use super::lines::lines;
use super::{Error, Looker};

/// Which lines of a log are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Which {
    /// The last so many.
    pub last: u32,
    /// Those since then.
    pub since: Option<Timestamp>,
    /// Whether those that are still to come are wanted, too.
    pub follow: bool,
}

impl Looker {
    /// Gives `heard` what a container wrote to its standard output and error, line by line.
    ///
    /// # Errors
    /// When the Engine does not answer, or keeps no log.
    pub async fn follow_log(
        &self,
        container: &str,
        which: Which,
        heard: impl FnMut(&str),
    ) -> Result<(), Error> {
        let since = which.since.and_then(|since| since.as_second().try_into().ok());
        let options = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .follow(which.follow)
            .since(since.unwrap_or_default())
            .tail(&which.last.to_string());
        let doing = format!("read the log of the container {container}");
        lines(self.logs(container, options.build()), &doing, heard).await
    }
}
