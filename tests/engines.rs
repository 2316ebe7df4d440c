//! The engines `docker` and `podman`, for real: with a Docker Engine of the test's own and
//! this machine's Podman. In CI they are installed; elsewhere a missing one is skipped.
//!
//! Each test starts its own processes of `xtask`, as a person would, with the engine named
//! in the environment. Where Podman's store is kept is the machine's affair.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use xtask::engine::{Engine, Mount, Run};

use crate::image::Dockerd;
use crate::machine::{has, skip, wait, wait_at_most};

/// One test with containers at a time: they are heavy, and each looks at all containers.
static ALONE: Mutex<()> = Mutex::new(());

const DOCKER: &[(&str, &str)] = &[("dockerd", "docker.io"), ("docker-init", "tini")];
const PODMAN: &[(&str, &str)] = &[("podman", "podman"), ("runc", "runc"), ("tini", "tini")];

/// Docker and Podman; none when one of them is not to be had: it said why.
pub fn both() -> Option<There> {
    There::start(Engine::Docker).filter(|_| has(PODMAN))
}

/// An engine that is there.
pub struct There {
    // Dropped first: it is at home in the folder.
    docker: Option<Dockerd>,
    folder: TempDir,
    engine: Engine,
    /// Which engine clients talk to.
    pub env: Vec<(&'static str, String)>,
    _alone: MutexGuard<'static, ()>,
}

impl There {
    /// None when the test is skipped: it said why.
    fn start(engine: Engine) -> Option<There> {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let programs = if engine == Engine::Podman { PODMAN } else { DOCKER };
        if !nix::unistd::geteuid().is_root() && !skip("not root") || !has(programs) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        // `/usr/bin` first: Debian's own client.
        let path = std::env::var("PATH").unwrap();
        let mut env = vec![("PATH", format!("/usr/bin:/bin:/usr/sbin:/sbin:{path}"))];
        let docker = (engine == Engine::Docker).then(|| {
            let place = folder.path().join("docker");
            fs::create_dir(&place).unwrap();
            env.push(("DOCKER_HOST", format!("unix://{}", place.join("docker.sock").display())));
            Dockerd::start(&place)
        });
        Some(There { docker, folder, engine, env, _alone: alone })
    }

    fn client(&self, words: &[&str]) -> String {
        let client = duct::cmd(self.engine.name(), words);
        self.with_env(client).read().unwrap_or_else(|cause| panic!("{words:?}: {cause}"))
    }

    fn with_env(&self, mut process: duct::Expression) -> duct::Expression {
        for (name, value) in &self.env {
            process = process.env(name, value);
        }
        process.env("LOCKSTEP_ENGINE", self.engine.name()).env_remove("CI")
    }

    /// A helper of this binary that carries `run` out in a process of its own.
    fn carrier(&self, run: &Run) -> duct::Expression {
        let words = ["--exact", "engines::carries_out", "--ignored", "--nocapture"];
        let helper = duct::cmd(std::env::current_exe().unwrap(), words);
        let helper = helper.env("ENGINES_TEST_RUN", serde_json::to_string(run).unwrap());
        let helper = self.with_env(helper).stderr_to_stdout().stdout_capture().stdin_null();
        // As `main` would have them: blocked in every thread.
        helper.unchecked().before_spawn(|command| {
            let block = || {
                let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
                Ok(signals.thread_block()?)
            };
            // SAFETY: runs between fork and exec, and makes only a system call.
            unsafe { command.pre_exec(block) };
            Ok(())
        })
    }

    /// Carries `run` out: exit code, and all that was said.
    fn carry_out(&self, run: &Run) -> (i32, String) {
        let output = self.carrier(run).run().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code().unwrap_or(-1), text)
    }

    /// What a run says between the helper's marks that must succeed.
    fn printed(&self, run: &Run) -> String {
        let (code, text) = self.carry_out(run);
        assert_eq!(code, 0, "{text}");
        text.split_once("<<<\n").unwrap().1.split_once(">>>").unwrap().0.to_owned()
    }

    /// Names of all containers of ours.
    fn containers(&self) -> String {
        let words = ["ps", "--all", "--filter", "name=lockstep-", "--format", "{{.Names}}"];
        self.client(&words)
    }

    /// The builder root, with a folder to write at `/out`.
    fn run(&self, argv: &[&str]) -> Run {
        let out = self.folder.path().join("out");
        fs::create_dir_all(&out).unwrap();
        Run {
            root: builder_root(),
            mounts: vec![Mount::ReadWrite { source: out, target: "/out".into() }],
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            env: [
                ("PATH".to_owned(), "/usr/bin".to_owned()),
                ("HOME".to_owned(), "/tmp".to_owned()),
            ]
            .into(),
            cwd: "/out".to_owned(),
        }
    }

    fn sh(&self, script: &str) -> Run {
        self.run(&["/bin/sh", "-c", script])
    }
}

fn builder_root() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let lock = xtask::lock::Lock::load(&workspace.join("workspace.lock")).unwrap();
    let store = xtask::store::Store::from_env(|name| std::env::var_os(name)).unwrap();
    let downloads = xtask::fetch::Options::from_env(false);
    xtask::fetch::ensure(&lock, &store, &xtask::fetch::Selection::build(), &downloads).unwrap();
    xtask::root::builder::ensure(&lock, &store).unwrap()
}

/// Carries the run in `ENGINES_TEST_RUN` out and exits as the command line would.
#[test]
#[ignore = "a helper of other tests"]
fn carries_out() {
    let Ok(run) = std::env::var("ENGINES_TEST_RUN") else { return };
    let run: Run = serde_json::from_str(&run).unwrap();
    let name = std::env::var(xtask::engine::VARIABLE).unwrap();
    let engine = Engine::ALL.into_iter().find(|engine| engine.name() == name).unwrap();
    xtask::interrupt::install();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = xtask::engine::Log::at(&path);
    let code = match engine.run(&run, xtask::engine::Output::Log(log)) {
        Ok(outcome) => {
            println!("{outcome:?}\n<<<\n{}>>>", fs::read_to_string(&path).unwrap());
            outcome.end.code()
        }
        Err(error) => {
            println!("{error}");
            error.kind().exit_code()
        }
    };
    drop(folder);
    std::process::exit(code.into());
}

/// What each engine shows of the world, and what it keeps away.
fn shuts_off(engine: Engine) {
    let Some(there) = There::start(engine) else { return };
    let script = "uname -n; umask; ulimit -c; ulimit -s; pwd; cat; readlink /proc/$$/fd/0; \
                  cat /etc/hosts; awk '/^(Cap|NoNew)/ {print $2}' /proc/self/status | sort -u; \
                  for place in / /usr /usr/bin /usr/sbin /etc /work /out /tmp /run /dev/shm; do \
                    touch $place/new 2>/dev/null && echo $place; done; \
                  env | sort | grep -E -v '^(PWD=|SHLVL=|_=|HOSTNAME=lockstep$)'; \
                  tail -n +3 /proc/net/dev | tr -d ' ' | cut -d: -f1; \
                  (exec 3<>/dev/tcp/192.0.2.1/9) 2>&1 | grep -o 'unreachable' | head -1";
    let text = there.printed(&there.run(&["/usr/bin/bash", "-c", script]));
    insta::allow_duplicates! {
        insta::assert_snapshot!(text, @"
        lockstep
        0022
        0
        8192
        /out
        /dev/null
        127.0.0.1 localhost lockstep
        ::1 localhost
        0000000000000000
        1
        /out
        /tmp
        /run
        /dev/shm
        HOME=/tmp
        PATH=/usr/bin
        lo
        unreachable
        ");
    }
    let user = there.printed(&there.sh("id -u; id -g"));
    let caller = format!("{}\n{}\n", nix::unistd::geteuid(), nix::unistd::getegid());
    let expected = if engine == Engine::Podman { "1000\n1000\n" } else { caller.as_str() };
    assert_eq!(user, expected);
    let made = fs::metadata(there.folder.path().join("out/new")).unwrap();
    assert_eq!((made.uid(), made.gid()), (0, 0), "what it wrote is the caller's");
    assert_eq!(there.containers(), "");
}

#[test]
fn docker_shuts_a_run_off() {
    shuts_off(Engine::Docker);
}

#[test]
fn podman_shuts_a_run_off() {
    shuts_off(Engine::Podman);
}

/// Does `work` while this thread, and what it starts, may use one processor.
fn on_one_processor<T>(work: impl FnOnce() -> T) -> T {
    let this = Pid::from_raw(0);
    let all = sched_getaffinity(this).unwrap();
    let mut one = CpuSet::new();
    one.set((0..CpuSet::count()).find(|cpu| all.is_set(*cpu).unwrap()).unwrap()).unwrap();
    sched_setaffinity(this, &one).unwrap();
    let done = work();
    sched_setaffinity(this, &all).unwrap();
    done
}

/// Ends, output, overlays, processors, and what is missing.
fn carries_out_what_a_run_says(engine: Engine) {
    let Some(there) = There::start(engine) else { return };
    for (script, code) in [("exit 3", 3), ("kill -SEGV $$", 139), ("kill -KILL $$", 137)] {
        assert_eq!(there.carry_out(&there.sh(script)).0, code, "{script}");
    }
    let (one, two) = (there.folder.path().join("one, a"), there.folder.path().join("two: b"));
    for (folder, file) in [(&one, "x/one"), (&two, "x/two"), (&two, "y/two"), (&two, "z")] {
        fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
        fs::write(folder.join(file), file).unwrap();
        fs::set_permissions(folder.join(file), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let mut run =
        there.sh("cd /opt/tf && cat x/one x/two y/two z; touch y/new 2>/dev/null || echo frozen");
    run.mounts.push(Mount::Overlay { sources: vec![one, two], target: "/opt/tf".into() });
    let text = there.printed(&run);
    assert!(text.starts_with("x/onex/twoy/twoz") && text.ends_with("frozen\n"), "{text}");
    assert_eq!(on_one_processor(|| there.printed(&there.sh("nproc"))), "1\n");
    let (code, text) = there.carry_out(&there.run(&["/usr/bin/no-such-program"]));
    let words = "cannot start `/usr/bin/no-such-program` in the root";
    assert!(code == 1 && text.contains(words), "{code}: {text}");
    assert_eq!(there.containers(), "");
}

#[test]
fn docker_carries_out_what_a_run_says() {
    carries_out_what_a_run_says(Engine::Docker);
}

#[test]
fn podman_carries_out_what_a_run_says() {
    carries_out_what_a_run_says(Engine::Podman);
}

/// However a caller ends, its container ends with it; one that is taken away is an error by
/// name, and the next run is none the worse.
fn leaves_nothing(engine: Engine) {
    let Some(there) = There::start(engine) else { return };
    let begun = there.folder.path().join("out/begun");
    let endless = there.sh("trap '' TERM; echo > /out/begun; sleep 1000 & wait");
    for (signal, code) in [(Signal::SIGKILL, None), (Signal::SIGINT, Some(130))] {
        let caller = there.carrier(&endless).start().unwrap();
        wait("the run's start", || begun.exists());
        kill(Pid::from_raw(caller.pids()[0].cast_signed()), signal).unwrap();
        assert_eq!(caller.wait().unwrap().status.code(), code);
        wait("the container's end", || there.containers().is_empty());
        fs::remove_file(&begun).unwrap();
    }
    let caller = there.carrier(&endless).start().unwrap();
    wait("the run's start", || begun.exists());
    there.client(&["rm", "--force", there.containers().trim()]);
    let output = caller.wait().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let words = format!("the engine `{engine}` lost the run of `/bin/sh`: somebody removed");
    // It is killed first and then removed: which of the two its caller sees is the engine's affair.
    let removed = output.status.code() == Some(3) && text.contains(&words);
    assert!(removed || text.contains("Signaled(9)"), "{text}");
    // A container of a caller that died with its guard.
    let left = "lockstep-00000000-1-1-1-0";
    let image = match engine {
        Engine::Docker => vec![there.client(&["images", "-q", "lockstep-root"])],
        _ => vec!["--rootfs".to_owned(), builder_root().display().to_string()],
    };
    let mut words = vec!["create", "--name", left, "--network", "none", "--ulimit", "nproc=1000"];
    words.extend(image.iter().map(|word| word.lines().next().unwrap()));
    words.push("/bin/true");
    there.client(&words);
    assert_eq!(there.printed(&there.sh("echo alive")), "alive\n");
    assert_eq!(there.containers(), "");
}

#[test]
fn docker_leaves_nothing() {
    leaves_nothing(Engine::Docker);
}

#[test]
fn podman_leaves_nothing() {
    leaves_nothing(Engine::Podman);
}

/// The ops' own tests, in the image's root.
fn runs_the_ops_tests(engine: Engine) {
    let Some(there) = There::start(engine) else { return };
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let test = duct::cmd(env!("CARGO_BIN_EXE_xtask"), ["test-ops", "embedding_ops"]);
    let test = there.with_env(test.dir(workspace)).stderr_to_stdout().stdout_capture();
    let output = test.unchecked().run().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("embedding_ops: its tests pass"), "{text}");
    assert_eq!(there.containers(), "");
}

#[test]
fn docker_runs_the_ops_tests() {
    runs_the_ops_tests(Engine::Docker);
}

#[test]
fn podman_runs_the_ops_tests() {
    runs_the_ops_tests(Engine::Podman);
}

/// Whether a process of this machine has `words` as its command line.
fn lives(words: &str) -> bool {
    let mut processes = fs::read_dir("/proc").unwrap().flatten();
    let line = |path: PathBuf| fs::read(path.join("cmdline")).unwrap_or_default();
    processes.any(|process| line(process.path()) == words.replace(' ', "\0").as_bytes())
}

/// A Docker Engine that is killed while a check builds: the error names both, nothing is left,
/// and the next check is none the worse.
#[test]
fn an_engine_that_is_killed_during_a_check_is_named() {
    // This run's alone: one of an earlier test run that was killed may still be there.
    let endless: &str = format!("sleep 4242{}", std::process::id()).leak();
    let Some(mut there) = There::start(Engine::Docker) else { return };
    let checkout = crate::check::checkout_of("endless", endless);
    let words = ["--offline", "check", "--builds", "1"];
    let running = there.with_env(checkout.command(&words)).stderr_to_stdout().stdout_capture();
    let running = running.unchecked().start().unwrap();
    wait_at_most(600, "the build's action", || {
        assert!(running.try_wait().unwrap().is_none(), "the check has ended");
        lives(&format!("{endless}\0"))
    });
    let place = there.folder.path().join("docker");
    let daemon = fs::read_to_string(place.join("pid")).unwrap().trim().parse().unwrap();
    kill(Pid::from_raw(daemon), Signal::SIGKILL).unwrap();
    let output = running.wait().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{text}");
    for words in [
        "error: build 1 (docker; varied: nothing) failed",
        "the engine `docker` stopped before `/usr/bin/bazel` ended",
        "\nhint: ",
    ] {
        assert!(text.contains(words), "no `{words}` in: {text}");
    }
    let rooms = checkout.root().join("target/lockstep/check");
    assert!(!rooms.exists(), "{text}");

    checkout.edit("ops/endless/BUILD", |text| text.replace(endless, "echo over"));
    there.docker = None;
    there.docker = Some(Dockerd::start(&place));
    let check = there.with_env(checkout.command(&words));
    let output = check.stderr_to_stdout().stdout_capture().unchecked().run().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    // Another op than the committed ledger has.
    assert!(output.status.code() == Some(9) && text.contains("1 builds agree"), "{text}");
    assert_eq!(there.containers(), "");
    assert!(!lives(&format!("{endless}\0")) && !rooms.exists(), "{text}");
}

/// A program called `name` that does as `script` says, and `xtask` that finds it first.
fn with_fake(name: &str, script: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    if !script.is_empty() {
        let program = folder.path().join(name);
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = match script.is_empty() {
        true => folder.path().display().to_string(),
        false => format!("{}:/usr/bin:/bin", folder.path().display()),
    };
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let xtask = duct::cmd(env!("CARGO_BIN_EXE_xtask"), ["shell", "--", "true"]);
    let xtask = xtask.dir(workspace).env("PATH", path).env("LOCKSTEP_ENGINE", name);
    let output = xtask.stderr_to_stdout().stdout_capture().stdin_null().unchecked().run().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn an_engine_that_cannot_is_named_with_what_helps() {
    let version = |api: &str| {
        format!(
            "echo '{{\"Server\":{{\"ApiVersion\":\"{api}\",\"Os\":\"linux\",\"Arch\":\"amd64\"}}}}'"
        )
    };
    let cases = [
        ("docker", String::new(), "this machine has no `docker`"),
        ("podman", String::new(), "this machine has no `podman`"),
        (
            "docker",
            "echo 'Cannot connect to the Docker daemon at unix:///x.sock.' >&2; exit 1".into(),
            "the engine `docker` does not answer: Cannot connect",
        ),
        (
            "docker",
            "echo 'permission denied while trying to connect to docker.sock' >&2; exit 1".into(),
            "no permission to talk to the engine `docker`",
        ),
        ("docker", version("1.30"), "expected API version 1.40 or later, found `1.30`"),
        (
            "podman",
            "echo '{\"Client\":{\"Version\":\"3.4.4\"}}'".into(),
            "expected version 4.3 or later, found `3.4.4`",
        ),
        ("podman", "exit 137".into(), "`podman version` failed: it said nothing"),
        ("podman", "head -c 100000000 /dev/zero | tr '\\0' x >&2; exit 1".into(), "failed: …xxx"),
        ("docker", "echo '{'".into(), "`docker version` failed: {"),
    ];
    for (name, script, words) in cases {
        let (code, text) = with_fake(name, &script);
        assert_eq!(code, Some(3), "{script}: {text}");
        assert!(text.contains(words) && text.contains("\nhint: "), "no `{words}` in: {text}");
        assert!(text.len() < 4000, "{} bytes", text.len());
    }
}
