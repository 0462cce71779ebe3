//! Where a behavior of a fine-tuned model came from.
