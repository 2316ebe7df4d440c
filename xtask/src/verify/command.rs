//! `cargo xtask verify`, from what was named to a line a difference.

use std::path::Path;
use std::process::ExitCode;

use crate::build::stamp::Stamps;
use crate::build::{material, source};
use crate::command::{self, Env, cmd};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::image::command::{ops_wheel, program};
use crate::image::identity::Identity;
use crate::image::layout::OCI;
use crate::image::stack::Parts;
use crate::ledger::snapshot::Part;
use crate::lock::Lock;
use crate::store::Store;
use crate::workspace::Workspace;

use super::bundle::Bundle;
use super::expected::{self, Expected};
use super::{Finding, image, tree, wheel};

/// `cargo xtask verify`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// An OCI layout, a tar of an image, an unpacked image, an ops wheel, `docker:IMAGE` or
    /// `podman:IMAGE`
    pub what: String,
}

/// Compares what was named with lock and ledger. A difference is exit code 9.
pub fn verify(workspace: &Workspace, store: &Store, options: &Options) -> Result<ExitCode> {
    let lock = material::locked(workspace)?;
    let sources = source::collect(workspace, &Stamps::default(), &mut Stamps::default())?;
    let case = Case { workspace, store, lock: &lock, identity: Identity::of(&lock, &sources) };
    let findings = case.findings(&options.what)?;
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("{}: as workspace.lock and the committed ledger say", options.what);
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::from(Kind::Ledger.exit_code()))
}

struct Case<'a> {
    workspace: &'a Workspace,
    store: &'a Store,
    lock: &'a Lock,
    identity: Identity<'a>,
}

impl Case<'_> {
    fn findings(&self, what: &str) -> Result<Vec<Finding>> {
        if let Some((engine, name)) = what.split_once(':')
            && ["docker", "podman"].contains(&engine)
        {
            return self.saved(engine, name);
        }
        let path = Path::new(what);
        let stat = std::fs::metadata(path).at("look at", path)?;
        if stat.is_file() && path.extension().is_some_and(|extension| extension == "whl") {
            return wheel::verify(path, &self.rows(Part::Digests)?);
        }
        if stat.is_file() {
            return self.image(&Bundle::of_tar(path)?);
        }
        match [path.to_owned(), path.join(OCI)]
            .iter()
            .find(|path| path.join("oci-layout").is_file())
        {
            Some(layout) => self.image(&Bundle::of_folder(layout)?),
            None => self.tree(path),
        }
    }

    fn rows(&self, part: Part) -> Result<Vec<crate::ledger::Row>> {
        expected::ledger(self.workspace, part, &self.lock.platform)
    }

    fn image(&self, bundle: &Bundle) -> Result<Vec<Finding>> {
        image::verify(bundle, &Expected::of(&self.rows(Part::Image)?, self.lock, &self.identity)?)
    }

    /// The ops wheel must be the ledger's: what is compared with must itself be right.
    fn tree(&self, root: &Path) -> Result<Vec<Finding>> {
        let ops = ops_wheel(self.workspace)?;
        let wrong = wheel::verify(&ops, &self.rows(Part::Digests)?)?;
        if let Some(wrong) = wrong.first() {
            return Err(Error::new(Kind::Ledger, format!("{}: {}", ops.display(), wrong.what))
                .hint("run `cargo xtask build-ops`"));
        }
        let parts = Parts::open(self.lock, self.store, &ops, program(self.workspace)?)?;
        tree::verify(root, &parts.layers(&self.identity)?)
    }

    /// An image that an engine of this machine has.
    fn saved(&self, engine: &str, name: &str) -> Result<Vec<Finding>> {
        let folder = tempfile::tempdir_in(self.workspace.scratch());
        let folder = folder.at("create a folder in", &self.workspace.scratch())?;
        let file = folder.path().join("image.tar");
        let sh = command::shell()?;
        let env = Env::host(&[
            "DOCKER_HOST",
            "DOCKER_CONFIG",
            "XDG_RUNTIME_DIR",
            "CONTAINERS_STORAGE_CONF",
        ]);
        command::read(cmd!(sh, "{engine} save -o {file} -- {name}"), &env)?;
        self.image(&Bundle::of_tar(&file)?)
    }
}
