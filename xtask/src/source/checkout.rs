//! TensorFlow's sources: the pinned commit, from git, and nothing else.
//!
//! git names each object by its digest and checks it when it arrives, so a commit that is
//! there *is* the pinned one. Only as much history is fetched as `git describe` needs.

use std::path::{Path, PathBuf};

use crate::command::{self, Env, NETWORK, Shell, cmd};
use crate::digest::Key;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::lock::{Lock, Source};
use crate::store::{Manifest, Store};

/// The checkout of the locked revision, in the store.
pub fn ensure(lock: &Lock, source: &Source, store: &Store, offline: bool) -> Result<PathBuf> {
    let (revision, describe) = (&lock.tensorflow.revision, &lock.tensorflow.git_version);
    made(lock, source, store, |git| {
        if offline {
            let message =
                format!("revision {revision} is not in the store, and --offline is given");
            return Err(Error::new(Kind::Fetch, message)
                .hint("run `cargo xtask build-tf` while the network is there"));
        }
        git.fetch(&source.git, revision, describe)
    })
}

/// The same, the repository filled by `fill` if it is not there; what fills it is not believed.
pub fn made(
    lock: &Lock,
    source: &Source,
    store: &Store,
    fill: impl FnOnce(&Git) -> Result<()>,
) -> Result<PathBuf> {
    let (revision, describe) = (&lock.tensorflow.revision, &lock.tensorflow.git_version);
    let key = Key::new("tensorflow checkout 1")
        .field("revision", revision)
        .field("describe", describe)
        .field("epoch", lock.epoch.to_string())
        .finish();
    store.tree("checkout", &key, |place| {
        let git = Git::at(place, lock.epoch)?;
        fill(&git)?;
        git.describes(&source.git, revision, describe)?;
        Manifest::of_tree(place)
    })
}

/// Refuses a checkout that asks for another Bazel than the pinned one.
pub fn check_bazel(checkout: &Path, lock: &Lock) -> Result<()> {
    let path = checkout.join(".bazelversion");
    let pinned = &lock.bazel.version;
    let asked = match std::fs::read_to_string(&path) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        read => read.at("read", &path)?,
    };
    // The first line counts: TensorFlow's own file has a note below it.
    let asked = asked.lines().next().unwrap_or_default().trim();
    if asked == pinned {
        return Ok(());
    }
    let revision = &lock.tensorflow.revision;
    let message = format!(
        "`bazel.version` is {pinned}, and TensorFlow at {revision} asks for {} (its .bazelversion)",
        asked.escape_debug()
    );
    Err(Error::new(Kind::Pins, message)
        .hint("pin that Bazel in workspace.toml, then run `cargo xtask update bazel`"))
}

/// The tag that a description begins with.
pub fn tag(describe: &str) -> &str {
    describe.rsplitn(3, '-').nth(2).unwrap_or_default()
}

/// No person's and no machine's settings may change what is written to the tree. The folder is
/// ours, whoever its file system says it belongs to.
const SETTINGS: [&str; 6] = [
    "core.autocrlf=false",
    "core.fsyncMethod=batch",
    "gc.auto=0",
    "core.attributesFile=/dev/null",
    "core.hooksPath=/dev/null",
    "safe.directory=*",
];
/// With these, git reads no settings but the repository's own and [`SETTINGS`].
const SEALED: [(&str, &str); 3] =
    [("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_ATTR_NOSYSTEM", "1")];

/// git in one folder.
pub struct Git {
    place: PathBuf,
    shell: Shell,
    env: Env,
}

impl Git {
    /// In the folder `place`.
    pub fn at(place: &Path, epoch: u64) -> Result<Self> {
        let shell = command::shell()?;
        shell.change_dir(place);
        // What git writes about when and who is part of the tree.
        let date = format!("{epoch} +0000");
        let mut env = Env::host(NETWORK).with("GIT_TERMINAL_PROMPT", "0").with("TZ", "UTC");
        for who in ["AUTHOR", "COMMITTER"] {
            env = env
                .with(&format!("GIT_{who}_DATE"), &date)
                .with(&format!("GIT_{who}_NAME"), "lockstep")
                .with(&format!("GIT_{who}_EMAIL"), "lockstep@localhost");
        }
        Ok(Git { place: place.to_owned(), shell, env })
    }

    /// Its folder.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// What a command of its prints.
    pub fn read(&self, words: &[&str]) -> Result<String> {
        self.answer(words, "")
    }

    /// The same of a command that reads `input`.
    pub fn answer(&self, words: &[&str], input: &str) -> Result<String> {
        let fixed = SETTINGS.iter().flat_map(|setting| ["-c", *setting]);
        // Only who asks a remote needs a person's settings: credentials, proxies, other URLs.
        let env = match words.first() {
            Some(&"fetch") => self.env.clone(),
            _ => SEALED.iter().fold(self.env.clone(), |env, (name, value)| env.with(name, *value)),
        };
        command::read(cmd!(self.shell, "git {fixed...} {words...}").stdin(input), &env)
    }

    /// An empty repository, for a commit that is described so.
    pub fn init(&self, describe: &str) -> Result<()> {
        self.read(&["init", "--quiet", "--initial-branch=pinned"])?;
        // How far git abbreviates depends on how much of the history is there.
        let digits = describe.rsplit("-g").next().map_or(0, str::len).to_string();
        self.read(&["config", "core.abbrev", &digits]).map(drop)
    }

    fn fetch(&self, url: &str, revision: &str, describe: &str) -> Result<()> {
        let missing = |error: Error| {
            let message =
                format!("`tensorflow.git` does not give revision {revision}: {}", error.message());
            Error::new(Kind::Fetch, message)
                .hint("pin a revision that the repository has, or a repository that has it")
        };
        self.init(describe)?;
        let fetch = ["fetch", "--quiet", "--no-tags"];
        self.read(&[&fetch[..], &["--depth=1", url, revision]].concat()).map_err(missing)?;
        let found = self.read(&["rev-parse", "FETCH_HEAD^{commit}"]).map_err(missing)?;
        if found.trim() != revision {
            let message = format!(
                "`tensorflow.git` gives another commit: expected {revision}, found {}",
                found.trim()
            );
            return Err(Error::new(Kind::Digest, message));
        }
        self.read(&["checkout", "--quiet", "--detach", revision]).map_err(missing)?;
        self.history(url, revision, describe)
    }

    /// The tag that the description begins with, and the commits since.
    fn history(&self, url: &str, revision: &str, describe: &str) -> Result<()> {
        let tag = tag(describe);
        let named = format!("refs/tags/{tag}:refs/tags/{tag}");
        let fetch = ["fetch", "--quiet", "--no-tags"];
        self.read(&[&fetch[..], &["--depth=1", url, &named]].concat()).map_err(|error| {
            let message = format!("`tensorflow.describe` names the tag {tag}, which `tensorflow.git` does not have: {}", error.message());
            Error::new(Kind::Fetch, message)
        })?;
        if self.describe()? == describe {
            return Ok(());
        }
        let since = format!("--shallow-exclude={tag}");
        let shallow = self
            .read(&[&fetch[..], &[&since, url, revision]].concat())
            .and_then(|_| self.read(&[&fetch[..], &["--deepen=1", url, revision]].concat()));
        if shallow.is_ok() && self.describe()? == describe {
            return Ok(());
        }
        // A history with merges: all of it, without the files of other commits.
        let all = ["--unshallow", "--filter=tree:0", url, revision, &named];
        let _when_it_is_whole_already = self.read(&[&fetch[..], &all].concat());
        Ok(())
    }

    /// Empty when no tag is reachable.
    fn describe(&self) -> Result<String> {
        Ok(self.read(&["describe", "--long", "--tags"]).unwrap_or_default().trim().to_owned())
    }

    fn describes(&self, url: &str, revision: &str, describe: &str) -> Result<()> {
        let found = self.describe()?;
        if found == describe {
            return Ok(());
        }
        let found = if found.is_empty() { "nothing".to_owned() } else { format!("`{found}`") };
        let message = format!(
            "`tensorflow.describe`: expected `{describe}`, git describes {revision} of {url} as {found}"
        );
        Err(Error::new(Kind::Pins, message).hint("pin what git says, or another revision"))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_persons_settings_do_not_reach_the_tree() {
        let (home, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let write = |path: &str, text: &str| {
            let path = home.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let filter = "[filter \"x\"]\n smudge = tr a-z A-Z\n";
        write(".gitconfig", &format!("[init]\n templateDir = ~/template\n{filter}"));
        write("template/hooks/strange", "");
        write(".config/git/attributes", "* eol=crlf filter=x\n");
        let mut git = Git::at(place.path(), 1_700_000_000).unwrap();
        git.env = git.env.with("HOME", home.path()).with("XDG_CONFIG_HOME", "");
        git.init("v1-0-g0123456789").unwrap();
        assert!(!place.path().join(".git/hooks/strange").exists());
        let file = place.path().join("file");
        fs::write(&file, "one\n").unwrap();
        git.read(&["add", "file"]).unwrap();
        git.read(&["commit", "--quiet", "--message=x"]).unwrap();
        fs::remove_file(&file).unwrap();
        git.read(&["checkout", "--quiet", "--force", "--detach", "HEAD"]).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "one\n");
    }
}
