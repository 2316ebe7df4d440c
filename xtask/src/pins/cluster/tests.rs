use super::*;
use crate::pins::tests::{GOOD, shown};
use crate::pins::{Pins, parse};

const CLUSTER: &str = r#"
[cluster]
name = "train"
image = "registry.example:5000/team/lockstep"
strategy = "parameter-server"
port = 2222
command = ["python3", "/work/train.py", "--again", "--again"]
environment = { EPOCHS = "3" }
chief = {}
worker = { count = 3, cpu = "1500m", memory = "2Gi", environment = { EPOCHS = "4" } }
ps = { count = 2, port = 2223 }
evaluator = { command = ["python3", "/work/evaluate.py"] }
"#;

fn pins(cluster: &str) -> Pins {
    parse(&format!("{GOOD}{cluster}")).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn wrong(edits: &[(&str, &str)]) -> String {
    let text = edits.iter().fold(CLUSTER.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in the good table");
        text.replacen(from, to, 1)
    });
    shown(&format!("{GOOD}{text}"))
}

#[test]
fn roles_take_what_the_table_says_and_say_more_themselves() {
    let cluster = pins(CLUSTER).cluster.unwrap();
    let of = |role| &cluster.roles[&role];
    assert_eq!(of(Role::Worker).count, 3);
    assert_eq!((of(Role::Chief).port, of(Role::Ps).port), (2222, 2223));
    assert_eq!(of(Role::Ps).command.len(), 4, "a word may be there twice");
    assert_eq!(of(Role::Evaluator).command[1].as_str(), "/work/evaluate.py");
    let epochs = |role| of(role).environment.values().next().unwrap().to_string();
    assert_eq!((epochs(Role::Ps), epochs(Role::Worker)), ("3".to_owned(), "4".to_owned()));
    assert_eq!(of(Role::Worker).cpu.map(|cpu| cpu.to_string()).as_deref(), Some("1500m"));
    assert_eq!(of(Role::Worker).memory, Some(Memory(2 << 30)));
}

#[test]
fn no_output_is_a_function_of_the_cluster() {
    let with = pins(CLUSTER);
    let without = pins("");
    assert_eq!(without.cluster, None);
    assert_eq!(with.flat(), without.flat());
}

#[test]
fn the_workspaces_own_cluster_is_that_of_the_readme() {
    let own = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../workspace.toml");
    let cluster = crate::pins::load(&own).unwrap().cluster.unwrap();
    let counts: Vec<_> = cluster.roles.iter().map(|(role, tasks)| (*role, tasks.count)).collect();
    let expected = [(Role::Chief, 1), (Role::Worker, 3), (Role::Ps, 2), (Role::Evaluator, 1)];
    assert_eq!(counts, expected);
}

#[test]
fn tensorflows_rules_of_the_whole() {
    insta::assert_snapshot!(wrong(&[("chief = {}", ""), ("ps = {", "#")]), @"
    error: `cluster.chief` is missing
      --> workspace.toml:37:1
       |
    37 | [cluster]
       | ^^^^^^^^^ the coordinator of `parameter-server` runs there: add `[cluster.chief]`

    error: `cluster.ps` is missing
      --> workspace.toml:37:1
       |
    37 | [cluster]
       | ^^^^^^^^^ there must be at least one ps: add `[cluster.ps]`
    ");
    insta::assert_snapshot!(wrong(&[("parameter-server", "multi-worker-mirrored")]), @"
    error: `multi-worker-mirrored` has no parameter servers
      --> workspace.toml:46:6
       |
    46 | ps = { count = 2, port = 2223 }
       |      ^^^^^^^^^^^^^^^^^^^^^^^^^^ remove it, or set strategy to `parameter-server`
    ");
    insta::assert_snapshot!(wrong(&[
        ("chief = {}", "chief = { count = 2 }"),
        ("count = 3", "count = 0"),
        ("evaluator = {", "evaluator = { count = 2,"),
    ]), @r#"
    error: `cluster.chief.count` is wrong
      --> workspace.toml:44:19
       |
    44 | chief = { count = 2 }
       |                   ^ there must be at most 1 `chief`, found 2

    error: `cluster.worker.count` is wrong
      --> workspace.toml:45:20
       |
    45 | worker = { count = 0, cpu = "1500m", memory = "2Gi", environment = { EPOCHS = "4" } }
       |                    ^ expected at least 1: leave `[cluster.worker]` out for none

    error: `cluster.evaluator.count` is wrong
      --> workspace.toml:47:23
       |
    47 | evaluator = { count = 2, command = ["python3", "/work/evaluate.py"] }
       |                       ^ there must be at most 1 `evaluator`, found 2
    "#);
}

#[test]
fn hosts_are_one_a_task_and_share_no_port() {
    insta::assert_snapshot!(wrong(&[
        ("chief = {}", "chief = { hosts = [\"a\"] }"),
        ("count = 3", "count = 3, hosts = [\"a\", \"b\"]"),
    ]), @r#"
    error: two tasks listen on port 2222 of `a`
      --> workspace.toml:45:10
       |
    45 | worker = { count = 3, hosts = ["a", "b"], cpu = "1500m", memory = "2Gi", environment = { EPOCHS = "4" } }
       |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ give one of the roles another port

    error: 3 tasks on 2 hosts
      --> workspace.toml:45:31
       |
    45 | worker = { count = 3, hosts = ["a", "b"], cpu = "1500m", memory = "2Gi", environment = { EPOCHS = "4" } }
       |                               ^^^^^^^^^^ name one host a task, or none
    "#);
    pins(
        &CLUSTER
            .replace("chief = {}", "chief = { hosts = [\"a\"] }")
            .replace("ps = { count = 2", "ps = { count = 2, hosts = [\"a\", \"b\"]"),
    );
}

#[test]
fn each_value_is_checked() {
    insta::assert_snapshot!(wrong(&[
        ("name = \"train\"", "name = \"Train_1\""),
        ("5000/team/lockstep", "5000/team/lockstep:latest"),
        ("\"parameter-server\"", "\"ps\""),
        ("port = 2222", "port = 80"),
        ("EPOCHS", "PYTHONPATH"),
        ("1500m", "1.5"),
        ("2Gi", "2GB"),
        ("evaluator", "evaluators"),
    ]), @r#"
    error: `cluster.name` is wrong
      --> workspace.toml:38:8
       |
    38 | name = "Train_1"
       |        ^^^^^^^^^ expected 1 to 40 lower-case letters, digits and `-`, first a letter, found `Train_1`

    error: `cluster.image` is wrong
      --> workspace.toml:39:9
       |
    39 | image = "registry.example:5000/team/lockstep:latest"
       |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected a repository without tag and digest, such as `registry.example/lockstep`, found `registry.example:5000/team/lockstep:latest`

    error: `cluster.strategy` is wrong
      --> workspace.toml:40:12
       |
    40 | strategy = "ps"
       |            ^^^^ expected `parameter-server` or `multi-worker-mirrored`, found `ps`

    error: `cluster.port` is wrong
      --> workspace.toml:41:8
       |
    41 | port = 80
       |        ^^ expected a port between 1024 and 65535, found 80

    error: `cluster.environment` is wrong
      --> workspace.toml:43:30
       |
    43 | environment = { PYTHONPATH = "3" }
       |                              ^^^ expected the name of a variable that neither Lockstep nor the image sets, found `PYTHONPATH`

    error: `cluster.worker.cpu` is wrong
      --> workspace.toml:45:29
       |
    45 | worker = { count = 3, cpu = "1.5", memory = "2GB", environment = { EPOCHS = "4" } }
       |                             ^^^^^ expected processors such as `2` or `500m`, found `1.5`

    error: `cluster.worker.memory` is wrong
      --> workspace.toml:45:45
       |
    45 | worker = { count = 3, cpu = "1.5", memory = "2GB", environment = { EPOCHS = "4" } }
       |                                             ^^^^^ expected memory such as `512Mi` or `2Gi`, found `2GB`

    error: unknown key `evaluators` in [cluster]
      --> workspace.toml:47:1
       |
    47 | evaluators = { command = ["python3", "/work/evaluate.py"] }
       | ^^^^^^^^^^ did you mean `evaluator`?
    "#);
}

#[test]
fn port_and_command_are_pinned_for_all_or_for_each() {
    insta::assert_snapshot!(wrong(&[("port = 2222", ""), ("\"python3\", ", "\"\", ")]), @r#"
    error: no port is set for this role
      --> workspace.toml:44:9
       |
    44 | chief = {}
       |         ^^ add `port` here or in [cluster]

    error: no command is set for this role
      --> workspace.toml:44:9
       |
    44 | chief = {}
       |         ^^ add it here or in [cluster]

    error: no port is set for this role
      --> workspace.toml:45:10
       |
    45 | worker = { count = 3, cpu = "1500m", memory = "2Gi", environment = { EPOCHS = "4" } }
       |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ add `port` here or in [cluster]

    error: no command is set for this role
      --> workspace.toml:45:10
       |
    45 | worker = { count = 3, cpu = "1500m", memory = "2Gi", environment = { EPOCHS = "4" } }
       |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ add it here or in [cluster]

    error: no command is set for this role
      --> workspace.toml:46:6
       |
    46 | ps = { count = 2, port = 2223 }
       |      ^^^^^^^^^^^^^^^^^^^^^^^^^^ add it here or in [cluster]

    error: no port is set for this role
      --> workspace.toml:47:13
       |
    47 | evaluator = { command = ["python3", "/work/evaluate.py"] }
       |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ add `port` here or in [cluster]
    "#);
}

#[test]
fn a_repository_has_neither_tag_nor_digest() {
    for good in ["lockstep", "registry.example/a", "localhost:5000/a/b-c_d", "a/b"] {
        assert!(is_repository(good), "{good}");
    }
    for bad in
        ["", "/a", "a/", "a:1", "r/a:1", "r/a@sha256:0", "r:x/a", "r/A", "r//a", "http://r/a"]
    {
        assert!(!is_repository(bad), "{bad}");
    }
}
