//! Signing in: from what is declared of directories and providers to the settings of LDAP and OmniAuth.

use std::collections::BTreeMap;

use super::{Endpoints, Ruby, Told};
use crate::config::SecretRef;
use crate::config::deploy::{
    ClientAuth, Deploy, Github, Google, Ldap, LdapEncryption, OpenidConnect, Provider, Saml, SignIn,
};

/// What GitLab asks an OpenID Connect provider to be told, unless the config says something else.
const SCOPE: [&str; 3] = ["openid", "profile", "email"];

/// How a user is named by SAML, unless the config says something else.
const NAME_ID: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent";

/// The algorithm of [`Saml::idp_cert_fingerprint`]: GitLab before 18 takes every fingerprint for SHA-1.
const SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";

pub(super) fn tell(spec: &Deploy, endpoints: &Endpoints, told: &mut Told) {
    let Some(declared) = &spec.sign_in else { return };
    let mut telling = Telling {
        url: endpoints.url.as_str().trim_end_matches('/'),
        told,
    };
    if !declared.ldap.is_empty() {
        telling.directories(&declared.ldap);
    }
    if !declared.providers.is_empty() {
        telling.providers(declared);
    }
}

struct Telling<'a> {
    /// The instance's, without a slash at its end.
    url: &'a str,
    told: &'a mut Told,
}

impl Telling<'_> {
    fn set(&mut self, key: &str, value: impl Into<Ruby>) {
        self.told.set(&format!("gitlab_rails['{key}']"), value);
    }

    /// Where a provider sends users back to.
    fn callback(&self, name: &str) -> Ruby {
        format!("{}/users/auth/{name}/callback", self.url).into()
    }

    fn directories(&mut self, directories: &BTreeMap<String, Ldap>) {
        let servers = directories
            .iter()
            .map(|(name, ldap)| (name.clone(), self.directory(name, ldap)));
        let servers = Ruby::Map(servers.collect());
        self.set("ldap_enabled", true);
        self.set("ldap_servers", servers);
    }

    fn directory(&mut self, name: &str, ldap: &Ldap) -> Ruby {
        let active_directory = ldap.active_directory.unwrap_or(false);
        let encryption = ldap.encryption.unwrap_or_default();
        let (encryption, port) = match encryption {
            LdapEncryption::SimpleTls => ("simple_tls", 636),
            LdapEncryption::StartTls => ("start_tls", 389),
            LdapEncryption::Plain => ("plain", 389),
        };
        let uid = if active_directory { "sAMAccountName" } else { "uid" };
        let password = ldap.password.as_ref();
        let password =
            password.map(|reference| self.told.secret(&format!("ldap_{name}_password"), reference));
        map([
            ("label", Some(text(&ldap.label, "LDAP"))),
            ("host", Some(ldap.host.as_str().into())),
            ("port", Some(i64::from(ldap.port.unwrap_or(port)).into())),
            ("uid", Some(text(&ldap.uid, uid))),
            ("base", Some(ldap.base.as_str().into())),
            ("encryption", Some(encryption.into())),
            (
                "verify_certificates",
                Some(ldap.verify_certificates.unwrap_or(true).into()),
            ),
            // Left out, GitLab takes it for true.
            ("active_directory", Some(active_directory.into())),
            ("bind_dn", ldap.bind_dn.as_deref().map(Ruby::from)),
            ("password", password),
            ("user_filter", ldap.user_filter.as_deref().map(Ruby::from)),
            ("lowercase_usernames", ldap.lowercase_usernames.map(Ruby::from)),
            (
                "block_auto_created_users",
                ldap.block_auto_created_users.map(Ruby::from),
            ),
            ("group_base", ldap.group_base.as_deref().map(Ruby::from)),
            ("admin_group", ldap.admin_group.as_deref().map(Ruby::from)),
        ])
    }

    fn providers(&mut self, declared: &SignIn) {
        let providers = declared.providers.iter();
        let providers: Vec<_> = providers
            .map(|(name, provider)| self.provider(name, provider))
            .collect();
        self.set("omniauth_enabled", true);
        self.set("omniauth_providers", Ruby::List(providers));
        // Left out, Omnibus lets SAML make accounts.
        let admitted = declared.allow_single_sign_on.as_deref().unwrap_or_default();
        self.set("omniauth_allow_single_sign_on", list(admitted));
        let lists = [
            ("omniauth_auto_link_user", &declared.auto_link_user),
            ("omniauth_external_providers", &declared.external_providers),
            (
                "omniauth_allow_bypass_two_factor",
                &declared.allow_bypass_two_factor,
            ),
            (
                "omniauth_sync_profile_from_provider",
                &declared.sync_profile_from_provider,
            ),
        ];
        for (key, names) in lists {
            if let Some(names) = names {
                self.set(key, list(names));
            }
        }
        let flags = [
            (
                "omniauth_block_auto_created_users",
                declared.block_auto_created_users,
            ),
            ("omniauth_auto_link_ldap_user", declared.auto_link_ldap_user),
        ];
        for (key, flag) in flags {
            if let Some(flag) = flag {
                self.set(key, flag);
            }
        }
        if let Some(name) = &declared.auto_sign_in_with_provider {
            self.set("omniauth_auto_sign_in_with_provider", name.as_str());
        }
    }

    fn provider(&mut self, name: &str, provider: &Provider) -> Ruby {
        match provider {
            Provider::OpenidConnect(oidc) => self.openid_connect(name, oidc),
            Provider::Saml(saml) => self.saml(name, saml),
            Provider::Github(github) => self.github(name, github),
            Provider::GoogleOauth2(google) => self.google(name, google),
        }
    }

    fn openid_connect(&mut self, name: &str, oidc: &OpenidConnect) -> Ruby {
        let groups = [
            (
                "groups_attribute",
                oidc.groups_attribute.as_deref().map(Ruby::from),
            ),
            ("required_groups", oidc.required_groups.as_deref().map(list)),
            ("admin_groups", oidc.admin_groups.as_deref().map(list)),
        ];
        let goes_by_groups = groups.iter().any(|(_, value)| value.is_some());
        let client = map([
            ("identifier", Some(oidc.client_id.as_str().into())),
            (
                "secret",
                Some(
                    self.told
                        .secret(&format!("omniauth_{name}_secret"), &oidc.client_secret),
                ),
            ),
            ("redirect_uri", Some(self.callback(name))),
            ("gitlab", goes_by_groups.then(|| map(groups))),
        ]);
        let scope = match &oidc.scope {
            Some(scope) => list(scope),
            None => SCOPE.into_iter().collect(),
        };
        let client_auth = oidc.client_auth_method.map(|method| match method {
            ClientAuth::Basic => "basic",
            ClientAuth::Query => "query",
        });
        let args = map([
            ("name", Some(name.into())),
            // The name alone tells the strategy only where it is `openid_connect`.
            (
                "strategy_class",
                Some("OmniAuth::Strategies::OpenIDConnect".into()),
            ),
            ("scope", Some(scope)),
            ("response_type", Some("code".into())),
            ("issuer", Some(oidc.issuer.as_str().into())),
            ("discovery", Some(true.into())),
            ("client_auth_method", client_auth.map(Ruby::from)),
            ("uid_field", oidc.uid_field.as_deref().map(Ruby::from)),
            ("pkce", Some(oidc.pkce.unwrap_or(true).into())),
            ("client_options", Some(client)),
        ]);
        map([
            ("name", Some(name.into())),
            ("label", Some(text(&oidc.label, name))),
            ("args", Some(args)),
        ])
    }

    fn saml(&mut self, name: &str, saml: &Saml) -> Ruby {
        let certificate = saml.idp_cert.as_ref().map(|file| {
            let reference = SecretRef::File(file.clone());
            self.told.secret(&format!("omniauth_{name}_cert"), &reference)
        });
        let fingerprint = saml.idp_cert_fingerprint.as_deref();
        let args = map([
            ("name", Some(name.into())),
            ("strategy_class", Some("OmniAuth::Strategies::SAML".into())),
            ("assertion_consumer_service_url", Some(self.callback(name))),
            (
                "idp_sso_target_url",
                Some(saml.idp_sso_target_url.as_str().into()),
            ),
            ("idp_cert", certificate),
            ("idp_cert_fingerprint", fingerprint.map(Ruby::from)),
            (
                "idp_cert_fingerprint_algorithm",
                fingerprint.map(|_| SHA256.into()),
            ),
            ("issuer", Some(text(&saml.issuer, self.url))),
            (
                "name_identifier_format",
                Some(text(&saml.name_identifier_format, NAME_ID)),
            ),
        ]);
        map([
            ("name", Some(name.into())),
            ("label", Some(text(&saml.label, name))),
            (
                "groups_attribute",
                saml.groups_attribute.as_deref().map(Ruby::from),
            ),
            ("required_groups", saml.required_groups.as_deref().map(list)),
            ("admin_groups", saml.admin_groups.as_deref().map(list)),
            ("args", Some(args)),
        ])
    }

    fn github(&mut self, name: &str, github: &Github) -> Ruby {
        map([
            ("name", Some(name.into())),
            ("label", github.label.as_deref().map(Ruby::from)),
            ("app_id", Some(github.app_id.as_str().into())),
            (
                "app_secret",
                Some(
                    self.told
                        .secret(&format!("omniauth_{name}_secret"), &github.app_secret),
                ),
            ),
            ("url", github.url.as_deref().map(Ruby::from)),
            ("args", Some(map([("scope", Some("user:email".into()))]))),
        ])
    }

    fn google(&mut self, name: &str, google: &Google) -> Ruby {
        let args = map([
            ("access_type", Some("offline".into())),
            ("approval_prompt", Some("".into())),
            ("hd", google.hd.as_deref().map(list)),
        ]);
        map([
            ("name", Some(name.into())),
            ("label", google.label.as_deref().map(Ruby::from)),
            ("app_id", Some(google.app_id.as_str().into())),
            (
                "app_secret",
                Some(
                    self.told
                        .secret(&format!("omniauth_{name}_secret"), &google.app_secret),
                ),
            ),
            ("args", Some(args)),
        ])
    }
}

/// The entries that have a value.
fn map<const N: usize>(entries: [(&str, Option<Ruby>); N]) -> Ruby {
    let set = entries
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Ruby::Map(set.collect())
}

fn list(names: &[String]) -> Ruby {
    names.iter().map(String::as_str).collect()
}

fn text(given: &Option<String>, default: &str) -> Ruby {
    given.as_deref().unwrap_or(default).into()
}

#[cfg(test)]
mod tests;
