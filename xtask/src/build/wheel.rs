//! The ops wheel: every op's `.so` and wrapper in one deterministic archive.
//!
//! Format: "Binary distribution format" (PEP 427, PEP 491) in a zip (APPNOTE 6.3.3): entries
//! sorted with the `.dist-info` last, one time stamp, modes by a rule, raw deflate at one
//! level. No zip64, no data descriptors, no extra fields.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use crate::digest::Sha256;
use crate::error::{Error, Kind, Result};
use crate::lock::Lock;
use crate::root::wheel::Wheel;
use crate::root::zip::pack::{Directory, Packed, TooBig};
use crate::workspace::Workspace;

/// The folder in site-packages whose libraries `import tensorflow` loads.
pub const PLUGINS: &str = "tensorflow-plugins";

/// A file of the wheel: path in site-packages, and bytes.
pub type Member = (String, Vec<u8>);

/// The wheel's file name: distribution, version and a tag of the glibc that the ops need,
/// so that pip refuses a machine that is too old. `glibc` is `(major, minor)`.
pub fn file_name(lock: &Lock, glibc: (u32, u32)) -> String {
    format!("{}-{}-{}.whl", escaped(&lock.ops.name), lock.ops.version, tag(glibc))
}

/// The ops wheel that `build-ops` left in `dist/`.
pub fn built(workspace: &Workspace, lock: &Lock) -> Result<Wheel> {
    let stem = format!("{}-{}-", escaped(&lock.ops.name), lock.ops.version);
    let dist = workspace.dist();
    let names = std::fs::read_dir(&dist).into_iter().flatten().flatten();
    let mut names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    match names.find(|name| name.starts_with(&stem) && name.ends_with(".whl")) {
        Some(name) => Wheel::open(&dist.join(&name), &name),
        None => Err(Error::new(
            Kind::Pins,
            format!("no ops wheel `{stem}….whl` in `{}`", dist.display()),
        )
        .hint("run `cargo xtask build-ops`")),
    }
}

fn tag((major, minor): (u32, u32)) -> String {
    format!("py3-none-manylinux_{major}_{minor}_x86_64")
}

/// The distribution name as file names have it (PEP 427).
pub(super) fn escaped(name: &str) -> String {
    name.replace(['-', '.'], "_").to_lowercase()
}

/// The wheel's bytes.
pub fn write(lock: &Lock, glibc: (u32, u32), mut members: Vec<Member>) -> Result<Vec<u8>> {
    members.sort();
    if let Some(pair) = members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Error::new(
            Kind::Pins,
            format!("two op packages own `{}` in the ops wheel", pair[0].0),
        ));
    }
    let info = format!("{}-{}.dist-info", escaped(&lock.ops.name), lock.ops.version);
    members.push((format!("{info}/METADATA"), metadata(lock).into_bytes()));
    members.push((format!("{info}/WHEEL"), wheel_file(glibc).into_bytes()));
    let record = record(&members, &format!("{info}/RECORD"));
    members.push((format!("{info}/RECORD"), record.into_bytes()));
    archive(&members, lock.epoch)
}

fn metadata(lock: &Lock) -> String {
    let (ops, tf) = (&lock.ops, &lock.tensorflow);
    format!(
        "Metadata-Version: 2.1\nName: {}\nVersion: {}\nSummary: TensorFlow custom ops, built by \
         Lockstep for {} {} ({})\nRequires-Dist: {}=={}\nRequires-Python: >={}\n",
        ops.name,
        ops.version,
        tf.package,
        tf.version,
        tf.git_version,
        tf.package,
        tf.version,
        lock.python,
    )
}

fn wheel_file(glibc: (u32, u32)) -> String {
    format!(
        "Wheel-Version: 1.0\nGenerator: lockstep\nRoot-Is-Purelib: false\nTag: {}\n",
        tag(glibc)
    )
}

/// RECORD: path, url-safe base64 of the SHA-256 without padding, size.
fn record(members: &[Member], own: &str) -> String {
    let mut text = String::new();
    for (path, bytes) in members {
        let digest = Sha256::of(bytes).base64();
        let _ = writeln!(text, "{path},sha256={digest},{}", bytes.len());
    }
    text + own + ",,\n"
}

fn archive(members: &[Member], epoch: u64) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    let mut directory = Directory::new(epoch);
    for (path, bytes) in members {
        let data = deflated(path, bytes)?;
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let member = Packed {
            name: path,
            mode: mode(path),
            crc: crc.sum(),
            packed: data.len() as u64,
            size: bytes.len() as u64,
            at: body.len() as u64,
        };
        body.extend(directory.add(&member).map_err(too_big)?);
        body.extend(data);
    }
    let start = body.len() as u64;
    body.extend(directory.end(start).map_err(too_big)?);
    Ok(body)
}

fn deflated(path: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(6));
    let data = encoder.write_all(bytes).and_then(|()| encoder.finish());
    data.map_err(|e| Error::new(Kind::Io, format!("cannot deflate `{path}`: {e}")))
}

fn too_big(TooBig(what): TooBig) -> Error {
    Error::new(
        Kind::Io,
        format!(
            "the ops wheel cannot hold `{what}`: over the limits of a plain zip (4 GiB, 65,535 files)"
        ),
    )
}

/// A regular file, executable when it is a library.
fn mode(path: &str) -> u32 {
    if path.ends_with(".so") { 0o100_755 } else { 0o100_644 }
}
