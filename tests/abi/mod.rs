//! The ABI gate, on libraries that a real g++ makes: a small stand-in for TensorFlow, and
//! ops built against it.

mod damage;
mod real;
mod rules;
mod x86;

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use xtask::abi::{self, Facts, OpLibrary};
use xtask::error::Error;

/// A folder with a stand-in for TensorFlow and a runtime root, to build ops in.
struct Bench {
    folder: TempDir,
}

/// What ops include: TensorFlow's names, no code.
const HEADER: &str = r#"
#pragma once
#ifndef LTS
#define LTS lts_20250814
#endif
namespace absl { inline namespace LTS {
  class Status { public: Status(int); ~Status(); int code; };
} }
namespace google { namespace protobuf { namespace internal {
  struct AddDescriptorsRunner { explicit AddDescriptorsRunner(const void*); };
} } }
namespace tensorflow {
  class OpKernelContext { public: void CtxFailure(const absl::Status&); void Warn(int, bool); };
  int Registered();
}
"#;

/// The stand-in for the framework library.
const FRAMEWORK: &str = r#"
#include <string>
#include "tf.h"
namespace absl { inline namespace LTS { Status::Status(int c) : code(c) {} Status::~Status() {} } }
namespace google { namespace protobuf { namespace internal {
  AddDescriptorsRunner::AddDescriptorsRunner(const void*) {}
} } }
namespace tensorflow {
  void OpKernelContext::CtxFailure(const absl::Status&) {}
  void OpKernelContext::Warn(int, bool) {}
  int Registered() { return 1; }
  std::string TraceString(int) { return "trace"; }
  void Attr(std::string) {}
}
"#;

/// What only TensorFlow's whole library has.
const WHOLE: &str = r#"namespace tensorflow { void Whole() {} }"#;

/// How an op is linked rightly, but for what a test changes.
const LINK: [&str; 7] = [
    "-L.",
    "-Wl,--no-as-needed",
    "-l:libtensorflow_framework.so.2",
    "-Wl,-rpath,$ORIGIN/../tensorflow",
    "-Wl,--enable-new-dtags",
    "-Wl,--build-id=none",
    "-Wl,--as-needed",
];

impl Bench {
    fn new() -> Self {
        let bench = Bench { folder: tempfile::tempdir().unwrap() };
        bench.write("tf.h", HEADER);
        bench.library("libtensorflow_framework.so.2", FRAMEWORK, &[]);
        bench.library("libtensorflow_cc.so.2", WHOLE, &[]);
        let root = bench.path("root/usr/lib/x86_64-linux-gnu");
        std::fs::create_dir_all(&root).unwrap();
        for name in ["libc.so.6", "libstdc++.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2"] {
            std::fs::copy(Path::new("/usr/lib/x86_64-linux-gnu").join(name), root.join(name))
                .unwrap();
        }
        // Of this library the tests know which versions it has.
        bench.versioned("root/usr/lib/x86_64-linux-gnu/libm.so.6", &["GLIBC_2.2.5", "GLIBC_2.29"]);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Runs g++ in the folder, without a path of it on the command line.
    fn compile(&self, arguments: &[&str]) {
        #[expect(clippy::disallowed_methods, reason = "a fixture, made before the test begins")]
        let output = Command::new("g++").args(arguments).current_dir(self.folder.path()).output();
        let output = output.unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// A shared library that calls itself by its file's name.
    fn library(&self, name: &str, source: &str, more: &[&str]) {
        self.write("source.cc", source);
        let soname =
            format!("-Wl,-soname,{}", Path::new(name).file_name().unwrap().to_str().unwrap());
        let mut arguments = vec!["-shared", "-fPIC", "-O2", &soname, "source.cc", "-o", name];
        arguments.extend(more);
        self.compile(&arguments);
    }

    /// A library with one function in each of these versions, `f_0`, `f_1`, …
    fn versioned(&self, name: &str, versions: &[&str]) {
        let functions = |at: usize| format!("extern \"C\" double f_{at}() {{ return {at}; }}\n");
        let script = |(at, version): (usize, &&str)| format!("{version} {{ global: f_{at}; }};\n");
        let script: String = versions.iter().enumerate().map(script).collect();
        self.write("versions.lds", &script);
        let source: String = (0..versions.len()).map(functions).collect();
        self.library(name, &source, &["-Wl,--version-script=versions.lds", "-nostdlib"]);
    }

    /// Builds `source` as the op library `name` with more flags after the right ones.
    fn op(&self, name: &str, source: &str, more: &[&str]) -> OpLibrary {
        self.op_with(name, source, &[&LINK[..], more].concat())
    }

    /// Builds `source` as the op library `name` with just these flags.
    fn op_with(&self, name: &str, source: &str, flags: &[&str]) -> OpLibrary {
        let (file, library) = (format!("{name}.cc"), format!("lib{name}.so"));
        self.write(&file, source);
        let mut arguments = vec!["-shared", "-fPIC", "-O2", "-Wa,--noexecstack", &file];
        arguments.extend(flags);
        arguments.extend(["-o", &library]);
        self.compile(&arguments);
        OpLibrary { package: name.to_owned(), path: self.path(&library) }
    }

    fn gate(&self, ops: &[OpLibrary]) -> Result<Vec<Facts>, Error> {
        abi::gate(ops, &self.path("libtensorflow_framework.so.2"), &self.path("root"))
    }
}

/// An op with nothing wrong.
const GOOD: &str = r#"
#include "tf.h"
namespace { void Compute(tensorflow::OpKernelContext* c) { c->CtxFailure(absl::Status(3)); } }
static int registered = tensorflow::Registered();
extern "C" void Use(tensorflow::OpKernelContext* c) { Compute(c); }
"#;
