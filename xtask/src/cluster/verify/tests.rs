use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::compare::{self, Expected};
use super::member::{self, Member};
use crate::digest::Sha256;

fn expected() -> Expected {
    Expected {
        manifest: Sha256::of(b"manifest"),
        config: Sha256::of(b"config"),
        workspace_id: Sha256::of(b"id"),
        scripts: Some(Sha256::of(b"scripts")),
        tasks: ["worker 0", "worker 1", "ps 0"].map(str::to_owned).into(),
    }
}

fn container(index: u32, image: &[u8], id: &[u8]) -> Value {
    json!({
        "Name": format!("/train-worker-{index}"),
        "Image": format!("sha256:{}", Sha256::of(image)),
        "Config": {
            "Image": "registry.example/lockstep",
            "Env": [
                format!("LOCKSTEP_WORKSPACE_ID={}", Sha256::of(b"id")),
                format!("LOCKSTEP_SCRIPTS={}", Sha256::of(b"scripts")),
            ],
            "Labels": {
                "dev.lockstep.cluster": "train", "dev.lockstep.role": "worker",
                "dev.lockstep.index": index.to_string(),
                "dev.lockstep.workspace-id": Sha256::of(id).to_string(),
            },
        },
        "State": {"Status": "running", "ExitCode": 0},
    })
}

fn pod(name: &str, image: &[u8], state: Value) -> Value {
    json!({
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"dev.lockstep.cluster": "train", "dev.lockstep.role": "worker"},
        },
        "spec": {"containers": [
            {"name": "tensorflow", "image": "r@sha256:x", "env": [
                {"name": "LOCKSTEP_WORKSPACE_ID", "value": Sha256::of(b"id").to_string()},
                {"name": "LOCKSTEP_SCRIPTS", "value": Sha256::of(b"scripts").to_string()},
            ]},
            {"name": "sidecar", "image": "proxy:latest"},
        ]},
        "status": {"containerStatuses": [{
            "name": "tensorflow",
            "imageID": format!("registry.example/lockstep@sha256:{}", Sha256::of(image)),
            "state": state,
        }]},
    })
}

fn judged(value: &Value) -> String {
    let members = member::read(&value.to_string(), "train").unwrap();
    let of = |member: &Member| {
        let wrong = compare::member(member, &expected());
        wrong.iter().map(|wrong| format!("{}: {wrong}\n", member.name)).collect::<String>()
    };
    let all: String = members.iter().map(of).collect();
    all + &compare::together(&members, &expected()).join("\n")
}

#[test]
fn containers_of_the_one_image_are_right_by_manifest_and_by_config() {
    let good = [container(0, b"config", b"id"), container(1, b"manifest", b"id")];
    insta::assert_snapshot!(judged(&json!(good)), @"ps 0: no such task is there");
}

#[test]
fn a_stale_image_under_the_same_name_is_named_with_its_task() {
    let mut bad = container(1, b"old", b"older");
    bad["State"] = json!({"Status": "exited", "ExitCode": 78});
    bad["Config"]["Env"] = json!([]);
    insta::assert_snapshot!(judged(&json!([container(0, b"config", b"id"), bad])), @"
    train-worker-1: its image is another: expected sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f, found sha256:cba06b5736faf67e54b07b561eae94395e774c517a7d910a54369e1263ccfbd4
    train-worker-1: its image is of another workspace: expected a56145270ce6b3bebd1dd012b73948677dd618d496488bc608a3cb43ce3547dd, found da925a30e31f7fdaa7044e3e5ba4ae17670de82d677b0e7adf5700428a137a36
    train-worker-1: LOCKSTEP_WORKSPACE_ID is not set: another image would start
    train-worker-1: its training scripts are others: expected 8c5967fd8486f34493710cc39b240aad46536cf4ee421ffd0479e6542db03e36, found none
    train-worker-1: it does not run: it exited with code 78
    ps 0: no such task is there
    ");
}

#[test]
fn pods_are_known_by_the_id_of_their_image() {
    let refused =
        json!({"terminated": {"exitCode": 78, "message": "\nerror: LD_PRELOAD is `x`\nhint: y"}});
    let list = json!({"kind": "List", "items": [
        pod("train-worker-0", b"manifest", json!({"running": {}})),
        pod("train-worker-1", b"old", refused),
        pod("train-worker-1", b"manifest", json!({"waiting": {"reason": "ImagePullBackOff"}})),
    ]});
    insta::assert_snapshot!(judged(&list), @"
    train-worker-1: its image is another: expected sha256:05b3abf2579a5eb66403cd78be557fd860633a1fe2103c7642030defe32c657f, found sha256:cba06b5736faf67e54b07b561eae94395e774c517a7d910a54369e1263ccfbd4
    train-worker-1: it does not run: it exited with code 78: error: LD_PRELOAD is `x`
    train-worker-1: it does not run: it is ImagePullBackOff
    ps 0: no such task is there
    worker 1: there are two of it
    ");
}

/// A good pod of `role`, called and numbered as its owner does it.
fn numbered(role: &str, name: &str, metadata: Value) -> Value {
    let mut pod = pod(name, b"manifest", json!({"running": {}}));
    pod["metadata"]["labels"]["dev.lockstep.role"] = json!(role);
    for (kind, values) in metadata.as_object().unwrap() {
        for (key, value) in values.as_object().unwrap() {
            pod["metadata"][kind][key] = value.clone();
        }
    }
    pod
}

#[test]
fn pods_of_every_owner_have_their_index() {
    let set = |n: &str| json!({"labels": {"apps.kubernetes.io/pod-index": n}});
    let job = |n: &str| json!({"labels": {"batch.kubernetes.io/job-completion-index": n}});
    let old = |n: &str| json!({"annotations": {"batch.kubernetes.io/job-completion-index": n}});
    let formats = [
        [
            numbered("worker", "train-worker-0-x7k2p", job("0")),
            numbered("worker", "train-worker-1-24567", old("1")),
            numbered("ps", "train-ps-0", set("0")),
        ],
        [
            numbered("worker", "train-worker-0-0-x7k2p", job("0")),
            numbered("worker", "train-worker-0-1-bcdfg", job("1")),
            numbered("ps", "train-ps-0-0-24567", job("0")),
        ],
        [
            numbered("worker", "train-worker-0", json!({})),
            numbered("worker", "train-worker-1", json!({})),
            numbered("ps", "train-ps-0", json!({})),
        ],
    ];
    for pods in &formats {
        assert_eq!(judged(&json!({"items": pods})), "");
        insta::allow_duplicates! {
            insta::assert_snapshot!(judged(&json!({"items": [pods[0], pods[0], pods[1]]})), @"
            ps 0: no such task is there
            worker 0: there are two of it
            ");
        }
    }
}

#[test]
fn tasks_that_no_label_names_are_counted() {
    let mut nameless = container(0, b"config", b"id");
    nameless["Config"]["Labels"] = json!({});
    let named = container(1, b"config", b"id");
    let three = [&nameless, &nameless, &nameless];
    assert_eq!(judged(&json!(three)), "");
    assert_eq!(judged(&json!([&nameless, &named, &nameless])), "");
    insta::assert_snapshot!(judged(&json!(three[1..])), @"tasks that no label names: expected 3, found 2");
    insta::assert_snapshot!(judged(&json!([&nameless, &named])), @"tasks that no label names: expected 2, found 1");
}

#[test]
fn what_is_not_of_the_cluster_is_left_out_and_what_is_no_answer_is_refused() {
    let mut other = container(0, b"x", b"y");
    other["Config"]["Labels"]["dev.lockstep.cluster"] = json!("other");
    let web = json!({"kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "n"}]}});
    assert_eq!(member::read(&json!([other, web]).to_string(), "train").unwrap(), []);
    for wrong in ["", "{", "[1]", "{\"a\": 1}"] {
        member::read(wrong, "train").unwrap_err();
    }
    assert_eq!(compare::together(&[], &expected()).len(), 3);
    assert_eq!(
        expected().tasks,
        BTreeSet::from(["worker 0", "worker 1", "ps 0"].map(str::to_owned))
    );
}
