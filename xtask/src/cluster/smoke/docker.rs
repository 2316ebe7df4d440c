//! A job on Docker: a container a task, on a network without an outside, each by its name.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use xshell::cmd;

use crate::command;
use crate::engine::{self, Mount};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::pins::cluster::Memory;

use super::job::{Job, Task};
use super::native::{Ended, file, follow};
use super::network::{LABEL, Network};
use super::watch::{Event, Watch};

/// Who sees to it that no task takes more than it may.
const BY_DOCKER: &str = "cpu and memory as pinned, by docker";
/// How long a task has that is told to stop.
const STOP: Duration = Duration::from_secs(10);

/// Carries `job` out, as [`super::native::carry_out`] does.
pub fn carry_out(job: &Job, image: &str, logs: &Path, say: &mut dyn FnMut(&str)) -> Result<Ended> {
    fs::create_dir_all(logs).at("create", logs)?;
    let network = Network::new(job.tasks.len())?;
    let start = Instant::now();
    std::thread::scope(|scope| {
        let (sender, events) = channel();
        for (at, task) in job.tasks.iter().enumerate() {
            let (arguments, sender) = (arguments(job, task, &network, image)?, sender.clone());
            let container = container(&network.name, task);
            scope.spawn(move || {
                let starved = || starved(&container, task);
                run(&arguments, at, &logs.join(file(task)), starved, &sender);
            });
        }
        drop(sender);
        let mut watch = Watch::of(job);
        let verdict = follow(&mut watch, &events, start, say);
        let took = start.elapsed();
        network.stop();
        let end = Instant::now() + STOP;
        while let Ok((at, event)) =
            events.recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            let _told_to_stop = watch.note(at, event, start.elapsed());
        }
        network.remove();
        verdict.map(|()| Ended { watch, took, limits: BY_DOCKER.to_owned() })
    })
}

/// What `docker` is told to start `task`.
fn arguments(job: &Job, task: &Task, network: &Network, image: &str) -> Result<Vec<String>> {
    let (name, address) = (&network.name, network.address(task));
    let (label, container) = (format!("{LABEL}={name}"), container(name, task));
    let mut words: Vec<String> = ["run", "--name", &container, "--init=false", "--label", &label]
        .into_iter()
        .chain(["--network", name, "--ip", &address, "--hostname", &task.host])
        .chain(["--read-only", "--tmpfs", "/tmp:mode=1777,exec", "--cap-drop", "ALL"])
        .chain(["--security-opt", "no-new-privileges"])
        .map(str::to_owned)
        .collect();
    // Docker's own name server needs rules in the host's firewall; a file needs nothing.
    for other in &job.tasks {
        words.extend([
            "--add-host".to_owned(),
            format!("{}:{}", other.host, network.address(other)),
        ]);
    }
    let limit = task.limit;
    words.extend(limit.cpu.map(|cpu| format!("--cpus={}", f64::from(cpu.0) / 1000.0)));
    words.extend(limit.memory.map(|memory| format!("--memory={}", memory.0)));
    for mount in &task.run.mounts {
        let (source, target, mode) = match mount {
            Mount::ReadOnly { source, target } => (source, target, ",readonly"),
            Mount::ReadWrite { source, target } => (source, target, ""),
            Mount::Overlay { .. } => continue, // the image has it
        };
        let source = source.to_str().filter(|path| !path.contains([',', '"']));
        let source = source.ok_or_else(|| {
            Error::new(Kind::Io, format!("docker cannot mount what is called like {mount:?}"))
        })?;
        words.extend([
            "--mount".to_owned(),
            format!("type=bind,source={source},target={target}{mode}"),
        ]);
    }
    for (name, value) in &task.run.env {
        words.extend(["--env".to_owned(), format!("{name}={value}")]);
    }
    words.push(image.to_owned());
    words.extend(task.run.argv.iter().skip(1).cloned()); // the image has the entrypoint
    Ok(words)
}

/// What Docker calls the container of `task`; it is removed with the network.
fn container(network: &str, task: &Task) -> String {
    format!("{network}-{}", task.host)
}

/// The limit of `task`, when Docker says that it was killed because it had no more memory.
fn starved(container: &str, task: &Task) -> Option<Memory> {
    let sh = command::shell().ok()?;
    let step = cmd!(sh, "docker inspect --format {OOM} {container}");
    let said = command::read(step, &engine::client()).ok()?;
    task.limit.memory.filter(|_| said.trim() == "true")
}

/// What docker says of a container's memory.
const OOM: &str = "{{.State.OOMKilled}}";

/// Runs one container to its end.
fn run(
    arguments: &[String],
    at: usize,
    log: &Path,
    starved: impl Fn() -> Option<Memory>,
    events: &Sender<(usize, Event)>,
) {
    let tell = |event| {
        let _nobody_listens = events.send((at, event));
    };
    let ended = run_logged(arguments, log, &mut |line| tell(Event::Line(line)));
    tell(match ended {
        Ok(how) => Event::Ended { how, starved: starved() },
        Err(error) => Event::Failed(error),
    });
}

fn run_logged(arguments: &[String], log: &Path, on_line: &mut dyn FnMut(String)) -> Result<String> {
    let mut kept = File::create(log).at("create", log)?;
    let client = duct::cmd("docker", arguments)
        .full_env(engine::client().pairs())
        .stdin_null()
        .stderr_to_stdout()
        .unchecked()
        .before_spawn(alone)
        .reader()
        .map_err(|cause| cannot("start `docker`", &cause))?;
    let mut lines = BufReader::new(&client);
    let mut line = Vec::new();
    while lines
        .read_until(b'\n', &mut line)
        .map_err(|cause| cannot("read a container's output", &cause))?
        > 0
    {
        kept.write_all(&line).at("write", log)?;
        on_line(String::from_utf8_lossy(&line).trim_end().to_owned());
        line.clear();
    }
    let code = match client.try_wait() {
        Ok(Some(output)) => output.status.code(),
        _ => None,
    };
    Ok(match code {
        Some(code @ 129..=159) => format!("killed by signal {}", code - 128),
        Some(code) => format!("exit code {code}"),
        None => "killed".to_owned(),
    })
}

/// In a session of its own: what a terminal sends is our business.
pub(super) fn alone(command: &mut std::process::Command) -> io::Result<()> {
    // SAFETY: runs between fork and exec, and makes only a system call.
    unsafe { command.pre_exec(|| Ok(nix::unistd::setsid().map(drop)?)) };
    Ok(())
}

pub(super) fn cannot(what: &str, cause: &io::Error) -> Error {
    let kind = match cause.kind() {
        io::ErrorKind::NotFound => Kind::Machine,
        _ => Kind::Io,
    };
    Error::new(kind, format!("cannot {what}: {cause}"))
}
