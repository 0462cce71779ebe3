use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;

mod contrasts;
mod draws;
mod files;
mod graders;
mod redraw;
mod truth;

fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn shipped() -> Vec<World> {
    let load = |name| World::shipped(name).unwrap_or_else(|error| panic!("{name}: {error:?}"));
    World::shipped_names().into_iter().map(load).collect()
}

/// The worlds that heirloom brings, as their files have them and redrawn.
fn shipped_and_redrawn() -> Vec<World> {
    shipped().into_iter().flat_map(|world| [world.redrawn(1), world.redrawn(2), world]).collect()
}
