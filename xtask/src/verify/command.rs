//! `cargo xtask verify`, from what was named to a line a difference.

use std::path::Path;
use std::process::ExitCode;

use crate::build::stamp::Stamps;
use crate::build::{material, source};
use crate::command::{self, cmd};
use crate::engine::{self, Engine, Output, Run};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::fetch;
use crate::fetch::registry::{Purpose, Registry};
use crate::image::command::{ops_wheel, program};
use crate::image::identity::Identity;
use crate::image::layout::OCI;
use crate::image::stack::Parts;
use crate::image::tools::Tools;
use crate::ledger::snapshot::Part;
use crate::lock::Lock;
use crate::reference::Reference;
use crate::store::Store;
use crate::workspace::Workspace;

use super::bundle::Bundle;
use super::expected::{self, Expected};
use super::{Finding, image, tree, wheel};

/// `cargo xtask verify`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// An OCI layout, a tar of an image, an unpacked image, an ops wheel, `docker:IMAGE`,
    /// `podman:IMAGE`, or an image in a registry, `docker://HOST/NAME@sha256:…`
    pub what: String,
    /// Ask a registry without TLS on another machine, too
    #[arg(long)]
    pub plain_http: bool,
}

/// Compares what was named with lock and ledger. A difference is exit code 9.
pub fn verify(
    workspace: &Workspace,
    store: &Store,
    options: &Options,
    offline: bool,
) -> Result<ExitCode> {
    let lock = material::locked(workspace)?;
    let sources = source::collect(workspace, &Stamps::default(), &mut Stamps::default())?;
    let case = Case { workspace, store, lock: &lock, identity: Identity::of(&lock, &sources) };
    let findings = match options.what.strip_prefix("docker://") {
        Some(name) => case.remote(name, options.plain_http, offline)?,
        None => case.findings(&options.what)?,
    };
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
            return image::saved(&Bundle::of_tar(path)?, &self.expected()?);
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
        image::verify(bundle, &self.expected()?)
    }

    fn expected(&self) -> Result<Expected> {
        Expected::of(&self.rows(Part::Image)?, self.lock, &self.identity)
    }

    /// The ops wheel must be the ledger's: what is compared with must itself be right.
    fn tree(&self, root: &Path) -> Result<Vec<Finding>> {
        comparable(self.lock)?;
        let ops = ops_wheel(self.workspace)?;
        let wrong = wheel::verify(&ops, &self.rows(Part::Digests)?)?;
        if let Some(wrong) = wrong.first() {
            return Err(Error::new(Kind::Ledger, format!("{}: {}", ops.display(), wrong.what))
                .hint("run `cargo xtask build-ops`"));
        }
        let engine = |run: &Run, output: Output<'_>| Engine::default().run(run, output);
        let logs = self.workspace.scratch().join("log");
        let tools = Tools { lock: self.lock, store: self.store, engine: &engine, logs };
        let parts = Parts::open(&tools, &ops, program(self.workspace)?)?;
        tree::verify(root, &parts.layers(&self.identity)?)
    }

    /// An image in a registry, read as it comes: nothing of it is kept.
    fn remote(&self, name: &str, plain: bool, offline: bool) -> Result<Vec<Finding>> {
        let wrong = |why: &str| Error::new(Kind::Pins, format!("`docker://{name}`: {why}"));
        let reference: Reference = name.parse().map_err(|why: String| wrong(&why))?;
        if offline && !reference.is_loopback() {
            return Err(wrong("a registry is asked, and --offline is given"));
        }
        let fetch = fetch::Options::from_env(offline);
        let registry = Registry::open(&reference, Purpose::Pull, plain, &fetch)?;
        self.image(&Bundle::of_registry(registry)?)
    }

    /// An image that an engine of this machine has.
    fn saved(&self, engine: &str, name: &str) -> Result<Vec<Finding>> {
        let scratch = self.workspace.scratch();
        std::fs::create_dir_all(&scratch).at("create", &scratch)?;
        let folder = tempfile::tempdir_in(&scratch).at("create a folder in", &scratch)?;
        let file = folder.path().join("image.tar");
        let sh = command::shell()?;
        let env = engine::client();
        command::read(cmd!(sh, "{engine} save -o {file} -- {name}"), &env)?;
        image::saved(&Bundle::of_tar(&file)?, &self.expected()?)
    }
}

/// What a base image brings is in none of our layers.
fn comparable(lock: &Lock) -> Result<()> {
    let Some(base) = &lock.base else { return Ok(()) };
    let message = format!(
        "`image.base` {}@sha256:{}: expected an image that stands on no other, to compare it file \
         by file",
        base.name, base.digest
    );
    let hint = "run `lockstep-check` in it, or verify the image before it is unpacked";
    Err(Error::new(Kind::Pins, message).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;

    #[test]
    fn an_unpacked_image_with_a_base_is_not_compared() {
        let mut lock = Lock::example();
        comparable(&lock).unwrap();
        let (name, digest) = ("house.example/base".to_owned(), Sha256::of(b"base"));
        lock.base = Some(crate::lock::Base { name, digest, layers: Vec::new() });
        insta::assert_snapshot!(comparable(&lock).unwrap_err(), @"
        error: `image.base` house.example/base@sha256:cae662172fd450bb0cd710a769079c05bfc5d8e35efa6576edc7d0377afdd4a2: expected an image that stands on no other, to compare it file by file
        hint: run `lockstep-check` in it, or verify the image before it is unpacked
        ");
    }
}
