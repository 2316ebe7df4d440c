//! `[cluster]`: the tasks that run the image, checked by TensorFlow's own rules
//! (`_validate_cluster_spec` of `multi_worker_util.py`, `parameter_server_strategy_v2.py`).

mod quantity;
mod role;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use super::read::Table;
use super::value::{checked_text, shown, word};

pub use quantity::{Cpu, Memory};
pub use role::{Role, Strategy};

/// What the image or whoever starts the task sets, and what leads a process to other code.
pub const RESERVED: [&str; 12] = [
    "LD_AUDIT",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LOCKSTEP_SCRIPTS",
    "LOCKSTEP_TASK_INDEX",
    "LOCKSTEP_WORKSPACE_ID",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONUSERBASE",
    "TF_CONFIG",
    "TF_LIB_PATH",
    "TF_PLUGGABLE_DEVICE_LIBRARY_PATH",
];

/// `[cluster]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// What the job is called, and what its tasks' names begin with.
    pub name: Label,
    /// Where the image is pushed to; its digest is the ledger's.
    pub image: Repository,
    /// How the tasks train together.
    pub strategy: Strategy,
    /// Folder of the workspace whose files are at `/work` of each task.
    pub scripts: Option<Folder>,
    /// Every role with at least one task.
    pub roles: BTreeMap<Role, Tasks>,
}

/// `[cluster.worker]` and the others: the tasks of one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tasks {
    /// At least 1.
    pub count: u32,
    /// That each task listens on.
    pub port: u16,
    /// What the entrypoint becomes; at least one word.
    pub command: Vec<Argument>,
    /// Of one task; otherwise all there is.
    pub cpu: Option<Cpu>,
    /// Of one task; otherwise all there is.
    pub memory: Option<Memory>,
    /// Besides what Lockstep sets.
    pub environment: BTreeMap<Variable, Argument>,
    /// The machine of each task, where no engine gives each an address; empty or `count`.
    pub hosts: Vec<Host>,
}

checked_text! {
    /// A label of a domain name (RFC 1123), short enough for `NAME-evaluator-0`.
    Label: "1 to 40 lower-case letters, digits and `-`, first a letter", is_label;
    /// A repository of a registry: neither tag nor digest (OCI distribution specification).
    Repository: "a repository without tag and digest, such as `registry.example/lockstep`", is_repository;
    /// A folder below the workspace's.
    Folder: "a folder of the workspace, such as `training`", is_folder;
    /// A machine's name or address.
    Host: "the name or address of a machine", is_host;
    /// One word of a command, or the value of a variable.
    Argument: "text without line breaks and control characters", is_argument;
    /// A variable of the environment that is a task's own.
    Variable: "the name of a variable that neither Lockstep nor the image sets", is_variable;
}

/// What stands in `[cluster]` for each role that says nothing else.
struct Defaults {
    port: Option<u16>,
    port_is_there: bool,
    command: Vec<Argument>,
    environment: BTreeMap<Variable, Argument>,
}

/// Reads the table; notes every problem.
pub(super) fn read(table: &mut Table<'_>) -> Option<Cluster> {
    let (name, image) = (table.text("name"), table.text("image"));
    let strategy = table.text("strategy");
    let scripts = table.optional_text("scripts");
    let defaults = Defaults {
        port: table.optional_number("port", is_port).and_then(|port| port.try_into().ok()),
        port_is_there: table.has("port"),
        command: table.words("command"),
        environment: table.pairs("environment"),
    };
    let mut roles = BTreeMap::new();
    for role in Role::ALL {
        let tasks = table.optional_table(role.as_str(), |table| tasks(table, role, &defaults));
        roles.extend(tasks.map(|tasks| (role, tasks)));
    }
    let strategy = strategy.inspect(|strategy| rules(table, *strategy));
    clashes(table, &roles);
    Some(Cluster { name: name?, image: image?, strategy: strategy?, scripts, roles })
}

fn tasks(table: &mut Table<'_>, role: Role, defaults: &Defaults) -> Option<Tasks> {
    let count = table.optional_number("count", |count| at_most(role, count)).unwrap_or(1);
    let port = table.optional_number("port", is_port).and_then(|port| port.try_into().ok());
    if !table.has("port") && !defaults.port_is_there {
        table.wrong("port", "no port is set for this role", "add `port` here or in [cluster]");
    }
    let mut command: Vec<Argument> = table.words("command");
    if command.is_empty() {
        command.clone_from(&defaults.command);
    }
    if command.first().is_none_or(|program| program.as_str().is_empty()) {
        table.wrong("command", "no command is set for this role", "add it here or in [cluster]");
    }
    let mut environment = defaults.environment.clone();
    environment.extend(table.pairs("environment"));
    let (cpu, memory) = (table.optional_text("cpu"), table.optional_text("memory"));
    let hosts: Vec<Host> = table.texts("hosts");
    if !hosts.is_empty() && hosts.len() as u64 != count {
        let title = format!("{count} tasks on {} hosts", hosts.len());
        table.wrong("hosts", &title, "name one host a task, or none");
    }
    let count = count.try_into().ok()?;
    Some(Tasks { count, port: port.or(defaults.port)?, command, cpu, memory, environment, hosts })
}

/// What TensorFlow asks of a cluster as a whole.
fn rules(table: &mut Table<'_>, strategy: Strategy) {
    let there = Role::ALL.map(|role| (role, table.has(role.as_str())));
    let has = |role| there.contains(&(role, true));
    let missing = |role: Role, why: &str| {
        let title = format!("`cluster.{role}` is missing");
        table.wrong(role.as_str(), &title, &format!("{why}: add `[cluster.{role}]`"));
    };
    match strategy {
        Strategy::ParameterServer => {
            if !has(Role::Chief) {
                missing(Role::Chief, "the coordinator of `parameter-server` runs there");
            }
            if !has(Role::Worker) {
                missing(Role::Worker, "there must be at least one worker");
            }
            if !has(Role::Ps) {
                missing(Role::Ps, "there must be at least one ps");
            }
        }
        Strategy::MultiWorkerMirrored => {
            if !has(Role::Worker) && !has(Role::Chief) {
                missing(Role::Worker, "there must be at least one worker");
            }
            if has(Role::Ps) {
                let title = "`multi-worker-mirrored` has no parameter servers";
                table.wrong("ps", title, "remove it, or set strategy to `parameter-server`");
            }
        }
    }
}

/// Two tasks cannot listen on one port of one machine.
fn clashes(table: &Table<'_>, roles: &BTreeMap<Role, Tasks>) {
    let mut taken = BTreeSet::new();
    for (role, tasks) in roles {
        for host in &tasks.hosts {
            if !taken.insert((host, tasks.port)) {
                let title = format!("two tasks listen on port {} of `{host}`", tasks.port);
                table.wrong(role.as_str(), &title, "give one of the roles another port");
            }
        }
    }
}

fn at_most(role: Role, count: u64) -> Result<(), String> {
    match count {
        0 => Err(format!("expected at least 1: leave `[cluster.{role}]` out for none")),
        count if count > role.most() => {
            Err(format!("there must be at most {} `{role}`, found {count}", role.most()))
        }
        _ => Ok(()),
    }
}

/// The image's user may not listen below 1024.
fn is_port(port: u64) -> Result<(), String> {
    if (1024..=65535).contains(&port) {
        return Ok(());
    }
    Err(format!("expected a port between 1024 and 65535, found {port}"))
}

fn is_label(text: &str) -> bool {
    text.len() <= 40
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_repository(text: &str) -> bool {
    let (first, rest) = text.split_once('/').unwrap_or(("", text));
    let host = first.split_once(':').map_or(first, |(host, port)| {
        if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) { host } else { "?" }
    });
    let path = |part: &str| word(part, "._-") && !part.contains(|c: char| c.is_ascii_uppercase());
    (first.is_empty() && !text.starts_with('/') || word(host, ".-"))
        && text.len() <= 200
        && rest.split('/').all(path)
}

fn is_folder(text: &str) -> bool {
    text.split('/').all(|part| word(part, "._-"))
}

fn is_host(text: &str) -> bool {
    word(text, ".-") && text.len() <= 253
}

fn is_argument(text: &str) -> bool {
    !text.contains(char::is_control)
}

fn is_variable(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !RESERVED.contains(&text)
}

#[cfg(test)]
mod tests;
