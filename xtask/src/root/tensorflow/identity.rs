//! Which source a TensorFlow wheel was built from, in its own words.

use std::collections::BTreeSet;

use crate::error::{Error, Kind, Result};
use crate::lock::{TensorFlow, identity};
use crate::root::wheel::Wheel;

/// The files that hold `tf.version.GIT_VERSION` as a C string, the smallest first: since
/// 2.21 the session bindings, before that the framework library.
const HOLDERS: [&str; 2] =
    ["tensorflow/python/client/_pywrap_tf_session.so", "tensorflow/libtensorflow_framework.so.2"];

/// The wheel's `tf.version.GIT_VERSION`, read from its libraries: nothing is run.
pub fn git_version(wheel: &Wheel) -> Result<String> {
    for holder in HOLDERS {
        let Some(entry) = wheel.get(holder) else { continue };
        let found = describes(&wheel.read(entry)?);
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (None, _) => {}
            (Some(one), None) => return Ok(one),
            (Some(one), Some(other)) => {
                let message =
                    format!("`{}`: {holder} has two versions, {one} and {other}", wheel.name());
                return Err(Error::new(Kind::Digest, message));
            }
        }
    }
    Err(Error::new(
        Kind::Digest,
        format!("`{}` does not say which revision it was built from", wheel.name()),
    )
    .hint("such a wheel was not built from a clean git checkout: pin one of TensorFlow's releases"))
}

/// All C strings that look like `git describe --long`: `v9.8.7-rc1-5-g0123456789a`.
fn describes(bytes: &[u8]) -> BTreeSet<String> {
    let strings = bytes.split(|byte| *byte == 0).filter(|text| text.starts_with(b"v"));
    strings.filter_map(describe).map(str::to_owned).collect()
}

fn describe(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    let (rest, hex) = text.rsplit_once("-g")?;
    let (tag, count) = rest.rsplit_once('-')?;
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let version = tag.strip_prefix('v')?.split(['.', '-']).next()?;
    let hex_ok = (7..=40).contains(&hex.len())
        && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (number(version) && number(count) && hex_ok).then_some(text)
}

/// Refuses a wheel of another revision than the pinned one, and one that is not what the
/// lock was made from.
pub(super) fn check(locked: &TensorFlow, found: &str) -> Result<()> {
    let TensorFlow { package, version, revision, git_version, .. } = locked;
    identity::check(package, version, revision, found)?;
    if found == git_version {
        return Ok(());
    }
    let message = format!(
        "workspace.lock: tensorflow.git-version is {git_version}, the wheel of {package} {version} \
         says {found}"
    );
    Err(Error::new(Kind::Lock, message).hint("run `cargo xtask update tensorflow`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_git_describe_prints_is_a_version() {
        let bytes = b"\0v9.8.7-rc1-5-g0123456789a\0v9.8.7\0version-1-gabcdef0\0xv1-1-gabcdef0\0\
                      v1.0-2-gABCDEF0\0v1.0-2-gabcdef\0v1.0--gabcdef0\0v1.0-2-gabcdef0-dirty\0";
        assert_eq!(describes(bytes).into_iter().collect::<Vec<_>>(), ["v9.8.7-rc1-5-g0123456789a"]);
    }

    #[test]
    fn a_wheel_of_another_revision_is_refused_by_name() {
        let locked = TensorFlow {
            lane: "wheel".into(),
            package: "tensorflow-cpu".into(),
            version: "9.8.7".into(),
            revision: "0123456789abcdef0123456789abcdef01234567".into(),
            git_version: "v9.8.7-rc1-5-g0123456789a".into(),
        };
        check(&locked, "v9.8.7-rc1-5-g0123456789a").unwrap();
        let other = check(&locked, "v9.8.7-rc1-6-gf123456789a").unwrap_err();
        assert!(other.message().contains("expected a wheel built from 0123456789a"), "{other}");
        let moved = TensorFlow { git_version: "v9.8.7-0-g0123456789a".into(), ..locked };
        insta::assert_snapshot!(check(&moved, "v9.8.7-rc1-5-g0123456789a").unwrap_err(), @r"
        error: workspace.lock: tensorflow.git-version is v9.8.7-0-g0123456789a, the wheel of tensorflow-cpu 9.8.7 says v9.8.7-rc1-5-g0123456789a
        hint: run `cargo xtask update tensorflow`
        ");
    }
}
