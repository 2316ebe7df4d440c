//! Bazel pinned by URL: an official release binary, served from loopback, builds the same bits.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::digest::Sha256;

use crate::build::Checkout;

/// The official binary that a package registry has: npm's `@bazel/bazel-linux_x64`.
#[expect(clippy::disallowed_methods, reason = "a fixture, made before the test begins")]
fn official(folder: &Path) -> Option<PathBuf> {
    let pack = Command::new("npm")
        .args(["pack", "--silent", "@bazel/bazel-linux_x64@2.1.0"])
        .current_dir(folder)
        .output()
        .ok()?;
    let file = String::from_utf8(pack.stdout).ok()?;
    let unpacked = Command::new("tar").arg("-xzf").arg(file.trim()).current_dir(folder).status();
    let listed = fs::read_dir(folder.join("package")).ok()?.flatten().map(|entry| entry.path());
    let is_binary = |path: &PathBuf| fs::metadata(path).is_ok_and(|m| m.len() > 10 << 20);
    (unpacked.is_ok_and(|status| status.success())).then(|| listed.into_iter().find(is_binary))?
}

/// Serves `bytes` under any path until the process ends; returns the address.
fn serve(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = BufReader::new(stream.try_clone().unwrap());
            request.lines().find(|line| line.as_ref().map_or(true, String::is_empty));
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                bytes.len()
            );
            // The client may hang up early; that is its affair.
            if stream.write_all(head.as_bytes()).is_ok() {
                stream.write_all(&bytes).ok();
            }
        }
    });
    address
}

#[test]
fn an_official_bazel_pinned_by_url_builds_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let Some(binary) = official(folder.path()) else {
        println!("skipped: npm does not give the official Bazel binary here");
        return;
    };
    let bytes = fs::read(binary).unwrap();
    let sha256 = Sha256::of(&bytes);
    let url = format!("http://{}/bazel", serve(bytes));
    let there = Checkout::copy();
    let pin = |answer: &str| {
        let answer = answer.to_owned();
        let url = url.clone();
        move |text: &str| {
            let from = text.find("[bazel]").unwrap();
            let to = from + text[from..].find("\n[").unwrap();
            let table = format!(
                "[bazel]\nversion = \"2.1.0\"\nurl = \"{url}\"\nsha256 = \"{sha256}\"\nanswer = \"{answer}\"\n"
            );
            format!("{}{table}{}", &text[..from], &text[to..])
        }
    };

    // Debian's Bazel brought packages along that are left out by name; without it nothing does.
    there.edit("workspace.toml", |text| {
        let from = text.find("omit = [").unwrap();
        let to = from + text[from..].find(']').unwrap();
        format!("{}omit = [{}", &text[..from], &text[to..])
    });

    // A Bazel that answers otherwise than pinned is refused by name.
    there.edit("workspace.toml", pin("bazel 2.0.9"));
    there.xtask(&["update", "bazel", "builder"]).with(0, &["bazel"]);
    there
        .xtask(&["build-ops"])
        .with(7, &["Bazel is not the pinned one", "`bazel 2.0.9`", "found `bazel 2.1.0`"]);

    there.edit("workspace.toml", pin("bazel 2.1.0"));
    there.xtask(&["update", "bazel"]).with(0, &["bazel"]);
    there.xtask(&["build-ops"]).with(0, &["reproduced: "]);
}
