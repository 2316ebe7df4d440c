//! The command lines, as values: pure.

use super::Product;
use super::base::Place;
use super::host::Host;
use super::layout::Layout;
use crate::engine::{Mount, Run};

/// A container to be made.
pub(super) struct Plan<'a> {
    /// Whose container.
    pub(super) product: Product,
    /// What it runs.
    pub(super) run: &'a Run,
    /// Its file system.
    pub(super) layout: &'a Layout,
    /// What it stands on.
    pub(super) base: &'a Place,
    /// What it takes over from its caller.
    pub(super) host: &'a Host,
    /// The container's name.
    pub(super) name: &'a str,
    /// Whether somebody works in it, and whether at a terminal.
    pub(super) work: Work,
}

/// The usual stack, as in the engine `native`.
const STACK: u64 = 8 << 20;

/// How a person takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Not at all: standard input is empty.
    Logged,
    /// Standard input is the caller's.
    Piped,
    /// At a terminal.
    Terminal,
}

impl Plan<'_> {
    /// The arguments that make the container, without the program itself.
    pub(super) fn create(&self) -> Vec<String> {
        let mut words = Words(Vec::new());
        if let (Product::Podman, Some(runtime)) = (self.product, &self.host.runtime) {
            words.add("--runtime", &runtime.to_string_lossy());
        }
        words.flag("create");
        words.add("--name", self.name);
        self.shut_off(&mut words);
        self.identity(&mut words);
        self.limits(&mut words);
        self.mounts(&mut words);
        for (name, value) in &self.run.env {
            words.add("--env", &format!("{name}={value}"));
        }
        self.no_more_environment(&mut words);
        words.add("--workdir", &self.run.cwd);
        let taking_part: &[&str] = match self.work {
            Work::Logged => &[],
            Work::Piped => &["--interactive"],
            Work::Terminal => &["--interactive", "--tty"],
        };
        words.0.extend(taking_part.iter().map(|&word| word.to_owned()));
        match self.base {
            Place::Image(name) => words.0.push(name.clone()),
            Place::Folder(folder) => words.add("--rootfs", &folder.to_string_lossy()),
        }
        words.0.extend(self.run.argv.iter().cloned());
        words.0
    }

    /// The arguments that start it and wait for its end.
    pub(super) fn start(&self) -> Vec<String> {
        let mut words = vec!["start", "--attach"];
        words.extend((self.work != Work::Logged).then_some("--interactive"));
        words.push(self.name);
        words.into_iter().map(str::to_owned).collect()
    }

    /// No network, no write but to what is given, no privilege, nothing kept.
    fn shut_off(&self, words: &mut Words) {
        words.add("--network", "none");
        words.add("--hostname", "lockstep");
        words.flag("--read-only");
        words.add("--cap-drop", "ALL");
        words.add("--security-opt", "no-new-privileges");
        words.add("--security-opt", "label=disable"); // SELinux: the store keeps its labels
        words.add("--log-driver", "none");
        words.flag("--init");
        match self.product {
            // Nothing of the host's name server: a look-up fails at once.
            Product::Docker => {
                words.add("--dns", "127.0.0.1");
                words.add("--dns-search", ".");
            }
            Product::Podman => {
                if let Some(init) = &self.host.init {
                    words.add("--init-path", &init.to_string_lossy());
                }
                words.flag("--read-only-tmpfs=false");
                words.flag("--no-hosts");
            }
        }
    }

    /// The user 1000 that is the caller outside, where the engine can say so.
    fn identity(&self, words: &mut Words) {
        let Host { user, group, rootless, .. } = self.host;
        match (self.product, rootless) {
            (Product::Docker, true) => words.add("--user", "0:0"),
            (Product::Docker, false) => words.add("--user", &format!("{user}:{group}")),
            (Product::Podman, true) => {
                words.add("--userns", "keep-id:uid=1000,gid=1000");
                words.add("--user", "1000:1000");
            }
            (Product::Podman, false) => {
                for (option, id) in [("--uidmap", user), ("--gidmap", group)] {
                    words.add(option, &format!("1000:{id}:1"));
                    words.add(option, "0:100000:1000");
                }
                words.add("--user", "1000:1000");
            }
        }
    }

    fn limits(&self, words: &mut Words) {
        let hard = self.host.stack.map_or_else(|| "-1".to_owned(), |hard| hard.to_string());
        words.add("--ulimit", "core=0");
        words.add(
            "--ulimit",
            &format!("stack={}:{hard}", self.host.stack.unwrap_or(STACK).min(STACK)),
        );
        words.add("--ulimit", &format!("nofile={0}:{0}", self.host.files));
        words.add("--pids-limit", "-1");
        if let (Product::Docker, Some(cpus)) = (self.product, &self.host.cpus) {
            words.add("--cpuset-cpus", cpus);
        }
        if self.product == Product::Podman {
            // Its own default is more than a machine may grant.
            words.add("--ulimit", &format!("nproc={0}:{0}", self.host.processes));
        }
    }

    fn mounts(&self, words: &mut Words) {
        let plain = match self.product {
            Product::Docker => "",
            Product::Podman => ",notmpcopyup",
        };
        for place in ["/tmp", "/run", "/dev/shm"] {
            let options = format!("{place}:rw,exec,nosuid,nodev,mode=1777{plain}");
            words.add("--tmpfs", &options);
        }
        for (source, target) in &self.layout.binds {
            words.add("--mount", &bind(&source.to_string_lossy(), target, true));
        }
        let hosts = self.run.root.join("etc/hosts");
        let named = |(path, _): &(String, _)| path == "/etc/hosts";
        if self.product == Product::Docker && self.layout.image.iter().any(named) {
            words.add("--mount", &bind(&hosts.to_string_lossy(), "/etc/hosts", true));
        }
        for mount in &self.run.mounts {
            let (source, target, frozen) = match mount {
                Mount::ReadOnly { source, target } => (source, target, true),
                Mount::ReadWrite { source, target } => (source, target, false),
                Mount::Overlay { .. } => continue, // part of the layout
            };
            words.add("--mount", &bind(&source.to_string_lossy(), target, frozen));
        }
    }

    /// Variables that engines add by themselves: a name without a value takes one away.
    fn no_more_environment(&self, words: &mut Words) {
        let more = ["HOSTNAME", "TERM", "container"];
        for name in more.iter().filter(|name| !self.run.env.contains_key(**name)) {
            match self.product {
                Product::Docker => words.add("--env", name),
                Product::Podman => words.add("--unsetenv", name),
            }
        }
    }
}

/// The arguments that remove the container `name`, whatever it does.
pub(super) fn remove(product: Product, names: &[&str]) -> Vec<String> {
    let patience: &[&str] = match product {
        Product::Docker => &[],
        Product::Podman => &["--time", "0"],
    };
    let words = ["rm", "--force", "--volumes"].iter().chain(patience).chain(names);
    words.map(|&word| word.to_owned()).collect()
}

/// A bind mount, as a line of comma-separated values.
fn bind(source: &str, target: &str, frozen: bool) -> String {
    let mut fields = vec!["type=bind".to_owned()];
    fields.push(field(&format!("src={source}")));
    fields.push(field(&format!("dst={target}")));
    fields.extend(frozen.then(|| "ro".to_owned()));
    fields.join(",")
}

/// A value as RFC 4180 quotes it.
fn field(value: &str) -> String {
    match value.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", value.replace('"', "\"\"")),
        false => value.to_owned(),
    }
}

struct Words(Vec<String>);

impl Words {
    fn add(&mut self, option: &str, value: &str) {
        self.0.extend([option.to_owned(), value.to_owned()]);
    }

    fn flag(&mut self, option: &str) {
        self.0.push(option.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::super::host::tests::host;
    use super::super::layout::Node;
    use super::*;

    fn lines(product: Product, host: &Host, work: Work) -> String {
        let run = Run {
            root: "/store/root".into(),
            mounts: vec![
                Mount::ReadOnly { source: "/ws, \"x\"/ops".into(), target: "/work/ops".into() },
                Mount::ReadWrite { source: "/ws/out".into(), target: "/out".into() },
                Mount::Overlay { sources: vec!["/a".into()], target: "/opt/tf".into() },
            ],
            argv: ["/usr/bin/bazel", "build"].map(Into::into).into(),
            env: [("HOME".to_owned(), "/tmp".to_owned())].into(),
            cwd: "/work/ops".into(),
        };
        let node = Node::File("/store/root/etc/hosts".into(), 0o644, 0);
        let layout = Layout {
            image: vec![("/etc/hosts".into(), node)],
            binds: vec![("/store/root/usr/bin".into(), "/usr/bin".into())],
        };
        let base = &match product {
            Product::Docker => Place::Image("lockstep-root:0123".into()),
            Product::Podman => Place::Folder("/tmp/lockstep-1".into()),
        };
        let name = "lockstep-1";
        let plan = Plan { product, run: &run, layout: &layout, base, host, name, work };
        let text =
            plan.create().join(" ").replace(" --", "\n--").replace(" lockstep-r", "\nlockstep-r");
        format!("{text}\n{}\n{}", plan.start().join(" "), remove(product, &[plan.name]).join(" "))
    }

    #[test]
    fn a_docker_container_is_shut_off() {
        insta::assert_snapshot!(lines(Product::Docker, &host(), Work::Logged));
    }

    #[test]
    fn a_podman_container_is_shut_off() {
        insta::assert_snapshot!(lines(Product::Podman, &host(), Work::Logged));
    }

    #[test]
    fn a_caller_of_some_processors_has_them_inside() {
        let host = Host { cpus: Some("1,3".into()), ..host() };
        assert!(lines(Product::Docker, &host, Work::Logged).contains("\n--cpuset-cpus 1,3\n"));
        assert!(!lines(Product::Podman, &host, Work::Logged).contains("cpuset")); // our child
    }

    #[test]
    fn without_root_the_caller_is_another_user_inside() {
        let host = Host { user: 1234, group: 99, rootless: true, ..host() };
        let users = |product, host: &Host| {
            let text = lines(product, host, Work::Terminal);
            let wanted = |line: &&str| {
                line.starts_with("--u")
                    && !line.starts_with("--ulimit")
                    && !line.starts_with("--unset")
            };
            text.lines().filter(wanted).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(users(Product::Docker, &host), "--user 0:0");
        let rootful = Host { rootless: false, ..host.clone() };
        assert_eq!(users(Product::Docker, &rootful), "--user 1234:99");
        let expected = "--userns keep-id:uid=1000,gid=1000 --user 1000:1000";
        assert_eq!(users(Product::Podman, &host), expected);
    }
}
