//! Who we are to a registry, from where podman and docker keep it: containers-auth.json(5),
//! and docker's `config.json` with its credential helpers.
//!
//! A secret is used and never shown: nothing here has `Debug` or `Display`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::base64::STANDARD;
use crate::command::{self, Env, NETWORK, cmd};
use crate::error::{Error, IoContext as _, Kind, Result};

/// The user's variables that a helper may see, beside those of a step with a network and those
/// [of clouds](of_clouds).
const HELPERS: [&str; 4] = ["DBUS_SESSION_BUS_ADDRESS", "GNUPGHOME", "GPG_TTY", "XDG_RUNTIME_DIR"];
/// With names that begin so, clouds' programs are told who asks them and where.
const CLOUDS: [&str; 4] = ["AWS_", "AZURE_", "CLOUDSDK_", "GOOGLE_"];

/// What a registry knows somebody by.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    /// As for any web page.
    Password { user: String, password: String },
    /// For the token server alone (OAuth 2.0, RFC 6749, section 6).
    Identity(String),
}

/// What was found, and where it was looked for.
pub(super) struct Found {
    pub credentials: Option<Credentials>,
    pub looked: Vec<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct File {
    auths: BTreeMap<String, Auth>,
    #[serde(rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: String,
    identitytoken: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Looks for the credentials of `host`, perhaps of its repository `path` alone.
pub(super) fn find(env: &BTreeMap<String, String>, host: &str, path: &str) -> Result<Found> {
    let mut looked = Vec::new();
    for place in places(env) {
        let credentials = match std::fs::read(&place) {
            Ok(text) => of_file(&place, &text, host, path, env)?,
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => None,
            Err(cause) => return Err(cause).at("read", &place),
        };
        looked.push(place);
        if credentials.is_some() {
            return Ok(Found { credentials, looked });
        }
    }
    Ok(Found { credentials: None, looked })
}

/// The files, in podman's order; docker's comes last.
fn places(env: &BTreeMap<String, String>) -> Vec<PathBuf> {
    let folder = |name: &str| env.get(name).filter(|text| !text.is_empty()).map(PathBuf::from);
    if let Some(file) = folder("REGISTRY_AUTH_FILE") {
        return vec![file];
    }
    let home = folder("HOME");
    let below = |folder: Option<PathBuf>, path: &str| folder.map(|folder| folder.join(path));
    let config = folder("XDG_CONFIG_HOME").or_else(|| below(home.clone(), ".config"));
    let docker = folder("DOCKER_CONFIG").or_else(|| below(home, ".docker"));
    [
        below(folder("XDG_RUNTIME_DIR"), "containers/auth.json"),
        below(config, "containers/auth.json"),
        below(docker, "config.json"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn of_file(
    place: &Path,
    text: &[u8],
    host: &str,
    path: &str,
    env: &BTreeMap<String, String>,
) -> Result<Option<Credentials>> {
    // serde's own words might quote the secret that they stumbled over.
    let wrong = |why: String| {
        let message = format!("`{}`: {why}", place.display());
        Error::new(Kind::Fetch, message).hint("`docker login` and `podman login` write it")
    };
    let file: File = serde_json::from_slice(text).map_err(|cause| {
        wrong(format!("line {} is not as docker and podman write it", cause.line()))
    })?;
    if let Some(helper) = file.helpers.get(host) {
        return ask(helper, host, env);
    }
    if let Some((key, auth)) = best(&file.auths, host, path) {
        if !auth.identitytoken.is_empty() {
            return Ok(Some(Credentials::Identity(auth.identitytoken.clone())));
        }
        if !auth.auth.is_empty() {
            let pair = password(&auth.auth);
            return pair.map(Some).ok_or_else(|| wrong(format!("`auths.{key}.auth` is no base64")));
        }
    }
    file.store.map_or(Ok(None), |helper| ask(&helper, host, env))
}

/// The entry that says most: that of the repository before those of its folders and the host.
fn best<'f>(
    auths: &'f BTreeMap<String, Auth>,
    host: &str,
    path: &str,
) -> Option<(&'f String, &'f Auth)> {
    let whole = format!("{host}/{path}");
    let plain = |key: &str| {
        let key = key.split_once("://").map_or(key, |(_, rest)| rest).trim_end_matches('/');
        key.trim_end_matches("/v1").trim_end_matches("/v2").to_owned()
    };
    let covers = |key: &str| whole.strip_prefix(key).is_some_and(|rest| rest.starts_with('/'));
    auths
        .iter()
        .filter(|(key, _)| plain(key) == whole || covers(&plain(key)))
        .max_by_key(|(key, _)| plain(key).len())
}

fn password(auth: &str) -> Option<Credentials> {
    let pair = String::from_utf8(STANDARD.decode(auth.trim_end_matches('='))?).ok()?;
    let (user, password) = pair.split_once(':')?;
    let password = password.trim_end_matches('\0').to_owned();
    Some(Credentials::Password { user: user.to_owned(), password })
}

/// The variables of `env` that clouds' programs look at.
pub fn of_clouds(env: &BTreeMap<String, String>) -> impl Iterator<Item = &str> {
    let names = env.keys().map(String::as_str);
    names.filter(|name| CLOUDS.iter().any(|cloud| name.starts_with(cloud)))
}

/// Asks a credential helper, which answers in JSON.
fn ask(helper: &str, host: &str, env: &BTreeMap<String, String>) -> Result<Option<Credentials>> {
    let program = format!("docker-credential-{helper}");
    let failed =
        |why: &str| Error::new(Kind::Tool, format!("`{program} get`, asked for {host}: {why}"));
    if !helper.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Err(failed("no name of a credential helper"));
    }
    let sh = command::shell()?;
    let names: Vec<&str> = NETWORK.iter().copied().chain(HELPERS).chain(of_clouds(env)).collect();
    let said = command::read(cmd!(sh, "{program} get").stdin(host), &Env::host(&names));
    let said = match said {
        Ok(said) => said,
        Err(error) if error.message().contains("credentials not found") => return Ok(None),
        // Whatever it printed may be the secret.
        Err(error) if error.kind() == Kind::Tool => return Err(failed("it failed")),
        Err(error) => return Err(error),
    };
    let answer: Answer =
        serde_json::from_str(&said).map_err(|_| failed("its answer is not as documented"))?;
    Ok(Some(match answer.username == "<token>" {
        true => Credentials::Identity(answer.secret),
        false => Credentials::Password { user: answer.username, password: answer.secret },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(file: &str, host: &str, path: &str) -> String {
        match of_file("auth.json".as_ref(), file.as_bytes(), host, path, &BTreeMap::new()) {
            Ok(None) => "none".to_owned(),
            Ok(Some(Credentials::Password { user, password })) => format!("{user} {password}"),
            Ok(Some(Credentials::Identity(token))) => format!("token {token}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_nearest_entry_is_taken() {
        let file = r#"{"auths": {
            "registry.example": {"auth": "aG9zdDpw"},
            "registry.example/team": {"auth": "dGVhbTpw"},
            "registry.example/team/ops": {"auth": "b3BzOnA6cQ=="},
            "https://old.example/v1/": {"auth": "b2xkOnA="},
            "token.example": {"auth": "eDp5", "identitytoken": "t"},
            "empty.example": {}
        }, "HttpHeaders": {}}"#;
        for (host, path, found) in [
            ("registry.example", "ops", "host p"),
            ("registry.example", "team/x", "team p"),
            ("registry.example", "teams", "host p"),
            ("registry.example", "team/ops", "ops p:q"),
            ("old.example", "x", "old p"),
            ("token.example", "x", "token t"),
            ("empty.example", "x", "none"),
            ("registry.example:5000", "ops", "none"),
            ("example", "ops", "none"),
        ] {
            assert_eq!(shown(file, host, path), found, "{host}/{path}");
        }
    }

    #[test]
    fn what_is_damaged_is_named_without_its_secret() {
        let wrong = shown(r#"{"auths": {"h.example": {"auth": "secret!"}}}"#, "h.example", "x");
        insta::assert_snapshot!(wrong, @"
        error: `auth.json`: `auths.h.example.auth` is no base64
        hint: `docker login` and `podman login` write it
        ");
        let wrong =
            shown("{\"auths\": {\"h.example\": {\"auth\":\n [\"secret\"]}}}", "h.example", "x");
        assert!(wrong.contains("line 2 is not as") && !wrong.contains("secret"), "{wrong}");
    }

    #[test]
    fn the_files_are_podmans_then_dockers() {
        let env = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
        };
        let shown = |env: &BTreeMap<String, String>| {
            places(env).iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(" ")
        };
        let home = env(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/r")]);
        assert_eq!(
            shown(&home),
            "/r/containers/auth.json /h/.config/containers/auth.json /h/.docker/config.json"
        );
        assert_eq!(shown(&env(&[("HOME", "/h"), ("REGISTRY_AUTH_FILE", "/a")])), "/a");
        assert_eq!(shown(&env(&[("DOCKER_CONFIG", "/d")])), "/d/config.json");
    }

    #[test]
    fn clouds_have_variables_of_their_own() {
        let names = ["AWS_PROFILE", "GOOGLE_APPLICATION_CREDENTIALS", "HOME", "MY_AWS_KEY"];
        let env = names.map(|name| (name.to_owned(), "x".to_owned())).into();
        assert_eq!(of_clouds(&env).collect::<Vec<_>>(), names[..2]);
    }

    #[test]
    fn a_helper_that_is_not_there_is_named() {
        let file = r#"{"credHelpers": {"h.example": "no-such"}, "credsStore": "../x"}"#;
        insta::assert_snapshot!(shown(file, "h.example", "x"), @"error: this machine has no `docker-credential-no-such`");
        insta::assert_snapshot!(shown(file, "other.example", "x"), @"error: `docker-credential-../x get`, asked for other.example: no name of a credential helper");
    }
}
