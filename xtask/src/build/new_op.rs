//! `cargo xtask new-op NAME`: an op package that builds, loads and passes its test at once.

use std::fs;
use std::path::Path;

use crate::build::op::OpPackage;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::workspace::Workspace;

/// Copies `toolchains/new-op/` to `ops/NAME/`, with `@NAME@` and `@CamelName@` replaced in
/// names and texts. Nothing is left behind when it fails.
pub fn create(workspace: &Workspace, name: &str) -> Result<()> {
    let package = OpPackage::named(name)?;
    let place = workspace.ops().join(package.name());
    if place.symlink_metadata().is_ok() {
        return Err(Error::new(
            Kind::Pins,
            format!("op package `{name}` is already there: `{}`", place.display()),
        )
        .hint("take another name, or remove that folder"));
    }
    let scratch = workspace.scratch();
    fs::create_dir_all(&scratch).at("create", &scratch)?;
    let work = tempfile::tempdir_in(&scratch).at("create a folder in", &scratch)?;
    let tree = work.path().join(package.name());
    let fill = |text: &str| {
        text.replace("@NAME@", package.name()).replace("@CamelName@", &camel(package.name()))
    };
    copy(&workspace.toolchains().join("new-op"), &tree, &fill)?;
    fs::rename(&tree, &place).at("create", &place)
}

/// `cargo xtask new-op NAME`.
pub fn run(workspace: &Workspace, name: &str) -> Result<()> {
    create(workspace, name)?;
    println!("ops/{name} is there: `cargo xtask build-ops`, then `cargo xtask test-ops {name}`");
    Ok(())
}

fn copy(from: &Path, to: &Path, fill: &impl Fn(&str) -> String) -> Result<()> {
    fs::create_dir(to).at("create", to)?;
    for entry in fs::read_dir(from).at("list", from)? {
        let entry = entry.at("list", from)?;
        let target = to.join(fill(&entry.file_name().to_string_lossy()));
        if entry.path().is_dir() {
            copy(&entry.path(), &target, fill)?;
        } else {
            let text = fs::read_to_string(entry.path()).at("read", &entry.path())?;
            fs::write(&target, fill(&text)).at("write", &target)?;
        }
    }
    Ok(())
}

/// `zero_out` as TensorFlow names ops: `ZeroOut`.
pub(super) fn camel(name: &str) -> String {
    let capital = |word: &str| {
        let mut chars = word.chars();
        chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str())
    };
    name.split('_').filter_map(capital).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_becomes_an_op_package_and_never_half_of_one() {
        let root = tempfile::tempdir().unwrap();
        let template = root.path().join("toolchains/new-op/kernels");
        fs::create_dir_all(&template).unwrap();
        fs::create_dir_all(root.path().join("ops")).unwrap();
        fs::write(template.join("@NAME@.cc"), "class @CamelName@Op; // lib@NAME@.so").unwrap();
        let workspace = Workspace::at(root.path());
        create(&workspace, "zero_out").unwrap();
        let made = root.path().join("ops/zero_out/kernels/zero_out.cc");
        assert_eq!(fs::read_to_string(made).unwrap(), "class ZeroOutOp; // libzero_out.so");
        assert!(create(&workspace, "zero_out").unwrap_err().message().contains("already there"));
        fs::write(template.join("binary"), [0xff]).unwrap();
        assert!(create(&workspace, "other").is_err());
        assert!(!root.path().join("ops/other").exists());
    }
}
