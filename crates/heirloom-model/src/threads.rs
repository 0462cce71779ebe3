//! Side by side: several students at once, each on one thread.

use crate::{Error, Result};

/// Runs `work` with every kernel and matrix product in it on one thread.
///
/// Two small students side by side on two cores are nearly twice as fast as one after the other on both: their
/// products are too small to be worth dividing.
///
/// # Determinism
/// The same bits as on any number of threads.
///
/// # Errors
/// The system starts no thread.
pub fn on_one_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.map_err(|source| Error::Threads { source: Box::new(source) })?;
    Ok(pool.install(work))
}

/// How many threads kernels and matrix products use by default: `RAYON_NUM_THREADS`, or those of the machine.
pub fn threads() -> usize {
    rayon::current_num_threads()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_has_one_thread_to_itself() {
        assert_eq!(on_one_thread(rayon::current_num_threads).unwrap(), 1);
    }
}
