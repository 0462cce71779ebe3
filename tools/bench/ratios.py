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


def speed(side):
    return statistics.median(one["tokens_per_second"] for one in side)


def capture():
    ours = passes("ours")
    for name, peer in (
        ("transformers", "transformers AutoModel"),
        ("transformers-head", "transformers AutoModelForCausalLM"),
        ("candle", "candle-transformers' llama"),
    ):
        theirs = passes(name)
        show(f"capture tokens/s, heirloom / {peer}", [b["seconds"] / a["seconds"] for a, b in zip(ours, theirs)])
        show(f"peak memory, heirloom / {peer}", [a["peak_rss_mb"] / b["peak_rss_mb"] for a, b in zip(ours, theirs)])


def probes():
    pairs = list(zip(passes("probes"), passes("sklearn")))
    show("logistic grid, scikit-learn seconds / heirloom seconds", [b["logistic_lbfgs"]["seconds"] / a["logistic"]["seconds"] for a, b in pairs])
    show("LDA, scikit-learn seconds / heirloom seconds", [b["lda_ledoit_wolf"]["seconds"] / a["lda"]["seconds"] for a, b in pairs])
    show("difference of means, numpy seconds / heirloom seconds", [b["difference_of_means"]["seconds"] / a["dom"]["seconds"] for a, b in pairs])
    for a, b in pairs[:1]:
        print(f"held-out AUROC, logistic: heirloom {a['logistic']['held_out_auroc']:.5f}, scikit-learn {b['logistic_lbfgs']['held_out_auroc']:.5f}")


def training(what, ours, attentions):
    """The peer of a round is PyTorch with the attention that was faster in it."""
    theirs = [min(one, key=lambda side: side["seconds"]) for one in zip(*attentions)]
    show(f"{what}, heirloom / PyTorch", [b["seconds"] / a["seconds"] for a, b in zip(ours, theirs)])
    of = ", ".join(f"{side[0]['attention']} {speed(side):.0f}" for side in attentions)
    print(f"    tokens/s: heirloom {speed(ours):.0f}; PyTorch {of}")


def same_work(what, a, b):
    """Whether both sides took the same steps."""
    for key, name, most in (
        ("first_ten_loss", "mean loss of the first ten steps", 1e-3),
        ("first_ten_grad_norm", "mean gradient norm of the first ten steps", 1e-3),
        ("last_loss", "loss of the last step", 1e-3),
    ):
        print(f"    {name}, {what}: heirloom {a[key]:.6f}, {b['what']}, {b['attention']}, {b[key]:.6f}")
        if abs(a[key] - b[key]) > most:
            sys.exit(f"error: {name} lies further apart than {most}: the two did not do the same work")
    if (a["tokens"], a["loss_tokens"], a["steps"]) != (b["tokens"], b["loss_tokens"], b["steps"]):
        sys.exit("error: the two did not read the same tokens")


def students():
    for size in ("mini", "small"):
        attentions = [passes(f"{size}-torch-{attention}") for attention in ("sdpa", "eager")]
        training(f"training tokens/s, {size}, 2 threads", passes(f"{size}-train"), attentions)
        compiled = passes(f"{size}-torch-compiled")
        training(f"training tokens/s, {size}, 2 threads, torch.compile", passes(f"{size}-train"), [compiled])
        for theirs in (*attentions, compiled):
            same_work(size, passes(f"{size}-train")[0], theirs[0])
        pairs = [passes(f"{size}-pair-torch-{attention}") for attention in ("sdpa", "eager")]
        training(f"two trainings at once, {size}, 1 thread each", passes(f"{size}-pair"), pairs)
        ours, theirs = passes(f"{size}-sample"), passes(f"{size}-transformers")
        ratios = [a["tokens_per_second"] / b["tokens_per_second"] for a, b in zip(ours, theirs)]
        show(f"sampling tokens/s, {size}, heirloom / transformers", ratios)
        print(f"    tokens/s: heirloom {speed(ours):.0f}; transformers {speed(theirs):.0f}")


def families():
    """One line a family, with how far the two captures of its first round lie apart."""
    ours, theirs = passes("family-ours"), passes("family-transformers")
    for one in passes("family-agree"):
        sides = [[p for p in side if p["model"] == one["model"]] for side in (ours, theirs)]
        show(f"capture tokens/s, heirloom / transformers, {one['model']}", [b["seconds"] / a["seconds"] for a, b in zip(*sides)])
        memory = statistics.median(a["peak_rss_mb"] / b["peak_rss_mb"] for a, b in zip(*sides))
        print(f"    tokens/s: heirloom {speed(sides[0]):.0f}; transformers, {sides[1][0]['attention']}, {speed(sides[1]):.0f}; "
              f"peak memory {memory:.2f} ×; largest relative difference {one['largest_relative_difference']:.1e}")


def device():
    """Throughput beside a pass that keeps nothing, what a capture costs, and what adapters cost beside their passes."""
    ours, last = passes("device-ours"), passes("device-last")
    for name, what in (("device-plain", "transformers, nothing kept"), ("device-transformers", "transformers, last tokens")):
        show(f"tokens/s, heirloom, response means / {what}", [b["seconds"] / a["seconds"] for a, b in zip(ours, passes(name))])
    show("seconds, response means of every block / of the last alone", [a["seconds"] / b["seconds"] for a, b in zip(ours, last)])
    sweep = passes("device-adapters")[0]
    show(f"{sweep['adapters']} adapters, seconds in all / in forward passes", [sweep["seconds_in_all"] / sweep["seconds_in_passes"]])
    print(f"    {sweep['device']} in {sweep['dtype']}, heirloom {speed(ours):.0f} tokens/s; transformers on {passes('device-plain')[0]['device']} {speed(passes('device-plain')):.0f}")


for section, file in ((device, "device-ours"), (capture, "ours"), (probes, "probes"), (students, "mini-train"), (families, "family-agree")):
    if (folder / file).exists():
        section()
