//! How a Debian package becomes part of a root: where its members go, which of them are
//! left out, and with what modes. Pure rules; [`super::packages`] carries them out.

use crate::error::{Error, Kind, Result};

use super::path::TreePath;
use super::tar::{Content, Member};

/// Raise it when a rule here changes: it is part of every root's key.
pub const RULES: u32 = 1;

/// Folders that are links into `usr/` (Debian's merged `/usr`): what a package has in one
/// of them goes to `usr/`.
pub const MERGED: [&str; 7] = ["bin", "lib", "lib32", "lib64", "libo32", "libx32", "sbin"];

/// Left out: nothing that compiles or trains reads them, and they are a tenth of what is unpacked.
const TRIMMED: [&str; 9] = [
    "usr/share/bug",
    "usr/share/doc-base",
    "usr/share/groff",
    "usr/share/info",
    "usr/share/linda",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/man-db",
];

/// Debian's set-id programs of bookworm's base. In a root nobody can change who they are,
/// so the bits are dropped; a set-id file that is not named here is refused.
const SET_ID: [&str; 18] = [
    "usr/bin/chage",
    "usr/bin/chfn",
    "usr/bin/chsh",
    "usr/bin/crontab",
    "usr/bin/expiry",
    "usr/bin/fusermount3",
    "usr/bin/gpasswd",
    "usr/bin/mount",
    "usr/bin/newgrp",
    "usr/bin/passwd",
    "usr/bin/ssh-agent",
    "usr/bin/su",
    "usr/bin/sudo",
    "usr/bin/umount",
    "usr/bin/wall",
    "usr/lib/dbus-1.0/dbus-daemon-launch-helper",
    "usr/lib/openssh/ssh-keysign",
    "usr/sbin/unix_chkpwd",
];

const SET_UID: u32 = 0o4000;
const SET_GID: u32 = 0o2000;
const STICKY: u32 = 0o1000;

/// What a member is in the root; `None` when it is left out.
pub fn admit(mut member: Member) -> Result<Option<Member>> {
    if is_merged_link(&member) {
        return Ok(None);
    }
    member.path = place(&member.path)?;
    if trimmed(&member) {
        return Ok(None);
    }
    if let Content::HardLink(target) = &member.content {
        member.content = Content::HardLink(place(target)?);
    }
    member.mode = mode(&member)?;
    Ok(Some(member))
}

/// Whether it is `bin -> usr/bin` itself, which the fix-ups make.
fn is_merged_link(member: &Member) -> bool {
    let Content::Link(target) = &member.content else { return false };
    let name = member.path.as_str();
    MERGED.contains(&name) && target.trim_start_matches('/').strip_prefix("usr/") == Some(name)
}

/// `bin/sh` is `usr/bin/sh`.
fn place(path: &TreePath) -> Result<TreePath> {
    match path.components().next() {
        Some(top) if MERGED.contains(&top) => TreePath::try_from(&*format!("usr/{path}")),
        _ => Ok(path.clone()),
    }
}

/// Manuals and translations go. Of `usr/share/doc` the copyright files stay, and links
/// between its folders: who passes on a program passes on its licence.
fn trimmed(member: &Member) -> bool {
    let path = &member.path;
    if TRIMMED.iter().any(|folder| path.as_str() == *folder || path.below(folder).is_some()) {
        return true;
    }
    let Some((_, rest)) = path.below("usr/share/doc").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    rest != "copyright"
}

/// The mode in the root: set-id bits are dropped where they are expected.
fn mode(member: &Member) -> Result<u32> {
    let Member { path, mode, content } = member;
    let refuse =
        |why: &str| Err(Error::new(Kind::Archive, format!("`{path}` has mode {mode:o}: {why}")));
    match content {
        Content::Link(_) | Content::HardLink(_) => Ok(*mode),
        Content::Folder if mode & SET_UID != 0 => refuse("a set-user-id folder"),
        Content::Folder if mode & 0o700 != 0o700 => refuse("its owner cannot remove it"),
        Content::Folder => Ok(mode & !SET_GID),
        Content::File(_) if mode & STICKY != 0 => refuse("a sticky file"),
        Content::File(_) if mode & 0o400 == 0 => refuse("its owner cannot read it"),
        Content::File(_) if mode & (SET_UID | SET_GID) != 0 && !SET_ID.contains(&path.as_str()) => {
            refuse("an unexpected set-id program")
        }
        Content::File(_) => Ok(mode & 0o777),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::try_from(text).unwrap()
    }

    fn member(at: &str, mode: u32, content: Content) -> Member {
        Member { path: path(at), mode, content }
    }

    fn placed(at: &str) -> Option<String> {
        let member = admit(member(at, 0o644, Content::File(1))).unwrap();
        member.map(|member| member.path.to_string())
    }

    #[test]
    fn merged_folders_are_below_usr_and_their_own_links_are_not_taken() {
        assert_eq!(placed("bin/sh").as_deref(), Some("usr/bin/sh"));
        assert_eq!(placed("lib64/ld.so").as_deref(), Some("usr/lib64/ld.so"));
        assert_eq!(placed("etc/bin/x").as_deref(), Some("etc/bin/x"));
        let link = |at: &str, target: &str| {
            admit(member(at, 0o777, Content::Link(target.to_owned()))).unwrap()
        };
        assert_eq!(link("lib", "usr/lib"), None);
        assert_eq!(link("lib", "usr/bin").unwrap().path, path("usr/lib"));
        let hard = member("bin/a", 0o755, Content::HardLink(path("bin/b")));
        let hard = admit(hard).unwrap().unwrap();
        assert_eq!(hard.content, Content::HardLink(path("usr/bin/b")));
    }

    #[test]
    fn manuals_go_and_licences_stay() {
        for gone in [
            "usr/share/man/man1/ls.1.gz",
            "usr/share/locale/de/LC_MESSAGES/x.mo",
            "usr/share/doc/bash/README",
            "usr/share/doc/bash/examples/copyright",
        ] {
            assert_eq!(placed(gone), None, "{gone}");
        }
        for kept in ["usr/share/doc/bash/copyright", "usr/share/manual", "usr/lib/locale/C.utf8/x"]
        {
            assert_eq!(placed(kept).as_deref(), Some(kept));
        }
        let link = member("usr/share/doc/g++", 0o777, Content::Link("gcc".to_owned()));
        assert!(admit(link).unwrap().is_some());
        assert!(admit(member("usr/share/man", 0o755, Content::Folder)).unwrap().is_none());
    }

    #[test]
    fn set_id_is_dropped_where_expected_and_refused_elsewhere() {
        let mode_of = |at: &str, mode, content| {
            admit(member(at, mode, content)).map(|member| member.unwrap().mode)
        };
        assert_eq!(mode_of("bin/su", 0o4755, Content::File(1)).unwrap(), 0o755);
        assert_eq!(mode_of("var/local", 0o2775, Content::Folder).unwrap(), 0o775);
        assert_eq!(mode_of("tmp", 0o1777, Content::Folder).unwrap(), 0o1777);
        for (at, mode, content) in [
            ("usr/bin/evil", 0o4755, Content::File(1)),
            ("usr/bin/evil", 0o2755, Content::File(1)),
            ("usr/bin/evil", 0o1755, Content::File(1)),
            ("usr/bin/evil", 0o055, Content::File(1)),
            ("usr/evil", 0o4755, Content::Folder),
            ("usr/evil", 0, Content::Folder),
        ] {
            let text = mode_of(at, mode, content).unwrap_err().to_string();
            assert!(text.contains(&format!("`{at}` has mode {mode:o}")), "{text}");
        }
    }
}
