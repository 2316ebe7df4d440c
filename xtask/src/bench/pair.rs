//! Pairs: the same work by us and by a peer, one right after the other, so that a busy
//! machine slows both; and what pairs say.

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::interrupt;

/// Wall time of the same work, done by us and by the peer.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// Ours.
    pub ours: Duration,
    /// The peer's.
    pub peer: Duration,
}

/// Measures `runs` pairs. Who is first changes with every pair. Each side is told the
/// number of the pair and times its own work, so that what it prepares is not counted.
pub fn pairs(
    runs: usize,
    mut ours: impl FnMut(usize) -> Result<Duration>,
    mut peer: impl FnMut(usize) -> Result<Duration>,
) -> Result<Vec<Pair>> {
    let one = |number: usize| {
        interrupt::check()?;
        Ok(if number.is_multiple_of(2) {
            let ours = ours(number)?;
            Pair { ours, peer: peer(number)? }
        } else {
            let peer = peer(number)?;
            Pair { ours: ours(number)?, peer }
        })
    };
    (0..runs).map(one).collect()
}

/// How long `work` takes.
pub fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

/// The median of what `of` says of each pair: of an even number, the mean of the middle two.
/// 0 for no pair.
pub fn median<T>(all: &[T], of: impl Fn(&T) -> f64) -> f64 {
    let mut values: Vec<f64> = all.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    match (values.get(upper), values.len() % 2) {
        (None, _) => 0.0,
        (Some(middle), 1) => *middle,
        (Some(above), _) => f64::midpoint(values[upper - 1], *above),
    }
}

impl Pair {
    /// How many times the peer's time we take.
    pub fn ratio(&self) -> f64 {
        self.ours.as_secs_f64() / self.peer.as_secs_f64().max(1e-9)
    }

    /// How many seconds we take more than the peer.
    pub fn over(&self) -> f64 {
        self.ours.as_secs_f64() - self.peer.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(ours: u64, peer: u64) -> Pair {
        Pair { ours: Duration::from_secs(ours), peer: Duration::from_secs(peer) }
    }

    #[test]
    fn a_median_is_no_mean() {
        let of = |values: &[f64]| median(values, |value| *value);
        assert_eq!(of(&[]), 0.0);
        assert_eq!(of(&[3.0]), 3.0);
        assert_eq!(of(&[100.0, 1.0, 3.0]), 3.0);
        assert_eq!(of(&[4.0, 100.0, 1.0, 3.0]), 3.5);
    }

    #[test]
    fn the_median_of_ratios_is_not_the_ratio_of_medians() {
        let pairs = [pair(2, 1), pair(30, 10), pair(4, 4)];
        assert_eq!(median(&pairs, Pair::ratio), 2.0); // medians: 4 and 4
        assert_eq!(median(&pairs, Pair::over), 1.0);
    }

    #[test]
    fn who_is_first_changes_and_an_error_ends_it() {
        let order = std::cell::RefCell::new(String::new());
        let side = |name: char| {
            let order = &order;
            move |number: usize| {
                order.borrow_mut().push(name);
                match number {
                    3 => Err(crate::error::Error::new(crate::error::Kind::Io, "third")),
                    _ => Ok(Duration::ZERO),
                }
            }
        };
        assert_eq!(pairs(3, side('o'), side('p')).unwrap().len(), 3);
        assert_eq!(order.borrow().as_str(), "oppoop");
        assert!(pairs(9, side('o'), side('p')).is_err());
        assert_eq!(order.borrow().len(), 6 + 7);
    }
}
