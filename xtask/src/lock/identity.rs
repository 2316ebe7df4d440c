//! TensorFlow's identity: a wheel says which source it was built from, and is believed
//! only when that is the pinned one.

use crate::error::{Error, Kind, Result};

/// Checks `tf.version.GIT_VERSION` (`git describe --long`: `v2.21.0-rc1-5-ga481b10260d`)
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

    const REVISION: &str = "a481b10260dfdf833a1b16007eead49c1d7febf3";

    fn answer(git_version: &str) -> Result<()> {
        check("tensorflow-cpu", "2.21.0", REVISION, git_version)
    }

    #[test]
    fn the_pinned_revision_is_taken() {
        answer("v2.21.0-rc1-5-ga481b10260d").unwrap();
        answer(&format!("v2.21.0-0-g{REVISION}")).unwrap();
    }

    #[test]
    fn any_other_is_refused_by_name() {
        insta::assert_snapshot!(answer("v2.21.0-rc1-6-g0481b10260d").unwrap_err(), @r#"
        error: tensorflow-cpu 2.21.0 is not of `tensorflow.revision`: expected a wheel built from a481b10260dfdf833a1b16007eead49c1d7febf3, found GIT_VERSION v2.21.0-rc1-6-g0481b10260d
        hint: pin the revision of that release in workspace.toml, or another version
        "#);
        insta::assert_snapshot!(answer("unknown").unwrap_err(), @r#"
        error: tensorflow-cpu 2.21.0 is not of `tensorflow.revision`: its GIT_VERSION is `unknown`, which names no revision
        hint: pin the revision of that release in workspace.toml, or another version
        "#);
    }

    #[test]
    fn no_text_names_a_revision_by_being_short_or_strange() {
        for text in ["", "-g", "v2-ga481b1", "v2-gA481B10260D", &format!("v2-g{REVISION}0")] {
            assert!(answer(text).is_err(), "{text}");
        }
    }
}
