//! Loops on all threads that end as they would on one.

use rayon::prelude::*;

use crate::error::Result;

/// The results in order, or the error of the first item that failed; rayon's own `collect` returns whichever error came first in time.
pub(crate) fn in_order<T: Send>(results: impl IndexedParallelIterator<Item = Result<T>>) -> Result<Vec<T>> {
    results.collect::<Vec<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn the_first_failing_item_is_named_whichever_fails_first_in_time() {
        let item = |index: usize| {
            if index < 100 {
                return Ok(index);
            }
            std::thread::sleep(std::time::Duration::from_millis((120 - index as u64) / 4));
            Err(Error::TooFew { unit: "item", expected: 0, found: index })
        };
        for _ in 0..5 {
            let error = in_order((0..120).into_par_iter().map(item)).expect_err("the last twenty fail");
            assert!(matches!(error, Error::TooFew { found: 100, .. }), "{error}");
        }
        assert_eq!(in_order((0..100).into_par_iter().map(item)).expect("none fails").len(), 100);
    }
}
