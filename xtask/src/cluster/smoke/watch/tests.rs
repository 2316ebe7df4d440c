use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::*;
use crate::cluster::smoke::job::{Limit, Task};
use crate::engine::Run;

const ID: &str = "lockstep: workspace abc, tensorflow 1 (r), role worker 0, host w";

fn watch(strategy: Strategy, serves: &[bool]) -> Watch {
    let run = Run {
        root: "/".into(),
        mounts: Vec::new(),
        argv: vec!["/bin/true".into()],
        env: BTreeMap::new(),
        cwd: "/".into(),
    };
    let task = |(at, serves): (usize, &bool)| Task {
        name: format!("worker {at}"),
        host: format!("train-worker-{at}"),
        address: Ipv4Addr::from(0x0a00_0002 + u32::try_from(at).unwrap()),
        at: format!("10.0.0.{}", at + 2),
        serves: *serves,
        limit: Limit::default(),
        run: run.clone(),
    };
    let tasks = serves.iter().enumerate().map(task).collect();
    let limits = Limits { up: seconds(10), all: seconds(60) };
    Watch::of(&Job { strategy, workspace: "abc".into(), tasks, limits })
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Every task says these lines in turn; the first error.
fn says(watch: &mut Watch, at: usize, lines: &[&str]) -> Result<()> {
    lines
        .iter()
        .try_for_each(|line| watch.note(at, Event::Line((*line).to_owned()), seconds(1)).map(drop))
}

fn ends(watch: &mut Watch, at: usize, how: &str) -> Error {
    watch.note(at, Event::Ended { how: how.into(), starved: None }, seconds(2)).unwrap_err()
}

#[test]
fn a_job_is_done_when_all_but_servers_are() {
    let mut watch = watch(Strategy::ParameterServer, &[false, true]);
    says(&mut watch, 1, &[ID, "@ up"]).unwrap();
    says(&mut watch, 0, &[ID, "@ up", "@ step 7 of 9 loss 1"]).unwrap();
    assert!(!watch.is_done() && watch.began());
    says(&mut watch, 0, &["@ result loss 0.5 or so", "@ done", "@ peak 12", "@ nonsense", "@ "])
        .unwrap();
    assert!(watch.is_done());
    let task = &watch.tasks[0];
    assert_eq!((task.steps, task.peak, &*task.results["loss"]), (7, Some(12), "0.5 or so"));
    watch.note(0, Event::Ended { how: "exit code 0".into(), starved: None }, seconds(9)).unwrap();
    assert_eq!(watch.tasks[0].ended, Some(seconds(1)));
}

#[test]
fn the_first_that_dies_is_named_with_its_own_words() {
    let refused = [ID, "error: /x.so is not what it was", "hint: start it anew", "noise"];
    let mut one = watch(Strategy::ParameterServer, &[false, true]);
    says(&mut one, 1, &refused).unwrap();
    let mut two = watch(Strategy::ParameterServer, &[false, true]);
    says(&mut two, 0, &[ID, "@ up", "@ step 1 of 2"]).unwrap();
    says(&mut two, 1, &[ID, "@ up", "Traceback", "KeyError: 1"]).unwrap();
    let mut three = watch(Strategy::ParameterServer, &[false, true]);
    let texts = [
        ends(&mut one, 1, "exit code 78"),
        ends(&mut two, 1, "killed by SIGBUS"),
        ends(&mut three, 0, "exit code 0"),
    ];
    insta::assert_snapshot!(texts.map(|error| error.to_string()).join("\n"), @r"
    error: worker 1 (10.0.0.3) ended before training began: exit code 78
      /x.so is not what it was
    hint: start it anew
    error: worker 1 (10.0.0.3) ended in the middle of training: killed by SIGBUS
      Traceback
      KeyError: 1
    error: worker 0 (10.0.0.2) ended before training began: exit code 0
    ");
}

#[test]
fn who_had_no_more_memory_is_told_its_limit() {
    let mut watch = watch(Strategy::ParameterServer, &[false, true]);
    says(&mut watch, 1, &[ID, "reading"]).unwrap();
    let starved = Some(Memory(64 << 20));
    let event = Event::Ended { how: "killed by SIGKILL".into(), starved };
    insta::assert_snapshot!(watch.note(1, event, seconds(2)).unwrap_err(), @"
    error: worker 1 (10.0.0.3) ended before training began: killed by SIGKILL for want of memory: its limit is 64Mi
      reading
    hint: raise `memory` of its role in `[cluster]`, or let it take less
    ");
}

#[test]
fn who_passed_the_entrypoint_by_is_told() {
    let mut watch = watch(Strategy::ParameterServer, &[false, true]);
    insta::assert_snapshot!(says(&mut watch, 1, &["hello", "@ up"]).unwrap_err(), @r"
    error: worker 1 (10.0.0.3) did not start by the image's entrypoint
    hint: start the image with its own entrypoint: nothing compared its build
    ");
}

#[test]
fn a_task_of_another_workspace_cannot_come_up() {
    let mut watch = watch(Strategy::ParameterServer, &[true]);
    let other = "lockstep: workspace abd, tensorflow 1 (r), role worker 0, host w";
    insta::assert_snapshot!(says(&mut watch, 0, &[other, "@ up"]).unwrap_err(), @"error: worker 0 (10.0.0.2) is of another workspace: expected abc, found abd");
}

#[test]
fn who_is_late_is_named_with_the_last_it_said() {
    let mut watch = watch(Strategy::ParameterServer, &[false, true, true]);
    says(&mut watch, 0, &[ID, "@ up"]).unwrap();
    says(&mut watch, 1, &[ID, "waiting for Godot"]).unwrap();
    watch.overdue(seconds(10)).unwrap();
    let up = watch.overdue(seconds(11)).unwrap_err();
    says(&mut watch, 1, &["@ up"]).unwrap();
    says(&mut watch, 2, &[ID, "@ up"]).unwrap();
    watch.overdue(seconds(60)).unwrap();
    let all = watch.overdue(seconds(61)).unwrap_err();
    insta::assert_snapshot!(format!("{up}\n{all}"), @r"
    error: worker 1 (10.0.0.3), worker 2 (10.0.0.4) did not come up within 10 s
    hint: the last that worker 1 said: waiting for Godot
    hint: worker 2 has said nothing at all
    error: worker 0 (10.0.0.2) did not get done within 60 s
    hint: worker 0 has said nothing since its build was checked
    ");
}

#[test]
fn other_weights_are_told_by_name() {
    let mut watch = watch(Strategy::MultiWorkerMirrored, &[false, false]);
    says(&mut watch, 0, &[ID, "@ result weights 1234"]).unwrap();
    let none = watch.agree().unwrap_err();
    says(&mut watch, 1, &[ID, "@ result weights 1235"]).unwrap();
    let other = watch.agree().unwrap_err();
    says(&mut watch, 1, &["@ result weights 1234"]).unwrap();
    watch.agree().unwrap();
    insta::assert_snapshot!(format!("{none}\n{other}"), @r"
    error: worker 1 (10.0.0.3) ended with other weights: expected 1234, found none
    hint: one of the tasks computes something else: `lockstep-check` in each container reads every file
    error: worker 1 (10.0.0.3) ended with other weights: expected 1234, found 1235
    hint: one of the tasks computes something else: `lockstep-check` in each container reads every file
    ");
}
