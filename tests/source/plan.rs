//! The dry run of the real TensorFlow.

use std::path::Path;

use xtask::lock::Lock;

use super::TARGET;

/// What the build of the real TensorFlow would run: its revision of today's pins, as the lane
/// `source` would have it.
#[test]
fn the_plan_for_tensorflow_itself_has_a_reason_for_each_flag() {
    use xtask::lock::{Source, TensorFlow};
    use xtask::source::{machine::Machine, plan};

    let original = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let lock = Lock::load(&original.join("workspace.lock")).unwrap();
    let bazel = xtask::lock::Bazel {
        modules: false,              // its .bazelrc says so
        version: "7.4.1".to_owned(), // its .bazelversion
        answer: "bazel 7.4.1".to_owned(),
        binary: Some(xtask::lock::Binary {
            url: "https://mirror.example/bazel".to_owned(),
            size: 0,
            sha256: xtask::digest::Sha256::of(b""),
        }),
    };
    let tensorflow = TensorFlow { lane: "source".to_owned(), ..lock.tensorflow.clone() };
    let lock = Lock { bazel, tensorflow, ..lock };
    let python = format!("HERMETIC_PYTHON_VERSION={}", lock.python);
    let repo_env = [
        python.as_str(),
        "ML_WHEEL_TYPE=release",
        "USE_PYWRAP_RULES=True",
        "WHEEL_NAME=tensorflow_cpu",
    ];
    let source = Source {
        git: "https://mirror.example/tensorflow.git".to_owned(),
        target: TARGET.to_owned(),
        configs: ["release_cpu_linux", "cuda_wheel"].map(str::to_owned).into(),
        repo_env: repo_env.map(str::to_owned).into(),
        disk_gb: Some(60),
        vault: xtask::digest::Sha256::of(b""),
        externals: Vec::new(),
    };
    let machine = Machine { processors: 16, memory: 64 << 30 };
    let folders = plan::Folders {
        root: Path::new("ROOT"),
        checkout: Path::new("CHECKOUT"),
        out: Path::new("OUT"),
    };
    let steps = [plan::Step::Gather, plan::Step::Build];
    let commands =
        steps.map(|step| plan::run(&lock, &source, &folders, machine, step).argv.join(" "));
    let explained = plan::explained(&lock, &source, machine);
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("source_plan", format!("{explained}\n{}\n", commands.join("\n\n")));
    });
}
