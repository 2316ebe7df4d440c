//! Bare metal: a unit a task that starts podman (systemd.service(5), systemd.exec(5),
//! podman-run(1)).

use super::{CLUSTER_LABEL, Files, INDEX_LABEL, Plan, ROLE_LABEL};
use crate::cluster::scripts::PLACE;
use crate::cluster::task::{self, Addresses, Task};

/// Exit code of an entrypoint that refuses: starting again would not help.
const REFUSED: u8 = 78;

/// A unit a task, and the scripts.
pub fn files(plan: &Plan) -> Files {
    let cluster = &plan.cluster;
    let addresses = Addresses::of(cluster, |task| host(plan, task));
    let mut files = Files::new();
    for task in task::all(cluster) {
        let config = addresses.tf_config(task.role, task.index);
        files.insert(format!("{}.service", task.name(cluster)), unit(plan, &task, config));
    }
    for (name, text) in plan.scripts.files() {
        files.insert(format!("scripts/{name}"), text);
    }
    files
}

/// The pinned machine, or one called like the task.
fn host(plan: &Plan, task: &Task<'_>) -> String {
    let pinned = task.of.hosts.get(task.index as usize).map(ToString::to_string);
    pinned.unwrap_or_else(|| task.name(&plan.cluster))
}

/// `ExecStop` runs after a good end, too, when the container is gone: whatever it says there must
/// not turn that into a failure, or the task would be started again.
fn unit(plan: &Plan, task: &Task<'_>, config: String) -> String {
    let name = task.name(&plan.cluster);
    let machine =
        format!("For the machine `{}`, as /etc/systemd/system/{name}.service", host(plan, task));
    let mut usage = vec![machine];
    if !plan.scripts.is_empty() {
        usage.push(format!("The scripts beside it belong into {}", folder(plan)));
    }
    let usage: Vec<&str> = usage.iter().map(String::as_str).collect();
    let mut environment = plan.environment(task);
    environment.insert("TF_CONFIG".to_owned(), config);
    let set: String = environment
        .iter()
        .map(|(name, value)| format!("Environment={}\n", quoted(&format!("{name}={value}"))))
        .collect();
    let run = run(plan, task, environment.keys());
    format!(
        "{}[Unit]\nDescription={} {task}\nWants=network-online.target\nAfter=network-online.target\n\n\
         [Service]\n{set}ExecStart={}\nExecStop=-/usr/bin/podman stop --ignore {name}\n\
         Restart=on-failure\nRestartPreventExitStatus={REFUSED}\n\n\
         [Install]\nWantedBy=multi-user.target\n",
        plan.head(&usage),
        plan.cluster.name,
        run.join(" \\\n  "),
    )
}

fn folder(plan: &Plan) -> String {
    format!("/usr/local/share/lockstep/{}", plan.scripts_name())
}

/// podman's command line, a word or an option a line.
fn run<'n>(plan: &Plan, task: &Task<'_>, names: impl Iterator<Item = &'n String>) -> Vec<String> {
    let mut words: Vec<String> = vec!["/usr/bin/podman run".to_owned()];
    let mut option = |name: &str, value: &str| words.push(quoted_if(&format!("--{name}={value}")));
    option("rm", "true");
    option("replace", "true"); // what a machine that lost its power left behind
    option("name", &task.name(&plan.cluster));
    option("network", "host");
    option("read-only", "true");
    option("tmpfs", "/tmp");
    option("cap-drop", "all");
    option("security-opt", "no-new-privileges");
    option("label", &format!("{CLUSTER_LABEL}={}", plan.cluster.name));
    option("label", &format!("{ROLE_LABEL}={}", task.role));
    option("label", &format!("{INDEX_LABEL}={}", task.index));
    for name in names {
        option("env", name); // its value is the unit's
    }
    if let Some(cpu) = task.of.cpu {
        option("cpus", &format!("{}", f64::from(cpu.0) / 1000.0));
    }
    if let Some(memory) = task.of.memory {
        option("memory", &memory.0.to_string());
    }
    if !plan.scripts.is_empty() {
        option("volume", &format!("{}:{PLACE}:ro", folder(plan)));
    }
    words.push(quoted_if(&plan.reference()));
    words.extend(plan.command(task).iter().map(|word| quoted_if(&word.replace('$', "$$"))));
    words
}

fn quoted_if(word: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "-_=./:@,".contains(c);
    if !word.is_empty() && word.chars().all(bare) { word.to_owned() } else { quoted(word) }
}

/// In single quotes: of C's escapes only backslash and quote are needed, `%` is a specifier.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'").replace('%', "%%"))
}
