//! The check, checked: ops made unreproducible, each in one way, and what is said of each.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::build::Checkout;
use crate::engines;
use crate::machine;

/// An op package whose library holds a text that a genrule made.
struct Mutant {
    name: &'static str,
    /// What the genrule runs in bash; its output is the text.
    cmd: &'static str,
    /// The cause that must be named; none when the op stays reproducible.
    cause: Option<&'static str>,
}

const fn mutant(name: &'static str, cmd: &'static str, cause: Option<&'static str>) -> Mutant {
    Mutant { name, cmd, cause }
}

/// Every cause, and honest ops beside them.
const MUTANTS: [Mutant; 18] = [
    mutant("honest", "echo honest", None),
    mutant(
        "locale",
        "echo $$LANG $$LC_ALL $$LANGUAGE b A a B | tr ' ' '\\n' | sort | tr '\\n' ' '",
        None,
    ),
    mutant("environment", "env -u PWD -u OLDPWD -u TMPDIR | sort | tr '\\n' ' '", None),
    mutant("clock", "date -u +%Y-01-01", Some("timestamp")),
    mutant("zone", "date -d @86400 +%H:%M", Some("timestamp")),
    mutant("mtime", "stat -L -c %Y $(location parts/a.txt)", Some("timestamp")),
    mutant("host", "echo built on $$(uname -n)", Some("name")),
    mutant("user", "id -u", Some("name")),
    mutant("account", "id -un", Some("name")),
    mutant("kernel", "uname -r", Some("version")),
    mutant("cores", "echo $$(nproc) threads", Some("number")),
    mutant("mask", "touch made; stat -c %a made", Some("number")),
    mutant("random", "echo seed $$RANDOM$$RANDOM", Some("number")),
    mutant("uuid", "cat /proc/sys/kernel/random/uuid", Some("build-id")),
    mutant(
        "archive",
        "python3 -c \"import hashlib, io, tarfile; b = io.BytesIO(); t = tarfile.open(fileobj=b, mode='w', dereference=True); t.add('$(location parts/a.txt)'); t.close(); print(hashlib.md5(b.getvalue()).hexdigest())\"",
        Some("build-id"),
    ),
    mutant("address", "python3 -c 'print(hex(id(object())))'", Some("address")),
    mutant("order", "echo $$(python3 -c \"print(*set('abcdefghijkl'))\")", Some("order")),
    mutant(
        "listing",
        "echo $$(ls -U $$(dirname $$(readlink -f $(location parts/a.txt))))",
        Some("order"),
    ),
];

/// A constructor keeps what nothing else would: an op library exports nothing.
const SOURCE: &str = r#"
extern "C" void* TF_NewStatus();
PREFIX
static const char* volatile kept;
static volatile int number;
namespace { struct Begin { Begin() { kept = TEXT; number = NUMBER; TF_NewStatus(); } } begin; }
"#;

/// Writes an op package.
fn package(root: &Path, name: &str, rules: &str, source: &str) {
    let folder = root.join("ops").join(name);
    fs::create_dir_all(folder.join("parts")).unwrap();
    fs::write(folder.join("__init__.py"), "").unwrap();
    for part in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        fs::write(folder.join(format!("parts/{part}.txt")), part).unwrap();
    }
    let load = "load(\"@org_tensorflow//tensorflow:tensorflow.bzl\", \"tf_custom_op_library\")\n";
    fs::write(folder.join("BUILD"), format!("{load}{rules}")).unwrap();
    fs::write(folder.join("op.cc"), source).unwrap();
}

fn library(name: &str, more: &str) -> String {
    format!(
        "tf_custom_op_library(\n    name = \"lib{name}.so\",\n    srcs = [\"op.cc\"{more},\n)\n"
    )
}

impl Mutant {
    fn write(&self, root: &Path) {
        let Mutant { name, cmd, .. } = self;
        let cmd = cmd.replace('\\', "\\\\").replace('"', "\\\"");
        let rules = format!(
            "genrule(\n    name = \"text\",\n    srcs = glob([\"parts/*\"]),\n    outs = [\"text.h\"],\n    \
             cmd = \"echo \\\"#define TEXT \\\\\\\"text: $$({cmd})\\\\\\\"\\\" > $@\",\n)\n{}",
            library(name, ", \":text\"]")
        );
        let source = SOURCE.replace("NUMBER", "7");
        let source = source.replace("PREFIX", &format!("#include \"{name}/text.h\""));
        package(root, name, &rules, &source);
    }
}

/// A checkout with one op package, whose genrule does as `cmd` says.
pub fn checkout_of(name: &'static str, cmd: &'static str) -> Checkout {
    checkout(&[&mutant(name, cmd, None)])
}

/// A copy of the checkout whose op packages are the given ones only.
fn checkout(mutants: &[&Mutant]) -> Checkout {
    let there = Checkout::copy();
    for name in ["image_ops", "embedding_ops"] {
        fs::remove_dir_all(there.root().join("ops").join(name)).unwrap();
    }
    mutants.iter().for_each(|mutant| mutant.write(there.root()));
    there
}

/// Runs `check` with these words; its exit code, standard output and standard error.
fn check(there: &Checkout, words: &[&str]) -> (i32, String, String) {
    check_with(there, words, &[])
}

/// The same with more variables.
#[expect(clippy::disallowed_methods, reason = "the program under test, as CI starts it")]
fn check_with(there: &Checkout, words: &[&str], env: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("--workspace").arg(there.root()).arg("--offline").arg("check").args(words);
    command.envs(env.iter().copied()).env("GITHUB_ACTIONS", "true");
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn artifacts(json: &Value) -> BTreeMap<String, Value> {
    let artifacts = json["artifacts"].as_array().unwrap().iter();
    artifacts.map(|a| (a["package"].as_str().unwrap().to_owned(), a.clone())).collect()
}

#[test]
fn every_cause_turns_the_check_red_with_its_own_sentence() {
    let there = checkout(&MUTANTS.iter().collect::<Vec<_>>());
    let root = there.root();
    // What the toolchain's flags catch, and the same without them.
    let date = SOURCE
        .replace("PREFIX", "#define TEXT \"built \" __DATE__ \" \" __TIME__ \" \" __TIMESTAMP__")
        .replace("NUMBER", "7");
    package(root, "date_kept", &library("date_kept", "]"), &date);
    let bare = "],\n    features = [\"-lockstep_reproducible\"]";
    package(root, "date_bare", &library("date_bare", bare), &date);
    // A seed in a generated header, as a number in code.
    let seed = "genrule(name = \"seed\", outs = [\"seed.h\"], cmd = \"echo \\\"#define NUMBER $$RANDOM\\\" > $@\")\n";
    let source = SOURCE.replace("PREFIX", "#include \"seed/seed.h\"").replace("TEXT", "\"t\"");
    package(root, "seed", &format!("{seed}{}", library("seed", ", \":seed\"]")), &source);
    // A link order from an unsorted directory: which function comes first.
    let link = "genrule(\n    name = \"order\",\n    srcs = glob([\"parts/*\"]),\n    outs = [\"order.h\"],\n    \
        cmd = \"for f in $$(cd $$(dirname $$(readlink -f $(location parts/a.txt))); ls -U); do f=$${f%.txt}; echo \\\"__attribute__((noinline)) static int f_$$f(int x) { return x * '$$f'; }\\\"; done > $@\",\n)\n";
    let source = SOURCE.replace("PREFIX", "#include \"link/order.h\"").replace("TEXT", "\"t\"");
    let source = source.replace(
        "NUMBER",
        "f_a(number) + f_b(number) + f_c(number) + f_d(number) + f_e(number) + f_f(number)",
    );
    let more = ", \":order\"], copts = [\"-fno-toplevel-reorder\"]";
    package(root, "link", &format!("{link}{}", library("link", more)), &source);

    let junit = root.join("check.xml");
    let words = ["--json", "--no-bisect", "--junit", junit.to_str().unwrap()];
    let (code, out, err) = check(&there, &words);
    assert_eq!(code, 11, "{out}\n{err}");
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["end"], "unreproducible");
    let found = artifacts(&json);
    let one_processor = std::thread::available_parallelism().unwrap().get() == 1;
    let mut expected: Vec<(&str, Option<&str>)> =
        MUTANTS.iter().map(|mutant| (mutant.name, mutant.cause)).collect();
    expected.extend([
        ("date_kept", None),
        ("date_bare", Some("timestamp")),
        ("seed", Some("number")),
        ("link", Some("order")),
    ]);
    let mut wrong = Vec::new();
    for (name, cause) in expected {
        if name == "cores" && one_processor {
            println!("skipped: cores: there is one processor");
            continue;
        }
        let causes: Vec<&str> = found[name]["differences"]
            .as_array()
            .map(|all| all.iter().map(|d| d["cause"].as_str().unwrap()).collect())
            .unwrap_or_default();
        if causes.first().copied() != cause {
            wrong.push(format!("{name}: expected {cause:?}: {:#}", found[name]));
        }
    }
    assert!(wrong.is_empty(), "{}\n{err}", wrong.join("\n"));
    // The wheel holds the libraries, and nothing else differs in it.
    assert_eq!(found["*"]["differences"], Value::Null, "{:#}", found["*"]);

    let xml = fs::read_to_string(junit).unwrap();
    assert!(xml.contains("<testcase classname=\"honest\" name=\"libhonest.so\"/>"), "{xml}");
    assert!(
        xml.contains("name=\"libclock.so\"><failure message=\"a time of the build is in it\">")
    );
    let annotation = "::error file=ops/clock/BUILD,line=9,title=libclock.so is not reproducible::";
    assert!(err.contains(annotation), "{err}");
    let kept = |build: &str| root.join("target/lockstep/differ").join(build).join("libclock.so");
    assert_ne!(fs::read(kept("1")).unwrap(), fs::read(kept("2")).unwrap());
}

/// The commands that a recipe runs, and the step that they stand in.
fn commands(recipe: &str) -> Vec<String> {
    let lines =
        recipe.lines().map(str::trim).skip_while(|line| *line != "steps:" && *line != "script:");
    let github = recipe.contains("runs-on:");
    let mut found = Vec::new();
    for line in lines.skip(1) {
        match (github, line.strip_prefix("- run: "), line.strip_prefix("- ")) {
            (true, Some(command), _) | (false, None, Some(command)) => {
                found.push(command.to_owned())
            }
            (false, None, None) => break,
            _ => {}
        }
    }
    found
}

/// The commands of the recipes, as they stand there, in a fresh clone: every engine, all that
/// can be varied, one ledger, one image.
#[test]
#[expect(clippy::disallowed_methods, reason = "the recipes' own commands, as CI runs them")]
fn the_recipes_for_ci_run_in_a_fresh_clone() {
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let read = |name: &str| fs::read_to_string(original.join("docs/ci").join(name)).unwrap();
    let all = [read("github-actions.yml"), read("gitlab-ci.yml")].map(|recipe| commands(&recipe));
    assert!(all.iter().all(|commands| !commands.is_empty()), "{all:?}");
    let unique: std::collections::BTreeSet<&String> = all.iter().flatten().collect();

    let engines = engines::both();
    // On the disk that has the crates' build already: only our own is built in the clone.
    let built = Path::new(env!("CARGO_BIN_EXE_xtask")).parent().unwrap();
    let folder = tempfile::tempdir_in(built.parent().unwrap()).unwrap();
    let (clone, target) = (folder.path().join("clone"), folder.path().join("target"));
    let run = |program: &str, words: &[&std::ffi::OsStr], cwd: &Path| {
        let mut command = Command::new(program);
        command.args(words).current_dir(cwd).env("CARGO_TARGET_DIR", &target).env("CI", "true");
        command.env("CARGO_INCREMENTAL", "0");
        command.envs(engines.iter().flat_map(|engines| engines.env.iter().cloned()));
        let output = command.env("GITHUB_ACTIONS", "true").output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        assert!(
            output.status.success(),
            "{program} {words:?}:\n{}",
            String::from_utf8_lossy(&text)
        );
        String::from_utf8(text).unwrap()
    };
    let root = original.as_os_str();
    run("git", &["clone".as_ref(), "--quiet".as_ref(), root, clone.as_ref()], folder.path());
    fs::create_dir(&target).unwrap();
    run("cp", &["-al".as_ref(), built.as_ref(), target.as_ref()], folder.path());
    for command in unique {
        let said = run("sh", &["-ec".as_ref(), command.as_ref()], &clone);
        if engines.is_some() {
            assert!(said.contains("in 4 builds") && !said.contains("skipped: engine"), "{said}");
        }
        assert!(said.contains("image: manifest: equal in "), "{said}");
        assert!(said.contains("ledger: reproduced"), "{said}");
        assert!(!said.contains("::error"), "{said}");
    }
    let xml = fs::read_to_string(clone.join("check.xml")).unwrap();
    assert!(xml.contains("failures=\"0\"") && xml.contains("libimage_ops.so"), "{xml}");
    for (build, engine) in [(3, "docker"), (4, "podman")].iter().filter(|_| engines.is_some()) {
        let log = clone.join(format!("target/lockstep/log/check-{build}.log"));
        let log = fs::read_to_string(log).unwrap();
        let sandbox = format!("engine {engine}: Bazel's actions ran as:");
        assert!(log.contains(&sandbox) && log.contains("processwrapper-sandbox"), "{log}");
    }
}

const DIGESTS: &str = "tests/snapshots/ledger__digests@linux-amd64.snap";

/// Nothing is built before the ledger can be compared with.
#[test]
fn a_ledger_that_cannot_be_compared_with_is_said_before_anything_is_built() {
    let there = Checkout::copy();
    let path = there.root().join(DIGESTS);
    let whole = fs::read_to_string(&path).unwrap();
    let refused = |words: &[&str]| {
        let (code, out, err) = check(&there, &[]);
        assert_eq!((code, out.as_str()), (9, ""), "{err}");
        words.iter().for_each(|word| assert!(err.contains(word), "no `{word}` in {err}"));
        assert!(!there.root().join("target/lockstep/check").exists());
    };
    fs::remove_file(&path).unwrap();
    refused(&["no ledger for linux/amd64 is committed", "hint: run `cargo xtask build-ops`"]);
    let conflict = whole.replacen('\n', "\n<<<<<<< HEAD\n", 3);
    fs::write(&path, conflict).unwrap();
    refused(&["merge conflict", DIGESTS, "--theirs"]);
    fs::write(&path, &whole).unwrap();
    let pending = there.root().join(format!("{DIGESTS}.new"));
    fs::write(&pending, &whole).unwrap();
    refused(&["ledger__digests@linux-amd64.snap.new is a proposal that nobody accepted"]);
    fs::remove_file(pending).unwrap();
    // The rows of this platform are under another one's name.
    for part in ["digests", "surface"] {
        let name = |platform: &str| {
            there.root().join(format!("tests/snapshots/ledger__{part}@linux-{platform}.snap"))
        };
        fs::rename(name("amd64"), name("arm64")).unwrap();
    }
    refused(&["no ledger for linux/amd64 is committed; there is one for linux/arm64"]);
}

/// A ledger as `build-ops` leaves it, of these digests.
fn ledger(there: &Checkout, name: &str, change: impl Fn(&mut Vec<Value>)) -> String {
    let text = fs::read_to_string(there.root().join(DIGESTS)).unwrap();
    let rows = text.lines().filter(|line| line.contains("  linux/amd64  ")).map(|line| {
        let fields: Vec<&str> = line.split("  ").collect();
        serde_json::json!({
            "sha256": fields[0], "platform": fields[1], "package": fields[2], "file": fields[3],
        })
    });
    let mut rows: Vec<Value> = rows.collect();
    change(&mut rows);
    let ledger = serde_json::json!({ "platform": "linux/amd64", "rows": rows, "surfaces": [] });
    let path = there.root().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, ledger.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn ledgers_of_other_machines_agree_or_are_named() {
    let there = Checkout::copy();
    let ours = ledger(&there, "dist/ledger.json", |_| {});
    let other = ledger(&there, "a/ledger.json", |rows| rows[1]["sha256"] = "00".repeat(32).into());
    let less =
        ledger(&there, "b/ledger.json", |rows| rows.retain(|row| row["package"] != "image_ops"));
    let served = machine::serve(fs::read(&ours).unwrap());
    let address = format!("http://{served}/ledger.json");
    // Ours has no surface, so the committed ledger differs; what others say is told all the same.
    let words = ["--builds", "0", "--against", &ours, &other, &less, &address];
    let said = there.xtask(&[&["check"], &words[..]].concat());
    assert!(said.out.contains("agreement: 3 of 5\n"), "{}{}", said.out, said.err);
    assert!(
        said.out.contains(&format!(
            "{other} dissents on libembedding_ops.so (000000000000 instead of "
        ))
    );
    assert!(
        said.out.contains(&format!("{less} dissents on libimage_ops.so (not there)")),
        "{}",
        said.out
    );
    said.with(9, &["workspace id"]);

    fs::write(there.root().join("page.html"), "<html>").unwrap();
    let page = there.root().join("page.html");
    let words = ["check", "--builds", "0", "--against", page.to_str().unwrap()];
    there.xtask(&words).with(9, &["page.html` is no ledger"]);
    let words = ["--offline", "check", "--builds", "0", "--against", "http://ledger.example/x"];
    there.xtask(&words).with(6, &["--offline forbids it"]);
    // An op that was removed is named as such.
    ledger(&there, "dist/ledger.json", |rows| rows.retain(|row| row["package"] != "image_ops"));
    there
        .xtask(&["check", "--builds", "0"])
        .with(9, &["image_ops: libimage_ops.so: no longer there"]);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the program under test, where no engine listens")]
fn an_engine_that_is_not_to_be_had_is_skipped_never_passed() {
    let there = Checkout::copy();
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("--workspace").arg(there.root()).args(["--offline", "check", "--engine", "docker"]);
    let nobody = there.root().join("no.sock");
    let output =
        command.env("DOCKER_HOST", format!("unix://{}", nobody.display())).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{err}");
    for word in ["check: skipped: engine docker: ", "error: nothing is checked: "] {
        assert!(err.contains(word), "no `{word}` in {err}");
    }
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// What one machine cannot show to differ, or what no build varies, the ABI gate refuses.
#[test]
fn the_builders_processor_and_its_paths_are_refused() {
    let there = checkout(&[]);
    let work = "static float a[64], b[64];\n#define TEXT ([] { for (int i = 0; i < 64; i++) \
        a[i] += b[i] * b[i]; return (const char*)a; }())";
    let source = SOURCE.replace("PREFIX", work).replace("NUMBER", "7");
    let flags = "],\n    copts = [\"-O3\", \"-march=native\"]";
    package(there.root(), "native_cpu", &library("native_cpu", flags), &source);
    let header = "static const char* const where = __FILE__;\n";
    let rules = "genrule(\n    name = \"where\",\n    srcs = [\"file.h\"],\n    outs = [\"where.h\"],\n    \
        cmd = \"gcc -E -P $$PWD/$(location file.h) > $@\",\n)\n";
    let source = SOURCE.replace("PREFIX", "#include \"file/where.h\"");
    let source = source.replace("TEXT", "where").replace("NUMBER", "7");
    let rules = format!("{rules}{}", library("file", ", \":where\"]"));
    package(there.root(), "file", &rules, &source);
    fs::write(there.root().join("ops/file/file.h"), header).unwrap();
    let (code, out, err) = check(&there, &["--builds", "1"]);
    assert_eq!((code, out.as_str()), (8, ""), "{err}");
    for word in [
        "build 1 (native; varied: nothing) failed",
        "file (libfile.so): it carries paths of the machine that built it",
        "native_cpu (libnative_cpu.so): older machines of the cluster end it with `Illegal instruction`",
    ] {
        assert!(err.contains(word), "no `{word}` in {err}");
    }
}

/// One build after the other, until each op has the one variation that moves it; then what
/// can go wrong in the middle of a build.
#[test]
fn the_guilty_variation_is_found() {
    let mutants = ["host", "clock", "honest", "random"];
    let mutants: Vec<&Mutant> = MUTANTS.iter().filter(|m| mutants.contains(&m.name)).collect();
    let there = checkout(&mutants);
    // In place of diffoscope: it says that the files differ, as that does. Not in the checkout:
    // no search path can name a folder with a colon.
    let tools = tempfile::tempdir().unwrap();
    let tool = tools.path().join("diffoscope");
    fs::write(&tool, "#!/bin/sh\n! cmp \"$4\" \"$5\" >\"$3\" || exit 2\nexit 1\n").unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", tools.path().display(), std::env::var("PATH").unwrap());
    let words = ["--json", "--vary", "host,clock,zone"];
    let (code, out, err) = check_with(&there, &words, &[("PATH", &path)]);
    assert_eq!(code, 11, "{out}\n{err}");
    let json: Value = serde_json::from_str(&out).unwrap();
    let report = there.root().join("target/lockstep/differ/libhost.so.diffoscope.txt");
    let offered = Value::from(format!("diffoscope: `{}`", report.display()));
    assert!(json["kept"].as_array().unwrap().contains(&offered), "{out}");
    assert!(fs::read_to_string(report).unwrap().contains("differ: "), "{out}");
    let found = artifacts(&json);
    assert_eq!(found["host"]["guilt"], serde_json::json!({"alone": ["host"]}), "{out}");
    assert_eq!(found["clock"]["guilt"], serde_json::json!({"alone": ["clock"]}), "{out}");
    assert_eq!(found["random"]["guilt"], "itself", "{out}");
    assert_eq!(found["honest"]["guilt"], Value::Null, "{out}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the program under test, on a small disk")]
fn a_disk_that_is_full_during_the_second_build_is_said() {
    let there = checkout(&[&MUTANTS[0]]);
    let small = there.root().join("small");
    fs::create_dir(&small).unwrap();
    let words = "mount -t tmpfs -o size=700k none \"$1\" && d=$1 && shift && exec \"$@\" --elsewhere \"$d\"";
    let mut command = Command::new("unshare");
    command.args(["-Urm", "sh", "-c", words, "sh"]).arg(&small).arg(env!("CARGO_BIN_EXE_xtask"));
    command.arg("--workspace").arg(there.root());
    let output = command.args(["--offline", "check", "--vary", "output"]).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(matches!(output.status.code(), Some(1 | 7)), "{:?}\n{err}", output.status);
    assert!(err.contains("build 2 (native; varied: output) failed"), "{err}");
    assert!(err.contains("No space left on device"), "{err}");
    assert!(output.stdout.is_empty() && !there.root().join("target/lockstep/differ").exists());
}
