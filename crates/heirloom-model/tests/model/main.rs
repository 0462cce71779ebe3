//! The crate from outside: parity with Hugging Face transformers, laws, chat, bad input and the real model.

mod bad_input;
mod capture;
mod chat;
mod interventions;
mod parity;
mod smollm2;
mod support;
