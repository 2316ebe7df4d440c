//! The one thing outside that a build of TensorFlow can reach: a small HTTP server (RFC 9112,
//! one request a connection) behind a Unix socket in the build's own folder.
//!
//! ```text
//! GET /url/HOST/PATH          what Bazel would have fetched from HOST, which has TLS
//! GET /index/PROJECT/         the project's page (PEP 503)
//! GET /index/PROJECT/FILE     a file of that page
//! ```
//!
//! It either *records*, asking the network and noting each file that it gave out, or
//! *replays*, giving out what was recorded and nothing else. Either way the build itself has
//! no network, so that what is not recorded cannot be used unawares.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::{IoContext as _, Result};
use crate::lock::External;

use super::shelf::{Answer, Shelf};

/// Its folder inside the build's.
pub const FOLDER: &str = "gateway";
/// Its socket in that folder.
pub const SOCKET: &str = "socket";
/// Most bytes of a request's head.
const HEAD: u64 = 64 << 10;

/// A gateway that serves until it is dropped.
pub struct Gateway {
    shelf: Arc<Shelf>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Gateway {
    /// Serves what `shelf` has on a socket in `folder`.
    pub fn start(folder: &Path, shelf: Shelf) -> Result<Self> {
        fs::create_dir_all(folder).at("create", folder)?;
        let listener = listen(folder)?;
        let (shelf, stop) = (Arc::new(shelf), Arc::new(AtomicBool::new(false)));
        let (served, stopped) = (Arc::clone(&shelf), Arc::clone(&stop));
        let thread = std::thread::spawn(move || serve(&listener, &served, &stopped));
        Ok(Gateway { shelf, stop, thread: Some(thread) })
    }

    /// What it gives out.
    pub fn shelf(&self) -> &Shelf {
        &self.shelf
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _served = thread.join();
        }
    }
}

/// A socket's path may have 107 bytes, a workspace's more: the way leads over a descriptor.
fn listen(folder: &Path) -> Result<UnixListener> {
    use std::os::fd::AsRawFd as _;
    let socket = folder.join(SOCKET);
    if socket.exists() {
        fs::remove_file(&socket).at("remove", &socket)?; // a killed build's
    }
    let descriptor = File::open(folder).at("open", folder)?;
    let short = format!("/proc/self/fd/{}/{SOCKET}", descriptor.as_raw_fd());
    let listener = UnixListener::bind(short).at("listen at", &socket)?;
    // For our own user, whom the engine makes the builder, and nobody else of this machine.
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).at("close", &socket)?;
    listener.set_nonblocking(true).at("listen at", &socket)?;
    Ok(listener)
}

fn serve(listener: &UnixListener, shelf: &Arc<Shelf>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                let shelf = Arc::clone(shelf);
                std::thread::spawn(move || answer(stream, &shelf));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Who hung up gets no answer; that is no trouble of ours.
fn answer(mut stream: UnixStream, shelf: &Shelf) {
    let _blocking = stream.set_nonblocking(false);
    let Some((method, path)) = request(&stream) else { return };
    let sent = match shelf.answer(&path) {
        Answer::Page(text) => head(&mut stream, "200 OK", "text/html", text.len() as u64)
            .and_then(|()| stream.write_all(text.as_bytes())),
        Answer::File(external) => send(&mut stream, shelf, &external, method == "HEAD"),
        Answer::Missing => head(&mut stream, "404 Not Found", "text/plain", 0),
    };
    let _who_hung_up = sent;
}

/// Method and path of a request.
fn request(stream: &UnixStream) -> Option<(String, String)> {
    let mut lines = BufReader::new(stream.take(HEAD)).lines();
    let first = lines.next()?.ok()?;
    for line in lines {
        if line.ok()?.is_empty() {
            break;
        }
    }
    let mut words = first.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    ["GET", "HEAD"].contains(&method).then(|| (method.to_owned(), path.to_owned()))
}

fn head(stream: &mut UnixStream, status: &str, kind: &str, length: u64) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )
}

/// The bytes are hashed before the first one is given out.
fn send(
    stream: &mut UnixStream,
    shelf: &Shelf,
    external: &External,
    only_head: bool,
) -> std::io::Result<()> {
    let Some(path) = shelf.verified(external) else {
        return head(stream, "500 Internal Server Error", "text/plain", 0);
    };
    head(stream, "200 OK", "application/octet-stream", external.size)?;
    if !only_head {
        std::io::copy(&mut File::open(path)?, stream)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn nobody_else_has_anything_fetched() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::replaying(&Store::at(folder.path()), &[]);
        let _gateway = Gateway::start(folder.path(), shelf).unwrap();
        let socket = fs::metadata(folder.path().join(SOCKET)).unwrap();
        assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    }
}
