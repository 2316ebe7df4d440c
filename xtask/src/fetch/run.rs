//! Many downloads at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::Options;
use super::download::Downloader;
use super::http::Http;
use super::mirrors::Mirrors;
use super::plan::Download;
use super::url::Url;
use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::progress::{Progress, Unit};
use crate::store::Store;

/// Fetches `downloads` in their order by several workers. The first failure ends all; what
/// came so far is kept.
pub(super) fn run(
    downloads: &[&Download],
    mirrors: &Mirrors,
    store: &Store,
    options: &Options,
) -> Result<()> {
    let total = downloads.iter().map(|download| download.size).sum();
    let what = format!("fetching {}", files(downloads.len()));
    let progress = Progress::new(what, Unit::Bytes, Some(total));
    let http = Http::new(&options.limits, &options.env)?;
    let stop = AtomicBool::new(false);
    let limits = &options.limits;
    let downloader =
        Downloader { http: &http, mirrors, store, limits, progress: &progress, stop: &stop };
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(download) = downloads.get(next.fetch_add(1, Ordering::Relaxed)) {
            downloader.fetch(download).inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
        }
        Ok(())
    };
    let outcomes = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        while !workers.iter().all(|worker| worker.is_finished()) {
            if stop.load(Ordering::Relaxed) || interrupt::came() {
                http.stop();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err(panicked())))
            .collect()
    });
    worst(outcomes)?;
    let line = format!("fetched {}, {}", files(downloads.len()), progress.summary());
    progress.finish(&line);
    Ok(())
}

/// Bytes of the files at `urls`, which no lock knows yet, as their servers say.
pub(super) fn sizes(urls: &[Url], store: &Store, options: &Options) -> Result<Vec<u64>> {
    let progress = Progress::new("asking for sizes", Unit::Items, Some(urls.len() as u64));
    let http = Http::new(&options.limits, &options.env)?;
    let (mirrors, stop) = (Mirrors::default(), AtomicBool::new(false));
    let limits = &options.limits;
    let downloader = Downloader {
        http: &http,
        mirrors: &mirrors,
        store,
        limits,
        progress: &progress,
        stop: &stop,
    };
    urls.iter().map(|url| downloader.size(url).inspect(|_| progress.add(1))).collect()
}

fn files(count: usize) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

/// The cause: what merely stopped because of it does not count.
fn worst(outcomes: Vec<Result<()>>) -> Result<()> {
    let mut errors: Vec<Error> = outcomes.into_iter().filter_map(Result::err).collect();
    errors.sort_by_key(|error| error.kind() == Kind::Interrupted);
    interrupt::check()?;
    errors.into_iter().next().map_or(Ok(()), Err)
}

fn panicked() -> Error {
    Error::new(Kind::Io, "a download ended by a bug in Lockstep")
}
