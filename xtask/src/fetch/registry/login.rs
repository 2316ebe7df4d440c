//! Tokens (the distribution project's token authentication; OAuth 2.0, RFC 6749).

use std::io::{Cursor, Read as _};

use serde::Deserialize;

use super::challenge::{self, Challenge};
use super::credentials::Credentials;
use super::{Registry, words};
use crate::error::{Error, Kind};
use crate::fetch::http::{Answer, Ask, Failure, read_failed};
use crate::fetch::retry::Trouble;
use crate::fetch::url::{Scheme, Url, base64};
use crate::reference::is_loopback;

/// Most bytes of a token server's answer.
const MOST: u64 = 1 << 20;

#[derive(Deserialize)]
struct Tokens {
    token: Option<String>,
    access_token: Option<String>,
}

impl Registry {
    /// Meets the challenge of `answer`. `false` when there is nothing to try.
    pub(super) fn login(&self, answer: &Answer) -> Result<bool, Trouble> {
        let credentials = self.credentials.credentials.as_ref();
        let word = match challenge::read(answer.headers("www-authenticate")) {
            None => return Ok(false),
            Some(Challenge::Basic) => match credentials {
                Some(Credentials::Password { user, password }) => basic(user, password),
                _ => return Ok(false),
            },
            Some(Challenge::Bearer { realm, service }) => {
                format!("Bearer {}", self.token(&realm, service.as_deref())?)
            }
        };
        *self.word.lock().unwrap_or_else(|broken| broken.into_inner()) = Some(word);
        Ok(true)
    }

    fn token(&self, realm: &str, service: Option<&str>) -> Result<String, Trouble> {
        let server = self.server(realm)?;
        let answer = match &self.credentials.credentials {
            Some(Credentials::Identity(token)) => self.refresh(&server, service, token)?,
            Some(Credentials::Password { user, password }) => {
                let headers = vec![("authorization", basic(user, password))];
                self.ask_token(&server, service, headers)?
            }
            None => self.ask_token(&server, service, Vec::new())?,
        };
        let retry = answer.retry();
        if answer.status() != 200 {
            let why = format!("{server}: HTTP status {}{}", answer.said(), words(answer));
            return Err(Failure { why: format!("no token: {why}"), retry }.into());
        }
        let mut text = Vec::new();
        answer.body().take(MOST).read_to_end(&mut text).map_err(|cause| read_failed(&cause))?;
        let tokens: Option<Tokens> = serde_json::from_slice(&text).ok();
        let token = tokens.and_then(|tokens| tokens.token.or(tokens.access_token));
        // It becomes a header: nothing but what a token may be (RFC 6750, section 2.1).
        let fine =
            |token: &String| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
        let missing = || Failure::last(format!("{server} answers with no token")).into();
        token.filter(fine).ok_or_else(missing)
    }

    /// The token server; a secret goes to none in clear, but on this machine.
    fn server(&self, realm: &str) -> Result<Url, Trouble> {
        let wrong = |why: String| {
            let why = format!("the registry names a token server that is refused: {why}");
            Trouble::Local(Error::new(Kind::Fetch, format!("{}: {why}", self.reference.host)))
        };
        let server = Url::parse(realm).map_err(wrong)?;
        match server.scheme() {
            Scheme::Https => Ok(server),
            Scheme::Http
                if self.plain && (is_loopback(server.host()) || self.root.trusts(&server)) =>
            {
                Ok(server)
            }
            _ => Err(wrong(format!("{server} is not https"))),
        }
    }

    fn ask_token(
        &self,
        server: &Url,
        service: Option<&str>,
        headers: Vec<(&'static str, String)>,
    ) -> Result<Answer, Trouble> {
        let mut url = server.and("scope", &self.scope);
        if let Some(service) = service {
            url = url.and("service", service);
        }
        let total = self.limits.total(MOST);
        Ok(self.http.ask(Ask { method: "GET", url: &url, headers, body: None, total })?)
    }

    /// The form goes in the body: a URL stands in logs.
    fn refresh(&self, server: &Url, service: Option<&str>, token: &str) -> Result<Answer, Trouble> {
        let pairs = [
            ("grant_type", "refresh_token"),
            ("client_id", "lockstep"),
            ("refresh_token", token),
            ("scope", &self.scope),
            ("service", service.unwrap_or_default()),
        ];
        let form = pairs.iter().fold(server.bare(), |url, (name, value)| url.and(name, value));
        let form = form.query();
        let headers = vec![("content-type", "application/x-www-form-urlencoded".to_owned())];
        let total = self.limits.total(MOST);
        let mut bytes = Cursor::new(form.as_bytes());
        let body = Some((&mut bytes as &mut dyn std::io::Read, form.len() as u64));
        Ok(self.http.ask(Ask { method: "POST", url: server, headers, body, total })?)
    }
}

/// RFC 7617.
fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))
}
