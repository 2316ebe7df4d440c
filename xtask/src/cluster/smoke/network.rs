//! The network of a job on Docker, and who takes it down with all that is on it.
//!
//! Containers do not die with who started them. So everything is taken down by a *reaper*, a
//! process of its own that waits for the end of its standard input, which we hold: it comes
//! when the job is over and when we were killed, whichever way.

use std::io::{self, PipeWriter};

use xshell::cmd;

use crate::command;
use crate::digest::Sha256;
use crate::engine;
use crate::error::{Error, Kind, Result};

use super::docker::{alone, cannot};
use super::job::Task;

/// The label of all that a job makes.
pub const LABEL: &str = "dev.lockstep.job";
/// The most tasks of a job: their addresses differ in the last number.
const MOST: usize = 250;
/// So many subnets are tried: others may have them.
const TRIES: usize = 5;
/// What the reaper does: `$1` is the job.
const REAP: &str = "\
trap '' HUP INT TERM
cat
for turn in 1 2 3 4 5 6 7 8 9 10; do
  all=$(docker ps -aq --filter label=dev.lockstep.job=$1)
  [ -z \"$all\" ] || docker rm -f $all
  docker network rm \"$1\" && exit 0
  sleep 0.2
done";

/// The network of one job.
pub struct Network {
    /// What Docker calls it, and the job.
    pub name: String,
    /// The first three numbers of its addresses.
    subnet: String,
    reaper: duct::Handle,
    held: PipeWriter,
}

impl Network {
    /// A new one with room for so many tasks.
    pub fn new(tasks: usize) -> Result<Self> {
        if tasks > MOST {
            let message = format!("{tasks} tasks: a network of docker's has room for {MOST} here");
            return Err(Error::new(Kind::Pins, message).hint("use `--engine native`"));
        }
        let unique = unique()?;
        let name = format!("lockstep-{}", unique.short());
        let (input, held) = io::pipe().map_err(|cause| cannot("make a pipe", &cause))?;
        let reaper = duct::cmd!("sh", "-c", REAP, "reaper", &name)
            .full_env(engine::client().pairs())
            .stdin_file(input)
            .stdout_null()
            .stderr_null()
            .unchecked()
            .before_spawn(alone)
            .start()
            .map_err(|cause| cannot("start `sh`", &cause))?;
        let mut network = Network { name, subnet: String::new(), reaper, held };
        let mut made = Ok(());
        for pair in unique.bytes().chunks(2).take(TRIES) {
            network.subnet = format!("10.{}.{}", 128 + pair[0] % 128, pair[1]);
            made = network.make();
            if made.is_ok() {
                break;
            }
        }
        made.map(|()| network)
    }

    fn make(&self) -> Result<()> {
        let (sh, label, name) = (command::shell()?, format!("{LABEL}={}", self.name), &self.name);
        let subnet = format!("{}.0/24", self.subnet);
        let make =
            cmd!(sh, "docker network create --internal --subnet {subnet} --label {label} {name}");
        command::read(make, &engine::client()).map(drop)
    }

    /// Where `task` is on it.
    pub fn address(&self, task: &Task) -> String {
        let [.., last] = task.address.octets();
        format!("{}.{last}", self.subnet)
    }

    /// Tells all containers to stop.
    pub fn stop(&self) {
        let stop = || {
            let (sh, filter) = (command::shell()?, format!("label={LABEL}={}", self.name));
            let all = command::read(cmd!(sh, "docker ps -q --filter {filter}"), &engine::client())?;
            let all: Vec<&str> = all.split_whitespace().collect();
            match all.is_empty() {
                true => Ok(String::new()),
                false => {
                    command::read(cmd!(sh, "docker kill --signal TERM {all...}"), &engine::client())
                }
            }
        };
        let _the_reaper_kills = stop();
    }

    /// Takes everything down.
    pub fn remove(self) {
        drop(self.held);
        let _gone = self.reaper.wait();
    }
}

/// Random, as temporary files are called.
fn unique() -> Result<Sha256> {
    let file = tempfile::NamedTempFile::new().map_err(|cause| cannot("make a file", &cause))?;
    Ok(Sha256::of(file.path().as_os_str().as_encoded_bytes()))
}
