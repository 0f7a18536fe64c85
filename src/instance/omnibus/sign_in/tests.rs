//! What GitLab is told of directories and providers.

use serde_json::{Value, json};

use super::super::super::Endpoints;
use super::super::{Told, render};
use crate::config::deploy::Deploy;

fn told(sign_in: Value) -> Told {
    let spec = json!({"docker": {"image": "gitlab/gitlab-ee:18.8.4-ee.0"}, "sign_in": sign_in});
    let spec: Deploy = serde_json::from_value(spec).unwrap();
    let endpoints = Endpoints::new(&spec, &"https://git.lan:8443/".parse().unwrap());
    Told::new(&spec, &endpoints)
}

/// A setting of `gitlab_rails`, as plans show it.
fn setting(told: &Told, key: &str) -> Value {
    told.settings[&format!("gitlab_rails['{key}']")].to_json()
}

#[test]
fn a_directory_has_what_gitlab_would_otherwise_take_for_something_else() {
    let told = told(json!({"ldap": {
        "main": {"host": "ldap.lan", "base": "dc=lan", "bind_dn": "cn=gitlab", "password": {"env": "P"}},
        "office": {"host": "ad.lan", "base": "dc=ad", "active_directory": true, "encryption": "simple_tls", "label": "AD"},
    }}));
    assert_eq!(setting(&told, "ldap_enabled"), true);
    assert_eq!(
        setting(&told, "ldap_servers"),
        json!({
            "main": {
                "label": "LDAP", "host": "ldap.lan", "port": 389, "uid": "uid", "base": "dc=lan", "encryption": "start_tls",
                "verify_certificates": true, "active_directory": false, "bind_dn": "cn=gitlab",
                "password": {"secret": "ldap_main_password"},
            },
            "office": {
                "label": "AD", "host": "ad.lan", "port": 636, "uid": "sAMAccountName", "base": "dc=ad",
                "encryption": "simple_tls", "verify_certificates": true, "active_directory": true,
            },
        })
    );
    assert_eq!(told.secrets.keys().collect::<Vec<_>>(), ["ldap_main_password"]);
    assert!(!told.settings.keys().any(|key| key.contains("omniauth")));
}

#[test]
fn each_provider_has_its_own_name_callback_and_secret() {
    let oidc = |issuer: &str| json!({"openid_connect": {"issuer": issuer, "client_id": "gitlab", "client_secret": {"env": "S"}}});
    let told = told(json!({
        "providers": {"authelia": oidc("https://auth.lan"), "keycloak": oidc("https://id.lan/realms/main")},
        "allow_single_sign_on": ["keycloak"],
        "auto_sign_in_with_provider": "keycloak",
    }));
    assert_eq!(setting(&told, "omniauth_enabled"), true);
    assert_eq!(
        setting(&told, "omniauth_allow_single_sign_on"),
        json!(["keycloak"])
    );
    assert_eq!(setting(&told, "omniauth_auto_sign_in_with_provider"), "keycloak");
    let providers = setting(&told, "omniauth_providers");
    assert_eq!(
        providers[1],
        json!({"name": "keycloak", "label": "keycloak", "args": {
            "name": "keycloak", "strategy_class": "OmniAuth::Strategies::OpenIDConnect", "response_type": "code",
            "scope": ["openid", "profile", "email"], "issuer": "https://id.lan/realms/main", "discovery": true, "pkce": true,
            "client_options": {
                "identifier": "gitlab", "secret": {"secret": "omniauth_keycloak_secret"},
                "redirect_uri": "https://git.lan:8443/users/auth/keycloak/callback",
            },
        }})
    );
    assert_eq!(
        providers[0]["args"]["client_options"]["redirect_uri"],
        "https://git.lan:8443/users/auth/authelia/callback"
    );
    assert_eq!(told.secrets.len(), 2);
}

#[test]
fn nobody_gets_an_account_of_themselves_unless_that_is_asked_for() {
    let github = json!({"github": {"app_id": "x", "app_secret": {"env": "S"}, "url": "https://github.lan"}});
    let told = told(json!({"providers": {"github": {"github": github["github"]}}}));
    assert_eq!(setting(&told, "omniauth_allow_single_sign_on"), json!([]));
    assert_eq!(
        setting(&told, "omniauth_providers")[0],
        json!({"name": "github", "app_id": "x", "app_secret": {"secret": "omniauth_github_secret"},
            "url": "https://github.lan", "args": {"scope": "user:email"}})
    );
}

#[test]
fn groups_stand_where_gitlab_looks_for_them() {
    let groups = json!({"groups_attribute": "groups", "required_groups": ["dev"], "admin_groups": ["ops"]});
    let with = |mut provider: Value| {
        provider
            .as_object_mut()
            .unwrap()
            .extend(groups.as_object().unwrap().clone());
        provider
    };
    let told = told(json!({"providers": {
        "saml": {"saml": with(json!({"idp_sso_target_url": "https://id.lan/saml", "idp_cert": "idp.pem"}))},
        "sso": {"openid_connect": with(json!({"issuer": "https://id.lan", "client_id": "g", "client_secret": {"env": "S"}}))},
    }}));
    let providers = setting(&told, "omniauth_providers");
    let (saml, sso) = (&providers[0], &providers[1]);
    assert_eq!(saml["required_groups"], json!(["dev"]));
    assert_eq!(saml["args"]["idp_cert"], json!({"secret": "omniauth_saml_cert"}));
    assert_eq!(
        saml["args"]["assertion_consumer_service_url"],
        "https://git.lan:8443/users/auth/saml/callback"
    );
    assert_eq!(sso["args"]["client_options"]["gitlab"], groups);
}

#[test]
fn the_text_reads_secrets_and_holds_none() {
    let told = told(json!({
        "ldap": {"main": {"host": "l", "base": "dc=lan", "bind_dn": "cn=g", "password": {"env": "LDAP_PASSWORD"}}},
        "providers": {"google_oauth2": {"google_oauth2": {"app_id": "x", "app_secret": {"env": "GOOGLE_SECRET"}}}},
    }));
    let text = render(&told.settings);
    assert!(
        !text.contains("LDAP_PASSWORD") && !text.contains("GOOGLE_SECRET"),
        "{text}"
    );
    for name in told.secrets.keys() {
        assert!(
            text.contains(&format!("File.read('/etc/autogit/secrets/{name}')")),
            "{text}"
        );
    }
}
