//! The crate from outside: parity with Hugging Face transformers, laws, chat, bad input and the real model.

#![expect(clippy::disallowed_methods, reason = "damaged files are written on purpose, into scratch folders")]

mod adapter;
mod bad_input;
mod capture;
mod chat;
mod doctor;
mod families;
mod generate;
mod gguf;
mod gradients;
mod interventions;
mod log_probs;
mod parity;
mod resume;
mod save;
mod series;
mod smollm2;
mod support;
mod train;
mod training_rows;
