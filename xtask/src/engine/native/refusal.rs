//! What a person reads when a run could not be started.

use nix::errno::Errno;

use super::wire::{Failure, Step};
use crate::engine::{Mount, Run};
use crate::error::{Error, Kind};

/// The failure in words, with what to do about it.
pub(super) fn explain(run: &Run, failure: &Failure) -> Error {
    if failure.errno == libc::ENOSYS {
        return machine(failure, read);
    }
    match in_run(run, failure) {
        Some(message) => Error::new(Kind::Io, message),
        None => machine(failure, read),
    }
}

/// The failure of what has no run.
pub(super) fn of_machine(failure: &Failure) -> Error {
    machine(failure, read)
}

/// What is wrong with the run itself, if something is.
fn in_run(run: &Run, failure: &Failure) -> Option<String> {
    let cause = cause(failure);
    let root = run.root.display();
    let program = run.argv.first().map_or("", String::as_str);
    Some(match &failure.step {
        Step::Source(path) if *path == run.root => {
            format!("cannot use the root `{root}`: {cause}")
        }
        Step::Source(path) => {
            let target = run.mounts.iter().find(|mount| mount.sources().contains(path));
            let target = target.map_or("/dev", Mount::target);
            format!("cannot mount `{}` on `{target}`: {cause}", path.display())
        }
        Step::Target(target) if failure.errno == libc::ENOENT => {
            format!("mount target `{target}` does not exist in the root `{root}`")
        }
        Step::Target(target) => {
            let mount = run.mounts.iter().rfind(|mount| mount.target() == target);
            let source = mount.and_then(|mount| mount.sources().first());
            let what = source.map(|source| format!("`{}` on ", source.display()));
            let what = what.unwrap_or_default();
            let why = match failure.errno {
                libc::EINVAL | libc::ENOTDIR => ": is one a folder and the other a file?",
                _ => "",
            };
            format!("cannot mount {what}`{target}` in the root `{root}`: {cause}{why}")
        }
        Step::Cwd => format!("cannot enter `{}` in the root `{root}`: {cause}", run.cwd),
        Step::Program => format!("cannot start `{program}` in the root `{root}`: {cause}"),
        Step::Interpreter => format!(
            "cannot start `{program}` in the root `{root}`: {cause}: it is there, but the \
             program that runs it (the dynamic loader, or what follows `#!`) is not"
        ),
        _ => return None,
    })
}

/// What is wrong with the machine: the settings that forbid it, as far as they can be read.
fn machine(failure: &Failure, read: impl Fn(&str) -> Option<String>) -> Error {
    let what = match &failure.step {
        Step::UserNamespace => "make a user namespace",
        Step::Namespaces => "make its namespaces",
        Step::Identity => "map the user id into a user namespace",
        Step::Overlay(target) => &format!("make the overlay for `{target}`"),
        Step::Other(what) => what,
        _ => "start the run",
    };
    let message = format!("the engine `native` cannot {what}: {}", cause(failure));
    let found = settings(failure, read);
    if found.is_empty() {
        return Error::new(Kind::Machine, message).hint(
            "a chroot or a policy of this machine may forbid it: does `unshare -Ur true` work?",
        );
    }
    found.into_iter().fold(Error::new(Kind::Machine, message), Error::hint)
}

/// The settings that may have caused the failure, each with what allows it.
fn settings(failure: &Failure, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let number = |path: &str| read(path)?.trim().parse::<u64>().ok();
    let mut found = Vec::new();
    match failure.errno {
        libc::ENOSYS => found.push(format!(
            "it needs Linux 5.12 or later, and this is {}",
            read("/proc/sys/kernel/osrelease").unwrap_or_default().trim()
        )),
        libc::ENODEV => {
            found.push("`sudo modprobe overlay` may bring what the kernel lacks".into())
        }
        libc::ENOSPC => {
            for kind in ["user", "pid", "net", "mnt", "uts", "ipc", "cgroup"] {
                let limit = number(&format!("/proc/sys/user/max_{kind}_namespaces"));
                if limit == Some(0) {
                    let setting = format!("user.max_{kind}_namespaces");
                    found.push(format!("`{setting}` is 0: `sudo sysctl {setting}=10000`"));
                }
            }
        }
        _ => {}
    }
    if failure.errno == libc::ENOSPC && found.is_empty() {
        found.push(
            "all namespaces that the settings `user.max_*_namespaces` allow are in use".into(),
        );
    }
    if !matches!(failure.errno, libc::EPERM | libc::EACCES | libc::EINVAL) {
        return found;
    }
    for (setting, forbidding, allowing) in [
        ("kernel.unprivileged_userns_clone", 0, 1),
        ("kernel.apparmor_restrict_unprivileged_userns", 1, 0),
    ] {
        if number(&format!("/proc/sys/{}", setting.replace('.', "/"))) == Some(forbidding) {
            found.push(format!("`{setting}` is {forbidding}: `sudo sysctl {setting}={allowing}`"));
        }
    }
    let status = read("/proc/self/status").unwrap_or_default();
    if status.lines().any(|line| line.split_whitespace().eq(["Seccomp:", "2"])) {
        found.push(
            "a seccomp filter is on, as in a container: start it with `--security-opt \
             seccomp=unconfined` (and `--security-opt systempaths=unconfined`, so that a fresh \
             /proc may be mounted)"
                .into(),
        );
    }
    let profile = read("/proc/self/attr/current").unwrap_or_default();
    if let Some(name) = profile.trim_end_matches(['\n', '\0']).strip_suffix(" (enforce)") {
        found.push(format!(
            "the AppArmor profile `{name}` is enforced; a container: `--security-opt \
             apparmor=unconfined`"
        ));
    }
    if read("/proc/self/uid_map").is_none() {
        found.push("this kernel has no user namespaces (CONFIG_USER_NS)".into());
    }
    found
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn cause(failure: &Failure) -> String {
    Errno::from_raw(failure.errno).desc().to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn told(step: Step, errno: i32) -> String {
        let run = Run {
            root: "/store/root".into(),
            mounts: vec![Mount::ReadOnly { source: "/ws/ops".into(), target: "/work".into() }],
            argv: vec!["/usr/bin/bazel".into()],
            env: BTreeMap::new(),
            cwd: "/work".into(),
        };
        in_run(&run, &Failure { step, errno }).unwrap()
    }

    #[test]
    fn what_is_wrong_with_a_run_is_named() {
        let texts = [
            told(Step::Source("/store/root".into()), libc::ENOENT),
            told(Step::Source("/ws/ops".into()), libc::EACCES),
            told(Step::Target("/work".into()), libc::ENOENT),
            told(Step::Target("/work".into()), libc::ENOTDIR),
            told(Step::Target("/tmp".into()), libc::EPERM),
            told(Step::Cwd, libc::ENOENT),
            told(Step::Program, libc::ENOENT),
            told(Step::Interpreter, libc::ENOENT),
        ];
        insta::assert_snapshot!(texts.join("\n"), @r"
        cannot use the root `/store/root`: no such file or directory
        cannot mount `/ws/ops` on `/work`: permission denied
        mount target `/work` does not exist in the root `/store/root`
        cannot mount `/ws/ops` on `/work` in the root `/store/root`: not a directory: is one a folder and the other a file?
        cannot mount `/tmp` in the root `/store/root`: operation not permitted
        cannot enter `/work` in the root `/store/root`: no such file or directory
        cannot start `/usr/bin/bazel` in the root `/store/root`: no such file or directory
        cannot start `/usr/bin/bazel` in the root `/store/root`: no such file or directory: it is there, but the program that runs it (the dynamic loader, or what follows `#!`) is not
        ");
    }

    /// The error on a machine with these files.
    fn refused(step: Step, errno: i32, files: &[(&str, &str)]) -> String {
        let files: BTreeMap<_, _> = files.iter().copied().collect();
        let read = |path: &str| match path {
            "/proc/self/uid_map" => Some(String::new()),
            _ => files.get(path).map(|text| (*text).to_owned()),
        };
        machine(&Failure { step, errno }, read).to_string()
    }

    #[test]
    fn the_setting_that_forbids_it_is_named() {
        let sysctl = |name: &'static str, value| [(name, value)];
        let texts = [
            refused(Step::UserNamespace, libc::EPERM, &[]),
            refused(
                Step::UserNamespace,
                libc::EPERM,
                &sysctl("/proc/sys/kernel/unprivileged_userns_clone", "0\n"),
            ),
            refused(
                Step::Identity,
                libc::EPERM,
                &sysctl("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n"),
            ),
            refused(
                Step::UserNamespace,
                libc::ENOSPC,
                &sysctl("/proc/sys/user/max_user_namespaces", "0\n"),
            ),
            refused(
                Step::UserNamespace,
                libc::EPERM,
                &[
                    ("/proc/self/status", "Name:\tx\nSeccomp:\t2\n"),
                    ("/proc/self/attr/current", "docker-default (enforce)\n"),
                ],
            ),
            refused(
                Step::Source("/".into()),
                libc::ENOSYS,
                &sysctl("/proc/sys/kernel/osrelease", "4.18.0\n"),
            ),
            refused(Step::Overlay("/opt".into()), libc::ENODEV, &[]),
        ];
        insta::assert_snapshot!(texts.join("\n"), @r"
        error: the engine `native` cannot make a user namespace: operation not permitted
        hint: a chroot or a policy of this machine may forbid it: does `unshare -Ur true` work?
        error: the engine `native` cannot make a user namespace: operation not permitted
        hint: `kernel.unprivileged_userns_clone` is 0: `sudo sysctl kernel.unprivileged_userns_clone=1`
        error: the engine `native` cannot map the user id into a user namespace: operation not permitted
        hint: `kernel.apparmor_restrict_unprivileged_userns` is 1: `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`
        error: the engine `native` cannot make a user namespace: no space left on device
        hint: `user.max_user_namespaces` is 0: `sudo sysctl user.max_user_namespaces=10000`
        error: the engine `native` cannot make a user namespace: operation not permitted
        hint: a seccomp filter is on, as in a container: start it with `--security-opt seccomp=unconfined` (and `--security-opt systempaths=unconfined`, so that a fresh /proc may be mounted)
        hint: the AppArmor profile `docker-default` is enforced; a container: `--security-opt apparmor=unconfined`
        error: the engine `native` cannot start the run: function not implemented
        hint: it needs Linux 5.12 or later, and this is 4.18.0
        error: the engine `native` cannot make the overlay for `/opt`: no such device
        hint: `sudo modprobe overlay` may bring what the kernel lacks
        ");
    }
}
