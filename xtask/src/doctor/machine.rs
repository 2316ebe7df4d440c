//! What is looked at: each check reads one thing and says one line.

use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::{Check, clock};
use crate::command::{self, Env, cmd};
use crate::engine::{self, Engine};
use crate::fetch;
use crate::fetch::reach::{self, Reached};
use crate::lock::Lock;
use crate::progress::bytes;
use crate::store::Store;
use crate::workspace::Workspace;

/// Roots, wheels and a build, in bytes.
const DISK: u64 = 12 << 30;
/// Less and the store itself does not fit.
const LEAST_DISK: u64 = 5 << 30;
/// A compiler beside Bazel; a task of the cluster needs a third of a GiB.
const MEMORY: u64 = 4 << 30;
const LEAST_MEMORY: u64 = 2 << 30;

/// All checks, in the order of a build.
pub(super) fn checks(workspace: &Workspace, offline: bool) -> Vec<Check> {
    let mut checks = vec![architecture(std::env::consts::ARCH, std::env::consts::OS)];
    checks.push(processor(&read("/proc/cpuinfo")));
    checks.push(memory(&read("/proc/meminfo")));
    checks.push(disk());
    checks.push(native());
    checks.extend([Engine::Docker, Engine::Podman].map(installed));
    checks.extend(PROGRAMS.map(|(name, why)| program(name, why)));
    checks.extend(network(workspace, offline));
    checks
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn architecture(found: &str, os: &str) -> Check {
    match (found, os) {
        ("x86_64", "linux") => Check::ok("platform", "linux/amd64"),
        _ => Check::fail(
            "platform",
            format!("{os}/{found}"),
            "use a Linux machine with an x86-64 processor: workspace.toml pins linux/amd64",
        ),
    }
}

/// TensorFlow's wheels are built with AVX since 1.6: without it, importing ends in an illegal
/// instruction.
fn processor(cpuinfo: &str) -> Check {
    let of = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.split(':').next().unwrap_or("").trim() == name);
        line.and_then(|line| Some(line.split_once(':')?.1.trim())).unwrap_or_default()
    };
    let model = of("model name");
    let has = |name: &str| of("flags").split(' ').any(|flag| flag == name);
    let count = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let missing: Vec<&str> = ["sse4_2", "avx"].into_iter().filter(|name| !has(name)).collect();
    if missing.is_empty() {
        return Check::ok("processor", format!("{count} x {model}, avx"));
    }
    Check::fail(
        "processor",
        format!("{count} x {model}, without {}", missing.join(" and ")),
        "TensorFlow's wheel needs it (`Illegal instruction`): take another machine, or let the virtual machine show the host's processor",
    )
}

fn memory(meminfo: &str) -> Check {
    let of = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
    };
    let found = of("MemAvailable:").unwrap_or_default();
    let shown =
        format!("{} of {} available", bytes(found), bytes(of("MemTotal:").unwrap_or_default()));
    match found {
        MEMORY.. => Check::ok("memory", shown),
        LEAST_MEMORY.. => {
            Check::warn("memory", shown, "end other work: a compiler and Bazel need 4 GiB")
        }
        _ => Check::fail("memory", shown, "end other work: a compiler and Bazel need 4 GiB"),
    }
}

fn disk() -> Check {
    let store = match Store::from_env(|name| std::env::var_os(name)) {
        Ok(store) => store.root().to_owned(),
        Err(error) => return Check::fail("disk", error.message(), "set LOCKSTEP_STORE"),
    };
    let there = store.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let Ok(stat) = statvfs(there) else {
        return Check::fail(
            "disk",
            format!("cannot look at `{}`", there.display()),
            "set LOCKSTEP_STORE",
        );
    };
    let free = stat.blocks_available().saturating_mul(stat.fragment_size());
    let shown = format!("{} free at the store, {}", bytes(free), store.display());
    let fix = "make room, `cargo xtask store gc`, or set LOCKSTEP_STORE to a larger disk";
    match free {
        DISK.. => Check::ok("disk", shown),
        LEAST_DISK.. => Check::warn("disk", shown, fix),
        _ => Check::fail("disk", shown, fix),
    }
}

/// The engine that needs nothing installed.
fn native() -> Check {
    match engine::available(Engine::Native) {
        Ok(()) => Check::ok("user namespaces", "the native engine runs"),
        Err(error) => {
            let fix = error.hints().first().cloned().unwrap_or_default();
            Check::fail("user namespaces", error.message().replace('\n', "; "), fix)
        }
    }
}

/// Engines that people may have: none is needed.
fn installed(engine: Engine) -> Check {
    let (name, sh) = (engine.name(), command::shell());
    let env = engine::client();
    let ask = |args: &[&str]| {
        let sh = sh.as_ref().map_err(|error| error.message().to_owned())?;
        command::read(cmd!(sh, "{name}").args(args), &env)
            .map_err(|error| error.message().to_owned())
    };
    let fix = format!(
        "nothing needs it: the native engine is the default; install {name} to build with `--engine {name}`"
    );
    let version = match ask(&["--version"]) {
        Ok(version) => version.trim().to_owned(),
        Err(why) => return Check::warn(name, why.lines().next().unwrap_or_default(), fix),
    };
    match ask(&["info", "--format", "{{.ServerVersion}}"]).or_else(|_| ask(&["info"])) {
        Ok(_) => Check::ok(name, version),
        Err(_) => Check::warn(
            name,
            format!("{version}, but it does not answer"),
            format!("start it (`{name} info` says why), or do without"),
        ),
    }
}

/// What `update` and fetching ask.
const PROGRAMS: [(&str, &str); 3] = [
    ("apt-get", "`cargo xtask update` resolves packages with it"),
    ("python3", "`cargo xtask update` resolves wheels with its pip"),
    ("git", "the workspace is a checkout"),
];

fn program(name: &'static str, why: &str) -> Check {
    let answer = command::shell()
        .and_then(|sh| command::read(cmd!(sh, "{name} --version"), &Env::host(&[])));
    match answer {
        Ok(text) => Check::ok(name, text.lines().next().unwrap_or_default().trim()),
        Err(error) => Check::warn(
            name,
            error.message().lines().next().unwrap_or_default(),
            format!("install it: {why}"),
        ),
    }
}

/// Mirrors, and the clock by what they say.
fn network(workspace: &Workspace, offline: bool) -> Vec<Check> {
    if offline {
        return vec![Check::ok("network", "not asked: --offline")];
    }
    let pins = Lock::load(&workspace.lock()).map(|lock| lock.pins).unwrap_or_default();
    let options = fetch::Options::from_env(false);
    let reached = reach::reach(&pins, &options.env);
    let mut checks: Vec<Check> =
        ["Debian mirror", "Python index"].map(|what| answers(what, &reached)).into();
    let date = reached.iter().find_map(|one| one.answer.as_ref().ok()?.as_deref());
    checks.push(match date.and_then(clock::off_by) {
        None => Check::warn("clock", "no server said its time", "compare it yourself: `date -u`"),
        Some(off) if clock::is_wrong(off) => Check::fail(
            "clock",
            format!("{off} s from the mirror's"),
            "set it: certificates and signatures have dates",
        ),
        Some(off) => Check::ok("clock", format!("{off} s from the mirror's")),
    });
    checks
}

/// One that answers is enough: an archive of updates has no suite of that name.
fn answers(what: &'static str, reached: &[Reached]) -> Check {
    let asked: Vec<&Reached> = reached.iter().filter(|one| one.what == what).collect();
    let good = asked.iter().filter(|one| one.answer.is_ok()).count();
    let why = asked.iter().find_map(|one| one.answer.as_ref().err());
    match (good, why) {
        (0, why) => Check::warn(
            what,
            why.map_or("none is known", String::as_str).replace('\n', "; "),
            "what is in the store is used; for the rest set LOCKSTEP_DEBIAN_MIRROR, LOCKSTEP_PYTHON_INDEX or a proxy",
        ),
        (good, _) => Check::ok(what, format!("{good} of {} answer", asked.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Health;
    use super::*;

    #[test]
    fn what_cannot_train_fails() {
        let flags = |flags: &str| format!("processor\t: 0\nmodel name\t: X\nflags\t\t: {flags}\n");
        assert_eq!(processor(&flags("fpu sse4_2 avx avx2")).found, "1 x X, avx");
        let old = processor(&flags("fpu sse4_2 avx2"));
        assert_eq!((old.health, &*old.found), (Health::Fail, "1 x X, without avx"));
        assert_eq!(processor("").health, Health::Fail);
        assert_eq!(architecture("aarch64", "linux").health, Health::Fail);
        assert_eq!(architecture("x86_64", "linux").health, Health::Ok);
    }

    #[test]
    fn one_mirror_that_answers_is_enough() {
        let one = |good: &bool| Reached {
            what: "Debian mirror",
            answer: if *good { Ok(None) } else { Err("it says\n404".to_owned()) },
        };
        let of = |good: &[bool]| {
            let check = answers("Debian mirror", &good.iter().map(one).collect::<Vec<_>>());
            (check.health, check.found)
        };
        assert_eq!(of(&[true, false]), (Health::Ok, "1 of 2 answer".to_owned()));
        assert_eq!(of(&[false]), (Health::Warn, "it says; 404".to_owned()));
        assert_eq!(of(&[]), (Health::Warn, "none is known".to_owned()));
    }

    #[test]
    fn little_memory_warns_and_none_fails() {
        let of =
            |mib: u64| memory(&format!("MemTotal: 9 kB\nMemAvailable:  {} kB\n", mib << 10)).health;
        assert_eq!((of(8192), of(3000), of(100)), (Health::Ok, Health::Warn, Health::Fail));
        assert_eq!(memory("").health, Health::Fail);
    }
}
