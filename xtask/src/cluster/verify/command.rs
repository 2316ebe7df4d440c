//! `cargo xtask cluster verify`, from whoever is asked to a line a task.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::compare::{self, Expected};
use super::member::{self, Member};
use crate::build::stamp::Stamps;
use crate::build::{material, source};
use crate::cluster::render::{
    CLUSTER_LABEL,
    command::{manifest, scripts},
};
use crate::cluster::{self, task};
use crate::command::{self, cmd};
use crate::engine;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::image::identity::Identity;
use crate::ledger::snapshot::Part;
use crate::verify::expected;
use crate::workspace::Workspace;

/// `cargo xtask cluster verify`. A difference is exit code 9.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What `docker inspect` or `kubectl get pods -o json` printed; `-` is standard input
    #[arg(required_unless_present = "docker", conflicts_with = "docker", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Ask the Docker Engine of this machine for the containers of the cluster
    #[arg(long)]
    pub docker: bool,
    /// Read every file of each container's image, too: `docker exec NAME lockstep-check`
    #[arg(long, requires = "docker")]
    pub check: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Compares every task with the accepted image.
pub fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let cluster = cluster::load(workspace)?;
    let expected = expected_of(workspace, &cluster)?;
    let name = cluster.name.as_str();
    let (text, from) = match &options.file {
        None => (inspected(name)?, "docker".to_owned()),
        Some(path) => (text(path)?, path.display().to_string()),
    };
    let mut members = member::read(&text, name).map_err(|why| {
        Error::new(Kind::Archive, format!("`{from}`: {why}"))
            .hint("give it what `docker inspect NAME…` or `kubectl get pods -o json` printed")
    })?;
    members.sort_by(|one, other| one.name.cmp(&other.name));
    if members.is_empty() {
        return Err(Error::new(
            Kind::Ledger,
            format!("`{from}` shows no task of the cluster `{name}`"),
        )
        .hint("start it: `cargo xtask cluster render`"));
    }
    let judged: Vec<(Member, Vec<String>)> = members
        .into_iter()
        .map(|member| {
            let mut wrong = compare::member(&member, &expected);
            if options.check && member.down.is_none() {
                wrong.extend(checked(&member.name));
            }
            (member, wrong)
        })
        .collect();
    let members: Vec<Member> = judged.iter().map(|(member, _)| member.clone()).collect();
    let together = compare::together(&members, &expected);
    match options.json {
        true => println!("{:#}", report(&judged, &together)),
        false => print!("{}", shown(&judged, &together, &expected)),
    }
    let good = together.is_empty() && judged.iter().all(|(_, wrong)| wrong.is_empty());
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(Kind::Ledger.exit_code()) })
}

fn expected_of(workspace: &Workspace, cluster: &crate::pins::cluster::Cluster) -> Result<Expected> {
    let lock = material::locked(workspace)?;
    let sources = source::collect(workspace, &Stamps::default(), &mut Stamps::default())?;
    let identity = Identity::of(&lock, &sources);
    let rows = expected::ledger(workspace, Part::Image, &lock.platform)?;
    let image = expected::Expected::of(&rows, &lock, &identity)?;
    Ok(Expected {
        manifest: manifest(workspace, &lock.platform)?,
        config: image.config.digest,
        workspace_id: identity.workspace,
        scripts: scripts(workspace, cluster)?.digest(),
        tasks: task::all(cluster).iter().map(ToString::to_string).collect(),
    })
}

fn text(path: &Path) -> Result<String> {
    if path == Path::new("-") {
        return std::io::read_to_string(std::io::stdin()).at("read", path);
    }
    std::fs::read_to_string(path).at("read", path)
}

/// Containers that are labelled as tasks, and those of our images however they were started.
fn inspected(name: &str) -> Result<String> {
    let sh = command::shell()?;
    let mut ids = BTreeSet::new();
    for label in [format!("{CLUSTER_LABEL}={name}"), "dev.lockstep.workspace-id".to_owned()] {
        let filter = format!("label={label}");
        let step = cmd!(sh, "docker ps --all --quiet --no-trunc --filter {filter}");
        let found = command::read(step, &engine::client())?;
        ids.extend(found.split_whitespace().map(str::to_owned));
    }
    match ids.is_empty() {
        true => Ok("[]".to_owned()),
        false => command::read(cmd!(sh, "docker inspect {ids...}"), &engine::client()),
    }
}

/// What the container's own check says, when that is not good.
fn checked(name: &str) -> Option<String> {
    let sh = command::shell().ok()?;
    let step = cmd!(sh, "docker exec {name} /usr/local/bin/lockstep-check");
    let error = command::read(step, &engine::client()).err()?;
    let said = error.message().lines().map(str::trim_start);
    let wrong: Vec<&str> = said.filter_map(|line| line.strip_prefix("error: ")).collect();
    Some(if wrong.is_empty() { error.message().to_owned() } else { wrong.join("; ") })
}

fn shown(judged: &[(Member, Vec<String>)], together: &[String], expected: &Expected) -> String {
    let mut text = String::new();
    for (member, wrong) in judged {
        if wrong.is_empty() {
            text += &format!("ok    {}\n", member.name);
        }
        for wrong in wrong {
            text += &format!("wrong {}: {wrong}\n", member.name);
        }
    }
    together.iter().for_each(|wrong| text += &format!("wrong {wrong}\n"));
    let bad = judged.iter().filter(|(_, wrong)| !wrong.is_empty()).count() + together.len();
    let (image, id) = (expected.manifest.short(), expected.workspace_id.short());
    text += &format!("{} tasks, {bad} wrong: image {image}, workspace {id}\n", judged.len());
    if bad > 0 {
        text += "hint: end the job, and start it from files of `cargo xtask cluster render`\n";
    }
    text
}

fn report(judged: &[(Member, Vec<String>)], together: &[String]) -> serde_json::Value {
    let member = |(member, wrong): &(Member, Vec<String>)| {
        json!({
            "name": member.name, "task": member.task, "image": member.reference,
            "digests": member.digests, "running": member.down.is_none(), "wrong": wrong,
        })
    };
    json!({"tasks": judged.iter().map(member).collect::<Vec<_>>(), "wrong": together})
}
