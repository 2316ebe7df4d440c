//! Mirrors that lie: nothing wrong is ever published, and the message says who lied.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::example::{bytes, lock};
use super::server::{Answer, Request, Server, Then};
use super::*;
use crate::digest::Sha256;

/// A store, and options in which nothing takes long.
struct Case {
    _folder: tempfile::TempDir,
    store: Store,
    options: Options,
    lock: Lock,
}

impl Case {
    fn new(mirror: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("store"));
        let mut case = Case { _folder: folder, store, options: quick(), lock: lock() };
        case.set("LOCKSTEP_DEBIAN_MIRROR", mirror);
        case.set("LOCKSTEP_PYTHON_INDEX", &format!("{mirror}/simple"));
        case.lock.bazel.binary.as_mut().unwrap().url = format!("{mirror}/bazel-9.8.7");
        case
    }

    /// Against a server for `gcc_12_amd64.deb` alone.
    fn of(handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> (Self, Server) {
        let server = Server::start(handler);
        (Case::new(&server.url()), server)
    }

    fn set(&mut self, name: &str, value: &str) {
        self.options.env.insert(name.to_owned(), value.to_owned());
    }

    fn all(&self) -> Result<()> {
        ensure(&self.lock, &self.store, &Selection::all(), &self.options)
    }

    fn gcc(&self) -> Result<()> {
        self.with_gcc(|| Ok(()))
    }

    fn with_gcc<T>(&self, make: impl Fn() -> Result<T>) -> Result<T> {
        let mut lock = self.lock.clone();
        lock.packages.retain(|package| package.name == "gcc");
        lock.bazel.binary = None;
        let selection = Selection { wheels: Wheels::None, ..Selection::all() };
        with(&lock, &self.store, &selection, &self.options, make)
    }

    fn has_gcc(&self) -> bool {
        self.store.verified(&digest(GCC), "gcc").is_ok()
    }

    /// Fetching gcc fails with this text after the URL, and publishes nothing.
    #[track_caller]
    fn fails(&self, why: &str) {
        let error = self.gcc().unwrap_err().to_string();
        let why = why.replace("SHA", &digest(GCC).to_string());
        assert!(
            error.contains("cannot fetch gcc 12 (gcc_12_amd64.deb)\n  http://127.0.0.1:"),
            "{error}"
        );
        assert!(error.contains(&format!("pool/main/gcc/{GCC}: {why}")), "{error}");
        assert!(error.contains("\nhint: "), "{error}");
        assert!(!self.store.object(&digest(GCC)).exists());
    }

    /// Fetching gcc succeeds after all.
    #[track_caller]
    fn succeeds(&self) {
        self.gcc().unwrap();
        assert!(self.has_gcc());
    }
}

const GCC: &str = "gcc_12_amd64.deb";

fn digest(name: &str) -> Sha256 {
    Sha256::of(&bytes(name))
}

fn quick() -> Options {
    let limits = Limits {
        attempts: 3,
        piece: 100_000,
        backoff: Duration::from_millis(1),
        patience: Duration::from_millis(5),
        connect: Duration::from_millis(2000),
        idle: Duration::from_millis(2000),
        slowest: 1 << 20,
        page: 100_000,
        chunk: 100_000,
    };
    Options { offline: false, jobs: 3, limits, env: BTreeMap::new() }
}

/// An honest mirror, index and web site.
fn honest(request: &Request) -> Answer {
    match request.target.strip_prefix("/simple/") {
        Some("numpy/") => {
            let body = format!(
                "<a href='../../files/numpy-1.0-py3-none-any.whl#sha256={}'>numpy-1.0-py3-none-any.whl</a>",
                digest("numpy-1.0-py3-none-any.whl")
            );
            Answer::new("200 OK", "content-type: text/html\r\n", body)
        }
        Some("tensorflow-cpu/") => {
            let name = "tensorflow_cpu-2.0-py3-none-any.whl";
            let body = format!(
                r#"{{"files":[{{"filename":"{name}","url":"/files/{name}","hashes":{{"sha256":"{}"}}}}]}}"#,
                digest(name)
            );
            Answer::new("200 OK", "content-type: application/vnd.pypi.simple.v1+json\r\n", body)
        }
        _ => Answer::part(request, &bytes(request.file())),
    }
}

#[test]
fn everything_of_the_lock_comes_and_then_no_network_is_needed() {
    let (mut case, server) = Case::of(honest);
    case.all().unwrap();
    for file in [GCC, "bazel-9.8.7", "numpy-1.0-py3-none-any.whl", "libc6_2.36_amd64.deb"] {
        assert!(case.store.verified(&digest(file), file).is_ok(), "{file}");
    }
    assert_eq!(server.requests(), 7, "five files, two pages");
    case.options.offline = true;
    case.options.env.clear();
    case.all().unwrap();
    assert_eq!(server.requests(), 7);
}

#[test]
fn offline_names_what_is_missing_and_touches_nothing() {
    let (mut case, server) = Case::of(honest);
    case.options.offline = true;
    assert_eq!(
        case.all().unwrap_err().to_string(),
        "error: not in the store, and --offline is given: \
         tensorflow-cpu 2.0 (tensorflow_cpu-2.0-py3-none-any.whl), Bazel 9.8.7 (bazel-9.8.7), \
         gcc 12 (gcc_12_amd64.deb), numpy 1.0 (numpy-1.0-py3-none-any.whl), \
         libc6 2.36 (libc6_2.36_amd64.deb)\n\
         hint: run `cargo xtask fetch` while the network is there"
    );
    assert_eq!(server.requests(), 0);
    assert!(!case.store.root().exists());
}

#[test]
fn a_cut_body_is_gone_on_with() {
    let (case, server) = Case::of(|request| {
        let answer = honest(request);
        if request.number < 2 { answer.cut(1000) } else { answer }
    });
    case.succeeds();
    assert_eq!(server.requests(), 3);
}

#[test]
fn a_body_that_is_always_cut_is_given_up_with_its_place() {
    let (case, server) = Case::of(|request| honest(request).cut(1000));
    case.fails("stopped after 3000 of 400000 bytes");
    assert_eq!(server.requests(), 3);
}

#[test]
fn attempts_that_bring_much_do_not_count() {
    let (case, server) = Case::of(|request| honest(request).cut(101_000));
    case.succeeds();
    assert_eq!(server.requests(), 4);
}

#[test]
fn a_body_without_length_that_ends_early_is_no_whole_one() {
    let (case, _server) = Case::of(|_| Answer::unsized_("short"));
    case.fails("ended after 5 of 400000 bytes (3 attempts)");
    let (case, _server) = Case::of(|request| Answer::unsized_(bytes(request.file())));
    case.succeeds();
}

#[test]
fn wrong_bytes_are_named_and_the_next_mirror_asked() {
    let mut wrong = bytes(GCC);
    wrong[200_000] ^= 1;
    let found = Sha256::of(&wrong);
    let (mut case, liar) = Case::of(move |request| Answer::part(request, &wrong));
    case.fails(&format!("expected sha256 SHA, found {found}"));
    assert_eq!(case.gcc().unwrap_err().kind(), Kind::Digest);
    assert_eq!(liar.requests(), 2, "no second look at bytes that came whole");
    let good = Server::start(honest);
    case.set("LOCKSTEP_DEBIAN_MIRROR", &format!("{} {}", liar.url(), good.url()));
    case.succeeds();
}

#[test]
fn an_endless_body_ends_at_the_locks_size() {
    let (case, _server) =
        Case::of(|request| Answer::unsized_(bytes(request.file())).then(Then::Endless));
    case.fails("expected 400000 bytes, found more (no content type)");
}

#[test]
fn a_wrong_length_is_seen_before_the_body() {
    let (case, server) = Case::of(|_| {
        Answer::new("200 OK", "content-type: text/html\r\n", "<html>Log in to Hotel WiFi</html>")
    });
    case.fails("expected 400000 bytes, found 33 (text/html)");
    assert_eq!(server.requests(), 1);
}

#[test]
fn a_mirror_that_ignores_ranges_is_taken_from_the_start() {
    let (case, server) = Case::of(|request| {
        let whole = Answer::ok(bytes(request.file()));
        if request.number == 0 { whole.cut(1000) } else { whole }
    });
    case.succeeds();
    assert_eq!(server.requests(), 2);
}

#[test]
fn a_range_that_was_not_asked_for_is_not_appended() {
    for range in ["bytes 0-399999/400000", "bytes 999-399999/400000", "nonsense"] {
        let (case, server) = Case::of(move |request| match request.from() {
            Some(from) => Answer::new(
                "206 Partial Content",
                &format!("content-range: {range}\r\n"),
                &bytes(GCC)[from..],
            ),
            None if request.number == 0 => honest(request).cut(1000),
            None => honest(request),
        });
        case.succeeds();
        assert_eq!(server.requests(), 3, "{range}");
    }
    let (case, _server) = Case::of(|request| match request.from() {
        Some(_) => Answer::new("416 Range Not Satisfiable", "", ""),
        None if request.number == 0 => honest(request).cut(1000),
        None => honest(request),
    });
    case.succeeds();
}

#[test]
fn who_asks_for_a_whole_file_takes_no_part_of_one() {
    for status in ["206 Partial Content", "416 Range Not Satisfiable"] {
        let (_case, server) = Case::of(move |_| Answer::new(status, "", "part"));
        let error = small(&format!("{}/ledger.json", server.url()), 100, &quick()).unwrap_err();
        assert!(error.message().ends_with(&format!(": HTTP status {status}")), "{error}");
    }
}

#[test]
fn a_part_of_other_bytes_is_given_up_once_for_the_whole() {
    let (case, server) = Case::of(honest);
    let mut partial = case.store.partial(&digest(GCC), 400_000, "x").unwrap().unwrap();
    partial.write(&[7; 1000]).unwrap();
    drop(partial);
    case.succeeds();
    assert_eq!(server.requests(), 2, "what is left, then all");
}

#[test]
fn a_part_that_is_whole_needs_no_network() {
    let (case, server) = Case::of(honest);
    let mut partial = case.store.partial(&digest(GCC), 400_000, "x").unwrap().unwrap();
    partial.write(&bytes(GCC)).unwrap();
    drop(partial);
    case.succeeds();
    assert_eq!(server.requests(), 0);
}

#[test]
fn a_busy_server_is_asked_again_and_an_absent_file_is_not() {
    for status in ["500 Internal Server Error", "503 Service Unavailable", "429 Too Many Requests"]
    {
        let (case, server) = Case::of(move |request| match request.number {
            0 | 1 => Answer::new(status, "retry-after: 1\r\n", "busy"),
            _ => honest(request),
        });
        case.succeeds();
        assert_eq!(server.requests(), 3);
    }
    let (case, server) = Case::of(|_| Answer::new("503 Service Unavailable", "", ""));
    case.fails("HTTP status 503 Service Unavailable (3 attempts)");
    assert_eq!(server.requests(), 3);
    let (case, server) = Case::of(|_| Answer::new("404 Not Found", "", "gone"));
    case.fails("HTTP status 404 Not Found");
    assert_eq!(server.requests(), 1);
    let error = case.gcc().unwrap_err();
    assert_eq!(
        error.hints(),
        [
            "what is no longer served is replaced by `cargo xtask update`",
            "LOCKSTEP_DEBIAN_MIRROR names another mirror"
        ]
    );
}

#[test]
fn redirects_are_few_and_lead_to_the_web() {
    let to = |location: &'static str| {
        move |_: &Request| Answer::new("302 Found", &format!("location: {location}\r\n"), "")
    };
    let (case, server) = Case::of(to("/pool/main/gcc/gcc_12_amd64.deb"));
    case.fails("more than 5 redirects, the last to http://127.0.0.1:");
    assert_eq!(server.requests(), 6);
    let (case, _server) = Case::of(to("file:///etc/passwd"));
    case.fails("a redirect to a file of this machine is refused");
    let (case, _server) = Case::of(to("gopher://x/"));
    case.fails("a redirect to no URL: expected http, https or file, found `gopher`");
    let (case, _server) = Case::of(|_| Answer::new("302 Found", "", ""));
    case.fails("more than 5 redirects");
    let (case, _server) = Case::of(|request| match request.target.strip_prefix("/pool/") {
        Some(_) => Answer::new(
            "307 Temporary Redirect",
            "location: /elsewhere/gcc_12_amd64.deb?signed=1\r\n",
            "",
        ),
        None => Answer::part(request, &bytes(GCC)),
    });
    case.succeeds();
}

#[test]
fn a_silent_server_and_a_dripping_one_are_given_up() {
    let (mut case, server) = Case::of(|request| honest(request).cut(1000).then(Then::Silence));
    case.options.limits.idle = Duration::from_secs(1);
    case.options.limits.attempts = 2;
    case.fails("stopped after 2000 of 400000 bytes: no answer in time");
    assert_eq!(server.requests(), 2);
    let (mut case, _server) = Case::of(|request| honest(request).cut(0).then(Then::Drip));
    case.options.limits.connect = Duration::from_millis(500);
    case.options.limits.idle = Duration::from_secs(2);
    case.options.limits.slowest = 10_000_000;
    case.options.limits.attempts = 1;
    let error = case.gcc().unwrap_err().to_string();
    assert!(error.contains("bytes: no answer in time (timeout: global) (1 attempts)"), "{error}");
    assert!(!case.has_gcc());
}

#[test]
fn what_is_no_http_is_an_error() {
    for head in [
        "",
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 999999 X\r\n\r\n",
        "\0\0\0\0",
    ] {
        let (case, _server) = Case::of(move |_| Answer::raw(head));
        assert_eq!(case.gcc().unwrap_err().kind(), Kind::Fetch, "{head}");
        assert!(!case.has_gcc());
    }
}

#[test]
fn no_network_is_said_so() {
    let case = Case::new("http://127.0.0.1:1");
    case.fails("Connection refused (os error 111) (3 attempts)");
}

#[test]
fn a_password_is_sent_to_its_host_and_never_shown() {
    let other = Server::start(honest);
    let elsewhere = other.url();
    let (mut case, server) = Case::of(move |request| {
        Answer::new("302 Found", &format!("location: {elsewhere}{}\r\n", request.target), "")
    });
    case.set("LOCKSTEP_DEBIAN_MIRROR", &format!("http://me:CANARY@{}", server.host()));
    case.succeeds();
    assert_eq!(server.log.lock().unwrap()[0].authorization.as_deref(), Some("Basic bWU6Q0FOQVJZ"));
    assert_eq!(other.log.lock().unwrap()[0].authorization, None);
    drop(other);
    let (mut case, server) = Case::of(|_| Answer::new("401 Unauthorized", "", ""));
    case.set(
        "LOCKSTEP_DEBIAN_MIRROR",
        &format!("http://me:CANARY@{}/?token=CANARY", server.host()),
    );
    let error = case.gcc().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("CANARY"), "{error}");
}

#[test]
fn http_goes_through_a_proxy_with_the_whole_url() {
    let proxy = Server::start(|request| {
        match request.target.starts_with("http://mirror.example:81/debian/pool/") {
            true if request.header("host") == Some("mirror.example:81") => {
                Answer::part(request, &bytes(GCC))
            }
            _ => Answer::new("400 Bad Request", "", ""),
        }
    });
    let mut case = Case::new("http://mirror.example:81/debian");
    case.set("http_proxy", &format!("http://me:CANARY@{}", proxy.host()));
    case.succeeds();
    let mut case = Case::new("http://127.0.0.1:1");
    case.set("http_proxy", &proxy.url());
    case.set("no_proxy", "127.0.0.1");
    case.fails("Connection refused");
}

#[test]
fn https_goes_through_a_tunnel() {
    let proxy = Server::start(|request| {
        assert_eq!(request.target, "mirror.example:443");
        Answer::new("403 Forbidden", "", "")
    });
    let mut case = Case::new("https://mirror.example/debian");
    case.set("https_proxy", &format!("http://me:CANARY@{}", proxy.host()));
    let error = case.gcc().unwrap_err().to_string();
    assert!(error.contains("403") && !error.contains("CANARY"), "{error}");
    assert_eq!(proxy.requests(), 1);
}

#[test]
fn a_mirror_may_be_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let pool = folder.path().join("a b/pool/main/gcc");
    std::fs::create_dir_all(&pool).unwrap();
    std::fs::write(pool.join(GCC), bytes(GCC)).unwrap();
    let case = Case::new(&format!("file://{}/a%20b", folder.path().display()));
    let mut partial = case.store.partial(&digest(GCC), 400_000, "x").unwrap().unwrap();
    partial.write(&bytes(GCC)[..5]).unwrap();
    drop(partial);
    case.succeeds();
}

#[test]
fn index_pages_that_are_none_are_named() {
    let page = |answer: fn() -> Answer| {
        let (case, _server) =
            Case::of(move |request| match request.target.starts_with("/simple/") {
                true => answer(),
                false => honest(request),
            });
        let error = case.all().unwrap_err().to_string();
        let (_, why) =
            error.split_once("/simple/tensorflow-cpu/: ").unwrap_or_else(|| panic!("{error}"));
        why.lines().next().unwrap().to_owned()
    };
    let html = || Answer::new("200 OK", "content-type: text/html\r\n", "<html>Log in");
    assert_eq!(
        page(html),
        "`tensorflow_cpu-2.0-py3-none-any.whl` is not among the 0 files of the page (text/html)"
    );
    let json = || Answer::new("200 OK", "content-type: application/json\r\n", "{}");
    assert_eq!(
        page(json),
        "the page is no index page (PEP 691): missing field `files` at line 1 column 2"
    );
    assert_eq!(page(|| Answer::new("404 Not Found", "", "")), "HTTP status 404 Not Found");
    let endless = || Answer::unsized_([b'x'; 50_000]).then(Then::Endless);
    assert_eq!(page(endless), "the page is longer than 100000 bytes");
    let name = r#"{"files":[{"filename":"tensorflow_cpu-2.0-py3-none-any.whl","url":"x","hashes":{"sha256":"0000000000000000000000000000000000000000000000000000000000000000"}}]}"#;
    let (case, _server) = Case::of(move |request| match request.target.starts_with("/simple/") {
        true => Answer::new("200 OK", "content-type: application/json\r\n", name),
        false => honest(request),
    });
    let error = case.all().unwrap_err();
    assert_eq!(error.kind(), Kind::Digest);
    assert!(error.message().contains("another digest: expected sha256 "), "{error}");
}

#[test]
fn the_first_failure_ends_the_others_at_once() {
    let (mut case, _server) = Case::of(|request| match request.file() {
        GCC => Answer::new("404 Not Found", "", ""),
        _ => honest(request).cut(10).then(Then::Silence),
    });
    case.options.limits.idle = Duration::from_secs(600);
    let error = case.all().unwrap_err();
    assert!(error.message().contains("HTTP status 404"), "{error}");
}

#[test]
fn two_runs_at_once_fetch_each_file_once() {
    let (case, server) = Case::of(honest);
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| case.gcc())).collect();
        runs.into_iter().for_each(|run| run.join().unwrap().unwrap());
    });
    assert_eq!(server.requests(), 1);
}

#[test]
fn a_damaged_object_is_fetched_again() {
    let (case, server) = Case::of(honest);
    case.succeeds();
    let path = case.store.object(&digest(GCC));
    let mut damaged = bytes(GCC);
    damaged[7] ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, damaged).unwrap();
    assert!(!case.has_gcc());
    case.succeeds();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "short").unwrap();
    case.succeeds();
    assert_eq!(server.requests(), 3);
}

#[test]
fn what_is_found_damaged_in_use_is_fetched_again_in_the_same_run() {
    let (mut case, server) = Case::of(honest);
    case.succeeds();
    let path = case.store.object(&digest(GCC));
    let damage = || {
        let mut damaged = bytes(GCC);
        damaged[7] ^= 1;
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, damaged).unwrap();
    };
    let made = |case: &Case| case.with_gcc(|| case.store.verified(&digest(GCC), "gcc"));
    damage();
    assert_eq!(std::fs::read(made(&case).unwrap()).unwrap(), bytes(GCC));
    assert_eq!(server.requests(), 2);
    // Another digest error is no damage of an object; it is not tried twice.
    let other = || Err::<(), _>(Error::new(Kind::Digest, "another revision"));
    assert_eq!(case.with_gcc(other).unwrap_err().message(), "another revision");
    assert_eq!(server.requests(), 2);
    // Without a network the damage itself is the error.
    damage();
    case.options.offline = true;
    let error = made(&case).unwrap_err();
    assert!(error.message().starts_with("gcc in the store is damaged: "), "{error}");
}

#[test]
fn files_come_largest_first() {
    static LARGEST_FIRST: AtomicUsize = AtomicUsize::new(usize::MAX);
    let (mut case, _server) = Case::of(|request| {
        let answer = honest(request);
        if !request.target.starts_with("/simple/") {
            let size = bytes(request.file()).len();
            assert!(LARGEST_FIRST.swap(size, Ordering::SeqCst) >= size);
        }
        answer
    });
    case.options.jobs = 1;
    case.all().unwrap();
}
