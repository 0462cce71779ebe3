"""Largest difference between two captures of `blocks.{l}.hook_resid_post`, relative to the largest number of each block.

Usage: python tools/bench/agree.py NAME OURS THEIRS.safetensors [--most 1e-4]

OURS is the folder of a store of activations. Prints one JSON object; exits with 1 where they lie further apart.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("name")
parser.add_argument("ours", type=Path)
parser.add_argument("theirs", type=Path)
parser.add_argument("--most", type=float, default=1e-4)
args = parser.parse_args()

shards = [load_file(path) for path in sorted(args.ours.glob("*.safetensors"))]
theirs, worst = load_file(args.theirs), (0.0, None)
for hook, expected in theirs.items():
    found = np.concatenate([shard[hook] for shard in shards])
    assert found.shape == expected.shape, (hook, found.shape, expected.shape)
    apart = float(np.abs(found - expected).max() / np.abs(expected).max())
    worst = max(worst, (apart if np.isfinite(apart) else np.inf, hook), key=lambda pair: pair[0])
print(json.dumps({"model": args.name, "hooks": len(theirs), "largest_relative_difference": worst[0], "at": worst[1]}))
if not worst[0] <= args.most:
    sys.exit(f"error: {args.name}: `{worst[1]}` lies {worst[0]:.1e} apart, more than {args.most:.0e}")
