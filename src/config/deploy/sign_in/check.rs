//! What the ways to sign in have to do with each other and with the edition, beyond what the schema says of each.

use url::Url;

use super::super::super::model::Edition;
use super::super::super::shape::FieldProblem;
use super::super::super::suggest;
use super::{LdapEncryption, OpenidConnect, Provider, Saml, SignIn};

/// Names that GitLab gives to strategies of its own, and to what else stands below `/users/auth`.
const RESERVED: &[&str] = &[
    "alicloud",
    "atlassian_oauth2",
    "auth0",
    "azure_activedirectory_v2",
    "azure_oauth2",
    "bitbucket",
    "crowd",
    "developer",
    "failure",
    "github",
    "gitlab",
    "google_oauth2",
    "group_saml",
    "jwt",
    "kerberos",
    "kerberos_spnego",
    "passthru",
    "salesforce",
    "shibboleth",
    "twitter",
];

/// Everything that is wrong with `sign_in` on a GitLab of this edition; `None`: it is not known. Fields are named from
/// `deploy` on.
pub(in super::super) fn check(sign_in: &SignIn, edition: Option<Edition>) -> Vec<FieldProblem> {
    let mut problems = Problems::default();
    problems.directories(sign_in, edition);
    for (name, provider) in &sign_in.providers {
        problems.provider(name, provider, edition);
    }
    problems.names(sign_in);
    problems.0
}

/// What is allowed in `sign_in`, and hardly meant.
pub(in super::super) fn remarks(sign_in: &SignIn) -> Vec<FieldProblem> {
    let mut remarks = Problems::default();
    for (name, ldap) in &sign_in.ldap {
        if ldap.encryption == Some(LdapEncryption::Plain) {
            let field = format!("ldap.{name}.encryption");
            remarks.add(
                field,
                "passwords cross the network readable: `start_tls` or `simple_tls` encrypts them",
            );
        } else if ldap.verify_certificates == Some(false) {
            let field = format!("ldap.{name}.verify_certificates");
            remarks.add(field, "whoever stands between GitLab and the directory reads the passwords: put its authority's certificate into `trusted-certs` of the volume of `/etc/gitlab` instead");
        }
    }
    let admits = |name: &str| {
        let list = sign_in.allow_single_sign_on.iter().flatten();
        sign_in.block_auto_created_users == Some(false) && list.clone().any(|listed| listed == name)
    };
    for (name, provider) in &sign_in.providers {
        let anybody = match provider {
            Provider::Github(github) => github.url.is_none().then_some("GitHub"),
            Provider::GoogleOauth2(google) => google.hd.is_none().then_some("Google"),
            Provider::OpenidConnect(_) | Provider::Saml(_) => None,
        };
        if let Some(whose) = anybody.filter(|_| admits(name)) {
            let message = format!(
                "whoever has an account of {whose}'s gets one here at once: remove `{name}`, or write `block_auto_created_users: true`"
            );
            remarks.add("allow_single_sign_on", message);
        }
    }
    remarks.0
}

#[derive(Default)]
struct Problems(Vec<FieldProblem>);

impl Problems {
    fn add(&mut self, field: impl AsRef<str>, message: impl Into<String>) {
        self.0.push(FieldProblem {
            field: format!("sign_in.{}", field.as_ref()),
            message: message.into(),
        });
    }

    fn premium(&mut self, field: String) {
        let name = field.rsplit('.').next().unwrap_or_default().to_owned();
        self.add(
            field,
            format!("`{name}` needs GitLab Premium, and the image is the Community Edition: remove it"),
        );
    }

    fn directories(&mut self, sign_in: &SignIn, edition: Option<Edition>) {
        let is_ce = edition == Some(Edition::Ce);
        if let Some(second) = sign_in.ldap.keys().nth(1).filter(|_| is_ce) {
            let message = "a second directory needs GitLab Premium, and the image is the Community Edition: it would be ignored";
            self.add(format!("ldap.{second}"), message);
        }
        for (name, ldap) in &sign_in.ldap {
            let at = format!("ldap.{name}");
            if !is_name(name) {
                self.add(&at, not_a_name(name));
            }
            let premium = [
                ("group_base", ldap.group_base.is_some()),
                ("admin_group", ldap.admin_group.is_some()),
            ];
            for (field, _) in premium.iter().filter(|(_, is_set)| is_ce && *is_set) {
                self.premium(format!("{at}.{field}"));
            }
            if ldap.admin_group.is_some() && ldap.group_base.is_none() {
                let message = "`admin_group` is looked for below `group_base`: write that too";
                self.add(format!("{at}.admin_group"), message);
            }
            if ldap.host.contains("://") || ldap.host.contains('/') {
                let message = "the host alone is meant: write `ldap.example.org`, and what else there is in `port` and `encryption`";
                self.add(format!("{at}.host"), message);
            }
            match (&ldap.bind_dn, &ldap.password) {
                (Some(_), None) => self.add(
                    format!("{at}.bind_dn"),
                    "`bind_dn` without `password`: write its reference, `password: {env: NAME}`",
                ),
                (None, Some(_)) => self.add(
                    format!("{at}.password"),
                    "`password` without `bind_dn`: write whose it is",
                ),
                _ => {}
            }
            let filter = ldap.user_filter.as_deref().unwrap_or("()");
            if !is_filter(filter) {
                let message = "not an LDAP filter: it stands in parentheses, which go together: `(memberOf=cn=developers,ou=groups,dc=example,dc=org)`";
                self.add(format!("{at}.user_filter"), message);
            }
        }
    }

    fn provider(&mut self, name: &str, provider: &Provider, edition: Option<Edition>) {
        let at = format!("providers.{name}");
        let own = match provider {
            Provider::Github(_) => Some("github"),
            Provider::GoogleOauth2(_) => Some("google_oauth2"),
            Provider::OpenidConnect(_) | Provider::Saml(_) => None,
        };
        match own {
            Some(own) if own == name => {}
            Some(own) => self.add(
                &at,
                format!("GitLab knows this provider only as `{own}`: call it that"),
            ),
            None if !is_name(name) => self.add(&at, not_a_name(name)),
            None if RESERVED.contains(&name) || name.starts_with("ldap") => {
                let message = format!(
                    "`{name}` is GitLab's own name for something else: its callback would never be reached; choose another, and register that with the provider"
                );
                self.add(&at, message);
            }
            None => {}
        }
        match provider {
            Provider::OpenidConnect(oidc) => {
                self.openid_connect(&format!("{at}.openid_connect"), oidc, edition)
            }
            Provider::Saml(saml) => self.saml(&format!("{at}.saml"), saml, edition),
            Provider::Github(github) => {
                if let Some(url) = &github.url {
                    self.https(format!("{at}.github.url"), url);
                }
            }
            Provider::GoogleOauth2(_) => {}
        }
    }

    fn openid_connect(&mut self, at: &str, oidc: &OpenidConnect, edition: Option<Edition>) {
        let field = format!("{at}.issuer");
        if oidc.issuer.contains("/.well-known/") {
            self.add(&field, "the issuer ends before `/.well-known/`: GitLab adds that");
        } else {
            self.https(field, &oidc.issuer);
        }
        let scope = oidc.scope.as_deref();
        if scope.is_some_and(|scope| !scope.iter().any(|word| word == "openid")) {
            self.add(
                format!("{at}.scope"),
                "without `openid` it is not OpenID Connect: add it",
            );
        }
        let groups = [
            ("groups_attribute", oidc.groups_attribute.is_some()),
            ("required_groups", oidc.required_groups.is_some()),
            ("admin_groups", oidc.admin_groups.is_some()),
        ];
        self.groups(at, &groups, edition);
    }

    fn saml(&mut self, at: &str, saml: &Saml, edition: Option<Edition>) {
        self.https(format!("{at}.idp_sso_target_url"), &saml.idp_sso_target_url);
        match (&saml.idp_cert, &saml.idp_cert_fingerprint) {
            (None, None) => self.add(at, "GitLab has to know the provider's certificate: write `idp_cert: FILE`, or its `idp_cert_fingerprint`"),
            (Some(_), Some(_)) => self.add(format!("{at}.idp_cert_fingerprint"), "`idp_cert` says it already: remove one of the two"),
            _ => {}
        }
        let groups = [
            ("groups_attribute", saml.groups_attribute.is_some()),
            ("required_groups", saml.required_groups.is_some()),
            ("admin_groups", saml.admin_groups.is_some()),
        ];
        self.groups(at, &groups, edition);
    }

    /// Judges what goes by the groups of users: `groups_attribute`, and the fields that need it.
    fn groups(&mut self, at: &str, groups: &[(&str, bool); 3], edition: Option<Edition>) {
        for (field, _) in groups.iter().filter(|(_, is_set)| *is_set) {
            if edition == Some(Edition::Ce) {
                self.premium(format!("{at}.{field}"));
            } else if !groups[0].1 {
                let message = format!("`{field}` without `groups_attribute`: write where the groups are");
                self.add(format!("{at}.{field}"), message);
            }
        }
    }

    /// Who may read what the provider says has to be nobody but GitLab.
    fn https(&mut self, field: String, url: &str) {
        match Url::parse(url) {
            Ok(url) if url.scheme() == "https" => {}
            Ok(_) => self.add(
                field,
                "it must begin with `https://`: who signs in is told over it",
            ),
            Err(error) => self.add(
                field,
                format!("not a URL: {error}; write it like `https://id.example.org`"),
            ),
        }
    }

    /// Judges the lists of providers by name.
    fn names(&mut self, sign_in: &SignIn) {
        let one = sign_in.auto_sign_in_with_provider.iter();
        let lists = [
            ("allow_single_sign_on", &sign_in.allow_single_sign_on),
            ("auto_link_user", &sign_in.auto_link_user),
            ("external_providers", &sign_in.external_providers),
            ("allow_bypass_two_factor", &sign_in.allow_bypass_two_factor),
            ("sync_profile_from_provider", &sign_in.sync_profile_from_provider),
        ];
        let lists = lists
            .into_iter()
            .flat_map(|(field, list)| list.iter().flatten().map(move |name| (field, name)));
        let known: Vec<&str> = sign_in.providers.keys().map(String::as_str).collect();
        let one = one.map(|name| ("auto_sign_in_with_provider", name));
        for (field, name) in lists
            .chain(one)
            .filter(|(_, name)| !known.contains(&name.as_str()))
        {
            let what = match known.as_slice() {
                [] => "there are none in `providers`".to_owned(),
                known => format!("there is {}", suggest::list(name, known)),
            };
            self.add(field, format!("no provider is called `{name}`: {what}"));
        }
    }
}

/// Whether GitLab can make a route and a method of it.
fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn not_a_name(name: &str) -> String {
    format!(
        "`{name}` cannot be such a name: it begins with a small letter, and has only small letters, digits and `_`"
    )
}

/// Whether the parentheses of a filter go together, from the first character to the last.
fn is_filter(filter: &str) -> bool {
    let mut depth = 0_usize;
    for (at, c) in filter.char_indices() {
        depth = match c {
            '(' => depth + 1,
            ')' if depth > 0 => depth - 1,
            ')' => return false,
            _ => depth,
        };
        if depth == 0 && at + 1 < filter.len() {
            return false;
        }
    }
    depth == 0 && !filter.is_empty()
}
