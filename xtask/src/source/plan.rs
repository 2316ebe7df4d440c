//! What Bazel is asked to do with TensorFlow's sources: a list of flags, each with its reason.

use std::collections::BTreeMap;
use std::path::Path;

use crate::engine::{Mount, Run};
use crate::lock::{Lock, Source};
use crate::root::builder;

use super::gateway;
use super::machine::Machine;

/// Where the build keeps its work inside the root.
pub const OUT: &str = "/out";
/// Where the sources are.
const SOURCES: &str = "/opt/tf";
/// Where Bazel writes its build events.
pub const EVENTS: &str = "bep.json";
/// The program that brings the gateway into the run's own network.
pub const RELAY: &str = include_str!("relay.py");
/// What Bazel is told about where to download from (its downloader configuration).
pub const DOWNLOADER: &str = "rewrite ^(.*)$ http://127.0.0.1:3128/url/$1\n";

/// A word of a command line, and why it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// As Bazel reads it.
    pub word: String,
    /// For people.
    pub reason: &'static str,
}

/// What is wanted of Bazel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Load and analyse, so that everything external is asked for.
    Gather,
    /// Build the wheel.
    Build,
}

fn flag(word: impl Into<String>, reason: &'static str) -> Flag {
    Flag { word: word.into(), reason }
}

/// Bazel's startup options.
fn startup(lock: &Lock) -> Vec<Flag> {
    let mut flags = vec![
        flag("--nohome_rc", "nobody's own settings"),
        flag("--output_user_root=/out/bazel", "kept between runs: a killed build is gone on with"),
    ];
    if lock.bazel.binary.is_none() {
        let reason = "Debian's Bazel brings no Java and refuses a JRE that it is not told of";
        flags.push(flag("--server_javabase=/usr/lib/jvm/default", reason));
    }
    flags
}

/// The options of `bazel build`; TensorFlow's own `.bazelrc` holds before them.
pub fn flags(lock: &Lock, source: &Source, machine: Machine, step: Step) -> Vec<Flag> {
    let mut flags = configured(source);
    flags.extend(offline());
    flags.extend(strict());
    if lock.bazel.binary.is_none() {
        flags.push(flag("--nosandbox_debug", "Debian's package keeps every sandbox otherwise"));
    }
    match step {
        Step::Gather => flags.push(flag("--nobuild", "only what is asked of the network")),
        Step::Build => flags.extend(building(machine)),
    }
    flags
}

/// What is pinned.
fn configured(source: &Source) -> Vec<Flag> {
    let configs = source.configs.iter();
    let configs = configs.map(|c| flag(format!("--config={c}"), "pinned: `tensorflow.configs`"));
    let variables = source.repo_env.iter();
    let variables =
        variables.map(|v| flag(format!("--repo_env={v}"), "pinned: `tensorflow.repo-env`"));
    configs.chain(variables).collect()
}

/// Whatever is downloaded comes through the gateway.
fn offline() -> Vec<Flag> {
    vec![
        flag(
            format!("--experimental_downloader_config={OUT}/{}/downloader.cfg", gateway::FOLDER),
            "Bazel's own downloads come from the vault",
        ),
        flag(
            "--repo_env=PIP_INDEX_URL=http://127.0.0.1:3128/index/",
            "wheels that pip rules download come from the vault",
        ),
        flag("--repo_env=PIP_DISABLE_PIP_VERSION_CHECK=1", "pip asks for no newer pip"),
        flag("--repo_env=PIP_NO_CACHE_DIR=1", "pip uses nothing that is not in the vault"),
    ]
}

/// What makes the outcome a function of the inputs.
fn strict() -> Vec<Flag> {
    const SANDBOX: &str = "TensorFlow's .bazelrc says `standalone`: here each action has a \
        sandbox without network, but those that are tagged `no-sandbox` or `local`";
    vec![
        flag("--spawn_strategy=sandboxed,local", SANDBOX),
        flag("--strategy=Genrule=sandboxed,local", SANDBOX),
        flag("--incompatible_strict_action_env", "an action's environment is a list"),
        flag("--action_env=SOURCE_DATE_EPOCH", "who looks for a clock finds the epoch"),
        flag("--nostamp", "no user, host or time of the build"),
        flag("--experimental_convenience_symlinks=ignore", "the sources are read-only"),
    ]
}

fn building(machine: Machine) -> Vec<Flag> {
    vec![
        flag(format!("--build_event_json_file={OUT}/{EVENTS}"), "which wheel came out"),
        flag("--disk_cache=/out/disk", "done actions outlive a changed output base"),
        flag(format!("--jobs={}", machine.jobs()), "one a processor, 2 GiB of memory each"),
        flag(format!("--local_cpu_resources={}", machine.processors), "of this machine"),
        flag(format!("--local_ram_resources={}", machine.megabytes()), "of this machine"),
        flag("--verbose_failures", "a compiler's words with its command"),
        flag("--color=no", "a log"),
        flag("--curses=no", "a log"),
        flag("--show_progress_rate_limit=1", "progress once a second"),
    ]
}

/// The host folders behind the mounts.
#[derive(Clone, Copy, Debug)]
pub struct Folders<'a> {
    /// Builder root.
    pub root: &'a Path,
    /// TensorFlow's checkout.
    pub checkout: &'a Path,
    /// Bazel's output, kept.
    pub out: &'a Path,
}

/// The whole run.
pub fn run(
    lock: &Lock,
    source: &Source,
    folders: &Folders<'_>,
    machine: Machine,
    step: Step,
) -> Run {
    let gateway = format!("{OUT}/{}", gateway::FOLDER);
    let relay = ["/usr/bin/python3".to_owned(), format!("{gateway}/relay.py")];
    let words = |flags: Vec<Flag>| flags.into_iter().map(|flag| flag.word);
    let argv = relay
        .into_iter()
        .chain([format!("{gateway}/{}", gateway::SOCKET), "/usr/bin/bazel".to_owned()])
        .chain(words(startup(lock)))
        .chain(["build".to_owned()])
        .chain(words(flags(lock, source, machine, step)))
        .chain(["--".to_owned(), source.target.clone()]);
    Run {
        root: folders.root.to_owned(),
        mounts: vec![
            Mount::ReadOnly { source: folders.checkout.to_owned(), target: SOURCES.to_owned() },
            Mount::ReadWrite { source: folders.out.to_owned(), target: OUT.to_owned() },
        ],
        argv: argv.collect(),
        env: environment(lock),
        cwd: SOURCES.to_owned(),
    }
}

fn environment(lock: &Lock) -> BTreeMap<String, String> {
    let mut environment = builder::environment(lock);
    // Debian's wrapper looks for a binary of .bazelversion's name; that file and the pin were
    // compared before.
    environment.insert("USE_BAZEL_VERSION".to_owned(), "latest".to_owned());
    environment
}

/// The plan for people: each word with its reason.
pub fn explained(lock: &Lock, source: &Source, machine: Machine) -> String {
    let row = |flag: Flag| format!("  {}\n      {}\n", flag.word, flag.reason);
    let rows = |flags: Vec<Flag>| flags.into_iter().map(row).collect::<String>();
    let git = format!(
        "git fetch --depth=1 {} {}\n  describes itself as {}\n",
        source.git, lock.tensorflow.revision, lock.tensorflow.git_version
    );
    let build = format!(
        "bazel {} (answers `{}`)\n{}build {}\n{}",
        lock.bazel.version,
        lock.bazel.answer,
        rows(startup(lock)),
        source.target,
        rows(flags(lock, source, machine, Step::Build)),
    );
    git + &build
}
