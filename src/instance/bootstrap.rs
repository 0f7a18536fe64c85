//! AutoGit's own token on the instance: made through the container, kept 0600, renewed before it expires, never printed.
//!
//! Its value is made here and kept as pending before GitLab is told, and takes its place once GitLab has it: so it is never lost, and
//! whoever was interrupted goes on with the same one.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use secrecy::{ExposeSecret, SecretString};

use super::hide::Hide;
use super::omnibus::Ruby;
use super::place::{self, TokenFacts, failed};
use super::{Error, Heard, Instance};
use crate::config::SecretRef;
use crate::live::docker::Hands;
use crate::live::files;

/// The name of the token in GitLab.
const NAME: &str = "autogit";

/// What it may do: everything, as an administrator has to ask for.
const SCOPES: [&str; 2] = ["api", "admin_mode"];

/// Days until it expires: what GitLab allows at most, unless its settings say less.
const DAYS: u32 = 365;

/// What GitLab's own tokens begin with, by which leaked ones are found.
const PREFIX: &str = "glpat-";

/// The characters of a token.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What the script says last.
const DONE: &str = "autogit: the token expires on ";

/// The day it is, as GitLab counts.
pub(super) fn today() -> Date {
    Offset::UTC.to_datetime(Timestamp::now()).date()
}

impl Instance {
    /// Whether the token that the instance is reached with is the one that AutoGit makes.
    pub(super) fn token_is_ours(&self) -> bool {
        match &self.token {
            None => true,
            Some(reference) => *reference == SecretRef::File(self.place.token()),
        }
    }

    /// Makes a token unless the one that is kept is good for some time yet. GitLab has to run.
    pub(super) async fn ensure_token(&self, name: &str, heard: &dyn Heard) -> Result<(), Error> {
        if self.token_is_ours() && self.place.token_lacks(today())?.is_some() {
            heard.phase("making AutoGit's token");
            self.make_token(name).await?;
        }
        if let Some(token) = self.place.read_token()? {
            self.secrets.keep(token);
        }
        Ok(())
    }

    /// Makes another token: the data of GitLab is not what the kept one was made in.
    pub(super) async fn renew_token(&self, heard: &dyn Heard) -> Result<(), Error> {
        if self.token_is_ours() {
            heard.phase("making AutoGit's token");
            self.make_token(self.name()).await?;
        }
        Ok(())
    }

    async fn make_token(&self, name: &str) -> Result<(), Error> {
        let pending = self.place.pending_token();
        let token = self.pending()?;
        self.secrets.keep(token.clone());
        let email = self.spec.admin.as_ref().and_then(|admin| admin.email.as_deref());
        let script = script(&token, email);
        let hands = Hands::new(self.looker().clone());
        let command = ["/opt/gitlab/bin/gitlab-rails", "runner", "-"];
        let output = hands
            .exec(name, &command, Some(script.as_bytes()), |_| ())
            .await?;
        let said = String::from_utf8_lossy(&output.stdout);
        let day = said
            .lines()
            .find_map(|line| line.strip_prefix(DONE)?.trim().parse().ok());
        let (true, Some(expires_at)) = (output.success(), day) else {
            let hide = Hide::of(&self.place)?;
            return Err(Error::failed(
                format!(
                    "failed to make AutoGit's token in {name}:{}",
                    hide.tail(&output.tail())
                ),
                "apply again once GitLab is well; or make one by hand for an administrator, with the scopes api and admin_mode, \
                 and name it as `gitlab.token`",
            ));
        };
        self.place.keep_token_facts(&TokenFacts { expires_at })?;
        let path = self.place.token();
        std::fs::rename(&pending, &path)
            .and_then(|()| files::sync_folder(&path))
            .map_err(|error| failed("write", &path, error))
    }

    /// The token that GitLab is about to be told, or may have been.
    fn pending(&self) -> Result<SecretString, Error> {
        if let Some(token) = self.place.read_pending_token()? {
            return Ok(token);
        }
        let token = SecretString::from(format!("{PREFIX}{}", place::random(40, ALPHABET)?));
        let path = self.place.pending_token();
        files::replace(&path, token.expose_secret().as_bytes())
            .map_err(|error| failed("write", &path, error))?;
        Ok(token)
    }
}

/// What GitLab is told: to have this token, and no older one of the same name. Running it again changes nothing.
fn script(token: &SecretString, email: Option<&str>) -> String {
    let [token, name] = [token.expose_secret(), NAME].map(Ruby::from);
    let scopes: Ruby = SCOPES.into_iter().collect();
    let email = email.map_or(Ruby::Nil, Ruby::from);
    format!(
        r#"value, name, scopes, email = {token}, {name}, {scopes}, {email}
owner = User.find_by(username: 'root')
owner = User.admins.order(:id).first unless owner&.admin?
abort 'there is no administrator' unless owner

# The address that GitLab makes up for who gives none.
if email && owner.email.match?(/\A(admin|gitlab_admin_\h+)@example\.com\z/)
  owner.email = email
  owner.skip_reconfirmation!
  owner.save!
end

token = PersonalAccessToken.find_by_token(value)
unless token&.active?
  days = [{DAYS}, Gitlab::CurrentSettings.max_personal_access_token_lifetime].compact.min
  token = owner.personal_access_tokens.build(name: name, scopes: scopes, expires_at: Date.current + days)
  token.set_token(value)
  begin
    token.save!
  rescue ActiveRecord::RecordNotUnique
    # An interrupted run was still at it.
    token = PersonalAccessToken.find_by_token(value) or raise
  end
end
owner.personal_access_tokens.active.where(name: name).each do |other|
  other.revoke! if other.id != token.id && other.scopes.map(&:to_s).sort == scopes.sort
end
puts "{DONE}#{{token.expires_at}}"
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_in_the_script_is_text_to_ruby() {
        let script = script(&"gl'pat\\".into(), Some("ada'; exit #@example.org"));
        let first = script.lines().next().unwrap();
        assert_eq!(
            first,
            r"value, name, scopes, email = 'gl\'pat\\', 'autogit', ['api', 'admin_mode'], 'ada\'; exit #@example.org'",
        );
    }

    #[test]
    fn no_two_tokens_are_alike_and_they_look_like_gitlabs() {
        let token = || place::random(40, ALPHABET).unwrap();
        let one = token();
        assert_ne!(one, token());
        assert_eq!(one.len(), 40);
    }
}
