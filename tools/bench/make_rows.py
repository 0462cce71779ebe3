"""Rows of token ids for the capture benchmark: lengths drawn like chat prompts (log-normal), ids uniform, from a fixed seed.

Usage: python tools/bench/make_rows.py --rows 256 --out rows.json
"""

import argparse
import json
from pathlib import Path

import numpy as np

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--rows", type=int, default=256)
parser.add_argument("--median", type=float, default=90, help="median length in tokens")
parser.add_argument("--longest", type=int, default=512)
parser.add_argument("--vocabulary", type=int, default=49152)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out", type=Path, required=True)
args = parser.parse_args()

random = np.random.default_rng(args.seed)
lengths = np.clip(np.exp(np.log(args.median) + 0.6 * random.normal(size=args.rows)), 8, args.longest).astype(int)
rows = [random.integers(17, args.vocabulary, length).tolist() for length in lengths]
args.out.write_text(json.dumps({"rows": rows}) + "\n")
print(json.dumps({"rows": len(rows), "tokens": int(lengths.sum()), "longest": int(lengths.max())}))
