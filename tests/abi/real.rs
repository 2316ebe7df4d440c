//! The gate on the real TensorFlow: an op built against its headers, rightly and wrongly.

use std::path::PathBuf;
use std::process::Command;

use xtask::abi::{self, OpLibrary};
use xtask::error::Result;
use xtask::lock::Lock;
use xtask::root;
use xtask::store::Store;
use xtask::workspace::Workspace;

use crate::tidy;

/// TensorFlow's repository and the runtime root, as this checkout's lock has them.
struct Trees {
    tensorflow: PathBuf,
    runtime: PathBuf,
}

/// Finds them, or makes them of what is in the store; says why when it is not there. The store
/// has trees of other locks, too.
fn trees() -> Option<Trees> {
    let here = Workspace::at(tidy::root());
    let made = || -> Result<Trees> {
        let store = Store::from_env(|name| std::env::var_os(name))?;
        let lock = Lock::load(&here.lock())?;
        let tensorflow = root::tensorflow::ensure(&lock, &store, &here.toolchains())?;
        Ok(Trees { tensorflow, runtime: root::runtime::ensure(&lock, &store)? })
    };
    made()
        .map_err(|error| println!("skipped: {}, run `cargo xtask build-ops`", error.message()))
        .ok()
}

const OP: &str = r#"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
using namespace tensorflow;
REGISTER_OP("GateDouble").Input("x: float").Output("y: float")
    .SetShapeFn([](shape_inference::InferenceContext* c) { c->set_output(0, c->input(0)); return absl::OkStatus(); });
class GateDouble : public OpKernel {
 public:
  explicit GateDouble(OpKernelConstruction* c) : OpKernel(c) {}
  void Compute(OpKernelContext* c) override {
    Tensor* y = nullptr;
    OP_REQUIRES(c, c->num_inputs() == 1, absl::InvalidArgumentError(absl::StrCat("inputs: ", c->num_inputs())));
    OP_REQUIRES_OK(c, c->allocate_output(0, c->input(0).shape(), &y));
    y->flat<float>() = c->input(0).flat<float>() * 2.0f;
  }
};
REGISTER_KERNEL_BUILDER(Name("GateDouble").Device(DEVICE_CPU), GateDouble);
"#;

/// Compiles the op with the host's g++ against the tree's headers.
fn build(trees: &Trees, folder: &std::path::Path, name: &str, more: &[&str]) -> OpLibrary {
    let library = folder.join(format!("lib{name}.so"));
    #[expect(clippy::disallowed_methods, reason = "a fixture, made before the test begins")]
    let output = Command::new("g++")
        .current_dir(folder)
        .args(["-w", "-std=c++17", "-O1", "-DNDEBUG", "-fPIC", "-shared", "op.cc"])
        .args(["-DEIGEN_MAX_ALIGN_BYTES=64", "-Wl,--build-id=none", "-Wl,--enable-new-dtags"])
        .args(["-Wl,-rpath,$ORIGIN/../tensorflow", "-l:libtensorflow_framework.so.2"])
        .arg(format!("-ffile-prefix-map={}=.", trees.tensorflow.display()))
        .arg("-I")
        .arg(trees.tensorflow.join("include"))
        .arg("-L")
        .arg(trees.tensorflow.join("lib"))
        .args(more)
        .arg("-o")
        .arg(&library)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    OpLibrary { package: name.to_owned(), path: library }
}

#[test]
fn an_op_for_the_real_tensorflow_passes_and_its_old_abi_twin_does_not() {
    let Some(trees) = trees() else { return };
    let folder = tempfile::tempdir().unwrap();
    let framework = trees.tensorflow.join("lib/libtensorflow_framework.so.2");
    let gate = |op| abi::gate(&[op], &framework, &trees.runtime);
    let [right, wrong] = std::thread::scope(|scope| {
        let build = |name, more| build(&trees, folder.path(), name, more);
        std::fs::write(folder.path().join("op.cc"), OP).unwrap();
        let right = scope.spawn(move || build("right", &["-D_GLIBCXX_USE_CXX11_ABI=1"]));
        let wrong = scope.spawn(move || build("wrong", &["-D_GLIBCXX_USE_CXX11_ABI=0"]));
        [right.join().unwrap(), wrong.join().unwrap()]
    });
    let facts = gate(right).unwrap();
    assert_eq!(facts[0].isa, "x86-64");
    assert!(facts[0].absl_lts.is_some());
    let error = gate(wrong).unwrap_err().to_string();
    assert!(error.contains("it is compiled for the old libstdc++ ABI: `tensorflow::"), "{error}");
    assert!(error.contains("`-D_GLIBCXX_USE_CXX11_ABI=1`"), "{error}");
    assert_eq!(error.lines().filter(|line| line.ends_with(']')).count(), 1, "one cause: {error}");
}
