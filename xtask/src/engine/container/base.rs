//! What a container stands on, of a [`Layout`]: an image in Docker's store, named by the
//! digest of its tar and made once; for Podman a folder, made for each run, since its store
//! cannot map an image's owners on every machine.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Seek as _, Write};
use std::path::{Path, PathBuf};

use super::Product;
use super::client::{self, refusal};
use super::host;
use super::layout::{Layout, Node};
use crate::digest::Sha256;
use crate::error::{Error, IoContext as _, Kind, Result};

/// The label of each image of ours.
const LABEL: &str = "lockstep.root";
/// How old an image of another root is before it is removed.
const OLD: &str = "72h";

/// What a container stands on, and the bytes to make it of.
pub(super) struct Base {
    tar: File,
    digest: Sha256,
    place: Place,
}

/// Where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// An image of this name.
    Image(String),
    /// This folder.
    Folder(PathBuf),
}

impl Base {
    /// For the container `name`; nothing is made yet.
    pub(super) fn of(product: Product, layout: &Layout, name: &str) -> Result<Base> {
        let mut tar = tempfile::tempfile().map_err(|cause| cannot(&cause))?;
        write(layout, &mut tar)?;
        tar.rewind().map_err(|cause| cannot(&cause))?;
        let (digest, _) = Sha256::of_reader(&mut tar).map_err(|cause| cannot(&cause))?;
        let place = match product {
            Product::Docker => Place::Image(format!("lockstep-root:{}", &digest.to_string()[..32])),
            Product::Podman => Place::Folder(std::env::temp_dir().join(name)),
        };
        Ok(Base { tar, digest, place })
    }

    /// Where it is, or would be.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Sees to it that it is there: of these very bytes, whatever its name says.
    pub(super) fn ensure(&self) -> Result<()> {
        let mut tar = self.tar.try_clone().map_err(|cause| cannot(&cause))?;
        tar.rewind().map_err(|cause| cannot(&cause))?;
        match &self.place {
            Place::Folder(folder) => unpack(tar, folder),
            Place::Image(name) if self.is_image(name)? => Ok(()),
            Place::Image(name) => self.import(name, tar),
        }
    }

    fn import(&self, name: &str, tar: File) -> Result<()> {
        forget_old();
        let label = format!("LABEL {LABEL}=1");
        let import = words(&["import", "--change", &label, "-", name]);
        let answer = client::ask(Product::Docker, &import, Some(tar))?;
        if !answer.yes {
            return Err(refusal(Product::Docker, "import", &answer.words));
        }
        if self.is_image(name)? {
            return Ok(());
        }
        let message = format!("`docker import` made `{name}` of other bytes than it got");
        Err(Error::new(Kind::Machine, message).hint("run it again"))
    }

    /// Whether there is an image `name` of these bytes.
    fn is_image(&self, name: &str) -> Result<bool> {
        let inspect = ["image", "inspect", "--format", "{{json .RootFS.Layers}}", name];
        let answer = client::ask(Product::Docker, &words(&inspect), None)?;
        let layers: Option<Vec<String>> = serde_json::from_str(answer.text.trim()).ok();
        Ok(answer.yes && layers.is_some_and(|layers| layers == [self.digest.named()]))
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        if let Place::Folder(folder) = &self.place {
            drop(fs::remove_dir_all(folder)); // else the next start does
        }
    }
}

/// Makes the folder, which is nobody else's.
fn unpack(tar: File, folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            return Err(cause).at("remove", folder);
        }
        _ => {}
    }
    fs::create_dir(folder).at("create", folder)?;
    let mut archive = tar::Archive::new(BufReader::new(tar));
    archive.set_preserve_permissions(true);
    archive.unpack(folder).at("make a root in", folder)
}

/// Removes folders that dead callers left.
pub(super) fn remove_left() {
    let place = std::env::temp_dir();
    let Ok(items) = fs::read_dir(&place) else { return };
    let names: Vec<String> =
        items.flatten().filter_map(|item| item.file_name().into_string().ok()).collect();
    for name in host::left(names.iter().map(String::as_str)) {
        drop(fs::remove_dir_all(place.join(name))); // not ours after all: then it stays
    }
}

/// Removes images of roots that nobody has used for long; those in use stay.
fn forget_old() {
    let (label, until) = (format!("label={LABEL}"), format!("until={OLD}"));
    let prune = ["image", "prune", "--all", "--force", "--filter", &label, "--filter", &until];
    // An image more does no harm.
    drop(client::ask(Product::Docker, &words(&prune), None));
}

/// Removes all images of roots that no container uses.
pub(super) fn forget() -> Result<()> {
    let label = format!("label={LABEL}");
    let prune = words(&["image", "prune", "--all", "--force", "--filter", &label]);
    let answer = client::ask(Product::Docker, &prune, None)?;
    match answer.yes {
        true => Ok(()),
        false => Err(refusal(Product::Docker, "image prune", &answer.words)),
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// Writes the layout as tar: everything is root's, folders have no time.
fn write(layout: &Layout, file: &mut File) -> Result<()> {
    let mut tar = tar::Builder::new(BufWriter::new(file));
    for (path, node) in &layout.image {
        let inside = path.trim_start_matches('/');
        let name = if inside.is_empty() { "./" } else { inside };
        entry(&mut tar, name.as_ref(), node)?;
    }
    let finished = tar.into_inner().and_then(|mut file| file.flush());
    finished.map_err(|cause| cannot(&cause))
}

fn entry(tar: &mut tar::Builder<impl Write>, path: &Path, node: &Node) -> Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    let written = match node {
        Node::Folder(mode) => {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(*mode);
            header.set_size(0);
            tar.append_data(&mut header, path, std::io::empty())
        }
        Node::Link(target) => {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_mode(0o777);
            header.set_size(0);
            tar.append_link(&mut header, path, target)
        }
        Node::File(source, mode, modified) => {
            let file = File::open(source).at("open", source)?;
            header.set_entry_type(tar::EntryType::Regular);
            header.set_mode(*mode);
            header.set_mtime(*modified);
            header.set_size(file.metadata().at("read", source)?.len());
            tar.append_data(&mut header, path, file)
        }
    };
    written.map_err(|cause| cannot(&cause))
}

fn cannot(cause: &std::io::Error) -> Error {
    Error::new(Kind::Io, format!("cannot write the base of a container: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_the_name_of_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("hosts");
        std::fs::write(&source, "127.0.0.1 localhost\n").unwrap();
        let layout = |mode, long: &str| Layout {
            image: vec![
                ("/".into(), Node::Folder(mode)),
                ("/bin".into(), Node::Link("usr/bin".into())),
                ("/hosts".into(), Node::File(source.clone(), 0o644, 1)),
                (format!("/{long}"), Node::Folder(0o755)),
            ],
            binds: Vec::new(),
        };
        let place = |mode, long: &str| {
            Base::of(Product::Docker, &layout(mode, long), "n").unwrap().place().clone()
        };
        assert_eq!(place(0o755, "x"), place(0o755, "x"));
        assert_ne!(place(0o755, "x"), place(0o700, "x"));
        assert!(matches!(place(0o755, &"long/".repeat(60)), Place::Image(_)));
    }

    #[test]
    fn a_folder_is_made_and_goes_with_its_base() {
        let name = host::tests::host().caller.name(std::process::id());
        let node = Node::Link("usr/bin".into());
        let layout = Layout {
            image: vec![
                ("/".into(), Node::Folder(0o755)),
                ("/bin".into(), node),
                ("/run".into(), Node::Folder(0o1777)),
            ],
            binds: Vec::new(),
        };
        let base = Base::of(Product::Podman, &layout, &name).unwrap();
        let Place::Folder(folder) = base.place().clone() else { panic!("no folder") };
        assert!(!folder.exists());
        for _again in 0..2 {
            base.ensure().unwrap();
            assert_eq!(fs::read_link(folder.join("bin")).unwrap(), Path::new("usr/bin"));
            let mode = std::os::unix::fs::PermissionsExt::mode(
                &fs::metadata(folder.join("run")).unwrap().permissions(),
            );
            assert_eq!(mode & 0o7777, 0o1777);
        }
        drop(base);
        assert!(!folder.exists());
    }
}
