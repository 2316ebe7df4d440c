//! Progress of long work: a live line on a terminal, plain lines elsewhere.
//!
//! All of it goes to standard error; standard output is for results. A closed stream ends
//! the talking, never the work.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Files, actions, packages.
    Items,
}

/// Progress of one piece of work; threads share it by reference. Dropped, it leaves no
/// trace on the terminal; [`Progress::finish`] leaves a line.
#[derive(Debug)]
pub struct Progress {
    what: String,
    unit: Unit,
    total: Option<u64>,
    done: AtomicU64,
    /// Of what is done, what was so before the start: it says nothing about speed.
    given: AtomicU64,
    start: Instant,
    screen: Mutex<Screen>,
}

#[derive(Debug)]
struct Screen {
    live: bool,
    shown: bool,
    last: Instant,
    width: usize,
}

/// Between two drawings of the live line.
const LIVE: Duration = Duration::from_millis(100);
/// Between two plain lines.
const PLAIN: Duration = Duration::from_secs(5);

impl Progress {
    /// Progress of `what` ("fetching 125 files"), out of `total` if that is known.
    pub fn new(what: impl Into<String>, unit: Unit, total: Option<u64>) -> Self {
        let now = Instant::now();
        let live = std::io::stderr().is_terminal()
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let width = terminal_size::terminal_size_of(std::io::stderr())
            .map_or(80, |(terminal_size::Width(width), _)| usize::from(width));
        Progress {
            what: what.into(),
            unit,
            total,
            done: AtomicU64::new(0),
            given: AtomicU64::new(0),
            start: now,
            screen: Mutex::new(Screen { live, shown: false, last: now, width }),
        }
    }

    /// Adds `amount` of what is done.
    pub fn add(&self, amount: u64) {
        self.done.fetch_add(amount, Ordering::Relaxed);
        self.draw();
    }

    /// Adds `amount` of what was done before this run.
    pub fn skip(&self, amount: u64) {
        self.given.fetch_add(amount, Ordering::Relaxed);
        self.add(amount);
    }

    /// Takes back `amount`: bytes that turned out wrong.
    pub fn take_back(&self, amount: u64) {
        self.done.fetch_sub(amount, Ordering::Relaxed);
    }

    /// So much was done by this run, at this speed: `485 MB in 3.0 s (162 MB/s)`.
    pub fn summary(&self) -> String {
        let seconds = self.start.elapsed().as_secs_f64().max(0.001);
        let own = self.own();
        match self.unit {
            Unit::Items => format!("{own} in {seconds:.1} s"),
            Unit::Bytes => {
                let speed = bytes((own as f64 / seconds) as u64);
                format!("{} in {seconds:.1} s ({speed}/s)", bytes(own))
            }
        }
    }

    fn own(&self) -> u64 {
        self.done.load(Ordering::Relaxed).saturating_sub(self.given.load(Ordering::Relaxed))
    }

    /// Writes `line` above the live line.
    pub fn say(&self, line: &str) {
        let mut screen = self.screen.lock().unwrap_or_else(|broken| broken.into_inner());
        screen.clear();
        say(line);
    }

    /// Ends with `line` in place of the live line.
    pub fn finish(self, line: &str) {
        self.say(line);
    }

    /// Only one thread draws, and not often; the others go on.
    fn draw(&self) {
        let Ok(mut screen) = self.screen.try_lock() else { return };
        let pause = if screen.live { LIVE } else { PLAIN };
        if screen.last.elapsed() < pause {
            return;
        }
        screen.last = Instant::now();
        let done = self.done.load(Ordering::Relaxed);
        let rate = self.own() as f64 / self.start.elapsed().as_secs_f64().max(0.001);
        let text = line(&self.what, self.unit, done, self.total, rate);
        if screen.live {
            let cut: String = text.chars().take(screen.width.saturating_sub(1)).collect();
            write(&format!("\r\x1b[K{cut}"));
            screen.shown = true;
        } else {
            say(&text);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.screen.lock().unwrap_or_else(|broken| broken.into_inner()).clear();
    }
}

impl Screen {
    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            write("\r\x1b[K");
        }
    }
}

/// One line of progress.
fn line(what: &str, unit: Unit, done: u64, total: Option<u64>, rate: f64) -> String {
    let amount = |n: u64| match unit {
        Unit::Bytes => bytes(n),
        Unit::Items => n.to_string(),
    };
    let speed = match unit {
        Unit::Bytes => format!(", {}/s", bytes(rate as u64)),
        Unit::Items => String::new(),
    };
    let Some(total) = total.filter(|total| *total > 0) else {
        return format!("{what}: {}{speed}", amount(done));
    };
    let left = total.saturating_sub(done) as f64 / rate;
    let left = if rate < 1e-9 || left > 359_999.0 {
        String::new()
    } else {
        format!(", {} left", clock(left))
    };
    let percent = (done.min(total) as f64 / total as f64 * 100.0) as u64;
    format!("{what}: {percent:>3} %, {} of {}{speed}{left}", amount(done), amount(total))
}

/// `7 s`, `3:07`, `1:00:07`.
fn clock(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m}:{s:02}"),
        (h, m, s) => format!("{h}:{m:02}:{s:02}"),
    }
}

/// Bytes for people, in powers of 1000: `999 B`, `1.5 MB`, `274 MB`.
pub fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        let rounded =
            if value < 9.95 && unit != "B" { (value * 10.0).round() / 10.0 } else { value.round() };
        if rounded < 1000.0 {
            return format!("{rounded} {unit}");
        }
        value /= 1000.0;
    }
    format!("{:.1} TB", value)
}

/// Writes a line to standard error, if anybody still listens.
pub fn say(line: &str) {
    write(&format!("{line}\n"));
}

fn write(text: &str) {
    let mut stream = std::io::stderr().lock();
    let _nobody_listens = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_short_and_never_four_digits() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1 kB"),
            (1_549, "1.5 kB"),
            (9_960, "10 kB"),
            (999_600, "1 MB"),
            (273_829_956, "274 MB"),
            (1_580_000_000, "1.6 GB"),
            (u64::MAX, "18446744.1 TB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn a_line_has_share_speed_and_time_left() {
        let line = |done, total, rate| line("fetching", Unit::Bytes, done, total, rate);
        assert_eq!(
            line(25_000_000, Some(100_000_000), 25e6),
            "fetching:  25 %, 25 MB of 100 MB, 25 MB/s, 3 s left"
        );
        assert_eq!(line(0, Some(5), 0.0), "fetching:   0 %, 0 B of 5 B, 0 B/s");
        assert_eq!(line(10, None, 1e4), "fetching: 10 B, 10 kB/s");
        assert_eq!(line(6, Some(5), 6.0), "fetching: 100 %, 6 B of 5 B, 6 B/s, 0 s left");
        assert_eq!(clock(3607.4), "1:00:07");
        assert_eq!(clock(187.0), "3:07");
    }
}
