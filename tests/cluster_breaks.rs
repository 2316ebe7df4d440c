//! Each way in which clusters break in the field, staged on one node of the whole cluster of
//! workspace.toml: what a user sees without Lockstep, and what Lockstep says instead, before
//! training begins.
//!
//! The node is `worker 1`. It has its own copy of the image's top layer, which a break changes
//! as a person, a node's disk or a registry would have; all other tasks are sound.

mod second;

use std::fs;
use std::path::{Path, PathBuf};

use second::second;
use xtask::engine::{Log, Mount, Native, Output, Run};
use xtask::pins::cluster::{Role, Strategy};

use crate::cluster_smoke::{Case, image};

/// Worker 1, and how it is broken.
struct Node<'a> {
    run: &'a mut Run,
    /// Its own copy of the image's top layer.
    top: PathBuf,
    /// What all tasks see at `/out`.
    out: &'a Path,
    /// Where the image keeps TensorFlow, as an overlay of `top` and this.
    site: PathBuf,
}

impl Node<'_> {
    fn library(&self) -> PathBuf {
        self.packages().join("tensorflow-plugins/libembedding_ops.so")
    }

    /// The folder of Python packages in its top layer.
    fn packages(&self) -> PathBuf {
        self.top.join(packages(self.run).trim_start_matches('/'))
    }

    /// The op library with other bytes.
    fn rewrite(&self, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        let bytes = fs::read(self.library()).unwrap();
        let changed = change(bytes.clone());
        assert!(changed != bytes, "nothing was changed");
        fs::write(self.library(), changed).unwrap();
    }

    /// TensorFlow's framework library as another version has it: other names of absl.
    fn other_framework(&self, folder: &Path) {
        let name = "libtensorflow_framework.so.2";
        let bytes = fs::read(self.site.join("tensorflow").join(name)).unwrap();
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join(name), of_other_absl(bytes)).unwrap();
    }

    /// The identity with other values.
    fn identity(&self, changes: &[(&str, &str)]) {
        let path = self.top.join("usr/local/share/lockstep/identity");
        let text = fs::read_to_string(&path).unwrap();
        let line = |line: &str| {
            let key = line.split('\t').next().unwrap();
            let change = changes.iter().find(|(changed, _)| *changed == key);
            change.map_or(line.to_owned(), |(key, value)| format!("{key}\t{value}")) + "\n"
        };
        fs::write(&path, text.lines().map(line).collect::<String>()).unwrap();
    }
}

/// The folder of Python packages in the image.
fn packages(run: &Run) -> String {
    let overlay = run.mounts.iter().map(Mount::target).find(|target| target.ends_with("-packages"));
    overlay.unwrap().to_owned()
}

/// The training scripts on the host.
fn scripts(run: &Run) -> PathBuf {
    let is_it = |mount: &&Mount| mount.target() == "/work";
    run.mounts.iter().find(is_it).unwrap().sources()[0].clone()
}

/// What was built against another TensorFlow asks for other names: absl's release is in them.
fn of_other_absl(mut bytes: Vec<u8>) -> Vec<u8> {
    let places: Vec<usize> =
        bytes.windows(6).enumerate().filter(|(_, w)| *w == b"12lts_").map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "no name of absl");
    places.iter().for_each(|at| bytes[at + 6..at + 14].copy_from_slice(b"20250127"));
    bytes
}

/// What was built with `_GLIBCXX_USE_CXX11_ABI=0` asks for names without the mark of the new one.
fn of_old_abi(mut bytes: Vec<u8>) -> Vec<u8> {
    let (new, old) = (
        b"_ZNK10tensorflow8OpKernel11TraceStringB5cxx11ERKNS_15OpKernelContextEb".as_slice(),
        b"_ZNK10tensorflow8OpKernel11TraceStringERKNS_15OpKernelContextEb\0\0\0\0\0\0\0".as_slice(),
    );
    let at = bytes.windows(new.len()).position(|window| window == new).unwrap();
    bytes[at..at + new.len()].copy_from_slice(old);
    bytes
}

/// Other code under the same names: one bit of an instruction.
fn of_other_code(mut bytes: Vec<u8>) -> Vec<u8> {
    use object::{Object as _, ObjectSection as _};
    let (at, size) = {
        let file = object::File::parse(&*bytes).unwrap();
        file.section_by_name(".text").unwrap().file_range().unwrap()
    };
    bytes[usize::try_from(at + size / 2).unwrap()] ^= 1;
    bytes
}

/// What a user sees without Lockstep.
enum Today {
    /// This, when the node's process is started without the entrypoint: how it ends, and words
    /// of what it says.
    Run(&'static str, &'static str),
    /// This, measured by hand on a cluster of plain processes: too long, or too large, to be
    /// staged in a test.
    Measured(&'static str),
}

struct Break {
    name: &'static str,
    stage: fn(&mut Node<'_>),
    today: Today,
}

const BREAKS: &[Break] = &[
    Break {
        name: "no .so",
        stage: |node| fs::remove_file(node.library()).unwrap(),
        today: Today::Run(
            "exit code 1",
            "libembedding_ops.so: cannot open shared object file: No such file or directory",
        ),
    },
    Break {
        name: "a truncated .so",
        stage: |node| node.rewrite(|bytes| bytes[..bytes.len() / 2].to_vec()),
        today: Today::Run("killed by SIGBUS", ""),
    },
    Break {
        name: "an op with other kernel code under the same signature",
        stage: |node| node.rewrite(of_other_code),
        today: Today::Run("exit code 0", "trains on"),
    },
    Break {
        name: "an op built for TensorFlow 2.20, in the image of 2.21",
        stage: |node| node.rewrite(|_| fs::read(second().library()).unwrap()),
        today: Today::Run(
            "exit code 1",
            "undefined symbol: _ZN3tsl8internal15LogMessageFatalC1EPKci",
        ),
    },
    Break {
        name: "an op built for TensorFlow 2.21, in the image of 2.20",
        stage: |node| {
            let ours = fs::read(node.library()).unwrap();
            node.take_second();
            fs::write(node.library(), ours).unwrap();
        },
        today: Today::Run(
            "exit code 1",
            "undefined symbol: _ZN10tensorflow15OpKernelContext21CtxFailureWithWarningEPKciRKN4absl12lts_202508146StatusE",
        ),
    },
    Break {
        name: "an op with the other libstdc++ ABI",
        stage: |node| node.rewrite(of_old_abi),
        today: Today::Run(
            "exit code 1",
            "undefined symbol: _ZNK10tensorflow8OpKernel11TraceStringERKNS_15OpKernelContextEb",
        ),
    },
    Break {
        // All its files are sound; see also `a_mixed_cluster_trains_without_a_word`.
        name: "another TensorFlow: the image of a second lock, with ops built for it",
        stage: |node| node.take_second(),
        today: Today::Run("exit code 0", "trains on"),
    },
    Break {
        name: "another TensorFlow: installed over the image's",
        stage: |node| node.other_framework(&node.packages().join("tensorflow")),
        today: Today::Run(
            "exit code 1",
            "ImportError: SITE/tensorflow/libtensorflow_framework.so.2: undefined symbol: _ZN7riegeli6Writer9WriteSlowEON4absl12lts_202501274CordE",
        ),
    },
    Break {
        name: "a wrong LD_LIBRARY_PATH",
        stage: |node| {
            node.other_framework(&node.out.join("other"));
            node.run.env.insert("LD_LIBRARY_PATH".into(), "/out/other".into());
        },
        today: Today::Run(
            "exit code 1",
            "ImportError: /out/other/libtensorflow_framework.so.2: undefined symbol: _ZN7riegeli6Writer9WriteSlowEON4absl12lts_202501274CordE",
        ),
    },
    Break {
        name: "a PYTHONPATH that shadows TensorFlow",
        stage: |node| {
            fs::create_dir_all(node.out.join("mine/tensorflow")).unwrap();
            fs::write(node.out.join("mine/tensorflow/__init__.py"), "").unwrap();
            node.run.env.insert("PYTHONPATH".into(), format!("/out/mine:{}", packages(node.run)));
        },
        today: Today::Run(
            "exit code 1",
            "AttributeError: module 'tensorflow' has no attribute 'load_op_library'",
        ),
    },
    Break {
        name: "a stale image under the same tag",
        stage: |node| node.identity(&[("workspace-id", &"a".repeat(64))]),
        today: Today::Measured("nothing at all, or other weights: loss 0.0221 instead of 0.0164"),
    },
    Break {
        name: "other training code on one node",
        stage: |node| {
            let other = node.top.with_file_name("scripts");
            copy(&scripts(node.run), &other);
            let text = fs::read_to_string(other.join("ps.py")).unwrap();
            fs::write(other.join("ps.py"), text.replace("BATCH = 32", "BATCH = 16")).unwrap();
            for mount in &mut node.run.mounts {
                match mount {
                    Mount::ReadOnly { source, target } if target == "/work" => {
                        *source = other.clone()
                    }
                    _ => {}
                }
            }
        },
        today: Today::Run("exit code 0", "trains on"),
    },
    Break {
        name: "a TF_CONFIG with a wrong index",
        stage: |node| {
            let config = node.run.env.get_mut("TF_CONFIG").unwrap();
            *config = config.replace(r#""index":1"#, r#""index":7"#);
        },
        today: Today::Run(
            "exit code 1",
            r#"InternalError: Task 7 was not defined in job "worker""#,
        ),
    },
    Break {
        name: "a worker that dies at start",
        stage: |node| {
            node.run.argv.truncate(2);
            let words = ["-c", "raise RuntimeError('no such bucket')"];
            node.run.argv.extend(words.map(str::to_owned));
        },
        today: Today::Measured("nothing at all: the chief was still waiting after 420 s"),
    },
];

/// What the node runs without Lockstep: as tutorials have it.
const PLAIN: &str = "\
import os, json, tensorflow as tf
tf.load_op_library('@/tensorflow-plugins/libembedding_ops.so')
config = json.loads(os.environ['TF_CONFIG'])
if config['task']['index'] > 1:
  resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
  tf.distribute.Server(resolver.cluster_spec(), job_name='worker', task_index=resolver.task_id)
print('trains on')
";

/// Copies a small tree.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (item.path(), to.join(item.file_name()));
        match item.file_type().unwrap() {
            kind if kind.is_dir() => copy(&from, &to),
            kind if kind.is_symlink() => {
                std::os::unix::fs::symlink(fs::read_link(&from).unwrap(), &to).unwrap();
            }
            _ => drop(fs::copy(&from, &to).unwrap()),
        }
    }
}

/// The tree of the image's top layer, and the site-packages below it.
fn trees(run: &Run) -> (PathBuf, PathBuf) {
    let packages = packages(run);
    let overlay = run.mounts.iter().find(|mount| mount.target() == packages).unwrap();
    let [top, site] = overlay.sources() else { panic!("{overlay:?}") };
    let depth = Path::new(&packages).components().count() - 1;
    (top.ancestors().nth(depth).unwrap().to_owned(), site.clone())
}

/// Puts the node on its own copy of the top layer.
fn own_copy(run: &mut Run, top: &Path, copy: &Path) {
    for mount in &mut run.mounts {
        let Mount::Overlay { sources, .. } = mount else { continue };
        for source in sources {
            if let Ok(below) = source.strip_prefix(top) {
                *source = copy.join(below);
            }
        }
    }
}

/// What a plain process on the broken node shows: how it ends, and its output.
fn plain(run: &Run, log: &Path) -> (String, String) {
    let mut run = run.clone();
    let program = PLAIN.replace('@', &packages(&run));
    run.argv = ["/usr/bin/python3", "-c", &program].map(str::to_owned).into();
    let native = Native::with(env!("CARGO_BIN_EXE_xtask"));
    let outcome = native.run(&run, Output::Log(Log::at(log))).unwrap();
    let said = fs::read_to_string(log).unwrap();
    (outcome.end.to_string(), said.replace(&packages(&run), "SITE"))
}

/// Digests and sizes move with the ops.
fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let (word, end) = match word.char_indices().next_back() {
            Some((at, c)) if !c.is_ascii_alphanumeric() => word.split_at(at),
            _ => (word, ""),
        };
        let digits = word.len() > 4 && word.bytes().all(|b| b.is_ascii_digit());
        let digest = word.len() == 64;
        out += if digest {
            "DIGEST"
        } else if digits {
            "N"
        } else {
            word
        };
        out += end;
    }
    out
}

/// What is seen today, in a plain process; two at a time.
#[test]
fn without_lockstep() {
    if !image() {
        return;
    }
    let next = std::sync::Mutex::new(BREAKS.iter());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(broken) = next.lock().unwrap().next() else { break };
                    let Today::Run(end, words) = broken.today else { continue };
                    let (found, said) = staged(broken, |case, logs| {
                        plain(&case.job.tasks[2].run, &logs.join("plain.log"))
                    });
                    println!("{}: {found}\n{said}", broken.name);
                    assert_eq!(found, end, "{}: {said}", broken.name);
                    assert!(said.contains(words), "{}: {said}", broken.name);
                    assert!(
                        !words.is_empty() || !said.contains("Error"),
                        "{}: {said}",
                        broken.name
                    );
                }
            });
        }
    });
}

/// Does `then` on a cluster one node of which is broken.
fn staged<T>(broken: &Break, then: impl FnOnce(&Case, &Path) -> T) -> T {
    let mut case = Case::new(Strategy::ParameterServer, &[]);
    let folder = tempfile::tempdir().unwrap();
    let copied = folder.path().join("top");
    let out = case.place.place.out.clone();
    let node = &mut case.job.tasks[2];
    assert_eq!(node.name, "worker 1");
    let (top, site) = trees(&node.run);
    copy(&top, &copied);
    own_copy(&mut node.run, &top, &copied);
    (broken.stage)(&mut Node { run: &mut node.run, top: copied, out: &out, site });
    then(&case, folder.path())
}

/// One worker of three has TensorFlow 2.20 and ops that were built for it; nobody compares. The
/// chief trains to the end, and says nothing of it.
#[test]
fn a_mixed_cluster_trains_without_a_word() {
    if !image() {
        return;
    }
    let mut case = Case::new(Strategy::ParameterServer, &[(Role::Worker, 2), (Role::Ps, 1)]);
    second().take(&mut case.job.tasks[2].run);
    for task in &mut case.job.tasks {
        // Without the entrypoint, as in an image of one's own.
        task.run.argv.remove(0);
        task.run.argv[0] = "/usr/bin/python3".to_owned();
    }
    assert!(case.unwatched("@ done"), "{}", case.log("chief 0"));
    let said = case.log("chief 0");
    assert!(said.contains("@ step 200 of 200"), "{said}");
    assert!(case.log("worker 1").contains("@ step"), "{}", case.log("worker 1"));
}

#[test]
fn each_break_is_named_before_training_begins() {
    if !image() {
        return;
    }
    let mut text = String::new();
    for broken in BREAKS {
        staged(broken, |case, _| {
            let error = case.run(|_| {}).unwrap_err();
            for task in &case.job.tasks {
                let log = case.log(&task.name);
                assert!(!log.contains("@ step"), "{}: {} trained: {log}", broken.name, task.name);
            }
            let today = match broken.today {
                Today::Measured(what) => what.to_owned(),
                Today::Run(end, "") => end.to_owned(),
                Today::Run(end, words) => format!("{words} ({end})"),
            };
            let error = error.to_string().replace(&packages(&case.job.tasks[2].run), "SITE");
            text += &format!("== {}\ntoday: {today}\n{error}\n\n", broken.name);
        });
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!("cluster_breaks", without_numbers(&text)));
}
