//! Arms as their users see them: laws, differences, and what is refused.

mod bad;
mod differences;
mod laws;
mod small;
