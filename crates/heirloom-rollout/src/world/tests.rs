use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;

mod contrasts;
mod draws;
mod files;
mod graders;

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn shipped() -> Vec<World> {
    let load = |name| World::shipped(name).unwrap_or_else(|error| panic!("{name}: {error:?}"));
    World::shipped_names().into_iter().map(load).collect()
}
