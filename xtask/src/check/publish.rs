//! The published measurement: which variations were tried on which artifacts on which
//! engines, with digests.

use std::fmt::Write as _;
use std::path::Path;

use super::report::Report;
use super::variation::Variation;
use crate::atomic;
use crate::date;
use crate::engine::Engine;
use crate::error::Result;
use crate::image::run::PACKAGE;

/// Writes the page.
pub fn write(report: &Report, path: &Path) -> Result<()> {
    atomic::write(path, page(report, &today()).as_bytes())
}

/// The day on which something is measured; no output of a build has it.
fn today() -> String {
    let (year, month, day) = date::civil(date::now() / 86_400);
    format!("{year}-{month:02}-{day:02}")
}

fn page(report: &Report, today: &str) -> String {
    let mut page = format!(
        "# Reproducibility\n\nMeasured on {today} by `{}`, which wrote this page: {}, workspace \
         id `{}`.\n\n{}\n\n\
         ## Builds\n\nEach from scratch: fresh roots, fresh Bazel output, nothing but downloads.\n\n\
         | build | engine | varied | seconds |\n| --- | --- | --- | ---: |\n",
        command(report),
        report.platform,
        report.workspace_id,
        sentence(report)
    );
    let mut line = |words: String| {
        let _in_memory = writeln!(page, "{words}");
    };
    for build in &report.builds {
        let varied = super::variation::listed(&build.varied.iter().copied().collect());
        line(format!("| {} | {} | {varied} | {} |", build.name, build.engine, build.seconds));
    }
    for skipped in &report.skipped {
        line(format!("| - | {} | skipped: {} | - |", skipped.what, skipped.why));
    }
    line("\n## Artifacts\n\n| artifact | sha256 in all builds |\n| --- | --- |".to_owned());
    for artifact in &report.artifacts {
        let digest = match (artifact.equal(), artifact.sha256.first()) {
            (true, Some(Some(digest))) => format!("`{digest}`"),
            _ => "**differs**".to_owned(),
        };
        line(format!("| {} | {digest} |", artifact.name()));
    }
    line("\n## Variations\n\n| variation | outside the root | inside | in builds |\n| --- | --- | --- | --- |".to_owned());
    for variation in Variation::ALL {
        let builds: Vec<&str> = report
            .builds
            .iter()
            .filter(|build| build.varied.contains(&variation))
            .map(|build| build.name.as_str())
            .collect();
        let builds = if builds.is_empty() { "none".to_owned() } else { builds.join(", ") };
        let or = |words: &'static str| if words.is_empty() { "-" } else { words };
        let (outside, inside) = (or(variation.outside()), or(variation.inside()));
        line(format!("| {} | {outside} | {inside} | {builds} |", variation.name()));
    }
    line("\nNot varied: the processor's model, the kernel itself, another machine: for those, `cargo xtask\ncheck --against LEDGER…` compares with ledgers of other machines.".to_owned());
    page
}

/// What tries the same once more.
fn command(report: &Report) -> String {
    let mut engines: Vec<&str> = report.builds.iter().map(|build| build.engine.name()).collect();
    engines.dedup();
    let mut command = "cargo xtask check".to_owned();
    if engines != [Engine::default().name()] {
        command += &format!(" --engine {}", engines.join(","));
    }
    if report.artifacts.iter().any(|artifact| artifact.package == PACKAGE) {
        command += " --image";
    }
    command + " --publish docs/reproducibility.md"
}

fn sentence(report: &Report) -> String {
    let mut summary = report.summary();
    if let Some(first) = summary.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    summary + "."
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::report::Build;
    use crate::check::verdict::Verdict;

    #[test]
    fn the_page_names_the_command_that_tries_it_once_more() {
        let build = |engine| Build { name: "1".to_owned(), engine, varied: Vec::new(), seconds: 1 };
        let mut report = Report {
            platform: "linux/amd64".to_owned(),
            workspace_id: "0123".to_owned(),
            builds: vec![build(Engine::Native), build(Engine::Native)],
            skipped: Vec::new(),
            artifacts: Vec::new(),
            ledger: None,
            since: None,
            rows: Vec::new(),
            agreement: None,
            kept: Vec::new(),
        };
        assert_eq!(command(&report), "cargo xtask check --publish docs/reproducibility.md");
        report.builds.push(build(Engine::Podman));
        report.artifacts.push(Verdict {
            package: PACKAGE.to_owned(),
            file: "manifest".to_owned(),
            sha256: Vec::new(),
            differences: Vec::new(),
            follows: Vec::new(),
            guilt: None,
        });
        assert!(page(&report, "2001-02-03").contains(
            "Measured on 2001-02-03 by `cargo xtask check --engine native,podman --image \
                 --publish docs/reproducibility.md`, which wrote this page: linux/amd64"
        ));
    }
}
