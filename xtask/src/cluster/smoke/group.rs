//! What a task may have of this machine: control groups (cgroups(7)), of either version.
//!
//! Whether there are any is the machine's affair: of the first version they are root's, of the
//! second whoever started the session may have given them to its user. Where there are none, it
//! is said that a limit was skipped, and why.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::error::{Error, IoContext as _, Result};
use crate::pins::cluster::Memory;

use super::job::{Job, Limit};

/// How long a processor's time is shared out at once, in microseconds.
const PERIOD: u64 = 100_000;
/// No kernel takes a smaller share of it.
const LEAST: u64 = 1000;
/// What our groups are called: this, who made them, which of theirs it is, and for which host.
const PREFIX: &str = "lockstep-";
/// How many groups this process has made: two threads never make one of the same name.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A folder in which groups can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    folder: PathBuf,
    second: bool,
}

/// Where groups can be made, by what they limit; or why they cannot.
#[derive(Debug)]
pub struct Control {
    cpu: std::result::Result<Place, String>,
    memory: std::result::Result<Place, String>,
}

impl Control {
    /// Looks at this machine; removes what was left by who was killed.
    pub fn find() -> Control {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (mounts, own) = (text("/proc/self/mountinfo"), text("/proc/self/cgroup"));
        let place = |controller: &str| {
            let mut places = candidates(&mounts, &own, controller).into_iter();
            let place = places.find(|place| is_ours(place, controller));
            place.ok_or_else(|| format!("no control group for {controller} is ours to make here"))
        };
        let control = Control { cpu: place("cpu"), memory: place("memory") };
        [&control.cpu, &control.memory]
            .into_iter()
            .flatten()
            .for_each(|place| sweep(&place.folder));
        control
    }

    /// The group of one task, which no other task has, of however many clusters.
    pub fn group(&self, host: &str, limit: Limit) -> Result<Group> {
        let mut group = Group { folders: Vec::new(), memory: None, limit };
        let name = name(host);
        if let (Some(cpu), Ok(place)) = (limit.cpu, &self.cpu) {
            let quota = (u64::from(cpu.0) * PERIOD / 1000).max(LEAST);
            let files = match place.second {
                true => vec![("cpu.max", format!("{quota} {PERIOD}"))],
                false => vec![
                    ("cpu.cfs_period_us", PERIOD.to_string()),
                    ("cpu.cfs_quota_us", quota.to_string()),
                ],
            };
            group.add(&place.folder.join(&name), &files)?;
        }
        if let (Some(memory), Ok(place)) = (limit.memory, &self.memory) {
            let file = if place.second { "memory.max" } else { "memory.limit_in_bytes" };
            let folder = place.folder.join(&name);
            group.add(&folder, &[(file, memory.0.to_string())])?;
            let counter = if place.second { "memory.events" } else { "memory.oom_control" };
            group.memory = Some(folder.join(counter));
        }
        Ok(group)
    }

    /// What came of the job's limits, for people.
    pub fn said(&self, job: &Job) -> String {
        let any = |has: fn(&Limit) -> bool| job.tasks.iter().any(|task| has(&task.limit));
        let of = |what: &str, pinned: bool, place: &std::result::Result<Place, String>| match place
        {
            _ if !pinned => None,
            Ok(_) => Some(format!("{what} as pinned")),
            Err(why) => Some(format!("{what} skipped: {why}")),
        };
        let said = [
            of("cpu", any(|limit| limit.cpu.is_some()), &self.cpu),
            of("memory", any(|limit| limit.memory.is_some()), &self.memory),
        ];
        said.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// A name that no other group of this machine has.
fn name(what: &str) -> String {
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    format!("{PREFIX}{}-{number}-{what}", std::process::id())
}

/// Where a group for `controller` might be made: in our own group, where that is mounted, and
/// above it (proc_pid_mountinfo(5), cgroups(7)).
fn candidates(mounts: &str, own: &str, controller: &str) -> Vec<Place> {
    let mut places = Vec::new();
    for line in mounts.lines() {
        let Some((mount, file_system)) = line.split_once(" - ") else { continue };
        let mount: Vec<&str> = mount.split(' ').collect();
        let (Some(root), Some(point)) = (mount.get(3), mount.get(4)) else { continue };
        let words: Vec<&str> = file_system.split(' ').collect();
        let second = match words.as_slice() {
            ["cgroup", .., options] if options.split(',').any(|o| o == controller) => false,
            ["cgroup2", ..] => true,
            _ => continue,
        };
        let wanted = |line: &&str| {
            let names = line.split(':').nth(1).unwrap_or_default();
            if second { names.is_empty() } else { names.split(',').any(|n| n == controller) }
        };
        let path = own.lines().find(wanted).and_then(|line| line.splitn(3, ':').nth(2));
        let below = path.unwrap_or("/");
        let below = below.strip_prefix(root).unwrap_or(below).trim_start_matches('/');
        let all: PathBuf = Path::new(point).join(below).components().collect();
        let above = all.ancestors().take_while(|folder| folder.starts_with(point));
        places.extend(above.map(|folder| Place { folder: folder.to_owned(), second }));
    }
    places
}

/// Whether a group can be made there, and limits what it shall.
fn is_ours(place: &Place, controller: &str) -> bool {
    if place.second {
        let given = fs::read_to_string(place.folder.join("cgroup.subtree_control"));
        if !given.unwrap_or_default().split_whitespace().any(|name| name == controller) {
            return false;
        }
    }
    let probe = place.folder.join(name(&format!("{controller}-probe")));
    fs::create_dir(&probe).and_then(|()| fs::remove_dir(&probe)).is_ok()
}

/// Removes groups of processes that are no more.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let maker = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        if maker.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _in_use = fs::remove_dir(entry.path());
        }
    }
}

/// The control groups of one task, removed with this.
#[derive(Debug)]
pub struct Group {
    folders: Vec<PathBuf>,
    /// The file that counts who was killed for want of memory.
    memory: Option<PathBuf>,
    limit: Limit,
}

impl Group {
    fn add(&mut self, folder: &Path, files: &[(&str, String)]) -> Result<()> {
        match fs::create_dir(folder) {
            Ok(()) => self.folders.push(folder.to_owned()),
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {}
            Err(cause) => return Err(Error::io("create", folder, &cause)),
        }
        files.iter().try_for_each(|(name, text)| {
            let file = folder.join(name);
            fs::write(&file, text).at("write", &file)
        })
    }

    /// The files through which a process enters.
    pub fn entrances(&self) -> Vec<PathBuf> {
        self.folders.iter().map(|folder| folder.join("cgroup.procs")).collect()
    }

    /// The limit, when one of its processes was killed for want of memory.
    pub fn starved(&self) -> Option<Memory> {
        let text = fs::read_to_string(self.memory.as_ref()?).ok()?;
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "))?;
        self.limit.memory.filter(|_| count.trim() != "0")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for folder in &self.folders {
            // The kernel buries the last process a moment after it told of its end.
            for _ in 0..50 {
                match fs::remove_dir(folder) {
                    Err(cause) if cause.kind() == io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    _ => break,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_made_in_our_own_or_above() {
        let first = "25 24 0:22 / /c/memory rw,relatime - cgroup cgroup rw,memory\n\
                     26 24 0:23 / /c/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
                     27 24 0:24 /a /c/unified rw - cgroup2 cgroup2 rw\n\
                     28 24 0:25 / /proc rw - proc proc rw\n";
        let own = "4:memory:/x/y\n1:cpu,cpuacct:/\n0::/a/b/c\n";
        let shown = |controller| {
            let places = candidates(first, own, controller).into_iter();
            places
                .map(|p| format!("{}{}", p.folder.display(), if p.second { " 2" } else { "" }))
                .collect::<Vec<_>>()
        };
        let second = ["/c/unified/b/c 2", "/c/unified/b 2", "/c/unified 2"];
        assert_eq!(shown("memory")[..3], ["/c/memory/x/y", "/c/memory/x", "/c/memory"]);
        assert_eq!(shown("memory")[3..], second);
        assert_eq!(shown("cpu")[0], "/c/cpu");
        assert_eq!(shown("pids"), second);
    }

    #[test]
    fn limits_are_written_as_each_version_has_them() {
        let folder = tempfile::tempdir().unwrap();
        let place = |second| Ok(Place { folder: folder.path().to_owned(), second });
        let limit = Limit { cpu: "1500m".parse().ok(), memory: "64Mi".parse().ok() };
        let read =
            |group: &Group, name: &str| fs::read_to_string(group.folders[0].join(name)).unwrap();
        let first = Control { cpu: place(false), memory: place(false) };
        let group = first.group("w", limit).unwrap();
        assert_eq!(group.entrances().len(), 1);
        assert_eq!(read(&group, "cpu.cfs_quota_us"), "150000");
        assert_eq!(read(&group, "memory.limit_in_bytes"), "67108864");
        let namesake = first.group("w", limit).unwrap();
        assert_ne!(group.folders, namesake.folders);
        assert_eq!(group.starved(), None);
        let counter = group.memory.clone().unwrap();
        fs::write(&counter, "under_oom 0\noom_kill 0\n").unwrap();
        assert_eq!(group.starved(), None);
        fs::write(&counter, "under_oom 0\noom_kill 2\n").unwrap();
        assert_eq!(group.starved(), limit.memory);
        let second = Control { cpu: place(true), memory: Err("why".to_owned()) };
        let group = second.group("x", limit).unwrap();
        assert_eq!(read(&group, "cpu.max"), "150000 100000");
        assert_eq!((group.starved(), group.entrances().len()), (None, 1));
        let limit = Limit { cpu: "1m".parse().ok(), ..limit };
        let group = second.group("y", limit).unwrap();
        assert_eq!(read(&group, "cpu.max"), "1000 100000");
    }

    #[test]
    fn two_threads_that_look_at_once_do_not_meet() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place { folder: folder.path().to_owned(), second: false };
        let other = format!("{PREFIX}{}-cpu-probe", std::process::id());
        fs::create_dir(folder.path().join(other)).unwrap();
        assert!(is_ours(&place, "cpu"));
        assert_ne!(name("cpu-probe"), name("cpu-probe"));
    }
}
