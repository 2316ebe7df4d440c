//! A few kills of each stage; `cargo xtask faults` does a thousand.

use xtask::command::{self, Env, cmd};
use xtask::error::Result;

/// Runs `cargo xtask faults` on this checkout; its report.
fn faults(stage: &str, more: &[&str]) -> Result<serde_json::Value> {
    let (sh, xtask) = (command::shell()?, env!("CARGO_BIN_EXE_xtask"));
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let env = Env::host(&["LOCKSTEP_STORE", "XDG_CACHE_HOME"]);
    let step = cmd!(sh, "{xtask} --workspace {root} faults --stage {stage} --kills 5 --json");
    let text = command::read(step.args(more), &env)?;
    Ok(serde_json::from_str(&text).unwrap())
}

/// Nothing is bad in any of `rows` rows; what could not be tried is said.
fn sound(report: &serde_json::Value, rows: usize) {
    let all = report["rows"].as_array().unwrap();
    assert_eq!(all.len(), rows, "{report:#}");
    for row in all {
        assert_eq!(row["bad"], serde_json::json!([]), "{report:#}");
        match row["skipped"].as_str() {
            Some(why) => println!("skipped: {}: {why}", row["at"]),
            None => assert!(row["hits"].as_u64().unwrap() > 0, "{report:#}"),
        }
    }
}

#[test]
fn a_stage_killed_at_random_times_or_without_power_is_right_when_it_is_run_again() {
    for stage in ["object", "tree", "publish", "record", "image"] {
        match faults(stage, &["--no-strace"]) {
            Err(error) if error.to_string().contains("is not in the store") => {
                println!("skipped: {stage}: {error}");
            }
            report => sound(&report.unwrap(), 2),
        }
    }
}

#[test]
fn workspace_lock_is_old_or_new_whichever_system_call_fails_or_is_the_last() {
    sound(&faults("lock", &[]).unwrap(), 4);
}

#[test]
fn an_image_is_old_or_new_whichever_system_call_fails_or_is_the_last() {
    sound(&faults("image", &[]).unwrap(), 4);
}
