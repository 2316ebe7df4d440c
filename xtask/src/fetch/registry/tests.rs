//! Registries that refuse, stop and lie.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::fetch::server::{Answer, Request as Asked, Server, Then};

const BLOB: &[u8] = b"the bytes of a layer";
const UPLOAD: &str = "location: /v2/team/ops/blobs/uploads/1?state=a\r\n";

fn options(env: &[(&str, &str)]) -> Options {
    let env = env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let limits = Limits { attempts: 3, backoff: Duration::from_millis(1), ..Limits::default() };
    Options { offline: false, jobs: 1, limits, env }
}

fn registry_with(server: &Server, env: &[(&str, &str)]) -> Registry {
    let reference = format!("{}/team/ops", server.host()).parse().unwrap();
    Registry::open(&reference, Purpose::Push, false, &options(env)).unwrap()
}

fn registry(server: &Server) -> Registry {
    registry_with(server, &[("REGISTRY_AUTH_FILE", "/nowhere/auth.json")])
}

/// An error as its reader sees it, whatever the server's port is.
fn shown(server: &Server, error: &Error) -> String {
    error.to_string().replace(&server.host(), "HOST")
}

fn upload(registry: &Registry) -> Result<()> {
    let open = |from: u64| Ok(Box::new(Cursor::new(&BLOB[from as usize..])) as Box<dyn Read>);
    registry.upload(&Sha256::of(BLOB), BLOB.len() as u64, &open)
}

fn created() -> Answer {
    Answer::new(
        "201 Created",
        &format!("docker-content-digest: sha256:{}\r\n", Sha256::of(BLOB)),
        "",
    )
}

/// A registry as it should be, for uploads; `put` answers what is sent.
fn takes(put: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Server {
    Server::start(move |asked| match &*asked.method {
        "POST" => Answer::new("202 Accepted", UPLOAD, ""),
        _ => put(asked),
    })
}

#[test]
fn a_blob_is_sent_where_the_registry_wants_it() {
    let got = Arc::new(Mutex::new(Vec::new()));
    let log = got.clone();
    let server = takes(move |asked| {
        log.lock().unwrap().push((asked.target.clone(), asked.body()));
        created()
    });
    upload(&registry(&server)).unwrap();
    let digest = Sha256::of(BLOB);
    let place = format!("/v2/team/ops/blobs/uploads/1?state=a&digest=sha256:{digest}");
    assert_eq!(*got.lock().unwrap(), [(place, BLOB.to_vec())]);
}

#[test]
fn who_stops_in_the_middle_is_asked_again_and_then_named() {
    let server = takes(|asked| match asked.number {
        1 | 3 => Answer::raw(""),
        5 => Answer::new("503 Service Unavailable", "retry-after: 0\r\n", ""),
        _ => {
            assert_eq!(asked.body(), BLOB);
            created()
        }
    });
    let mut patient = registry(&server);
    patient.limits.attempts = 4;
    upload(&patient).unwrap();
    assert_eq!(server.requests(), 8);
    let server = takes(|_| Answer::raw(""));
    let error = upload(&registry(&server)).unwrap_err();
    let shown = shown(&server, &error);
    assert!(shown.starts_with("error: HOST/team/ops: cannot send the blob sha256:"), "{shown}");
    assert!(shown.contains("(3 attempts)"), "{shown}");
    assert_eq!(error.kind(), Kind::Fetch);
}

/// How it ends with a registry that is cut off in the second chunk and then answers `status`,
/// and what it was asked: method, place, part, bytes.
fn cut(status: impl Fn() -> Answer + Send + Sync + 'static) -> (Result<()>, Vec<String>) {
    let asked = Arc::new(Mutex::new(Vec::<String>::new()));
    let log = asked.clone();
    let server = Server::start(move |request| {
        let second =
            log.lock().unwrap().iter().filter(|line| line.starts_with("PATCH")).count() == 1;
        let cut = second && request.method == "PATCH";
        let body = if cut { b"cut".to_vec() } else { request.body() };
        let part = request.header("content-range").unwrap_or("all").to_owned();
        let target = request.target.replace("/v2/team/ops/blobs/", "");
        let line = format!("{} {target} {part} {}", request.method, String::from_utf8_lossy(&body));
        log.lock().unwrap().push(line.replace(&Sha256::of(BLOB).to_string(), "D"));
        let next = "location: /v2/team/ops/blobs/uploads/1?state=b\r\nrange: 0-";
        match &*request.method {
            "POST" => Answer::new("202 Accepted", UPLOAD, ""),
            "PATCH" if cut => Answer::raw(""),
            "PATCH" => {
                let (_, last) = part.split_once('-').unwrap();
                Answer::new("202 Accepted", &format!("{next}{last}\r\n"), "")
            }
            "HEAD" => Answer::new("404 Not Found", "", ""),
            "GET" => status(),
            _ => created(),
        }
    });
    let mut registry = registry(&server);
    registry.limits.chunk = 8;
    let done = upload(&registry);
    let asked = asked.lock().unwrap().iter().map(|line| line.trim_end().to_owned()).collect();
    (done, asked)
}

#[test]
fn after_a_cut_the_registry_says_what_it_has_and_gets_the_rest() {
    let has = |range: &'static str| {
        let location = "location: /v2/team/ops/blobs/uploads/1?state=c\r\n";
        cut(move || Answer::new("204 No Content", &format!("{location}range: {range}\r\n"), ""))
    };
    let (done, asked) = has("0-12");
    done.unwrap();
    insta::assert_snapshot!(asked.join("\n"), @r"
    POST uploads/ all
    PATCH uploads/1?state=a 0-7 the byte
    PATCH uploads/1?state=b 8-15 cut
    GET uploads/1?state=b all
    PUT uploads/1?state=c&digest=sha256:D 13-19 a layer
    ");
    // What cannot be is not believed: all of it again.
    let (done, asked) = has("0-4711");
    done.unwrap();
    insta::assert_snapshot!(asked[3..].join("\n"), @r"
    GET uploads/1?state=b all
    HEAD sha256:D all
    POST uploads/ all
    PATCH uploads/1?state=a 0-7 the byte
    PATCH uploads/1?state=b 8-15 s of a l
    PUT uploads/1?state=b&digest=sha256:D 16-19 ayer
    ");
}

#[test]
fn a_registry_that_does_not_know_how_much_it_has_gets_all_of_it_again() {
    let (done, asked) = cut(|| Answer::new("404 Not Found", "", ""));
    done.unwrap();
    assert_eq!(asked.iter().filter(|line| line.starts_with("POST")).count(), 2, "{asked:?}");
    assert_eq!(asked.iter().filter(|line| line.starts_with("PATCH")).count(), 4, "{asked:?}");
    // One that never says anything is not asked for ever.
    let (done, asked) = cut(|| Answer::new("503 Service Unavailable", "retry-after: 0\r\n", ""));
    assert!(done.unwrap_err().message().contains("(3 attempts)"));
    assert_eq!(asked.len(), 5, "{asked:?}");
}

#[test]
fn a_refusal_says_what_to_do() {
    let server = Server::start(|_| {
        let words = r#"{"errors":[{"code":"DENIED","message":"no\nwrite"},{"code":"X"}]}"#;
        Answer::new("403 Forbidden", "", words)
    });
    let error = upload(&registry(&server)).unwrap_err();
    insta::assert_snapshot!(shown(&server, &error), @r"
    error: HOST/team/ops: cannot send the blob sha256:3692935ef415e970aed321ed363fd69961585a67e6f9b5fc01e1d5b6bb89526f: HTTP status 403 Forbidden (DENIED: no\nwrite; X: )
    hint: no credentials for HOST are in /nowhere/auth.json
    hint: run `docker login HOST` or `podman login HOST`
    ");
    assert_eq!((error.kind(), server.requests()), (Kind::Fetch, 1));
    let server = takes(|_| Answer::new("413 Payload Too Large", "", ""));
    let error = upload(&registry(&server)).unwrap_err();
    assert!(error.hints()[0].contains("limits what may be sent"), "{error}");
}

#[test]
fn who_lies_about_a_digest_is_not_believed() {
    let other = Sha256::of(b"other");
    let wrong = move |_: &Asked| {
        Answer::new("201 Created", &format!("docker-content-digest: sha256:{other}\r\n"), "")
    };
    let server = takes(wrong);
    let error = upload(&registry(&server)).unwrap_err();
    assert_eq!(error.kind(), Kind::Digest);
    assert!(
        error.message().contains(&format!("the registry took it as sha256:{other}")),
        "{error}"
    );
    let error = registry(&server).put_manifest("t", INDEX, b"{}").unwrap_err();
    assert_eq!(error.kind(), Kind::Digest);

    let server = Server::start(|asked| match &*asked.method {
        "HEAD" => Answer::new("200 OK", "content-length: 9\r\n", ""),
        _ => Answer::ok("another text"),
    });
    let registry = registry(&server);
    let (digest, size) = (Sha256::of(BLOB), BLOB.len() as u64);
    let error = registry.has(&digest, size).unwrap_err();
    assert!(error.message().ends_with("expected 20 bytes, the registry says 9"), "{error}");
    let error = registry.manifest(&digest.named(), &MANIFESTS).unwrap_err();
    assert_eq!(error.kind(), Kind::Digest);
    assert_eq!(
        registry.manifest("tag", &MANIFESTS).unwrap().unwrap().digest,
        Sha256::of(b"another text")
    );
    let error = registry.small(&digest, 12).unwrap_err();
    assert!(error.message().contains(&format!("expected sha256 {digest}, found")), "{error}");
    assert!(registry.blob(&digest, size).is_err());
}

#[test]
fn a_blob_that_ends_early_or_never_is_no_blob() {
    let server = Server::start(|asked| match asked.number {
        0 => Answer::ok(BLOB).cut(5),
        1 => Answer::unsized_(&BLOB[..5]),
        _ => Answer::unsized_(BLOB).then(Then::Endless),
    });
    let registry = registry(&server);
    let read = || {
        let mut bytes = Vec::new();
        let mut stream = registry.blob(&Sha256::of(BLOB), BLOB.len() as u64).unwrap();
        stream.read_to_end(&mut bytes).map(|_| bytes)
    };
    for _ in 0..2 {
        let error = read().unwrap_err().to_string();
        assert!(error.starts_with("the registry stopped after 5 of 20 bytes"), "{error}");
    }
    assert_eq!(read().unwrap().len(), BLOB.len() + 1);
}

#[test]
fn a_blob_of_an_absurd_size_is_no_blob() {
    let server = Server::start(|_| Answer::unsized_(BLOB));
    let mut stream = registry(&server).blob(&Sha256::of(BLOB), u64::MAX).unwrap();
    let error = stream.read_to_end(&mut Vec::new()).unwrap_err().to_string();
    assert!(error.starts_with("the registry stopped after 20 of 18446744073709551615"), "{error}");
}

#[test]
fn a_blob_is_mounted_where_it_may_be() {
    let targets = Arc::new(Mutex::new(Vec::new()));
    let log = targets.clone();
    let server = Server::start(move |asked| {
        log.lock().unwrap().push(format!("{} {}", asked.method, asked.target));
        match asked.number {
            0 => created(),
            1 => Answer::new("202 Accepted", UPLOAD, ""),
            _ => Answer::new("204 No Content", "", ""),
        }
    });
    let registry = registry(&server);
    let digest = Sha256::of(BLOB);
    assert!(registry.mount(&digest, "base/image").unwrap());
    assert!(!registry.mount(&digest, "base/image").unwrap());
    let asked = format!("POST /v2/team/ops/blobs/uploads/?mount=sha256:{digest}&from=base/image");
    let ended = "DELETE /v2/team/ops/blobs/uploads/1?state=a".to_owned();
    assert_eq!(*targets.lock().unwrap(), [asked.clone(), asked, ended]);
}

/// A registry that wants a token, and its token server.
fn guarded(token: &'static str, seen: Arc<Mutex<Vec<String>>>) -> Server {
    Server::start(move |asked| {
        let word = asked.header("authorization").unwrap_or("nothing").to_owned();
        let body = String::from_utf8_lossy(&asked.body()).into_owned();
        seen.lock().unwrap().push(format!("{} {} {word} {body}", asked.method, asked.target));
        if asked.target.starts_with("/token") {
            return Answer::ok(token);
        }
        if word != "Bearer good" {
            let host = asked.header("host").unwrap();
            let challenge =
                format!("www-authenticate: Bearer realm=\"http://{host}/token\",service=\"s\"\r\n");
            return Answer::new("401 Unauthorized", &challenge, "");
        }
        match &*asked.method {
            "HEAD" => Answer::new("404 Not Found", "", ""),
            _ => Answer::new("307 Temporary Redirect", "location: http://localhost:1/\r\n", ""),
        }
    })
}

#[test]
fn a_token_is_asked_for_with_the_users_own_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auth.json");
    for (entry, asked) in [
        (
            r#""auth": "bWU6cGFzcw==""#,
            "GET /token?scope=repository:team/ops:pull,push&service=s Basic bWU6cGFzcw== ",
        ),
        (
            r#""identitytoken": "i&d""#,
            "POST /token nothing grant_type=refresh_token&client_id=lockstep&refresh_token=i%26d&scope=repository:team/ops:pull,push&service=s",
        ),
    ] {
        let seen = Arc::default();
        let server = guarded(r#"{"token":"good"}"#, Arc::clone(&seen));
        let text = format!(r#"{{"auths": {{"{}": {{{entry}}}}}}}"#, server.host());
        std::fs::write(&file, text).unwrap();
        let registry = registry_with(&server, &[("REGISTRY_AUTH_FILE", file.to_str().unwrap())]);
        assert!(!registry.has(&Sha256::of(BLOB), 1).unwrap());
        assert!(!registry.has(&Sha256::of(BLOB), 1).unwrap());
        let seen = seen.lock().unwrap().clone();
        assert_eq!(seen.len(), 4, "{seen:?}");
        assert_eq!(seen[1], asked);
        assert!(seen[3].contains("Bearer good"));
    }
}

#[test]
fn no_token_is_said_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("auth.json");
    let shown = |answer| {
        let server = guarded(answer, Arc::default());
        let text = format!(r#"{{"auths": {{"{}": {{"auth": "bWU6cGFzcw=="}}}}}}"#, server.host());
        std::fs::write(&file, text).unwrap();
        let registry = registry_with(&server, &[("REGISTRY_AUTH_FILE", file.to_str().unwrap())]);
        let error = registry.has(&Sha256::of(BLOB), 1).unwrap_err();
        shown(&server, &error).replace(&file.display().to_string(), "FILE")
    };
    insta::assert_snapshot!(shown(r#"{"token":"bad"}"#), @r"
    error: HOST/team/ops: cannot look for the blob sha256:3692935ef415e970aed321ed363fd69961585a67e6f9b5fc01e1d5b6bb89526f: HTTP status 401 Unauthorized
    hint: the credentials for HOST in FILE are not accepted
    hint: run `docker login HOST` or `podman login HOST`
    ");
    for none in [r#"{"token":"two words"}"#, r#"{"token":""}"#, "[]", ""] {
        let error = shown(none);
        assert!(error.ends_with(": http://HOST/token answers with no token"), "{error}");
    }
}

#[test]
fn a_token_server_in_clear_elsewhere_is_refused_and_a_token_stays_with_its_registry() {
    let server = Server::start(|_| {
        let challenge = "www-authenticate: Bearer realm=\"http://token.example/\"\r\n";
        Answer::new("401 Unauthorized", challenge, "")
    });
    let error = registry(&server).has(&Sha256::of(BLOB), 1).unwrap_err();
    insta::assert_snapshot!(shown(&server, &error), @"error: HOST: the registry names a token server that is refused: http://token.example/ is not https");

    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = seen.clone();
    let elsewhere = Server::start(move |asked| {
        log.lock().unwrap().push(format!("{:?}", asked.header("authorization")));
        Answer::ok(BLOB)
    });
    let to = format!("location: {}/blob\r\n", elsewhere.url());
    let server = Server::start(move |_| Answer::new("307 Temporary Redirect", &to, ""));
    let registry = registry(&server);
    *registry.word.lock().unwrap() = Some("Bearer secret".to_owned());
    assert_eq!(registry.small(&Sha256::of(BLOB), BLOB.len() as u64).unwrap(), BLOB);
    assert_eq!(*seen.lock().unwrap(), ["None"]);
    assert_eq!(server.log.lock().unwrap()[0].authorization.as_deref(), Some("Bearer secret"));
}

#[test]
fn another_machine_is_asked_through_tls_unless_one_says_otherwise() {
    let reference: Reference = "registry.example:5000/ops".parse().unwrap();
    let root = |plain| {
        Registry::open(&reference, Purpose::Pull, plain, &options(&[])).unwrap().root.to_string()
    };
    assert_eq!(root(false), "https://registry.example:5000/v2/ops");
    assert_eq!(root(true), "http://registry.example:5000/v2/ops");
}
