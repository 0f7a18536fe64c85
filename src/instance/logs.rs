//! What the instance says: the container's log, or the files that one of GitLab's components writes. Secrets are masked.

use super::hide::Hide;
use super::{Error, Instance};
use crate::live::docker::{Hands, Which};
use crate::live::gitlab::redacted;

/// Prints the logs of a component: `sh -c SCRIPT sh COMPONENT LINES FOLLOW`. What is rotated away, packed or only state of the logger
/// is left out. When followed, it ends with its standard input.
const SCRIPT: &str = r#"
cd "/var/log/gitlab/$1" 2>/dev/null || exit 3
files=$(find . -maxdepth 1 -type f ! -name '*.gz' ! -name '@*' ! -name '*.[0-9]' \
  ! -name lock ! -name config ! -name state ! -name newstate | sed 's|^\./||' | sort)
[ -n "$files" ] || exit 4
[ "$3" = follow ] || exec tail -n "$2" $files
tail -n "$2" -F $files &
cat >/dev/null
kill $!
"#;

/// There is no such component.
const NO_SUCH: i64 = 3;
/// The component has written nothing.
const NOTHING: i64 = 4;

impl Instance {
    /// Gives `heard` the lines of the container's log, or of a component's. Once everything was given it ends, unless it follows.
    ///
    /// # Errors
    /// When there is no such component, or Docker does not answer.
    pub async fn logs(
        &self,
        component: Option<&str>,
        which: Which,
        mut heard: impl FnMut(&str),
    ) -> Result<(), Error> {
        let hide = Hide::of(&self.place)?;
        let masked = |line: &str| heard(&redacted(&hide.from(line)));
        match component {
            None => Ok(self.looker().follow_log(self.name(), which, masked).await?),
            Some(component) => self.logs_of(component, which, masked).await,
        }
    }

    async fn logs_of(&self, component: &str, which: Which, heard: impl FnMut(&str)) -> Result<(), Error> {
        let hands = Hands::new(self.looker().clone());
        let lines = which.last.to_string();
        let follow = if which.follow { "follow" } else { "" };
        let command = ["sh", "-c", SCRIPT, "sh", component, &lines, follow];
        match hands.follow(self.name(), &command, heard).await? {
            NO_SUCH => Err(self.no_such(component).await),
            NOTHING => Err(Error::failed(
                format!("failed to read the log of {component}: it has written none"),
                "`autogit logs` shows what the container says of it",
            )),
            _ => Ok(()),
        }
    }

    async fn no_such(&self, component: &str) -> Error {
        let hands = Hands::new(self.looker().clone());
        let listed = hands
            .exec(self.name(), &["ls", "/var/log/gitlab"], None, |_| ())
            .await;
        let listed = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let names: Vec<String> = listed.unwrap_or_default().lines().map(str::to_owned).collect();
        Error::failed(
            format!("failed to read the log of {component}: GitLab keeps none by that name"),
            format!("name one of {}", names.join(", ")),
        )
    }
}
