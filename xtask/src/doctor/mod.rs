//! `cargo xtask doctor`: can this machine build, and can it train? [`machine`] reads it,
//! [`clock`] compares its time with a mirror's.

mod clock;
mod machine;

use std::process::ExitCode;

use crate::error::{Kind, Result};
use crate::workspace::Workspace;

/// `cargo xtask doctor`. Exit code 3 when a line says `fail`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// How good it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Health {
    Ok,
    /// Something is slower, or works in another way.
    Warn,
    /// Builds or training cannot work.
    Fail,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
struct Check {
    /// What was looked at.
    name: &'static str,
    health: Health,
    found: String,
    /// What to do, unless all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Check { name, health: Health::Ok, found: found.into(), fix: None }
    }

    fn warn(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Check { name, health: Health::Warn, found: found.into(), fix: Some(fix.into()) }
    }

    fn fail(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Check { name, health: Health::Fail, found: found.into(), fix: Some(fix.into()) }
    }
}

/// Looks at the machine and prints a line a check.
pub fn run(workspace: &Workspace, options: &Options, offline: bool) -> Result<ExitCode> {
    let checks = machine::checks(workspace, offline);
    match options.json {
        true => println!("{:#}", serde_json::json!({"checks": checks})),
        false => print!("{}", text(&checks)),
    }
    let failed = checks.iter().any(|check| check.health == Health::Fail);
    Ok(if failed { ExitCode::from(Kind::Machine.exit_code()) } else { ExitCode::SUCCESS })
}

fn text(checks: &[Check]) -> String {
    let line = |check: &Check| {
        let word = match check.health {
            Health::Ok => "ok  ",
            Health::Warn => "warn",
            Health::Fail => "fail",
        };
        let fix = check.fix.as_ref().map(|fix| format!("\n     hint: {fix}")).unwrap_or_default();
        format!("{word} {:<16} {}{fix}\n", check.name, check.found)
    };
    checks.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_check_and_the_fix_below_it() {
        let checks = [
            Check::ok("memory", "24.0 GiB"),
            Check::warn("docker", "none", "install it"),
            Check::fail("processor", "no avx", "take another machine"),
        ];
        insta::assert_snapshot!(text(&checks), @"
        ok   memory           24.0 GiB
        warn docker           none
             hint: install it
        fail processor        no avx
             hint: take another machine
        ");
        insta::assert_snapshot!(serde_json::json!(checks[..2]), @r#"[{"found":"24.0 GiB","health":"ok","name":"memory"},{"fix":"install it","found":"none","health":"warn","name":"docker"}]"#);
    }
}
