//! Independent jobs: side by side, one thread each, or in turn.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use heirloom_model::on_one_thread;

use crate::{Progress, Result};

/// Does every job, as many at a time as there are threads; results in the order of the jobs.
///
/// The first error stops the jobs that have not begun, and is returned when those under way have ended.
pub(crate) fn each<J: Sync, T: Send>(
    jobs: &[J],
    work: impl Fn(&J) -> Result<T> + Sync,
    progress: &mut dyn Progress,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<Result<T>>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    let put = |index: usize, result| *results[index].lock().expect("no holder panics") = Some(result);
    let (sender, receiver) = channel();
    let threads = heirloom_model::threads().min(jobs.len());
    thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next, put, work) = (sender.clone(), &next, &put, &work);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    let Some(job) = jobs.get(index) else { break };
                    let result = on_one_thread(|| work(job)).map_err(Into::into).and_then(|result| result);
                    let failed = result.is_err();
                    put(index, result);
                    // Nobody listens only when the scope is unwinding.
                    let _ = sender.send(());
                    if failed {
                        next.store(jobs.len(), Ordering::SeqCst);
                    }
                }
            });
        }
        drop(sender);
        for done in 1.. {
            if receiver.recv().is_err() {
                break;
            }
            progress.advance(done);
        }
    });
    let results = results.into_iter().filter_map(|slot| slot.into_inner().expect("no holder panics"));
    results.collect()
}

/// Does every job after the one before, each over all threads: for jobs that hold a copy of a model's weights while they
/// last. The first error ends it.
pub(crate) fn in_turn<J, T>(
    jobs: &[J],
    work: impl Fn(&J) -> Result<T>,
    progress: &mut dyn Progress,
) -> Result<Vec<T>> {
    let one = |(job, done): (&J, u64)| {
        let result = work(job);
        progress.advance(done);
        result
    };
    jobs.iter().zip(1..).map(one).collect()
}
