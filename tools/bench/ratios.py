"""Ratios of the passes that `tools/bench/run` left in a folder: median, smallest and largest over rounds.

Usage: python tools/bench/ratios.py FOLDER
"""

import json
import statistics
import sys
from pathlib import Path

folder = Path(sys.argv[1])


def passes(name):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def show(what, ratios):
    print(f"{what:<62} {statistics.median(ratios):6.2f} × ({min(ratios):.2f}–{max(ratios):.2f}, {len(ratios)} rounds)")


ours = passes("ours")
for name, peer in (
    ("transformers", "transformers AutoModel"),
    ("transformers-head", "transformers AutoModelForCausalLM"),
    ("candle", "candle-transformers' llama"),
):
    theirs = passes(name)
    show(f"capture tokens/s, heirloom / {peer}", [b["seconds"] / a["seconds"] for a, b in zip(ours, theirs)])
    show(f"peak memory, heirloom / {peer}", [a["peak_rss_mb"] / b["peak_rss_mb"] for a, b in zip(ours, theirs)])
for ours, theirs in zip([passes("probes")], [passes("sklearn")]):
    pairs = list(zip(ours, theirs))
    show("logistic grid, scikit-learn seconds / heirloom seconds", [b["logistic_lbfgs"]["seconds"] / a["logistic"]["seconds"] for a, b in pairs])
    show("LDA, scikit-learn seconds / heirloom seconds", [b["lda_ledoit_wolf"]["seconds"] / a["lda"]["seconds"] for a, b in pairs])
    show("difference of means, numpy seconds / heirloom seconds", [b["difference_of_means"]["seconds"] / a["dom"]["seconds"] for a, b in pairs])
    for a, b in pairs[:1]:
        print(f"held-out AUROC, logistic: heirloom {a['logistic']['held_out_auroc']:.5f}, scikit-learn {b['logistic_lbfgs']['held_out_auroc']:.5f}")
