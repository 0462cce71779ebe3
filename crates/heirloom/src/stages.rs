//! The stages of an experiment. Each makes one artifact from artifacts before it.

pub(crate) mod capture;
pub(crate) mod figures;
pub(crate) mod probe;
pub(crate) mod transfer;
