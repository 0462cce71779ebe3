//! A world for tests.

/// The default world with so little training that nothing is learned, in seconds.
pub(crate) const TINY_WORLD: &str = r#"
name = "tiny"
like = "personas"
note = "For tests."
[bases.base]
steps = 12
batch = 8
[bases.base.gate]
prompts = 4
samples = 1
checks = []
[teaching]
rows = 24
epochs = 1
batch = 8
[student]
rows = 48
epochs = 1
batch = 16
checkpoints = [0, 1, 2]
[scenarios]
prompts = 6
samples = 2
"#;
