//! TensorFlow's identity: a wheel says which source it was built from, and is believed
//! only when that is the pinned one.

use crate::error::{Error, Kind, Result};

/// Checks `tf.version.GIT_VERSION` (`git describe --long`: `v9.8.7-rc1-5-g0123456789a`)
/// against the pinned version and revision.
///
/// A wheel that was built from a tarball says `unknown`: it could be anything, so it is
/// refused too.
pub fn check(package: &str, version: &str, revision: &str, git_version: &str) -> Result<()> {
    let abbreviated = git_version.rsplit_once("-g").map(|(_, hex)| hex).filter(|hex| is_hex(hex));
    let Some(abbreviated) = abbreviated else {
        let found = git_version.escape_debug();
        return Err(refused(
            package,
            version,
            format!("its GIT_VERSION is `{found}`, which names no revision"),
        ));
    };
    if revision.starts_with(abbreviated) {
        return Ok(());
    }
    Err(refused(
        package,
        version,
        format!("expected a wheel built from {revision}, found GIT_VERSION {git_version}"),
    ))
}

/// Fewer than seven digits name nothing: git does not abbreviate so far.
fn is_hex(text: &str) -> bool {
    (7..=40).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn refused(package: &str, version: &str, why: String) -> Error {
    Error::new(Kind::Digest, format!("{package} {version} is not of `tensorflow.revision`: {why}"))
        .hint("pin the revision of that release in workspace.toml, or another version")
}

#[cfg(test)]
mod tests {
    use super::*;

    const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

    fn answer(git_version: &str) -> Result<()> {
        check("tensorflow-cpu", "9.8.7", REVISION, git_version)
    }

    #[test]
    fn the_pinned_revision_is_taken() {
        answer("v9.8.7-rc1-5-g0123456789a").unwrap();
        answer(&format!("v9.8.7-0-g{REVISION}")).unwrap();
    }

    #[test]
    fn any_other_is_refused_by_name() {
        insta::assert_snapshot!(answer("v9.8.7-rc1-6-gf123456789a").unwrap_err(), @r#"
        error: tensorflow-cpu 9.8.7 is not of `tensorflow.revision`: expected a wheel built from 0123456789abcdef0123456789abcdef01234567, found GIT_VERSION v9.8.7-rc1-6-gf123456789a
        hint: pin the revision of that release in workspace.toml, or another version
        "#);
        insta::assert_snapshot!(answer("unknown").unwrap_err(), @r#"
        error: tensorflow-cpu 9.8.7 is not of `tensorflow.revision`: its GIT_VERSION is `unknown`, which names no revision
        hint: pin the revision of that release in workspace.toml, or another version
        "#);
    }

    #[test]
    fn no_text_names_a_revision_by_being_short_or_strange() {
        for text in ["", "-g", "v2-g012345", "v2-g0123456789A", &format!("v2-g{REVISION}0")] {
            assert!(answer(text).is_err(), "{text}");
        }
    }
}
