//! What a container takes over from the caller: nothing but its ids, its limits, and a name
//! by which what it left can be told from what it still needs.

use std::path::{Path, PathBuf};

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

/// Open files: enough for a linker.
const FILES: u64 = 65_536;
/// Processes and threads: enough for any build, and what each machine can grant.
const PROCESSES: u64 = 16_384;
/// Programs that may be a container's first process, where podman has none of its own.
const INITS: [&str; 5] = [
    "/usr/libexec/podman/catatonit",
    "/usr/bin/catatonit",
    "/usr/bin/docker-init",
    "/usr/bin/tini-static",
    "/usr/bin/tini",
];

/// Where runc may be. Podman may choose crun, which refuses control groups of the first version
/// beside the second.
const RUNC: [&str; 4] =
    ["/usr/sbin/runc", "/usr/bin/runc", "/usr/local/sbin/runc", "/usr/local/bin/runc"];
/// There, where all control groups are of the second version.
const UNIFIED: &str = "/sys/fs/cgroup/cgroup.controllers";

/// The caller and its machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// Effective user id.
    pub(super) user: u32,
    /// Effective group id.
    pub(super) group: u32,
    /// Most open files, soft and hard.
    pub(super) files: u64,
    /// Most processes, soft and hard.
    pub(super) processes: u64,
    /// Bytes of stack, hard; none for no limit.
    pub(super) stack: Option<u64>,
    /// The processors that the caller may use; none for all. Docker's daemon has its own.
    pub(super) cpus: Option<String>,
    /// Whether the engine itself runs without root, so that its root is the caller.
    pub(super) rootless: bool,
    /// A first process for podman.
    pub(super) init: Option<PathBuf>,
    /// The OCI runtime for podman, where its own choice may not do.
    pub(super) runtime: Option<PathBuf>,
    /// Who calls.
    pub(super) caller: Caller,
}

impl Host {
    /// This process on this machine.
    pub(super) fn here(rootless: bool) -> Host {
        Host {
            user: nix::unistd::geteuid().as_raw(),
            group: nix::unistd::getegid().as_raw(),
            files: at_most(Resource::RLIMIT_NOFILE, FILES),
            processes: at_most(Resource::RLIMIT_NPROC, PROCESSES),
            stack: match at_most(Resource::RLIMIT_STACK, RLIM_INFINITY) {
                RLIM_INFINITY => None,
                hard => Some(hard),
            },
            cpus: cpus(),
            rootless,
            init: first(&INITS),
            runtime: if Path::new(UNIFIED).exists() { None } else { first(&RUNC) },
            caller: Caller::here(),
        }
    }
}

fn first(paths: &[&str]) -> Option<PathBuf> {
    paths.iter().map(PathBuf::from).find(|path| path.exists())
}

/// The processors of this process, as the kernel lists them (proc_pid_status(5)), when they
/// are not all.
fn cpus() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let all = std::fs::read_to_string("/sys/devices/system/cpu/online").ok()?;
    let own = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?.trim();
    (own != all.trim()).then(|| own.to_owned())
}

fn at_most(resource: Resource, wanted: u64) -> u64 {
    getrlimit(resource).map_or(wanted, |(_, hard)| wanted.min(hard))
}

/// A process that started containers: by its id, and by what else makes the id its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    boot: String,
    space: String,
    process: u32,
    started: String,
}

/// What the name of each container begins with.
pub(super) const PREFIX: &str = "lockstep-";

impl Caller {
    fn here() -> Caller {
        let process = std::process::id();
        Caller {
            boot: boot(),
            space: space(),
            process,
            started: started(process).unwrap_or_else(|| "0".to_owned()),
        }
    }

    /// The name of this process's container number `number`.
    pub(super) fn name(&self, number: u32) -> String {
        let Caller { boot, space, process, started } = self;
        format!("{PREFIX}{boot}-{space}-{process}-{started}-{number}")
    }

    /// Who made the container of this name.
    fn parse(name: &str) -> Option<Caller> {
        let mut words = name.strip_prefix(PREFIX)?.split('-').map(str::to_owned);
        let (boot, space, process, started) =
            (words.next()?, words.next()?, words.next()?.parse().ok()?, words.next()?);
        words.next()?.parse::<u32>().ok()?;
        words.next().is_none().then_some(Caller { boot, space, process, started })
    }

    /// Whether it is surely dead: of an earlier boot, or no process of ours has its id and
    /// its age. Of a process in another container nothing is known.
    fn is_dead(&self, boot: &str, space: &str, started: impl Fn(u32) -> Option<String>) -> bool {
        self.boot != boot
            || (self.space == space && started(self.process).as_deref() != Some(&*self.started))
    }
}

/// Which of these containers were left behind by processes that are dead.
pub(super) fn left<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let (boot, space) = (boot(), space());
    let dead = |name: &&str| Caller::parse(name).is_some_and(|c| c.is_dead(&boot, &space, started));
    names.filter(dead).collect()
}

fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.chars().filter(char::is_ascii_hexdigit).take(8).collect()
}

/// The process namespace, as a number.
fn space() -> String {
    let link = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    link.to_string_lossy().chars().filter(char::is_ascii_digit).collect()
}

/// When a process was started, in ticks since boot (proc(5), `starttime`).
fn started(process: u32) -> Option<String> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat"));
    let stat = stat.ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A machine on which nothing is surprising.
    pub(in super::super) fn host() -> Host {
        Host {
            user: 0,
            group: 0,
            files: 20_000,
            processes: 16_384,
            stack: None,
            cpus: None,
            rootless: false,
            init: Some("/usr/bin/tini-static".into()),
            runtime: Some("/usr/sbin/runc".into()),
            caller: Caller {
                boot: "0badcafe".into(),
                space: "4026531836".into(),
                process: 12,
                started: "345".into(),
            },
        }
    }

    #[test]
    fn a_dead_caller_is_told_from_a_living_one() {
        let name = host().caller.name(7);
        assert_eq!(name, "lockstep-0badcafe-4026531836-12-345-7");
        let caller = Caller::parse(&name).unwrap();
        let is_dead = |boot, space, started: Option<&str>| {
            caller.is_dead(boot, space, |_| started.map(str::to_owned))
        };
        assert!(!is_dead("0badcafe", "4026531836", Some("345")), "it lives");
        assert!(is_dead("0badcafe", "4026531836", Some("999")), "its number is another's");
        assert!(is_dead("0badcafe", "4026531836", None));
        assert!(is_dead("0badcaff", "4026531836", Some("345")), "the machine was booted since");
        assert!(!is_dead("0badcafe", "1", None), "in another container: who knows");
    }

    #[test]
    fn only_our_own_leavings_are_ours() {
        let mine = Caller::here().name(0);
        let dead = Caller { process: u32::MAX, ..Caller::here() }.name(3);
        let names = [mine.as_str(), "web", "lockstep-x", "lockstep-a-b-c-d-e-f", dead.as_str()];
        assert_eq!(left(names.into_iter()), [dead.as_str()]);
    }
}
