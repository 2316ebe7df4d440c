//! Runs on a bridge: each at its own address, seen by the others and by nobody else.

use std::io::BufRead as _;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};

use xtask::engine::native::bridge::Bridge;

use super::*;

/// Where the runs of these tests listen.
const PORT: u16 = 2222;

fn native() -> Native {
    Native::with(xtask())
}

fn at(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

/// This binary's helper `name` as a run.
fn in_run(root: &Root, name: &str, env: &[(&str, String)]) -> Run {
    let mut run = root.run(&["/probe", "--exact", name, "--ignored", "--nocapture"]);
    run.mounts.push(read_only(std::env::current_exe().unwrap(), "/probe"));
    run.env.extend(env.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    run
}

/// Answers whoever calls, with the caller's address.
#[test]
#[ignore = "a helper of other tests"]
fn answers() {
    if std::env::var_os("ENGINE_TEST_ANSWER").is_none() {
        return;
    }
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
    println!("listens");
    let (mut caller, from) = listener.accept().unwrap();
    writeln!(
        caller,
        "hello {}, this is {}",
        from.ip(),
        nix::unistd::gethostname().unwrap().display()
    )
    .unwrap();
}

/// Calls, and looks for ways out.
#[test]
#[ignore = "a helper of other tests"]
fn calls() {
    let Ok(port) = std::env::var("ENGINE_TEST_PORT") else { return };
    let port: u16 = port.parse().unwrap();
    let way = |address: (Ipv4Addr, u16)| match TcpStream::connect(address) {
        Ok(_) => "open".to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    };
    println!("probe: outside: {}", way((Ipv4Addr::new(192, 0, 2, 1), 9)));
    println!("probe: host: {}", way((Ipv4Addr::LOCALHOST, port)));
    let mut line = String::new();
    let other = TcpStream::connect((at(2), PORT)).unwrap();
    std::io::BufReader::new(other).read_line(&mut line).unwrap();
    println!("probe: {}: {}", nix::unistd::gethostname().unwrap().display(), line.trim());
}

#[test]
fn runs_talk_at_their_own_addresses_and_to_nobody_else() {
    let root = Root::new();
    let host = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = host.local_addr().unwrap().port().to_string();
    // The same port as the runs' is taken on the host, or somebody else has it: all the same.
    let _taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT));
    let native = native();
    let bridge = Bridge::new(&native).unwrap();
    let (logs, listens) = (folder(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let answer =
            in_run(&root, "engine::bridge::answers", &[("ENGINE_TEST_ANSWER", "1".into())]);
        let log = logs.path().join("answers.log");
        let (one, listens) = (native.on(&bridge, at(2), "one"), &listens);
        scope.spawn(move || {
            let mut note = |line: &str| {
                listens.store(
                    line.ends_with("listens") || listens.load(Ordering::Relaxed),
                    Ordering::Relaxed,
                )
            };
            let log = Log { on_line: Some(&mut note), limit: Some(LONG), ..Log::at(&log) };
            assert!(one.run(&answer, Output::Log(log)).unwrap().success());
        });
        wait_until("the other run", || listens.load(Ordering::Relaxed));
        let two = native.on(&bridge, at(3), "two");
        let call = in_run(&root, "engine::bridge::calls", &[("ENGINE_TEST_PORT", port)]);
        let log = logs.path().join("calls.log");
        let end = two.run(&call, Output::Log(Log { limit: Some(LONG), ..Log::at(&log) })).unwrap();
        let text = fs::read_to_string(&log).unwrap();
        assert!(end.success(), "{text}");
        let found = text.lines().filter_map(|line| Some(line.split_once("probe: ")?.1));
        insta::assert_snapshot!(found.collect::<Vec<_>>().join("\n"), @r"
        outside: NetworkUnreachable
        host: ConnectionRefused
        two: hello 10.0.0.3, this is one
        ");
    });
}

#[test]
fn an_address_is_given_once() {
    let (root, native, logs) = (Root::new(), native(), folder());
    let bridge = Bridge::new(&native).unwrap();
    let engine = native.on(&bridge, at(2), "one");
    let (started, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let log = logs.path().join("first.log");
            let mut note = |_: &str| started.store(true, Ordering::Relaxed);
            let log = Log { on_line: Some(&mut note), stop: Some(&stop), ..Log::at(&log) };
            engine.run(&root.sh("echo up; exec sleep 1000"), Output::Log(log)).unwrap();
        });
        wait_until("the first run", || started.load(Ordering::Relaxed));
        let log = logs.path().join("second.log");
        let error = engine.run(&root.sh("true"), Output::Log(Log::at(&log))).unwrap_err();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(
            error.message(),
            "the engine `native` cannot join the bridge as 10.0.0.2: file exists"
        );
    });
}

#[test]
fn a_run_that_nobody_needs_is_asked_to_stop_and_then_killed() {
    let (root, logs) = (Root::new(), folder());
    for (script, end) in [
        (
            "trap 'echo done; exit 7' TERM; echo up; while true; do sleep 0.01; done",
            Some(End::Exited(7)),
        ),
        ("trap '' TERM; echo up; while true; do sleep 0.01; done", None),
    ] {
        let (log, stop) = (logs.path().join("run.log"), AtomicBool::new(false));
        let mut note = |line: &str| {
            if line == "up" {
                stop.store(true, Ordering::Relaxed);
            }
        };
        let log = Log { on_line: Some(&mut note), stop: Some(&stop), ..Log::at(&log) };
        let outcome = engine().run(&root.sh(script), Output::Log(log));
        assert_eq!(outcome.ok().map(|outcome| outcome.end), end, "{script}");
    }
}

/// Runs on a bridge until it is killed.
#[test]
#[ignore = "a helper of other tests"]
fn stays() {
    let Ok(mark) = std::env::var("ENGINE_TEST_MARK") else { return };
    let (root, native, logs) = (Root::new(), native(), folder());
    let bridge = Bridge::new(&native).unwrap();
    std::thread::scope(|scope| {
        for last in [2, 3] {
            let engine = native.on(&bridge, at(last), "one");
            let (run, log) =
                (root.sh(&format!("exec sleep {mark}")), logs.path().join(last.to_string()));
            scope.spawn(move || engine.run(&run, Output::Log(Log::at(&log))));
        }
    });
}

/// Processes of the host with these words in their command line.
fn with_words(words: &str) -> Vec<i32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let found = processes.filter(|process| {
        fs::read(process.path().join("cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).replace('\0', " ").contains(words))
    });
    found.filter_map(|process| process.file_name().to_str()?.parse().ok()).collect()
}

/// Who holds the bridge that `caller` made.
fn holders(caller: i32) -> Vec<i32> {
    let parent = |pid: &i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line == format!("PPid:\t{caller}"))
    };
    with_words("hold-a-lockstep-bridge").into_iter().filter(parent).collect()
}

#[test]
fn a_killed_caller_leaves_no_run_and_no_bridge() {
    let mark = mark();
    let caller = duct::cmd(std::env::current_exe().unwrap(), helper("engine::bridge::stays"))
        .env("ENGINE_TEST_MARK", &mark)
        .stderr_to_stdout()
        .stdout_capture()
        .unchecked()
        .start()
        .unwrap();
    wait_until("both runs", || sleepers(&mark) == 2);
    let pid = caller.pids()[0].cast_signed();
    let held = holders(pid);
    assert_eq!(held.len(), 1, "{held:?}");
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    caller.wait().unwrap();
    // The namespaces and the bridge in them live as long as a process is in them.
    wait_until("the end of the runs", || sleepers(&mark) == 0);
    wait_until("the end of the holder", || !Path::new(&format!("/proc/{}/ns", held[0])).exists());
}
