//! Independent jobs on the machine's cores.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Kind, Result};

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
            *results[at].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads().min(jobs.len()) {
            scope.spawn(hand);
        }
        hand();
    });
    let results = results
        .into_iter()
        .filter_map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner));
    results.collect()
}

/// Jobs that are begun while one before them is not at its end, and pieces of each that wait
/// for those before them: enough that no core waits, and few enough for memory.
const AHEAD: usize = 8;
const WAITING: usize = 4;

/// Does `work` for each of `jobs`, begun in this order, on up to [`THREADS`] threads. What it
/// gives piece by piece goes to `sink`, on this thread, in the order of the jobs; so does the
/// first error, which ends it.
pub fn in_order<J: Sync, P: Send>(
    jobs: &[J],
    work: impl Fn(&J, &mut dyn FnMut(P) -> Result<()>) -> Result<()> + Sync,
    mut sink: impl FnMut(P) -> Result<()>,
) -> Result<()> {
    let (queue, begun) = sync_channel(AHEAD);
    let waiting = Mutex::new(jobs.iter());
    let hand = |queue: SyncSender<Receiver<Result<P>>>| {
        while let Some((job, give)) = begin(&waiting, &queue) {
            let mut piece = |piece| give.send(Ok(piece)).map_err(|_| nobody_listens());
            if let Err(error) = work(job, &mut piece) {
                let _unless_nobody_listens = give.send(Err(error));
            }
        }
    };
    std::thread::scope(|scope| {
        let hand = &hand;
        for _ in 0..threads().min(jobs.len()) {
            let queue = queue.clone();
            scope.spawn(move || hand(queue));
        }
        drop(queue);
        begun.into_iter().flatten().try_for_each(|piece| sink(piece?))
    })
}

/// The next job, and where its pieces go. It is queued while no other thread can take one, so
/// that the queue has the order of the jobs.
fn begin<'j, J, P>(
    waiting: &Mutex<std::slice::Iter<'j, J>>,
    queue: &SyncSender<Receiver<P>>,
) -> Option<(&'j J, SyncSender<P>)> {
    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let job = waiting.next()?;
    let (give, take) = sync_channel(WAITING);
    queue.send(take).ok()?;
    Some((job, give))
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(THREADS)
}

/// Never shown: who would listen has another error, which ended it.
fn nobody_listens() -> Error {
    Error::new(Kind::Io, "nobody takes what is made")
}

#[cfg(test)]
mod tests {
    use super::*;

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
            std::thread::yield_now();
            if *n == 3 { Err(Error::new(Kind::Archive, "third")) } else { Ok(()) }
        });
        assert_eq!(error.unwrap_err().message(), "third");
        assert!(begun.into_inner() < jobs.len());
    }

    #[test]
    fn pieces_come_in_the_order_of_the_jobs_however_long_each_takes() {
        let jobs: Vec<usize> = (0..200).collect();
        let pieces = |job: usize| (0..job % 13).map(move |piece| (job, piece));
        let mut found = Vec::new();
        let work = |job: &usize, give: &mut dyn FnMut((usize, usize)) -> Result<()>| {
            std::thread::sleep(std::time::Duration::from_micros((job * 7919 % 300) as u64));
            pieces(*job).try_for_each(give)
        };
        let sink = |piece| {
            found.push(piece);
            Ok(())
        };
        in_order(&jobs, work, sink).unwrap();
        assert_eq!(found, jobs.iter().flat_map(|job| pieces(*job)).collect::<Vec<_>>());
    }

    #[test]
    fn the_first_error_in_the_order_of_the_jobs_ends_it_wherever_it_comes_from() {
        let jobs: Vec<usize> = (0..100_000).collect();
        let begun = AtomicUsize::new(0);
        let fails = |at: usize| Err(Error::new(Kind::Archive, format!("{at}")));
        let run = |of_work: usize, of_sink: usize| {
            let work = |job: &usize, give: &mut dyn FnMut(usize) -> Result<()>| {
                begun.fetch_add(1, Ordering::Relaxed);
                give(*job)?;
                if *job >= of_work { fails(*job) } else { Ok(()) }
            };
            let sink = |piece| if piece == of_sink { fails(piece) } else { Ok(()) };
            in_order(&jobs, work, sink).unwrap_err().message().to_owned()
        };
        assert_eq!((run(70, 80), run(90, 80)), ("70".to_owned(), "80".to_owned()));
        assert!(begun.into_inner() < 1000, "work went on");
    }
}
