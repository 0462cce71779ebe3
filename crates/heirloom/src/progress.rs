//! How a long run tells where it is.

/// Hears where a run is. The library never prints; the binary draws bars.
pub trait Progress {
    /// A stage begins: `capture`, about `blackmail pairs`, `total` units of `unit` ahead.
    fn begin(&mut self, stage: &str, about: &str, total: u64, unit: &str);
    /// `done` units of the stage are behind.
    fn advance(&mut self, done: u64);
    /// The stage is over.
    fn end(&mut self);
    /// The stage's artifact exists already.
    fn reuse(&mut self, stage: &str, about: &str);
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _: &str, _: &str, _: u64, _: &str) {}
    fn advance(&mut self, _: u64) {}
    fn end(&mut self) {}
    fn reuse(&mut self, _: &str, _: &str) {}
}
