//! Every plain label of every op package, resolved before anything is compiled.

use std::fs;
use std::path::{Path, PathBuf};

use crate::build::label::{self, Label, Mention};
use crate::build::op::OpPackage;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::nearest::nearest;
use crate::workspace::Workspace;

/// The repository that is TensorFlow, as op authors write it.
const TENSORFLOW: &str = "org_tensorflow";

/// Checks the labels of `packages`; all that do not resolve are in one error.
pub fn labels(workspace: &Workspace, packages: &[OpPackage]) -> Result<()> {
    let mut problems = Vec::new();
    for package in packages {
        let file = build_file(&workspace.ops().join(package.name()));
        let text = fs::read_to_string(&file).at("read", &file)?;
        let names = label::names(&text);
        let shown = file.strip_prefix(workspace.root()).unwrap_or(&file).display().to_string();
        for mention in label::mentions(&text) {
            let place = Place {
                workspace,
                package: package.name(),
                file: &shown,
                text: &text,
                names: &names,
            };
            problems.extend(place.problem(&mention)?);
        }
    }
    report(problems)
}

fn report(problems: Vec<Problem>) -> Result<()> {
    let Some(first) = problems.first() else { return Ok(()) };
    let kind = if problems.len() == 1 {
        String::new()
    } else {
        format!("{} labels do not resolve\n", problems.len())
    };
    let lines: Vec<_> = problems.iter().map(|problem| problem.message.clone()).collect();
    let error = Error::new(Kind::Pins, format!("{kind}{}", lines.join("\n")));
    Err(error.hint(first.hint.clone()))
}

/// The BUILD file of a package folder, as Bazel looks for it.
fn build_file(folder: &Path) -> PathBuf {
    let preferred = folder.join("BUILD.bazel");
    if preferred.is_file() { preferred } else { folder.join("BUILD") }
}

struct Problem {
    message: String,
    hint: String,
}

/// The BUILD file that a label stands in.
struct Place<'a> {
    workspace: &'a Workspace,
    package: &'a str,
    file: &'a str,
    text: &'a str,
    names: &'a [String],
}

impl Place<'_> {
    fn problem(&self, mention: &Mention) -> Result<Option<Problem>> {
        let Some(label) = Label::parse(&mention.text) else { return Ok(None) };
        match (&label.repository, &label.package) {
            (None, None) => self.local(mention, &label),
            (None, Some(package)) => {
                self.package(mention, &label, package, &self.workspace.ops(), "ops")
            }
            (Some(repository), Some(package)) if repository == TENSORFLOW => {
                let folder = self.workspace.toolchains().join("tensorflow/repo");
                self.package(mention, &label, package, &folder, "toolchains/tensorflow/repo")
            }
            _ => Ok(None),
        }
    }

    /// A source file of this package. Rules and generated files are left to Bazel.
    fn local(&self, mention: &Mention, label: &Label) -> Result<Option<Problem>> {
        let target = &label.target;
        let folder = self.workspace.ops().join(self.package);
        let written_twice = self.text.matches(target.as_str()).count() > 1;
        let generated = self.names.contains(target) || written_twice;
        if !target.contains('.') || generated || folder.join(target).exists() {
            return Ok(None);
        }
        let files = files_below(&folder, "")?;
        let near = nearest(target, files.iter().map(String::as_str));
        let message = format!(
            "op package `{}`: no file `{target}` ({}:{}, {}): searched `{}`",
            self.package,
            self.file,
            mention.line,
            mention.attribute,
            folder.display(),
        );
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add the file, or take it out of `{}`", mention.attribute),
        };
        Ok(Some(Problem { message, hint }))
    }

    /// A package of the ops workspace or of TensorFlow: its folder must hold a BUILD file.
    fn package(
        &self,
        mention: &Mention,
        label: &Label,
        package: &str,
        root: &Path,
        shown_root: &str,
    ) -> Result<Option<Problem>> {
        let folder = root.join(package);
        if build_file(&folder).is_file() {
            return Ok(None);
        }
        let packages = packages_below(root, "")?;
        let state = if folder.is_dir() { "has no BUILD file" } else { "does not exist" };
        let message = format!(
            "op package `{}`: BUILD file not found for label `{}` ({}:{}, {}): searched \
             `{shown_root}/{package}`, which {state}",
            self.package, mention.text, self.file, mention.line, mention.attribute,
        );
        let hint = match nearest(package, packages.iter().map(String::as_str)) {
            Some(near) => format!(
                "did you mean `{}`?",
                Label { package: Some(near.to_owned()), ..label.clone() }
            ),
            None if shown_root == "ops" => {
                format!(
                    "`cargo xtask new-op NAME` makes an op package; these are there: {}",
                    packages.join(", ")
                )
            }
            None => format!(
                "ops see TensorFlow's public packages only ({}); a header comes with \
                 `@{TENSORFLOW}//tensorflow/core:framework`",
                packages.join(", ")
            ),
        };
        Ok(Some(Problem { message, hint }))
    }
}

/// Files below `folder`, relative, without the folder's own BUILD file.
fn files_below(folder: &Path, prefix: &str) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).at("list", folder)? {
        let entry = entry.at("list", folder)?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.file_type().at("read", &entry.path())?.is_dir() {
            true => files.extend(files_below(&entry.path(), &format!("{name}/"))?),
            false => files.push(name),
        }
    }
    files.sort();
    Ok(files)
}

/// Packages below `root`: folders with a BUILD file.
fn packages_below(root: &Path, prefix: &str) -> Result<Vec<String>> {
    let files = files_below(root, prefix)?;
    let mut packages: Vec<_> = files
        .iter()
        .filter_map(|file| file.strip_suffix("/BUILD").or(file.strip_suffix("/BUILD.bazel")))
        .map(str::to_owned)
        .collect();
    packages.dedup();
    Ok(packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(build: &str) -> String {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("ops/image_ops/BUILD", ""),
            ("ops/image_ops/kernels/qoi.cc", ""),
            ("ops/bad/kernels/zero_out.cc", ""),
            ("ops/bad/BUILD", build),
            ("toolchains/tensorflow/repo/tensorflow/core/BUILD", ""),
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let workspace = Workspace::at(root.path());
        let packages = crate::build::op::discover(&workspace.ops()).unwrap();
        let shown =
            labels(&workspace, &packages).map_or_else(|e| e.to_string(), |()| "fine".into());
        shown.replace(&root.path().display().to_string(), "ROOT")
    }

    #[test]
    fn labels_that_resolve_or_are_made_by_a_rule_are_fine() {
        let build = "x(name = \"made.cc\")\ny(srcs = [\"kernels/zero_out.cc\", \"made.cc\"], \
                     deps = [\"//image_ops\", \":l\", \"@org_tensorflow//tensorflow/core:framework\", \"@com_google_absl//absl/x\"])";
        assert_eq!(check(build), "fine");
    }

    #[test]
    fn a_wrong_package_is_named_with_the_folder_searched_and_the_near_miss() {
        insta::assert_snapshot!(check("x(\n  deps = [\"//imge_ops:lib\"],\n)"), @r"
        error: op package `bad`: BUILD file not found for label `//imge_ops:lib` (ops/bad/BUILD:2, deps): searched `ops/imge_ops`, which does not exist
        hint: did you mean `//image_ops:lib`?
        ");
    }

    #[test]
    fn a_missing_source_and_a_private_package_are_reported_together() {
        let build =
            "x(srcs = [\"kernels/zero_ot.cc\"], deps = [\"@org_tensorflow//tensorflow/cc:ops\"])";
        insta::assert_snapshot!(check(build), @r"
        error: 2 labels do not resolve
        op package `bad`: no file `kernels/zero_ot.cc` (ops/bad/BUILD:1, srcs): searched `ROOT/ops/bad`
        op package `bad`: BUILD file not found for label `@org_tensorflow//tensorflow/cc:ops` (ops/bad/BUILD:1, deps): searched `toolchains/tensorflow/repo/tensorflow/cc`, which does not exist
        hint: did you mean `kernels/zero_out.cc`?
        ");
    }
}
