//! The log of a run: kept whole in a file, shown up to a limit.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::error::{IoContext as _, Result};

/// What is shown of one run's output, in bytes; the file has all of it.
const SHOWN: usize = 256 << 10;
/// A line longer than this is handed on in pieces, so that memory stays small.
const LINE: usize = 16 << 10;

/// How a run's output is kept and shown.
pub struct Log<'a> {
    /// The file, made anew with the folders above it.
    pub path: &'a Path,
    /// Whether it is shown on standard error too, up to a limit.
    pub echo: bool,
    /// Called with every line, without its end, as soon as it is whole.
    pub on_line: Option<&'a mut dyn FnMut(&str)>,
    /// How long the command may run.
    pub limit: Option<Duration>,
    /// Set by another thread, it ends the command with SIGTERM, and soon with SIGKILL.
    pub stop: Option<&'a AtomicBool>,
}

impl<'a> Log<'a> {
    /// A log at `path`: silent, without a limit.
    pub fn at(path: &'a Path) -> Self {
        Log { path, echo: false, on_line: None, limit: None, stop: None }
    }
}

impl std::fmt::Debug for Log<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The last `lines` lines of the log at `path`, for an error's text: at most 8 KiB of it.
pub fn tail(path: &Path, lines: usize) -> Result<String> {
    let mut file = File::open(path).at("open", path)?;
    let length = file.metadata().at("read", path)?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(8 << 10))).at("read", path)?;
    let mut end = Vec::new();
    file.read_to_end(&mut end).at("read", path)?;
    let text = String::from_utf8_lossy(&end);
    let first = text.lines().count().saturating_sub(lines);
    Ok(text.lines().skip(first).collect::<Vec<_>>().join("\n"))
}

/// Writes a log as the output comes.
pub(super) struct Writer<'a> {
    file: File,
    path: PathBuf,
    shown: Option<usize>,
    on_line: Option<&'a mut dyn FnMut(&str)>,
    line: Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Makes the file.
    pub(super) fn create(log: Log<'a>) -> Result<Self> {
        if let Some(folder) = log.path.parent() {
            fs::create_dir_all(folder).at("create", folder)?;
        }
        let file = File::create(log.path).at("create", log.path)?;
        let shown = log.echo.then_some(0);
        let path = log.path.to_owned();
        Ok(Writer { file, path, shown, on_line: log.on_line, line: Vec::new() })
    }

    /// The file's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps `bytes`, and hands on the lines that they complete.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).at("write", &self.path)?;
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.line.len() > LINE {
                self.hand_on();
            }
        }
        Ok(())
    }

    /// Hands on a last line that has no end.
    pub(super) fn finish(&mut self) {
        if !self.line.is_empty() {
            self.hand_on();
        }
    }

    fn hand_on(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
        if let Some(on_line) = &mut self.on_line {
            on_line(&text);
        }
        if let Some(shown) = &mut self.shown {
            *shown += text.len() + 1;
            if *shown <= SHOWN {
                show(format_args!("{text}"));
            } else {
                show(format_args!("… the rest is in `{}`", self.path.display()));
                self.shown = None;
            }
        }
    }
}

/// Writes a line to standard error. A closed one must not end the run: the file has it all.
fn show(line: std::fmt::Arguments<'_>) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_whole_and_lines_come_one_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/run.log");
        let mut lines = Vec::new();
        let mut note = |line: &str| lines.push(line.to_owned());
        let log = Log { on_line: Some(&mut note), ..Log::at(&path) };
        let mut writer = Writer::create(log).unwrap();
        for bytes in [&b"one\ntw"[..], b"o\r\n\n\xff", b"last"] {
            writer.write(bytes).unwrap();
        }
        writer.finish();
        drop(writer);
        assert_eq!(lines, ["one", "two", "", "\u{fffd}last"]);
        assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\r\n\n\xfflast");
        assert_eq!(tail(&path, 2).unwrap(), "\n\u{fffd}last");
    }

    #[test]
    fn a_line_without_end_is_handed_on_in_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.log");
        let mut longest = 0;
        let mut note = |line: &str| longest = longest.max(line.len());
        let mut writer =
            Writer::create(Log { on_line: Some(&mut note), ..Log::at(&path) }).unwrap();
        for _ in 0..100 {
            writer.write(&[b'x'; 4096]).unwrap();
        }
        writer.finish();
        drop(writer);
        assert!(longest <= LINE + 4096, "a piece of {longest} bytes");
        assert_eq!(fs::metadata(&path).unwrap().len(), 100 * 4096);
    }
}
