//! `cargo xtask faults`: kills the stages that write, and looks at what is left.
//!
//! Each stage runs as a process of its own ([`victim`]) in a small checkout with a store of
//! its own ([`place`]). It is killed with SIGKILL, its whole process group, at a random time
//! ([`kill`]) and at each system call that could tear something ([`sweep`]); its system calls
//! fail ([`errors`]); its disk stops with what reached it ([`power`]). Then [`state`] judges: what
//! is visible is old or new and never anything else; the same command run again succeeds with the
//! same bits as a run that nobody killed; no temporary file stays behind.

mod chance;
mod errors;
mod kill;
mod place;
mod power;
mod report;
mod round;
mod stage;
mod state;
mod sweep;
mod victim;

use chance::Chance;
use report::{Report, Row};
use round::Rounds;
pub use stage::Stage;

use crate::error::{Error, Kind, Result};
use crate::store::Store;
use crate::temporary;
use crate::workspace::Workspace;

/// What a person may choose.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Kills at random times, over all stages
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub kills: u32,
    /// Only this stage
    #[arg(long, value_name = "STAGE")]
    pub stage: Option<Stage>,
    /// Where the random times start (default: another number each time)
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Leave out the kills and errors at each system call
    #[arg(long)]
    pub no_strace: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// Be the process that is killed: run this stage in this workspace
    #[arg(long, hide = true)]
    pub victim: Option<Stage>,
}

/// Kills, judges, reports; an error (exit code 1) when one state was bad.
pub fn run(workspace: &Workspace, store: &Store, options: &Options) -> Result<()> {
    if let Some(stage) = options.victim {
        return victim::run(stage, workspace, store);
    }
    let seed = options.seed.unwrap_or_else(|| u64::from(std::process::id()));
    let stages = options.stage.map_or(Stage::ALL.to_vec(), |stage| vec![stage]);
    let mut report = Report { seed, rows: Vec::new() };
    for (at, stage) in stages.iter().enumerate() {
        // The remainder goes to the first stages: the sum is what was asked for.
        let share = options.kills as usize + stages.len() - 1 - at;
        let kills = (share / stages.len()) as u32;
        for row in one_stage(*stage, kills, seed, workspace, store, options.no_strace)? {
            if !options.json {
                println!("{row}");
            }
            report.rows.push(row);
        }
    }
    report.print(options.json)?;
    match report.bad() {
        0 => Ok(()),
        bad => Err(Error::new(
            Kind::Io,
            format!("{bad} bad states of {} victims", report.hits()),
        )
        .hint(format!(
            "run it again: `cargo xtask faults --seed {seed}` with the stage that is named above"
        ))),
    }
}

fn one_stage(
    stage: Stage,
    kills: u32,
    seed: u64,
    workspace: &Workspace,
    store: &Store,
    no_strace: bool,
) -> Result<Vec<Row>> {
    let folder = temporary::folder()?;
    let place = place::Place::make(folder.path(), stage, workspace, store)?;
    let mut rounds = Rounds::new(&place)?;
    let mut chance = Chance::new(seed ^ ((stage as u64) << 32));
    let mut rows = vec![kill::random(&mut rounds, kills, &mut chance)?];
    if !no_strace {
        rows.push(sweep::all(&mut rounds)?);
        rows.push(errors::all(&mut rounds)?);
    }
    rows.push(power::loss(stage, kills.div_ceil(20), &mut chance, workspace, store)?);
    Ok(rows)
}
