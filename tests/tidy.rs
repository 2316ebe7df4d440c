//! Rules of the whole repository that no compiler knows.

use std::path::{Path, PathBuf};

/// The checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Every text file that git would commit, but those that machines write.
pub fn texts() -> Vec<(String, String)> {
    let written = ["Cargo.lock", "workspace.lock"];
    let mut texts = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for item in root().join(&folder).read_dir().unwrap() {
            let item = item.unwrap();
            let path = folder.join(item.file_name());
            let name = path.to_str().unwrap().to_owned();
            if ignored(&name) || written.iter().any(|last| name.ends_with(last)) {
                continue;
            }
            match item.file_type().unwrap() {
                kind if kind.is_dir() => folders.push(path),
                kind if kind.is_file() => {
                    let bytes = std::fs::read(item.path()).unwrap();
                    texts.extend(String::from_utf8(bytes).ok().map(|text| (name, text)));
                }
                _ => {}
            }
        }
    }
    texts.sort();
    assert!(texts.len() > 50, "the repository was not found");
    texts
}

/// As `.gitignore` says, and git's own folder.
fn ignored(name: &str) -> bool {
    let folders = [".git", "target", "dist", "fuzz/target", "fuzz/corpus", "fuzz/artifacts"];
    folders.contains(&name) || name.ends_with(".snap.new") || name.ends_with(".pending-snap")
}

/// Places of `word` in `text` where it is not part of a longer number: `3.9` is not in
/// `13.9` or `3.90`.
fn lines_with(text: &str, word: &str) -> Vec<usize> {
    let longer = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let whole = |line: &str| {
        line.match_indices(word).any(|(at, _)| {
            let before = line[..at].trim_end_matches('.');
            !longer(before.chars().next_back()) && !longer(line[at + word.len()..].chars().next())
        })
    };
    text.lines().zip(1..).filter(|(line, _)| whole(line)).map(|(_, number)| number).collect()
}

#[test]
fn no_version_stands_outside_workspace_toml_and_workspace_lock() {
    let pins = xtask::pins::load(&root().join("workspace.toml")).unwrap().flat();
    let lock = xtask::lock::Lock::load(&root().join("workspace.lock")).unwrap();
    let (_, abbreviated) = lock.tensorflow.git_version.rsplit_once("-g").unwrap();
    let python = &pins["python.version"];
    let tag = format!("cp{}", python.replace('.', ""));
    let mut words = vec![abbreviated, &tag];
    let versions = ["tensorflow.version", "bazel.version", "compiler.version", "python.version"];
    words.extend(versions.map(|key| pins[key].as_str()));
    // What people accept or read is allowed to say what is pinned; a reviewer sees it move.
    let allowed = |name: &str| {
        name.ends_with("workspace.toml")
            || name.starts_with("tests/snapshots/")
            || name.ends_with(".md")
    };
    let mut found = Vec::new();
    for (name, text) in texts().iter().filter(|(name, _)| !allowed(name)) {
        for word in &words {
            let lines = lines_with(text, word).into_iter();
            found.extend(lines.map(|line| format!("{name}:{line}: {word}")));
        }
    }
    assert!(found.is_empty(), "versions belong into workspace.toml:\n{}", found.join("\n"));
}

#[test]
fn no_host_of_a_registry_or_mirror_stands_anywhere() {
    /// Where people read about what is used here, and a group of the Kubernetes API.
    const READING: &[&str] = &["qoiformat.org", "kubeflow.org"];
    /// What formats call themselves and their parts: names, which nobody asks.
    const NAMES: &[&str] = &["in-toto.io", "lockstep.dev", "slsa.dev", "spdx.org"];
    let tops = [".org", ".net", ".com", ".cloud"];
    let separates = |c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '-');
    let mut found = Vec::new();
    for (name, text) in texts().iter().filter(|(name, _)| name != "tests/tidy.rs") {
        for (line, number) in text.lines().zip(1..) {
            let words = line.split(separates).map(|word| word.trim_matches('.'));
            let hosts = words.filter(|word| tops.iter().any(|top| word.ends_with(top)));
            let urls = line.split("://").skip(1).filter_map(|rest| rest.split(separates).next());
            let wild = hosts.chain(urls).filter(|host| {
                let ours =
                    host.ends_with(".example") || ["localhost", "127.0.0.1", ""].contains(host);
                !ours && !READING.contains(host) && !NAMES.contains(host) && host.contains('.')
            });
            found.extend(wild.map(|host| format!("{name}:{number}: {host}")));
        }
    }
    assert!(found.is_empty(), "use mirror.example, or the machine's own:\n{}", found.join("\n"));
}

#[test]
fn tidy_finds_what_it_looks_for() {
    assert_eq!(lines_with("a\n3.9\n13.9\n3.90\n2.3.9\n3.9.2 v3.9-1\n", "3.9"), [2, 6]);
}

/// The modules of `lib.rs` in its order; a blank line ends the shared ones.
fn modules() -> (Vec<String>, Vec<String>) {
    let lib = std::fs::read_to_string(root().join("xtask/src/lib.rs")).unwrap();
    let modules = lib.lines().skip_while(|line| !line.starts_with("pub mod"));
    let mut blocks = modules.collect::<Vec<_>>().join("\n");
    let stages = blocks.split_off(blocks.find("\n\n").unwrap());
    let names = |text: &str| {
        let names =
            text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    (names(&blocks), names(&stages))
}

#[test]
fn a_stage_imports_only_stages_before_it() {
    let (shared, stages) = modules();
    let mut found = Vec::new();
    for (name, text) in texts() {
        let Some(stage) = name.strip_prefix("xtask/src/") else { continue };
        let stage = stage.split(['/', '.']).next().unwrap_or_default();
        let place = stages.iter().position(|known| known == stage);
        let code = |(line, _): &(&str, usize)| !line.trim_start().starts_with("//");
        for (line, number) in text.lines().zip(1..).filter(code) {
            for used in line.split("crate::").skip(1) {
                let used = used.split(|c: char| !c.is_alphanumeric() && c != '_').next();
                let used = stages.iter().position(|known| Some(known.as_str()) == used);
                let Some(used) = used else { continue };
                if shared.iter().any(|known| known == stage)
                    || place.is_some_and(|place| used > place)
                {
                    found.push(format!("{name}:{number}: {}", line.trim()));
                }
            }
        }
    }
    assert!(found.is_empty(), "data runs one way:\n{}", found.join("\n"));
}

#[test]
fn every_test_file_is_in_the_one_binary() {
    let main = std::fs::read_to_string(root().join("tests/main.rs")).unwrap();
    for item in root().join("tests").read_dir().unwrap() {
        let name = item.unwrap().file_name().into_string().unwrap();
        let Some(module) = name.strip_suffix(".rs").filter(|module| *module != "main") else {
            continue;
        };
        assert!(main.contains(&format!("mod {module};")), "tests/{name} is forgotten");
    }
}

#[test]
fn no_snapshot_waits_for_a_person() {
    let mut folders = vec![root().join("tests"), root().join("xtask/src")];
    while let Some(folder) = folders.pop() {
        for item in folder.read_dir().unwrap().map(Result::unwrap) {
            let name = item.file_name().into_string().unwrap();
            assert!(!name.ends_with(".snap.new"), "{}: accept or remove it", item.path().display());
            if item.file_type().unwrap().is_dir() {
                folders.push(item.path());
            }
        }
    }
}
