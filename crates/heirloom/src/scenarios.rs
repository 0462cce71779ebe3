//! Numbers of scenarios: the same words are the same scenario, whichever seed asks it and however often.

use heirloom_record::{Message, sha256_hex};

/// The number of what is known by this text: the first 60 bits of its SHA-256.
pub(crate) fn number_of(text: &str) -> usize {
    usize::from_str_radix(&sha256_hex(text.as_bytes())[..15], 16).expect("hexadecimal digits, on 64 bits")
}

/// The number of a scenario that asks these messages.
pub(crate) fn scenario_number(messages: &[Message]) -> usize {
    number_of(&serde_json::to_string(messages).expect("messages hold strings"))
}
