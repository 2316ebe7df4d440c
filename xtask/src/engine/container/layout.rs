//! A run's file system, as a container engine can make it: a base of little more than
//! folders, and the store's own folders bound into it.
//!
//! No package is copied into an image. A folder of the root is bound as it is, so a run sees
//! the very files that the store verified. *Opened* are only the folders in which an engine
//! makes something of its own (its init, `/etc/hostname`), and those that an overlay
//! merges: the image has them with their links and files, and what is a folder in them is
//! bound or opened in turn. So overlays need no privilege and no kernel's help.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::engine::{Mount, Run, bad};
use crate::error::{IoContext as _, Result};

/// An entry of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// A folder of this mode.
    Folder(u32),
    /// A symbolic link to this target.
    Link(PathBuf),
    /// The file at this path of the host: mode, modification time in seconds.
    File(PathBuf, u32, u64),
}

/// What a container is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// The image, folders before what is in them; paths begin with `/`.
    pub(super) image: Vec<(String, Node)>,
    /// Folders of the host that are seen read-only at a path inside.
    pub(super) binds: Vec<(PathBuf, String)>,
}

/// What an engine mounts a file system of its own over, with the mode that it shows.
const OWN: [(&str, u32); 5] =
    [("/dev", 0o755), ("/proc", 0o755), ("/run", 0o1777), ("/sys", 0o755), ("/tmp", 0o1777)];

impl Layout {
    /// The layout of `run`, and whether all that it names is there.
    pub(super) fn of(run: &Run) -> Result<Layout> {
        check(run)?;
        let stack = Stack::of(run)?;
        let mut layout = Layout::default();
        stack.lay("/", &mut layout)?;
        Ok(layout)
    }
}

/// The root and the overlays over it, each with its sources, top first.
struct Stack<'a> {
    layers: Vec<(&'a str, Vec<&'a Path>)>,
}

impl<'a> Stack<'a> {
    fn of(run: &'a Run) -> Result<Self> {
        let mut layers = vec![("/", vec![run.root.as_path()])];
        let mut plain: Vec<&str> = Vec::new();
        for mount in &run.mounts {
            let target = mount.target().trim_end_matches('/');
            if let Mount::Overlay { sources, .. } = mount {
                if let Some(above) = plain.iter().find(|above| below(target, above).is_some()) {
                    let message = format!("the overlay for `{target}` lies in the mount `{above}`");
                    return Err(bad(message).hint("the engine `native` can do that"));
                }
                layers.push((target, sources.iter().map(PathBuf::as_path).collect()));
            } else {
                plain.push(target);
            }
        }
        Ok(Stack { layers })
    }

    /// Where `path` inside comes from, top first; some may not be there.
    fn sources(&self, path: &str) -> Vec<PathBuf> {
        let mut last = Vec::new();
        for (target, sources) in &self.layers {
            if let Some(rest) = below(path, target) {
                last = sources.iter().map(|source| source.join(rest)).collect();
            }
        }
        last
    }

    /// Whether the image must have the folder `path` itself.
    fn is_opened(&self, path: &str) -> bool {
        ["/", "/usr", "/sbin", "/usr/sbin"].contains(&path)
            || below(path, "/etc").is_some()
            || self
                .layers
                .iter()
                .any(|(target, _)| *target != path && below(target, path).is_some())
    }

    /// Lays what is at `path`, and all below it.
    fn lay(&self, path: &str, layout: &mut Layout) -> Result<()> {
        if let Some((_, mode)) = OWN.iter().find(|(own, _)| *own == path) {
            layout.image.push((path.to_owned(), Node::Folder(*mode)));
            return Ok(());
        }
        let mut found = Vec::new();
        for source in self.sources(path) {
            match fs::symlink_metadata(&source) {
                Ok(metadata) => found.push((source, metadata)),
                Err(cause) if is_nothing(&cause) => {}
                Err(cause) => return Err(cause).at("read", &source),
            }
        }
        let Some((first, metadata)) = found.first() else { return Ok(()) };
        if !metadata.is_dir() {
            layout.image.push((path.to_owned(), leaf(first, metadata)?));
            return Ok(());
        }
        let mode = metadata.permissions().mode() & 0o7777;
        layout.image.push((path.to_owned(), Node::Folder(mode)));
        // Of an overlay: what lies beneath a file of one source is not seen.
        let folders = found.iter().take_while(|(_, metadata)| metadata.is_dir());
        let folders: Vec<&PathBuf> = folders.map(|(source, _)| source).collect();
        self.inside(path, &folders, layout)
    }

    /// Lays what is in the folder `path`, which is merged of `folders`.
    fn inside(&self, path: &str, folders: &[&PathBuf], layout: &mut Layout) -> Result<()> {
        let mut names = BTreeSet::new();
        for folder in folders {
            for item in fs::read_dir(folder).at("read", folder)? {
                let name = item.at("read", folder)?.file_name();
                let text = name.to_str().map(str::to_owned);
                let strange = || bad(format!("`{}` is not UTF-8", folder.join(&name).display()));
                names.insert(text.ok_or_else(strange)?);
            }
        }
        if let ([folder], false) = (folders, self.is_opened(path)) {
            if !names.is_empty() {
                layout.binds.push(((*folder).clone(), path.to_owned()));
            }
            return Ok(());
        }
        let stem = path.trim_end_matches('/');
        names.iter().try_for_each(|name| self.lay(&format!("{stem}/{name}"), layout))
    }
}

/// Whether every source, target and the working directory is there.
fn check(run: &Run) -> Result<()> {
    let root = run.root.display();
    fs::metadata(&run.root).at("use the root", &run.root)?;
    for (at, mount) in run.mounts.iter().enumerate() {
        let target = mount.target();
        for source in mount.sources() {
            fs::metadata(source).at(&format!("mount on `{target}`"), source)?;
        }
        if !has(run, target, &run.mounts[..at]) {
            let message = format!("mount target `{target}` does not exist in the root `{root}`");
            return Err(bad(message));
        }
    }
    if has(run, &run.cwd, &run.mounts) {
        return Ok(());
    }
    let cwd = &run.cwd;
    Err(bad(format!("cannot enter `{cwd}` in the root `{root}`: no such file or directory")))
}

/// Whether something is at `path`: in the root, in a mount, or of the engine's own.
fn has(run: &Run, path: &str, mounts: &[Mount]) -> bool {
    let there = |source: &Path, rest: &Path| {
        let place = source.join(rest);
        fs::symlink_metadata(&place).is_ok() || place.exists()
    };
    let mounted = |mount: &Mount| {
        let rest = below(path, mount.target());
        rest.is_some_and(|rest| mount.sources().iter().any(|source| there(source, rest)))
    };
    OWN.iter().any(|(own, _)| below(path, own).is_some())
        || mounts.iter().any(mounted)
        || below(path, "/").is_some_and(|rest| there(&run.root, rest))
}

/// What of `path` is below `folder`: all of it when they are one.
fn below<'p>(path: &'p str, folder: &str) -> Option<&'p Path> {
    Path::new(path).strip_prefix(folder).ok()
}

/// Nothing there: neither it nor, where a file is in the way, anything below.
fn is_nothing(cause: &std::io::Error) -> bool {
    matches!(cause.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

fn leaf(source: &Path, metadata: &Metadata) -> Result<Node> {
    if metadata.is_symlink() {
        return Ok(Node::Link(fs::read_link(source).at("read", source)?));
    }
    if !metadata.is_file() {
        return Err(bad(format!("`{}` is neither file nor folder nor link", source.display())));
    }
    let modified = u64::try_from(metadata.mtime()).unwrap_or(0);
    Ok(Node::File(source.to_owned(), metadata.permissions().mode() & 0o7777, modified))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        folder: tempfile::TempDir,
        run: Run,
    }

    impl Case {
        fn new(files: &[&str]) -> Case {
            let folder = tempfile::tempdir().unwrap();
            for file in files {
                let path = folder.path().join(file);
                if file.ends_with('/') {
                    fs::create_dir_all(&path).unwrap();
                } else {
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(&path, file).unwrap();
                }
            }
            let run = Run {
                root: folder.path().join("root"),
                mounts: Vec::new(),
                argv: vec!["/usr/bin/x".into()],
                env: [].into(),
                cwd: "/".into(),
            };
            Case { folder, run }
        }

        fn overlay(mut self, sources: &[&str], target: &str) -> Case {
            let sources = sources.iter().map(|s| self.folder.path().join(s)).collect();
            self.run.mounts.push(Mount::Overlay { sources, target: target.into() });
            self
        }

        /// `path/` a folder, `path` a file, `path = source` a bind.
        fn laid(&self) -> String {
            let layout = Layout::of(&self.run).unwrap();
            let place = format!("{}/", self.folder.path().display());
            let mut lines = Vec::new();
            for (path, node) in &layout.image {
                lines.push(match node {
                    Node::Folder(_) => format!("{path}/"),
                    Node::Link(target) => format!("{path} -> {}", target.display()),
                    Node::File(source, ..) => {
                        format!("{path} of {}", source.display().to_string().replace(&place, ""))
                    }
                });
            }
            for (source, target) in &layout.binds {
                lines.push(format!(
                    "{target} = {}",
                    source.display().to_string().replace(&place, "")
                ));
            }
            lines.join("\n")
        }
    }

    #[test]
    fn a_root_is_bound_but_for_what_an_engine_adds_to() {
        let case = Case::new(&[
            "root/etc/ssl/cert",
            "root/usr/bin/x",
            "root/usr/sbin/y",
            "root/var/lib/z",
            "root/work/",
            "root/tmp/left",
        ]);
        std::os::unix::fs::symlink("usr/bin", case.run.root.join("bin")).unwrap();
        insta::assert_snapshot!(case.laid(), @"
        //
        /bin -> usr/bin
        /etc/
        /etc/ssl/
        /etc/ssl/cert of root/etc/ssl/cert
        /tmp/
        /usr/
        /usr/bin/
        /usr/sbin/
        /usr/sbin/y of root/usr/sbin/y
        /var/
        /work/
        /usr/bin = root/usr/bin
        /var = root/var
        ");
    }

    #[test]
    fn an_overlay_is_merged_and_another_may_lie_in_it() {
        let case = Case::new(&[
            "root/usr/local/site/",
            "root/usr/lib/x",
            "top/bin/start",
            "top/site/",
            "below/bin/other",
            "below/share/x",
            "ops/a/x",
            "wheels/a/y",
            "wheels/b/y",
            "wheels/one.py",
        ])
        .overlay(&["top", "below"], "/usr/local")
        .overlay(&["ops", "wheels"], "/usr/local/site");
        insta::assert_snapshot!(case.laid(), @"
        //
        /usr/
        /usr/lib/
        /usr/local/
        /usr/local/bin/
        /usr/local/bin/other of below/bin/other
        /usr/local/bin/start of top/bin/start
        /usr/local/share/
        /usr/local/site/
        /usr/local/site/a/
        /usr/local/site/a/x of ops/a/x
        /usr/local/site/a/y of wheels/a/y
        /usr/local/site/b/
        /usr/local/site/one.py of wheels/one.py
        /usr/lib = root/usr/lib
        /usr/local/share = below/share
        /usr/local/site/b = wheels/b
        ");
    }

    #[test]
    fn a_file_hides_a_folder_of_its_name() {
        let case = Case::new(&["root/opt/", "one/x", "two/x/y", "two/z/y"])
            .overlay(&["one", "two"], "/opt");
        insta::assert_snapshot!(case.laid(), @"
        //
        /opt/
        /opt/x of one/x
        /opt/z/
        /opt/z = two/z
        ");
    }

    #[test]
    fn what_is_missing_is_named() {
        let case = Case::new(&["root/opt/x/", "one/y/"]);
        let place = case.folder.path().display().to_string();
        let told = |mount: Option<Mount>, cwd: &str| {
            let run =
                Run { mounts: mount.into_iter().collect(), cwd: cwd.into(), ..case.run.clone() };
            Layout::of(&run).unwrap_err().to_string().replace(&place, "PLACE")
        };
        let mount = |source: &str, target: &str| {
            let (source, target) = (case.folder.path().join(source), target.into());
            Some(Mount::ReadOnly { source, target })
        };
        let texts =
            [told(mount("none", "/opt"), "/"), told(mount("one", "/none"), "/"), told(None, "/no")];
        insta::assert_snapshot!(texts.join("\n"), @"
        error: cannot mount on `/opt` `PLACE/none`: No such file or directory (os error 2)
        error: mount target `/none` does not exist in the root `PLACE/root`
        error: cannot enter `/no` in the root `PLACE/root`: no such file or directory
        ");
        let inside = case.overlay(&["one"], "/opt/x/y");
        let mut run = inside.run.clone();
        run.mounts.insert(0, mount_of(&inside, "one", "/opt/x"));
        let error = Layout::of(&run).unwrap_err();
        assert_eq!(error.message(), "the overlay for `/opt/x/y` lies in the mount `/opt/x`");
    }

    fn mount_of(case: &Case, source: &str, target: &str) -> Mount {
        Mount::ReadOnly { source: case.folder.path().join(source), target: target.into() }
    }
}
