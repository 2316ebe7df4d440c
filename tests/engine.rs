//! The native engine, for real: in a root that is the host's own `/usr` and nothing else.

mod bridge;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;
use xtask::engine::{End, Log, Mount, Native, Outcome, Output, Proc, Run};
use xtask::error::{Error, Kind, Result};

use crate::machine;

/// No run here takes that long, unless it hangs.
const LONG: Duration = Duration::from_secs(300);

/// The binary that starts runs; a test as another user has its own copy.
fn xtask() -> PathBuf {
    std::env::var_os("ENGINE_TEST_XTASK")
        .map_or_else(|| env!("CARGO_BIN_EXE_xtask").into(), PathBuf::from)
}

fn engine() -> Native {
    Native::with(xtask())
}

/// A folder that other users can look into.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// A root that has the host's `/usr`, and a folder `/work` for a test's own things.
struct Root(TempDir);

impl Root {
    fn new() -> Self {
        let root = folder();
        for name in ["dev", "proc", "tmp", "run", "usr", "etc", "work", "out"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{name}"), root.path().join(name)).unwrap();
        }
        fs::write(root.path().join("probe"), "").unwrap();
        Root(root)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, argv: &[&str]) -> Run {
        Run {
            root: self.path().to_owned(),
            mounts: vec![Mount::ReadOnly { source: "/usr".into(), target: "/usr".into() }],
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            env: [("PATH".to_owned(), "/usr/bin:/usr/sbin".to_owned())].into(),
            cwd: "/".to_owned(),
        }
    }

    fn sh(&self, script: &str) -> Run {
        self.run(&["/bin/sh", "-c", script])
    }
}

fn read_only(source: impl Into<PathBuf>, target: &str) -> Mount {
    Mount::ReadOnly { source: source.into(), target: target.to_owned() }
}

/// Carries `run` out; what it printed.
fn carry_out(run: &Run) -> Result<(Outcome, String)> {
    let folder = folder();
    let path = folder.path().join("run.log");
    let outcome = engine().run(run, Output::Log(Log { limit: Some(LONG), ..Log::at(&path) }))?;
    Ok((outcome, fs::read_to_string(&path).unwrap()))
}

/// What a run printed that must succeed.
fn printed(run: &Run) -> String {
    let (outcome, text) = carry_out(run).unwrap();
    assert!(outcome.success(), "{outcome}: {text}");
    text
}

fn refused(run: &Run) -> Error {
    carry_out(run).unwrap_err()
}

/// A number of seconds that no other process sleeps: it marks processes of one test.
fn mark() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("9{:07}.{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// How many processes of the host sleep that long.
fn sleepers(mark: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines.filter(|line| line.split(|&b| b == 0).eq([b"sleep", mark.as_bytes(), b""])).count()
}

/// Waits for something that must come; fails if it does not.
fn wait_until(what: &str, came: impl FnMut() -> bool) {
    machine::wait_at_most(LONG.as_secs(), what, came);
}

/// The arguments that start one of this binary's helpers in a process of its own.
fn helper(name: &str) -> [OsString; 4] {
    ["--exact", name, "--ignored", "--nocapture"].map(Into::into)
}

/// Carries the run in `ENGINE_TEST_RUN` out and exits as the command line would.
#[test]
#[ignore = "a helper of other tests"]
fn carries_out() {
    let Ok(run) = std::env::var("ENGINE_TEST_RUN") else { return };
    let run: Run = serde_json::from_str(&run).unwrap();
    xtask::interrupt::install();
    let result = if std::env::var_os("ENGINE_TEST_INHERIT").is_some() {
        engine().run(&run, Output::Inherit).map(|outcome| (outcome, String::new()))
    } else {
        carry_out(&run)
    };
    match result {
        Ok((outcome, text)) => {
            println!("{outcome:?}\n{text}");
            std::process::exit(outcome.end.code().into());
        }
        Err(error) => {
            println!("{error}");
            std::process::exit(error.kind().exit_code().into());
        }
    }
}

/// Starts [`carries_out`] with SIGINT and SIGTERM blocked, as `main` would have them.
fn in_process(run: &Run, wrapper: &[&str]) -> duct::Expression {
    let exe = std::env::current_exe().unwrap();
    let mut argv: Vec<OsString> = wrapper.iter().map(Into::into).collect();
    argv.push(exe.into());
    argv.extend(helper("engine::carries_out"));
    duct::cmd(argv[0].clone(), &argv[1..])
        .env("ENGINE_TEST_RUN", serde_json::to_string(run).unwrap())
        .stderr_to_stdout()
        .unchecked()
        .before_spawn(|command| {
            let block = || {
                let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
                Ok(signals.thread_block()?)
            };
            // SAFETY: runs between fork and exec, and makes only a system call.
            unsafe { command.pre_exec(block) };
            Ok(())
        })
}

#[test]
fn the_world_is_fixed() {
    let root = Root::new();
    let script = "id -u; id -g; uname -n; cat /proc/sys/kernel/domainname; umask; ulimit -c; \
                  ulimit -s; echo $$ $PPID; pwd";
    let text = printed(&Run { cwd: "/work".into(), ..root.sh(script) });
    assert_eq!(text, "1000\n1000\nlockstep\n(none)\n0022\n0\n8192\n2 1\n/work\n");
}

#[test]
fn the_environment_is_exactly_the_given_one() {
    let root = Root::new();
    let env: BTreeMap<_, _> = [("A", "1"), ("B", "two\nlines"), ("É", "")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let run = Run { env, ..root.run(&["/usr/bin/env"]) };
    assert!(std::env::var_os("PATH").is_some(), "this process has more");
    assert_eq!(printed(&run), "A=1\nB=two\nlines\nÉ=\n");
}

#[test]
fn nothing_of_the_caller_is_inherited() {
    let root = Root::new();
    let leak = fs::File::open("/dev/zero").unwrap();
    nix::fcntl::fcntl(&leak, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    let descriptors = printed(&root.sh("ls /proc/$$/fd; readlink /proc/$$/fd/0; cat"));
    drop(leak);
    assert_eq!(descriptors, "0\n1\n2\n/dev/null\n");
    // Of the command itself: a shell blocks signals while it starts another.
    let lines = "^(SigBlk|SigIgn|Cap(Inh|Prm|Eff|Amb)|NoNewPrivs)";
    let text = printed(&root.run(&["/usr/bin/grep", "-E", lines, "/proc/self/status"]));
    insta::assert_snapshot!(text, @r"
    SigBlk:	0000000000000000
    SigIgn:	0000000000000000
    CapInh:	0000000000000000
    CapPrm:	0000000000000000
    CapEff:	0000000000000000
    CapAmb:	0000000000000000
    NoNewPrivs:	1
    ");
}

#[test]
fn only_its_own_processes_are_seen() {
    let root = Root::new();
    assert_eq!(printed(&root.sh("cd /proc && echo [0-9]*")), "1 2\n");
}

#[test]
fn only_what_may_be_written_is() {
    let root = Root::new();
    let (kept, given) = (folder(), folder());
    let mut run = root.sh("for place in / /usr /dev /etc /work /out /tmp /run /dev/shm; do
           if touch $place/new 2>/dev/null; then echo $place; fi
         done; LC_ALL=C touch /new; echo text > /out/text");
    run.mounts.push(read_only(kept.path(), "/work"));
    run.mounts.push(Mount::ReadWrite { source: given.path().into(), target: "/out".into() });
    let text = printed(&run);
    insta::assert_snapshot!(text, @r"
    /out
    /tmp
    /run
    /dev/shm
    touch: cannot touch '/new': Read-only file system
    ");
    assert_eq!(fs::read_to_string(given.path().join("text")).unwrap(), "text\n");
    assert_eq!(fs::read_dir(kept.path()).unwrap().count(), 0);
}

/// Looks for ways out of the root it runs in.
#[test]
#[ignore = "a helper of other tests"]
fn probe() {
    let Ok(port) = std::env::var("ENGINE_TEST_PORT") else { return };
    let port = port.parse().unwrap();
    let say = |way: &str, result: std::io::Result<()>| {
        let how = result.map_or_else(|error| format!("{:?}", error.kind()), |()| "open".into());
        println!("probe: {way}: {how}");
    };
    say("host's loopback", TcpStream::connect(("127.0.0.1", port)).map(drop));
    say("outside", TcpStream::connect(("192.0.2.1", 9)).map(drop));
    say("datagram", UdpSocket::bind("0.0.0.0:0").and_then(|s| s.connect("192.0.2.1:9")));
    let name = ("mirror.example", 80).to_socket_addrs();
    say("name", name.map(drop).map_err(|_| std::io::ErrorKind::NotFound.into()));
    let name = SocketAddr::from_abstract_name(format!("lockstep-{port}")).unwrap();
    say("abstract socket", UnixStream::connect_addr(&name).map(drop));
    let own = TcpListener::bind("127.0.0.1:0").unwrap();
    say("own loopback", TcpStream::connect(own.local_addr().unwrap()).map(drop));
}

#[test]
fn there_is_no_network() {
    let root = Root::new();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    let name = SocketAddr::from_abstract_name(format!("lockstep-{port}")).unwrap();
    let unix = UnixListener::bind_addr(&name).unwrap();
    let mut run = root.run(&["/probe", "--exact", "engine::probe", "--ignored", "--nocapture"]);
    run.mounts.push(read_only(std::env::current_exe().unwrap(), "/probe"));
    run.env.insert("ENGINE_TEST_PORT".into(), port.to_string());
    let text = printed(&run);
    let lines = text.lines().filter_map(|line| line.split_once("probe: "));
    let found: Vec<_> = lines.map(|(_, found)| found).collect();
    insta::assert_snapshot!(found.join("\n"), @r"
    host's loopback: ConnectionRefused
    outside: NetworkUnreachable
    datagram: NetworkUnreachable
    name: NotFound
    abstract socket: ConnectionRefused
    own loopback: open
    ");
    drop((tcp, unix));
}

#[test]
fn the_end_is_told_exactly() {
    let root = Root::new();
    for (script, end) in [
        ("exit 0", End::Exited(0)),
        ("exit 1", End::Exited(1)),
        ("exit 255", End::Exited(255)),
        ("kill -SEGV $$", End::Signaled(11)),
        ("kill -KILL $$", End::Signaled(9)),
        ("kill -TERM $$", End::Signaled(15)),
        ("kill -40 $$", End::Signaled(40)),
    ] {
        let (outcome, _) = carry_out(&root.sh(script)).unwrap();
        assert_eq!(outcome.end, end, "{script}");
    }
}

#[test]
fn both_streams_are_kept_in_order() {
    let root = Root::new();
    let script = "echo one; echo two >&2; echo three; printf four >&2";
    assert_eq!(printed(&root.sh(script)), "one\ntwo\nthree\nfour");
}

#[test]
fn a_flood_of_output_is_kept_whole_in_little_memory() {
    let root = Root::new();
    let folder = folder();
    let path = folder.path().join("run.log");
    let mut longest = 0;
    let mut note = |line: &str| longest = longest.max(line.len());
    let run = root.sh("head -c 50000000 /dev/zero | tr '\\0' x; echo end");
    let log = Log { on_line: Some(&mut note), limit: Some(LONG), ..Log::at(&path) };
    assert!(engine().run(&run, Output::Log(log)).unwrap().success());
    assert_eq!(fs::metadata(&path).unwrap().len(), 50_000_004);
    assert!(longest < 64 << 10, "a piece of {longest} bytes");
    assert!(xtask::engine::log::tail(&path, 1).unwrap().ends_with("xend"));
}

#[test]
fn whatever_is_left_behind_is_dead() {
    let root = Root::new();
    let mark = mark();
    let script = format!(
        "sleep {mark} & setsid sleep {mark} & (trap '' TERM HUP INT; sleep {mark}) & \
         while [ $(cat /proc/*/cmdline | tr '\\0' '\\n' | grep -c '^{mark}$') -lt 3 ]; do :; done"
    );
    printed(&root.sh(&script));
    assert_eq!(sleepers(&mark), 0);
}

#[test]
fn a_run_that_takes_too_long_is_killed() {
    let root = Root::new();
    let mark = mark();
    let folder = folder();
    let path = folder.path().join("run.log");
    let run = root.sh(&format!("echo begun; sleep {mark}"));
    let log = Log { limit: Some(Duration::from_millis(300)), ..Log::at(&path) };
    let error = engine().run(&run, Output::Log(log)).unwrap_err();
    assert_eq!(error.kind(), Kind::Tool);
    assert_eq!(error.message(), "`/bin/sh` did not end in time and was killed");
    assert!(error.hints()[0].contains(path.to_str().unwrap()));
    assert_eq!(sleepers(&mark), 0);
}

/// A control group with little memory, of version 1 or 2.
struct Cramped(PathBuf);

impl Cramped {
    fn new() -> Option<Self> {
        let name = format!("lockstep-test-{}", std::process::id());
        let versions =
            [("memory", "memory.limit_in_bytes"), ("", "memory.max"), ("unified", "memory.max")];
        versions.into_iter().find_map(|(below, limit)| {
            let group = Cramped(Path::new("/sys/fs/cgroup").join(below).join(&name));
            fs::create_dir(&group.0).ok()?;
            let there = group.0.join("cgroup.procs").exists() && group.0.join(limit).exists();
            (there && fs::write(group.0.join(limit), "256M").is_ok()).then_some(group)
        })
    }
}

impl Drop for Cramped {
    fn drop(&mut self) {
        let _not_made = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_command_that_dies_for_want_of_memory_is_said_to() {
    let Some(group) = Cramped::new() else {
        println!("skipped: no control group can be given less memory");
        return;
    };
    let root = Root::new();
    let enter = "echo $$ >\"$0\"/cgroup.procs && exec \"$@\"";
    let wrapper = ["/bin/sh", "-c", enter, group.0.to_str().unwrap()];
    let hog = root.sh("a=xxxxxxxxxxxxxxxx; while :; do a=$a$a; done");
    let output = in_process(&hog, &wrapper).stdout_capture().run().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("Signaled(9)") && !text.contains("oom_kills: 0"), "{text}");
    assert!(text.contains("oom_kills: "), "{text}");
}

#[test]
fn a_log_that_cannot_be_written_ends_the_run() {
    let root = Root::new();
    let mark = mark();
    let run = root.sh(&format!("echo begun; sleep {mark}"));
    let error = engine().run(&run, Output::Log(Log::at("/dev/full".as_ref()))).unwrap_err();
    assert!(error.message().starts_with("cannot write `/dev/full`"), "{error}");
    assert_eq!(sleepers(&mark), 0);
}

/// What a caller's death or a signal leaves: the code or signal it ended by.
fn ended_by(signal: Signal) -> std::process::ExitStatus {
    let root = Root::new();
    let mark = mark();
    let run = root.sh(&format!("sleep {mark} & trap '' TERM; sleep {mark}"));
    let caller = in_process(&run, &[]).stdin_null().stdout_capture().start().unwrap();
    wait_until("the run's start", || sleepers(&mark) == 2);
    kill(Pid::from_raw(caller.pids()[0].cast_signed()), signal).unwrap();
    let status = caller.wait().unwrap().status;
    wait_until("the run's end", || sleepers(&mark) == 0);
    status
}

#[test]
fn nothing_outlives_a_killed_caller() {
    use std::os::unix::process::ExitStatusExt as _;
    assert_eq!(ended_by(Signal::SIGKILL).signal(), Some(9));
}

#[test]
fn nothing_outlives_an_interrupted_caller() {
    assert_eq!(ended_by(Signal::SIGINT).code(), Some(130));
    assert_eq!(ended_by(Signal::SIGTERM).code(), Some(143));
}

#[test]
fn what_is_missing_is_named() {
    let root = Root::new();
    let usr = |mut run: Run, mount: Mount| {
        run.mounts.push(mount);
        run
    };
    fs::write(root.path().join("etc/script"), "#!/no/such/program\n").unwrap();
    fs::set_permissions(root.path().join("etc/script"), fs::Permissions::from_mode(0o755)).unwrap();
    let runs = [
        root.run(&["/usr/bin/no-such-program"]),
        root.run(&["/etc/script"]),
        root.run(&["/etc"]),
        Run { cwd: "/no/such".into(), ..root.sh("") },
        Run { root: root.path().join("no-such"), ..root.sh("") },
        usr(root.sh(""), read_only("/usr", "/no-such")),
        usr(root.sh(""), read_only("/usr", "/probe")),
        usr(root.sh(""), read_only(root.path().join("no such"), "/work")),
    ];
    let errors = runs.each_ref().map(refused);
    assert!(errors.iter().all(|error| error.kind() == Kind::Io));
    let texts = errors.map(|error| error.to_string()).join("\n");
    insta::assert_snapshot!(texts.replace(root.path().to_str().unwrap(), "ROOT"), @r"
    error: cannot start `/usr/bin/no-such-program` in the root `ROOT`: no such file or directory
    error: cannot start `/etc/script` in the root `ROOT`: no such file or directory: it is there, but the program that runs it (the dynamic loader, or what follows `#!`) is not
    error: cannot start `/etc` in the root `ROOT`: permission denied
    error: cannot enter `/no/such` in the root `ROOT`: no such file or directory
    error: cannot use the root `ROOT/no-such`: no such file or directory
    error: mount target `/no-such` does not exist in the root `ROOT`
    error: cannot mount `/usr` on `/probe` in the root `ROOT`: invalid argument: is one a folder and the other a file?
    error: cannot mount `ROOT/no such` on `/work`: no such file or directory
    ");
}

#[test]
fn any_name_of_a_folder_will_do() {
    let root = Root::new();
    for name in ["a b", "caf\u{e9}", "new\nline", "c:d,e\\f", "$HOME `id` 'q' \"q\"", "-o"] {
        let (top, below) = (folder(), folder());
        let (top, below) = (top.path().join(name), below.path().join(name));
        for (layer, file) in [(&top, "top"), (&below, "below")] {
            fs::create_dir(layer).unwrap();
            fs::write(layer.join(file), file).unwrap();
            fs::write(layer.join("both"), file).unwrap();
        }
        let mut run = root.sh("cd /work && cat top below both; ls /etc; cp /etc/both /out/copy");
        run.mounts.extend([
            Mount::Overlay { sources: vec![top.clone(), below.clone()], target: "/work".into() },
            Mount::Overlay { sources: vec![below.clone()], target: "/etc".into() },
            Mount::ReadWrite { source: top.clone(), target: "/out".into() },
        ]);
        assert_eq!(printed(&run), "topbelowtopbelow\nboth\n", "{name}");
        assert_eq!(fs::read_to_string(top.join("copy")).unwrap(), "below", "{name}");
    }
}

#[test]
fn a_mount_may_lie_on_a_mount() {
    let root = Root::new();
    let (outer, inner) = (folder(), folder());
    fs::create_dir(outer.path().join("inner")).unwrap();
    fs::write(inner.path().join("file"), "found").unwrap();
    let mut run = root.sh("cat /work/inner/file");
    run.mounts.push(read_only(outer.path(), "/work"));
    run.mounts.push(read_only(inner.path(), "/work/inner"));
    assert_eq!(printed(&run), "found");
}

#[test]
fn links_in_the_root_lead_inside_the_root() {
    let root = Root::new();
    let given = folder();
    fs::write(given.path().join("file"), "found").unwrap();
    // On the host this link leads to a folder that the test may not touch.
    symlink("/etc", root.path().join("link")).unwrap();
    let mut run = root.sh("cat /etc/file");
    run.mounts.push(read_only(given.path(), "/link"));
    assert_eq!(printed(&run), "found");
}

#[test]
fn a_sandbox_nests_with_a_fresh_proc() {
    let root = Root::new();
    let script = "unshare -Ur id -u && unshare -Urpf --mount-proc sh -c 'cd /proc; echo [0-9]*'";
    assert_eq!(printed(&root.sh(script)), "0\n1\n");
}

#[test]
fn the_setting_that_forbids_namespaces_is_named() {
    let forbidding = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
    let wrapper = ["unshare", "-Ur", "sh", "-c", forbidding, "sh"];
    let run = Root::new().sh("");
    let output = in_process(&run, &wrapper).stdin_null().stdout_capture().run().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(Kind::Machine.exit_code().into()), "{text}");
    assert!(text.contains("`sudo sysctl user.max_user_namespaces=10000`"), "{text}");
}

#[test]
fn a_proc_with_hidden_parts_is_passed_on_and_reported() {
    let hiding = "mount -t tmpfs none /proc/sys && exec \"$@\"";
    let wrapper = ["unshare", "-Urm", "sh", "-c", hiding, "sh"];
    let root = Root::new();
    let run = root.sh("test -d /proc/self && echo \"it is $(id -u)\"");
    let output = in_process(&run, &wrapper).stdin_null().stdout_capture().run().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(&format!("proc: {:?}", Proc::Host)), "{text}");
    assert!(text.contains("it is 1000"), "{text}");
}

/// A terminal with a caller that hands it to a run.
struct Terminal {
    caller: duct::Handle,
    keys: fs::File,
    screen: Arc<Mutex<String>>,
}

impl Terminal {
    fn open(run: &Run) -> Self {
        let pty = nix::pty::openpty(None, None).unwrap();
        let mut out = fs::File::from(pty.master.try_clone().unwrap());
        let screen = Arc::new(Mutex::new(String::new()));
        let painted = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = out.read(&mut buffer) {
                painted.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        });
        let caller = in_process(run, &[])
            .stdin_file(pty.slave.try_clone().unwrap())
            .stdout_file(pty.slave)
            .env("ENGINE_TEST_INHERIT", "")
            .before_spawn(|command| {
                let control = || {
                    nix::unistd::setsid()?;
                    // SAFETY: takes a descriptor and a number.
                    match unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) } {
                        0 => Ok(()),
                        _ => Err(std::io::Error::last_os_error()),
                    }
                };
                // SAFETY: runs between fork and exec, and makes only system calls.
                unsafe { command.pre_exec(control) };
                Ok(())
            })
            .start()
            .unwrap();
        Terminal { caller, keys: pty.master.into(), screen }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    fn wait_for(&self, text: &str) {
        wait_until(text, || self.screen.lock().unwrap().contains(text));
    }

    fn exit_code(&self) -> Option<i32> {
        self.caller.wait().unwrap().status.code()
    }
}

#[test]
fn a_person_can_work_in_it() {
    let root = Root::new();
    let mark = mark();
    let shell = root.run(&["/bin/bash", "--norc", "--noprofile", "-i"]);
    let mut terminal = Terminal::open(&shell);
    terminal.press(&format!("sleep {mark}\n"));
    wait_until("the sleep", || sleepers(&mark) == 1);
    terminal.press("\x03");
    terminal.press("echo alive-$((40 + 2))\n");
    terminal.wait_for("alive-42");
    assert_eq!(sleepers(&mark), 0);
    terminal.press("test -t 0 && sleep 1000 & exit 3\n");
    assert_eq!(terminal.exit_code(), Some(3));
}

#[test]
fn the_interrupt_key_is_the_commands_own() {
    let root = Root::new();
    let mark = mark();
    let script = format!("trap 'exit 5' INT; sleep {mark}");
    let mut terminal = Terminal::open(&root.sh(&script));
    wait_until("the sleep", || sleepers(&mark) == 1);
    terminal.press("\x03");
    assert_eq!(terminal.exit_code(), Some(5));
    assert_eq!(sleepers(&mark), 0);
}

/// Everything above once more, as somebody else.
#[test]
fn all_of_it_works_as_an_ordinary_user() {
    if !geteuid().is_root() {
        println!("skipped: this is an ordinary user already");
        return;
    }
    let place = folder();
    let copy = |from: &Path, name: &str| {
        let to = place.path().join(name);
        fs::copy(from, &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
        to
    };
    let tests = copy(&std::env::current_exe().unwrap(), "it");
    let xtask = copy(&xtask(), "xtask");
    let output = duct::cmd(tests, ["engine::"])
        .env("ENGINE_TEST_XTASK", xtask)
        .env("INSTA_UPDATE", "no")
        .stderr_to_stdout()
        .stdout_capture()
        .unchecked()
        .before_spawn(|command| {
            command.uid(4242).gid(4242).current_dir("/");
            Ok(())
        })
        .run()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
