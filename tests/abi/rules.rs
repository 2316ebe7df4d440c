//! Each rule: an op that breaks it, and what its author reads.

use xtask::abi::OpLibrary;
use xtask::error::{Error, Kind};

use super::{Bench, GOOD, LINK};

#[test]
fn a_good_op_passes_and_its_facts_are_measured() {
    let bench = Bench::new();
    let facts = bench.gate(&[bench.op("good", GOOD, &[])]).unwrap();
    let [facts] = &facts[..] else { panic!("one library, {} facts", facts.len()) };
    assert_eq!(facts.package, "good");
    assert_eq!(facts.file, "libgood.so");
    assert_eq!(facts.needed[0], "libtensorflow_framework.so.2");
    assert_eq!(facts.runpath, "$ORIGIN/../tensorflow");
    assert_eq!(facts.absl_lts.as_deref(), Some("lts_20250814"));
    assert_eq!(facts.isa, "x86-64");
    assert_eq!(facts.floors.keys().collect::<Vec<_>>(), ["CXXABI", "GCC"]);
    assert!(facts.compilers[0].starts_with("GCC: "), "{:?}", facts.compilers);
}

#[test]
fn only_the_code_digest_outlasts_what_is_not_code() {
    let bench = Bench::new();
    let plain = bench.op("plain", GOOD, &[]);
    let noted = bench.op("noted", GOOD, &["-Wl,--build-id=sha1", "-Wl,-s"]);
    let other = bench.op("other", &GOOD.replace("Status(3)", "Status(4)"), &[]);
    let facts = bench.gate(&[plain, noted, other]).unwrap();
    assert_ne!(facts[0].sha256, facts[1].sha256);
    assert_eq!(facts[0].code, facts[1].code);
    assert_ne!(facts[0].code, facts[2].code);
}

#[test]
fn a_function_that_the_loader_chooses_by_processor_passes() {
    let bench = Bench::new();
    let source = GOOD.to_owned()
        + "__attribute__((target_clones(\"avx2\", \"default\"))) int sum(const int* a, int n)\n\
           { int s = 0; for (int i = 0; i < n; i++) s += a[i]; return s; }";
    let facts = bench.gate(&[bench.op("clones", &source, &["-O3"])]).unwrap();
    assert_eq!(facts[0].isa, "x86-64 (dispatches to x86-64-v3)");
}

#[test]
fn every_finding_of_every_op_is_said_at_once_and_each_hint_once() {
    let bench = Bench::new();
    let good = bench.op("good", GOOD, &[]);
    let one =
        "extern \"C\" int nobody(); const char* one() { return nobody() ? \"/work/one\" : 0; }";
    let two = "const char* two() { return \"/work/two\"; }";
    let ops = [good, bench.op("one", one, &[]), bench.op("two", two, &[])];
    insta::assert_snapshot!(shown(&bench.gate(&ops).unwrap_err()), @"
    error: the ABI gate refuses 2 of 3 op libraries
    one (libone.so): nothing defines `nobody` [symbols]
      expected: a definition in the op, in libtensorflow_framework.so.2 or in the C and C++ runtime
      found: none
    one (libone.so): it carries paths of the machine that built it [paths]
      expected: no path under /work/, /out/, /dev/shm/bazel-sandbox, /tmp/, /home/, /root/, /build/, /Users/
      found: `/work/one` at 0x… (.rodata)
    two (libtwo.so): it carries paths of the machine that built it [paths]
      expected: no path under /work/, /out/, /dev/shm/bazel-sandbox, /tmp/, /home/, /root/, /build/, /Users/
      found: `/work/two` at 0x… (.rodata)
    hint: one (libone.so): is the source that defines it in `srcs`, or the library that has it in `deps`, of the BUILD file?
    hint: one (libone.so), two (libtwo.so): use paths relative to the workspace in sources, and `-ffile-prefix-map=$PWD=.` for `__FILE__`, assertions and debug information
    ");
}

/// The message with what depends on the host's g++ made plain: addresses.
fn shown(error: &Error) -> String {
    let text = error.to_string();
    let mut pieces = text.split("0x");
    let mut out = pieces.next().unwrap().to_owned();
    for piece in pieces {
        out += "0x…";
        out += piece.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    }
    out
}

const WHOLE_USER: &str =
    "namespace tensorflow { void Whole(); } void use() { tensorflow::Whole(); }";

/// One page a wrong op: what is wrong, and what the gate says.
struct Book<'a> {
    bench: &'a Bench,
    text: String,
}

impl Book<'_> {
    fn page(&mut self, title: &str, op: OpLibrary) {
        let error = self.bench.gate(&[op]).map(|_| title).unwrap_err();
        assert_eq!(error.kind(), Kind::Abi);
        self.text += &format!("# {title}\n{}\n\n", shown(&error));
    }
}

#[test]
fn each_rule_and_its_message() {
    let bench = Bench::new();
    let mut book = Book { bench: &bench, text: String::new() };
    needed(&bench, &mut book);
    search_path(&bench, &mut book);
    missing(&bench, &mut book);
    other_builds(&bench, &mut book);
    copies(&bench, &mut book);
    contents(&bench, &mut book);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("abi_rules", book.text.trim_end()));
}

/// Libraries that it needs.
fn needed(bench: &Bench, book: &mut Book<'_>) {
    book.page("not linked to the framework", bench.op_with("alone", "int a;", &LINK[3..]));
    bench.library("libtensorflow_framework-1a2b3c4d.so.2", super::FRAMEWORK, &[]);
    let bundled = ["-l:libtensorflow_framework-1a2b3c4d.so.2", "-L.", LINK[3], LINK[5]];
    book.page("a bundled framework library", bench.op_with("bundled", GOOD, &bundled));
    bench.library("libother.so.1", "int other() { return 1; }", &[]);
    let other = "int other(); int use() { return other(); }";
    book.page("a library that is not everywhere", bench.op("other", other, &["-l:libother.so.1"]));
    let whole = WHOLE_USER;
    book.page(
        "TensorFlow's whole library",
        bench.op("whole", whole, &["-l:libtensorflow_cc.so.2"]),
    );
}

/// Where it looks for them.
fn search_path(bench: &Bench, book: &mut Book<'_>) {
    book.page("no RUNPATH", bench.op_with("norunpath", GOOD, &[LINK[0], LINK[2], LINK[5]]));
    book.page("an RPATH", bench.op("rpath", GOOD, &["-Wl,--disable-new-dtags"]));
    book.page("a RUNPATH to elsewhere", bench.op("elsewhere", GOOD, &["-Wl,-rpath,/opt/tf/lib"]));
}

/// Symbols that nothing provides.
fn missing(bench: &Bench, book: &mut Book<'_>) {
    let uses = |what: &str| format!("#include \"tf.h\"\nvoid use() {{ {what}; }}");
    let whole = WHOLE_USER;
    book.page(
        "a function that nobody wrote",
        bench.op("nobody", &uses("extern void forgotten(int); forgotten(1)"), &[]),
    );
    book.page("a function that only the whole library has", bench.op("kernels", whole, &[]));
    let gone = "namespace tensorflow { void Gone(int); } void use() { tensorflow::Gone(1); }";
    book.page("a function that this TensorFlow does not have", bench.op("gone", gone, &[]));
    let moved = "namespace tensorflow { class OpKernelContext { public: void Warn(int); }; }\n\
                 void use(tensorflow::OpKernelContext* c) { c->Warn(1); }";
    book.page("a function with other parameters", bench.op("moved", moved, &[]));
}

/// Builds for another TensorFlow or another C library.
fn other_builds(bench: &Bench, book: &mut Book<'_>) {
    let strings = "#include <string>\nnamespace tensorflow { std::string TraceString(int); void Attr(std::string); }\n\
                   void use() { tensorflow::Attr(tensorflow::TraceString(1)); }";
    book.page(
        "the old libstdc++ ABI",
        bench.op("oldabi", strings, &["-D_GLIBCXX_USE_CXX11_ABI=0"]),
    );
    book.page("another absl", bench.op("absl", GOOD, &["-DLTS=lts_20250127"]));
    bench.versioned("libm.so.6", &["GLIBC_2.2.5", "GLIBC_2.29", "GLIBC_9.41"]);
    let newer = GOOD.to_owned() + "extern \"C\" double f_2(); double newer() { return f_2(); }";
    book.page("a newer C library", bench.op("newer", &newer, &["-l:libm.so.6"]));
}

/// What is there twice.
fn copies(bench: &Bench, book: &mut Book<'_>) {
    let copy = "#include \"tf.h\"\nnamespace absl { inline namespace LTS { Status::Status(int c) : code(c) {} } }\n";
    book.page("a copy of absl", bench.op("copy", &(copy.to_owned() + GOOD), &[]));
    book.page(
        "a hidden copy of absl",
        bench.op("hidden", &(copy.to_owned() + GOOD), &["-fvisibility=hidden"]),
    );
    let generated =
        "#include \"tf.h\"\nstatic google::protobuf::internal::AddDescriptorsRunner r(nullptr);";
    book.page("generated message code", bench.op("messages", generated, &[]));
    let runtime =
        GOOD.to_owned() + "extern \"C\" const char said[] = \"File already exists in database: \";";
    book.page("a second protobuf", bench.op("protobuf", &runtime, &[]));
}

/// What lies in the bytes.
fn contents(bench: &Bench, book: &mut Book<'_>) {
    let sum = "int sum(const int* a, int n) { int s = 0; for (int i = 0; i < n; i++) s += a[i]; return s; }";
    book.page(
        "the builder's own processor",
        bench.op("avx", &(GOOD.to_owned() + sum), &["-O3", "-mavx2"]),
    );
    let path = GOOD.to_owned() + "extern \"C\" const char here[] = \"/work/ops/here.cc\";";
    book.page("a path of the builder", bench.op("paths", &path, &[]));
    book.page("a random build id", bench.op("uuid", GOOD, &["-Wl,--build-id=uuid"]));
    let absolute = GOOD.to_owned() + "extern \"C\" int v; asm(\".text\\n movabs $Use, %rax\\n\");";
    book.page("text relocations", bench.op("textrel", &absolute, &["-Wl,-z,notext"]));
    book.page("an executable stack", bench.op("stack", GOOD, &["-Wl,-z,execstack"]));
    book.page("writable code", bench.op("writable", GOOD, &["-Wl,--omagic", "-nostdlib"]));
}
