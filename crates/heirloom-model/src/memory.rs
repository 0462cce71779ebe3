//! What is done where a device has no memory for a batch.

use crate::{Device, Error, Result};

/// Runs with `max_tokens`, and from the start with half of it each time `device` has no memory, down to `least`.
pub(crate) fn within_memory<T>(
    device: Device,
    mut max_tokens: usize,
    least: usize,
    mut run: impl FnMut(usize) -> Result<T>,
) -> Result<T> {
    loop {
        match run(max_tokens) {
            Err(Error::Tensor(source)) if no_memory(&source) => {
                if max_tokens <= least.max(1) {
                    return Err(Error::OutOfMemory { device, max_tokens, source });
                }
                max_tokens = (max_tokens / 2).max(least);
            }
            other => return other,
        }
    }
}

/// Whether a device refused an allocation: what the drivers of CUDA, cuBLAS and Metal say.
fn no_memory(error: &candle_core::Error) -> bool {
    let said = error.to_string().to_lowercase();
    ["out of memory", "out_of_memory", "alloc_failed", "outofmemory"].iter().any(|words| said.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs that need `room` tokens at most, and what was tried.
    fn tried(max_tokens: usize, least: usize, room: usize, words: &str) -> (Result<usize>, Vec<usize>) {
        let mut tried = Vec::new();
        let run = |max_tokens| {
            tried.push(max_tokens);
            if max_tokens <= room {
                Ok(max_tokens)
            } else {
                Err(candle_core::Error::Msg(words.into()).into())
            }
        };
        (within_memory(Device::Cuda(0), max_tokens, least, run), tried)
    }

    #[test]
    fn a_batch_without_memory_is_halved_and_begun_again() {
        let full = "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";
        for words in [full, "CUBLAS_STATUS_ALLOC_FAILED"] {
            let (result, all) = tried(4096, 100, 600, words);
            assert_eq!((result.unwrap(), all), (512, vec![4096, 2048, 1024, 512]));
        }
        // As far as rows share a batch, and no further.
        let (result, all) = tried(4096, 1500, 600, full);
        assert_eq!(all, [4096, 2048, 1500]);
        let error = result.unwrap_err();
        assert_eq!(error.to_string(), "`cuda:0` has no memory for a batch of 1500 tokens");
        assert!(error.hint().unwrap().contains("--batch-tokens"));
        // Twins: a budget that may not shrink, another failure, a run that fits.
        let (result, all) = tried(4096, 4096, 600, full);
        assert!(matches!(result, Err(Error::OutOfMemory { max_tokens: 4096, .. })) && all == [4096]);
        let (result, all) = tried(4096, 100, 600, "shape mismatch");
        assert!(matches!(result, Err(Error::Tensor(_))) && all == [4096]);
        assert_eq!(tried(4096, 100, 5000, full).1, [4096]);
    }
}
