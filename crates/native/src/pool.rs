//! Spreads independent items over threads, keeping their order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use isovec_core::{Error, ErrorKind, Result, Team};

use crate::sharing::Sharing;

/// The most threads of a pool of our own; far more than any machine gains from.
const MAX_THREADS: usize = 1024;

/// The threads of all who have named no number of them.
static SHARING: Sharing = Sharing::new();

/// Where batches run: a pool of our own, or the rayon pool of whoever calls.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    own: Option<Arc<Own>>,
}

#[derive(Debug)]
struct Own {
    batches: rayon::ThreadPool,
    sharing: Sharing,
}

impl Pool {
    pub(crate) fn new(threads: Option<usize>) -> Result<Self> {
        let Some(threads) = threads else { return Ok(Pool { own: None }) };
        if !(1..=MAX_THREADS).contains(&threads) {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                format!("threads: {threads} is outside of 1 to {MAX_THREADS}"),
            ));
        }
        let batches = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("isovec-{index}"))
            .build()
            .map_err(|e| {
                Error::new(ErrorKind::Io, format!("cannot start {threads} threads: {e}"))
                    .with_source(e)
            })?;
        Ok(Pool { own: Some(Arc::new(Own { batches, sharing: Sharing::new() })) })
    }

    /// As [`map`](Self::map), with items of similar sizes together: as many as have `most` in sum, but not so
    /// many that a thread would have nothing to do. `work` gives a result for each item.
    pub(crate) fn map_groups<I: Sync, O: Send>(
        &self,
        items: &[I],
        size: impl Fn(&I) -> usize,
        most: usize,
        work: impl Fn(&[&I]) -> Vec<O> + Sync,
    ) -> Vec<O> {
        let mut order: Vec<usize> = (0..items.len()).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(size(&items[index])));
        let all: usize = items.iter().map(&size).sum();
        let most = most.min(all / self.threads());
        let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
        for index in order {
            let own = size(&items[index]);
            match groups.last_mut() {
                Some((sum, group)) if *sum + own <= most => {
                    *sum += own;
                    group.push(index);
                }
                _ => groups.push((own, vec![index])),
            }
        }
        let of_group = |(_, group): &(usize, Vec<usize>)| {
            let members: Vec<&I> = group.iter().map(|&index| &items[index]).collect();
            group.iter().copied().zip(work(&members)).collect::<Vec<_>>()
        };
        let mut done: Vec<(usize, O)> =
            self.map(&groups, |(sum, _)| *sum, of_group).into_iter().flatten().collect();
        done.sort_unstable_by_key(|&(index, _)| index);
        done.into_iter().map(|(_, output)| output).collect()
    }

    /// `work` on one text or image, with the threads that may share it.
    pub(crate) fn together<T: Send>(&self, work: impl FnOnce(&dyn Team) -> T + Send) -> T {
        self.sharing().together(self.threads(), work)
    }

    fn sharing(&self) -> &Sharing {
        self.own.as_ref().map_or(&SHARING, |own| &own.sharing)
    }

    fn threads(&self) -> usize {
        let own = self.own.as_ref().map(|own| own.batches.current_num_threads());
        own.unwrap_or_else(rayon::current_num_threads).max(1)
    }

    /// `work` of each item, in the order of the items.
    ///
    /// Each thread takes the next item when it is done with one, the largest by `size` first: the
    /// threads then end at nearly the same time, however mixed the sizes are.
    pub(crate) fn map<I: Sync, O: Send>(
        &self,
        items: &[I],
        size: impl Fn(&I) -> usize,
        work: impl Fn(&I) -> O + Sync,
    ) -> Vec<O> {
        let _caller = self.sharing().begin();
        if items.len() < 2 {
            return items.iter().map(work).collect();
        }
        let mut order: Vec<usize> = (0..items.len()).collect();
        order.sort_by_key(|&index| std::cmp::Reverse(size(&items[index])));
        let next = AtomicUsize::new(0);
        let drain = || {
            let mut done = Vec::new();
            while let Some(&index) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                done.push((index, work(&items[index])));
            }
            done
        };
        let mut done = match &self.own {
            Some(own) => own.batches.install(|| on_every_thread(&drain)),
            None => on_every_thread(&drain),
        };
        done.sort_unstable_by_key(|&(index, _)| index);
        done.into_iter().map(|(_, output)| output).collect()
    }
}

/// Runs `work` as many times as the current rayon pool has threads, and joins what it returns.
fn on_every_thread<T: Send>(work: &(impl Fn() -> Vec<T> + Sync)) -> Vec<T> {
    use rayon::prelude::*;
    (0..rayon::current_num_threads())
        .into_par_iter()
        .with_max_len(1)
        .flat_map_iter(|_| work())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_and_every_item_is_done_once() {
        let items: Vec<usize> = (0..1000).map(|i| (i * 7919) % 1000).collect();
        for threads in [None, Some(1), Some(2), Some(8)] {
            let calls = AtomicUsize::new(0);
            let out = Pool::new(threads).unwrap().map(
                &items,
                |&i| i,
                |&i| {
                    calls.fetch_add(1, Ordering::Relaxed);
                    i * 2
                },
            );
            assert_eq!(out, items.iter().map(|i| i * 2).collect::<Vec<_>>(), "{threads:?}");
            assert_eq!(calls.into_inner(), items.len(), "{threads:?}");
        }
    }

    #[test]
    fn impossible_numbers_of_threads_are_refused() {
        for threads in [0, MAX_THREADS + 1] {
            let error = Pool::new(Some(threads)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert_eq!(error.to_string(), format!("threads: {threads} is outside of 1 to 1024"));
        }
    }
}
