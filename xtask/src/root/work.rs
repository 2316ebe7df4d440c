//! Independent jobs on the machine's cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::error::Result;

/// Most threads: each may hold an xz window.
const THREADS: usize = 4;

/// Does `work` for each of `jobs`, begun in this order, on up to [`THREADS`] threads. The
/// results stand in the order of the jobs; after an error no new job is begun and the first
/// error in that order is returned.
pub fn spread<J: Sync, T: Send>(
    jobs: &[J],
    work: impl Fn(&J) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let results: Vec<Mutex<Option<Result<T>>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let hand = || {
        while !failed.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(at) else { break };
            let result = work(job);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            *results[at].lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(result);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS);
    std::thread::scope(|scope| {
        for _ in 1..threads.min(jobs.len()) {
            scope.spawn(hand);
        }
        hand();
    });
    let results = results
        .into_iter()
        .filter_map(|slot| slot.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner));
    results.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Kind};

    #[test]
    fn results_stand_in_the_order_of_the_jobs() {
        let jobs: Vec<usize> = (0..1000).collect();
        assert_eq!(spread(&jobs, |n| Ok(n * 2)).unwrap()[999], 1998);
        assert_eq!(spread(&[] as &[u8], |_| Ok(())).unwrap(), []);
    }

    #[test]
    fn an_error_ends_it_and_is_returned() {
        let begun = AtomicUsize::new(0);
        let jobs: Vec<usize> = (0..100_000).collect();
        let error = spread(&jobs, |n| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *n == 3 { Err(Error::new(Kind::Archive, "third")) } else { Ok(()) }
        });
        assert_eq!(error.unwrap_err().message(), "third");
        assert!(begun.into_inner() < jobs.len());
    }
}
