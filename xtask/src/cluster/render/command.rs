//! `cargo xtask cluster render`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::atomic;
use crate::build::stamp::Stamps;
use crate::build::{material, source};
use crate::cluster;
use crate::cluster::scripts::{PLACE, Scripts};
use crate::digest::Sha256;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::image::layout::OCI;
use crate::image::run::IMAGE;
use crate::ledger::snapshot::Part;
use crate::pins::cluster::Cluster;
use crate::verify::expected;
use crate::workspace::Workspace;

use super::{Format, Plan};

/// `cargo xtask cluster render`. There is no argument for an image: it is the ledger's.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// What reads the files; otherwise all of them are written
    #[arg(value_enum)]
    pub format: Option<Format>,
    /// Where a folder a format is written; `-` prints
    #[arg(long, value_name = "DIR", default_value = "dist/cluster")]
    pub out: PathBuf,
}

/// Writes the files.
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let plan = plan(workspace)?;
    let formats = options.format.map_or(Format::ALL.to_vec(), |format| vec![format]);
    for format in formats {
        let files = plan.render(format);
        if options.out == Path::new("-") {
            files.values().for_each(|text| print!("{text}"));
            continue;
        }
        let folder = workspace.root().join(&options.out).join(format.folder());
        write(&folder, &files)?;
        println!("{}: {} files", folder.display(), files.len());
    }
    Ok(())
}

/// All that the files are a function of, from pins, lock, sources and ledger.
pub fn plan(workspace: &Workspace) -> Result<Plan> {
    let cluster = cluster::load(workspace)?;
    let lock = material::locked(workspace)?;
    let sources = source::collect(workspace, &Stamps::default(), &mut Stamps::default())?;
    let workspace_id = source::workspace_id(&lock.digest(), &sources);
    let image = manifest(workspace, &lock.platform)?;
    made_of(workspace, &image, &workspace_id)?;
    let scripts = scripts(workspace, &cluster)?;
    Ok(Plan { cluster, image, workspace_id, scripts })
}

/// The image's one name, as a person accepted it.
pub fn manifest(workspace: &Workspace, platform: &str) -> Result<Sha256> {
    let rows = expected::ledger(workspace, Part::Image, platform)?;
    let row = rows.into_iter().find(|row| row.file == "manifest");
    row.map(|row| row.sha256).ok_or_else(|| {
        Error::new(Kind::Ledger, "the committed ledger of the image has no `manifest`")
            .hint("run `cargo xtask image` and `cargo xtask accept`")
    })
}

/// Where the image is in `dist/`, it says of which workspace it is: files that expect another
/// would start nothing.
fn made_of(workspace: &Workspace, image: &Sha256, id: &Sha256) -> Result<()> {
    let blob = format!("{IMAGE}/{OCI}/{}", image.blob());
    let Ok(text) = fs::read(workspace.dist().join(blob)) else { return Ok(()) };
    let manifest: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let said = manifest["annotations"]["dev.lockstep.workspace-id"].as_str().unwrap_or_default();
    if said == id.to_string() {
        return Ok(());
    }
    let message = format!(
        "the ledger's image {} is of workspace {said}: lock and sources are now workspace {id}",
        image.short()
    );
    Err(Error::new(Kind::Ledger, message).hint("run `cargo xtask image` and `cargo xtask accept`"))
}

/// The pinned scripts, among them every file of theirs that a command names.
pub fn scripts(workspace: &Workspace, cluster: &Cluster) -> Result<Scripts> {
    let scripts = match &cluster.scripts {
        Some(folder) => Scripts::read(&workspace.root().join(folder.as_str()))?,
        None => Scripts::default(),
    };
    for (role, tasks) in &cluster.roles {
        let named = tasks.command.iter().filter_map(|word| {
            let name = word.as_str().strip_prefix(PLACE)?.strip_prefix('/')?;
            (!scripts.has(name)).then_some(word)
        });
        if let Some(word) = named.into_iter().next() {
            let message = format!(
                "workspace.toml: the command of `cluster.{role}` names `{word}`, and `cluster.scripts` has no such file"
            );
            return Err(Error::new(Kind::Pins, message)
                .hint("set `scripts` of `[cluster]` to the folder that has it"));
        }
    }
    Ok(scripts)
}

fn write(folder: &Path, files: &super::Files) -> Result<()> {
    for (name, text) in files {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).at("create", parent)?;
        atomic::write(&path, text.as_bytes())?;
    }
    Ok(())
}
