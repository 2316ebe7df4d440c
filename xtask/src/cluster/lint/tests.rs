use super::*;

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn found(files: &[(&str, &str)]) -> Found {
    let mut found = Found::default();
    files.iter().for_each(|(name, text)| read(name, text, &mut found));
    found
}

fn linted(files: &[(&str, &str)]) -> String {
    report::text(&judge(&found(files), None))
}

fn config(text: &str) -> String {
    linted(&[("tf_config.json", text)])
}

#[test]
fn tensorflows_rules_of_tf_config() {
    insta::assert_snapshot!(config(
        r#"{"cluster": {"chief": ["a:1", "b:1"], "worker": ["c:1", "c:1", "d"],
 "evaluator": ["e:1"], "master": ["m:1"], "ps": []}, "task": {"type": "worker", "index": 3}}"#
    ), @"
    tf_config.json:1:13: error[port-clash]: two tasks listen on `c:1`: the second of the two does not start, or both talk to the first
      hint: give each task an address of its own
    tf_config.json:1:14: error[too-many]: there must be at most one `chief`, found 2: TensorFlow takes at most one chief and one evaluator
      hint: leave one of them
    tf_config.json:1:64: error[address]: `d` is no HOST:PORT: gRPC connects to HOST:PORT
      hint: write the host's name, a colon and a port
    tf_config.json:2:2: error[evaluator-in-cluster]: the evaluator is in `cluster`: the others would wait for it: strategies refuse a cluster with an evaluator, or wait for it
      hint: take `evaluator` out of `cluster`; its own task keeps type `evaluator`
    tf_config.json:2:24: error[role-name]: `master` in `cluster` is no task type of TensorFlow; TensorFlow 2 calls it `chief`: TensorFlow knows chief, worker, ps and evaluator
      hint: use one of these four names
    tf_config.json:2:43: error[missing-ps]: `ps` has no task: ParameterServerStrategy says `There must be at least one ps.`
      hint: give it a parameter server, or leave the role out
    tf_config.json:2:90: error[index]: index 3 of 3 `worker`: they count from 0: TensorFlow says that the `task_id` exceeds the maximum id
      hint: number the tasks of a role from 0, each once
    ");
    insta::assert_snapshot!(config(r#"{"cluster": {"ps": ["a:1"]}, "task": {"type": "worker"}}"#), @"
    tf_config.json:1:13: error[missing-worker]: there are parameter servers and no `worker`: TensorFlow says `There must be at least one worker.`
      hint: add a worker
    tf_config.json:1:47: error[role-not-in-cluster]: the task's type `worker` is not in `cluster`: TensorFlow says `task_type` not found in cluster_spec
      hint: add the role to `cluster`
    ");
    insta::assert_snapshot!(config(r#"{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": "x"}}"#), @"
    tf_config.json:1:70: error[index]: the task's index `x` is no number: TensorFlow says that the `task_id` exceeds the maximum id
      hint: number the tasks of a role from 0, each once
    ");
    insta::assert_snapshot!(config(r#"{"cluster": ["a:1"]}"#), @r#"
    tf_config.json:1:1: error[tf-config]: `cluster` must be an object: TensorFlow reads TF_CONFIG as JSON with `cluster` and `task`
      hint: write {"cluster": {"worker": ["HOST:PORT"]}, "task": {"type": "worker", "index": 0}}
    "#);
    let good = r#"{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "evaluator", "index": 0}}"#;
    assert_eq!(config(good), "");
}

const TFJOB: &str = r#"apiVersion: kubeflow.org/v1
kind: TFJob
metadata: {name: train}
spec:
  tfReplicaSpecs:
    Chief:
      replicas: 2
      template: {spec: {containers: [{name: tensorflow, image: "r.example/a:1"}]}}
    Worker:
      template:
        spec:
          containers:
          - name: tensorflow
            image: r.example/a:latest
            env:
            - name: PYTHONPATH
              value: /mnt/code
    PS: {replicas: 0}
    Master: {}
"#;

#[test]
fn a_tfjob_with_every_mistake() {
    insta::assert_snapshot!(linted(&[("tfjob.yaml", TFJOB)]), @"
    tfjob.yaml:6:5: error[too-many]: `chief` has 2 replicas: TensorFlow takes at most one chief and one evaluator
      hint: leave one of them
    tfjob.yaml:8:64: warning[image-tag]: `r.example/a:1` is named by a tag: a tag can be moved, and a machine keeps the old image under it
      hint: name the image by digest: NAME@sha256:…
    tfjob.yaml:14:20: error[image-differs]: TFJob train Worker has `r.example/a:latest`, TFJob train Chief has `r.example/a:1`: TensorFlow does not compare builds: the job dies later, or trains to other weights
      hint: give every task of the job the same image, by digest: `cargo xtask cluster render`
    tfjob.yaml:14:20: error[image-latest]: `r.example/a:latest`: `latest` is whatever each machine pulled last
      hint: name the image by digest: NAME@sha256:…
    tfjob.yaml:17:22: error[inherited-path]: TFJob train Worker sets PYTHONPATH to `/mnt/code`: it leads a process to other code than the image's; the entrypoint refuses it
      hint: leave the variable alone: the image sets what is needed
    tfjob.yaml:18:5: error[missing-ps]: `PS` has 0 replicas: ParameterServerStrategy says `There must be at least one ps.`
      hint: give it a parameter server, or leave the role out
    tfjob.yaml:19:5: error[replica-type]: `master` is no replica type: the operator ignores a replica type that it does not know, or refuses the job
      hint: use Chief, Worker, PS and Evaluator
    ");
}

#[test]
fn tasks_of_one_cluster_in_several_files_are_one_job() {
    let set = |role: &str, digest: &str| {
        format!(
            r#"apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: {role}}}
spec:
  replicas: 2
  template:
    spec:
      containers:
      - image: r.example/a@{digest}
        env:
        - name: TF_CONFIG
          value: '{{"cluster":{{"worker":["a:1","b:1"],"ps":["c:1","d:1"]}},"task":{{"type":"{role}","index":$(N)}}}}'
"#
        )
    };
    let other = DIGEST.replace("aaaa", "bbbb");
    let same = [("w.yaml", &*set("worker", DIGEST)), ("p.yaml", &*set("ps", DIGEST))];
    assert_eq!(linted(&same), "");
    let differ = [("w.yaml", &*set("worker", DIGEST)), ("p.yaml", &*set("ps", &other))];
    insta::assert_snapshot!(linted(&differ), @"
    p.yaml:9:16: error[image-differs]: StatefulSet ps has `r.example/a@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb`, StatefulSet worker has `r.example/a@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa`: TensorFlow does not compare builds: the job dies later, or trains to other weights
      hint: give every task of the job the same image, by digest: `cargo xtask cluster render`
    ");
    let fixed = set("worker", DIGEST).replace("$(N)", "1");
    insta::assert_snapshot!(linted(&[("w.yaml", &*fixed)]), @"
    w.yaml:9:9: error[duplicate-task]: all tasks of StatefulSet worker are `worker` 1: two processes are the same task: one of them is never talked to
      hint: give each its own index
    ");
}

#[test]
fn compose_services_share_variables_by_merging() {
    let text = r#"
x-base: &base
  image: r.example/a@DIGEST
  environment: &env
    LD_LIBRARY_PATH: /opt/tf/lib
services:
  worker:
    <<: *base
    ports: ["2222:2222"]
    environment:
      - TF_CONFIG={"cluster":{"worker":["worker:2222","ps:2222"]},"task":{"type":"ps","index":0}}
  ps:
    <<: *base
    image: r.example/a
    ports: [{target: 2222, published: 2222}]
    environment:
      <<: *env
      TF_CONFIG: '{"cluster":{"worker":["worker:2222","ps:2222"]},"task":{"type":"worker","index":0}}'
  web:
    image: nginx:latest
"#;
    insta::assert_snapshot!(linted(&[("compose.yaml", &text.replace("DIGEST", DIGEST))]), @"
    compose.yaml:5:22: error[inherited-path]: service ps sets LD_LIBRARY_PATH to `/opt/tf/lib`: it leads a process to other code than the image's; the entrypoint refuses it
      hint: leave the variable alone: the image sets what is needed
    compose.yaml:11:9: error[role-not-in-cluster]: the task's type `ps` is not in `cluster`: TensorFlow says `task_type` not found in cluster_spec
      hint: add the role to `cluster`
    compose.yaml:14:12: error[image-differs]: service ps has `r.example/a`, service worker has `r.example/a@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa`: TensorFlow does not compare builds: the job dies later, or trains to other weights
      hint: give every task of the job the same image, by digest: `cargo xtask cluster render`
    compose.yaml:14:12: error[image-latest]: `r.example/a` has neither tag nor digest: `latest` is whatever each machine pulled last
      hint: name the image by digest: NAME@sha256:…
    compose.yaml:15:39: error[port-clash]: service worker and service ps both take port 2222: the second of the two does not start, or both talk to the first
      hint: give each task an address of its own
    ");
}

#[test]
fn units_and_files_of_variables() {
    let unit = "[Unit]\nDescription=w\n[Service]\nEnvironment='TF_CONFIG={\"cluster\":{\"worker\":[\"a:1\"]},\"task\":{\"type\":\"worker\",\"index\":1}}' LD_PRELOAD=/x.so\nExecStart=/usr/bin/docker run -e TF_CONFIG --rm \\\n  r.example/a:3 python3 /work/t.py\n";
    insta::assert_snapshot!(linted(&[("w.service", unit)]), @"
    w.service:4:1: error[index]: index 1 of 1 `worker`: they count from 0: TensorFlow says that the `task_id` exceeds the maximum id
      hint: number the tasks of a role from 0, each once
    w.service:4:1: error[inherited-path]: unit w.service sets LD_PRELOAD to `/x.so`: it leads a process to other code than the image's; the entrypoint refuses it
      hint: leave the variable alone: the image sets what is needed
    w.service:5:1: warning[image-tag]: `r.example/a:3` is named by a tag: a tag can be moved, and a machine keeps the old image under it
      hint: name the image by digest: NAME@sha256:…
    ");
    let variables = "# a\nexport TF_CONFIG='{\"cluster\"'\nPYTHONPATH=/x\n";
    insta::assert_snapshot!(linted(&[("node.env", variables)]), @r#"
    node.env:2:1: error[tf-config]: TF_CONFIG is no JSON: EOF while parsing an object at line 1 column 10: TensorFlow reads TF_CONFIG as JSON with `cluster` and `task`
      hint: write {"cluster": {"worker": ["HOST:PORT"]}, "task": {"type": "worker", "index": 0}}
    node.env:3:1: error[inherited-path]: variables node.env sets PYTHONPATH to `/x`: it leads a process to other code than the image's; the entrypoint refuses it
      hint: leave the variable alone: the image sets what is needed
    "#);
}

#[test]
fn the_workspaces_own_image_is_the_ledgers() {
    let own = Own {
        repository: "r.example/a".to_owned(),
        manifest: Sha256::of(b"new"),
        workspace_id: Sha256::of(b"id"),
    };
    let text = format!(
        "services:\n  a:\n    image: r.example/a@{DIGEST}\n    environment: {{LOCKSTEP_WORKSPACE_ID: abc}}\n  b:\n    image: r.example/a@{DIGEST}\n    environment: {{TF_CONFIG: '{{}}'}}\n"
    );
    let found = found(&[("compose.yaml", &text)]);
    insta::assert_snapshot!(report::text(&judge(&found, Some(&own))), @"
    compose.yaml:3:12: error[image-not-the-ledgers]: expected sha256:11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437 of the ledger, found sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: nobody accepted that image
      hint: write the files anew: `cargo xtask cluster render`
    compose.yaml:4:42: error[workspace-id]: expected workspace a56145270ce6b3bebd1dd012b73948677dd618d496488bc608a3cb43ce3547dd, found `abc`: the entrypoint refuses to start
      hint: write the files anew: `cargo xtask cluster render`
    compose.yaml:5:3: warning[no-workspace-id]: service b does not say which workspace it expects: another image under that name would start
      hint: set LOCKSTEP_WORKSPACE_ID in every task
    compose.yaml:6:12: error[image-not-the-ledgers]: expected sha256:11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437 of the ledger, found sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: nobody accepted that image
      hint: write the files anew: `cargo xtask cluster render`
    ");
}

#[test]
fn the_workspaces_own_image_is_known_by_any_of_its_names() {
    let judged = |repository: &str, image: &str| {
        let (manifest, workspace_id) = (Sha256::of(b"new"), Sha256::of(b"id"));
        let own = Own { repository: repository.to_owned(), manifest, workspace_id };
        let text = format!("services: {{a: {{image: '{image}', environment: [TF_CONFIG=]}}}}\n");
        let findings = judge(&found(&[("compose.yaml", &text)]), Some(&own));
        findings.iter().map(|finding| finding.rule.id).collect::<Vec<_>>().join(" ")
    };
    let both = "no-workspace-id image-not-the-ledgers";
    for repository in ["r.example/a", "localhost:5000/a", "a"] {
        assert_eq!(judged(repository, &format!("{repository}@{DIGEST}")), both);
        assert_eq!(judged(repository, &format!("{repository}:v1@{DIGEST}")), both);
        assert_eq!(judged(repository, &format!("{repository}:v1")), "no-workspace-id image-tag");
        assert_eq!(judged(repository, &format!("other/{repository}:v1@{DIGEST}")), "");
    }
}

#[test]
fn of_a_key_that_is_there_twice_the_last_counts() {
    let twice = r#"{"cluster": {"worker": ["a"], "worker": ["a:1"], "worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}"#;
    insta::assert_snapshot!(config(twice), @"
    tf_config.json:1:31: error[duplicate-key]: `worker` is there twice: one reader takes the last of them, another the first, a third neither
      hint: leave one of them
    tf_config.json:1:50: error[duplicate-key]: `worker` is there twice: one reader takes the last of them, another the first, a third neither
      hint: leave one of them
    ");
    let text =
        format!("services: {{a: {{image: 'a@{DIGEST}', environment: ['TF_CONFIG={twice}']}}}}\n");
    insta::assert_snapshot!(linted(&[("compose.yaml", &text)]), @"
    compose.yaml:1:114: error[duplicate-key]: `worker` is there twice: one reader takes the last of them, another the first, a third neither
      hint: leave one of them
    ");
    assert_eq!(linted(&[("merge.yaml", "a: &a {b: 1}\nc: {<<: *a, <<: *a}\n")]), "");
}

#[test]
fn what_is_not_tensorflows_is_left_alone() {
    let text = "kind: Deployment\nspec: {template: {spec: {containers: [{image: nginx:latest}]}}}\n---\n- 1\n---\nkind: ConfigMap\n---\nfoo: bar\n";
    assert_eq!(linted(&[("a.yaml", text)]), "");
    assert_eq!(found(&[("a.yaml", text)]).documents, 4);
}

#[test]
fn what_rendered_files_say_is_right() {
    let own = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../workspace.toml");
    let cluster = crate::pins::load(&own).unwrap().cluster.unwrap();
    let (image, workspace_id) = (Sha256::of(b"image"), Sha256::of(b"id"));
    let scripts = Default::default();
    let plan = super::super::render::Plan { cluster, image, workspace_id, scripts };
    let own = Own { repository: plan.cluster.image.to_string(), manifest: image, workspace_id };
    for (format, tasks) in super::super::render::Format::ALL.iter().zip([7, 4, 4, 4, 7]) {
        let files = plan.render(*format);
        let files: Vec<_> = files.iter().map(|(name, text)| (&**name, &**text)).collect();
        let found = found(&files);
        assert_eq!(found.tasks.len(), tasks, "{format:?}");
        assert_eq!(report::text(&judge(&found, Some(&own))), "", "{format:?}");
    }
}

#[test]
fn hostile_yaml_ends() {
    let bomb = (1..40).fold("a0: &a0 [x]\n".to_owned(), |text, n| {
        let of = format!("*a{},", n - 1).repeat(9);
        format!("{text}a{n}: &a{n} [{of}]\n")
    });
    assert_eq!(linted(&[("bomb.yaml", &bomb)]), "");
    let list = |n: usize, item: &str| format!("[{}]", vec![item; n].join(","));
    let aliases = format!(
        "env: &e {}\npod: &p {{containers: {}}}\nkind: List\nitems: {}\n",
        list(2000, "{name: A, value: b}"),
        list(2000, "{env: *e}"),
        list(2000, "{kind: Pod, spec: *p}")
    );
    assert!(linted(&[("alias.yaml", &aliases)]).contains("error[hostile]"));
    for deep in ["[".repeat(100_000), "a: {".repeat(100_000), "- ".repeat(100_000)] {
        assert!(linted(&[("deep.yaml", &deep)]).contains("error["));
    }
    let chain = (1..50_000).fold("- &a0 x\n".to_owned(), |text, n| {
        format!("{text}- &a{n} {{kind: List, items: [*a{}]}}\n", n - 1)
    });
    assert!(linted(&[("chain.yaml", &chain)]).contains("error[hostile]"));
    let many = "kind: Pod\n---\n".repeat(10_000);
    assert_eq!(linted(&[("many.yaml", &many)]), "");
    assert_eq!(found(&[("many.yaml", &many)]).documents, 10_001);
    let keys: String = (0..100_000).map(|n| format!("  k{n}:\n")).collect();
    assert_eq!(linted(&[("keys.yaml", &format!("services:\n{keys}"))]), "");
    // The text of a scalar is there once, and copied as often as there is room for it.
    let long = format!("a: &a {}1\nservices: {{x: {{ports: [", "1:".repeat(500_000));
    let long = format!("{long}{}]}}}}\n", "*a,".repeat(1000));
    assert!(linted(&[("long.yaml", &long)]).contains("error[hostile]"));
    let merged = (1..8).fold("a0: &a0 {x: y}\n".to_owned(), |text, n| {
        format!("{text}a{n}: &a{n} {{<<: [{}]}}\n", format!("*a{},", n - 1).repeat(100))
    });
    assert!(linted(&[("merged.yaml", &format!("{merged}<<: *a7\n"))]).contains("error[hostile]"));
    let own = "a: &a {kind: TFJob, b: *a}\nservices: &s {x: *s}\n";
    assert_eq!(linted(&[("own.yaml", own)]), "");
    insta::assert_snapshot!(linted(&[("bad.yaml", "a: b\nc: [d\ne: f\n")]), @"
    bad.yaml:3:2: error[not-yaml]: illegal placement of ':' indicator: nothing can be read from it
      hint: mend the YAML at that place
    ");
}

#[test]
fn the_text_of_an_alias_is_there_once() {
    let documents = document::parse(&"a.yaml".into(), "- &a text\n- *a\n", &mut Vec::new());
    let items = document::Walk::default().items(documents.first());
    assert!(std::ptr::eq(items[0].scalar().unwrap(), items[1].scalar().unwrap()));
}

#[test]
fn tasks_of_a_job_expect_the_same_scripts() {
    let service = |name: &str, scripts: &str| {
        format!(
            "  {name}:\n    image: r.example/a@{DIGEST}\n    environment: {{LOCKSTEP_WORKSPACE_ID: abc{scripts}}}\n"
        )
    };
    let (one, other) = (", LOCKSTEP_SCRIPTS: one", ", LOCKSTEP_SCRIPTS: two");
    let text = |b: &str, c: &str| {
        format!("services:\n{}{}{}", service("a", one), service("b", b), service("c", c))
    };
    assert_eq!(linted(&[("compose.yaml", &*text(one, one))]), "");
    insta::assert_snapshot!(linted(&[("compose.yaml", &*text(other, ""))]), @"
    compose.yaml:7:65: error[scripts-differ]: service b expects the scripts `two`, service a `one`: the job's tasks would run other training code; where it is compared, some refuse to start
      hint: write the files anew: `cargo xtask cluster render`
    compose.yaml:8:3: error[scripts-differ]: service c expects the scripts `none`, service a `one`: the job's tasks would run other training code; where it is compared, some refuse to start
      hint: write the files anew: `cargo xtask cluster render`
    ");
}

#[test]
fn scripts_and_code_scanning() {
    let findings = judge(&found(&[("a b.yaml", TFJOB)]), None);
    let json = report::json(&findings, 1, 4);
    assert_eq!(json["findings"][0]["rule"], "too-many");
    let sarif = report::sarif(&findings);
    let result = &sarif["runs"][0]["results"][0];
    let rule = result["ruleIndex"].as_u64().unwrap() as usize;
    assert_eq!(sarif["runs"][0]["tool"]["driver"]["rules"][rule]["id"], result["ruleId"]);
    insta::assert_snapshot!(result, @r#"{"level":"error","locations":[{"physicalLocation":{"artifactLocation":{"uri":"a%20b.yaml"},"region":{"startColumn":5,"startLine":6}}}],"message":{"text":"`chief` has 2 replicas: TensorFlow takes at most one chief and one evaluator"},"ruleId":"too-many","ruleIndex":6}"#);
}

proptest::proptest! {
    /// Whatever the bytes are, there is an end and no panic.
    #[test]
    fn any_text_is_read(text in "[-a-z0-9:{}\\[\\]\"'&*<>|!%#,\n ]{0,300}") {
        linted(&[("any.yaml", &text), ("any.service", &text), ("any.env", &text)]);
    }
}
