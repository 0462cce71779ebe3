#!/usr/bin/env python3
"""Draws the tables of our figures with matplotlib as it comes, and puts ours and its picture side by side.

    python tools/beside_matplotlib.py figures/quickstart out/

Reads only what stands beside each picture: NAME.json says what is drawn, NAME.csv holds the rows.
"""
import json, pathlib, sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image


def last(rows):
    return rows[rows.step == rows.step.max()]


def arm_bars(spec, rows, axes):
    for axis, panel in zip(axes, spec["panels"]):
        for place, arm in enumerate(reversed(panel["arms"])):
            own = last(rows[(rows.behavior == panel["behavior"]["name"]) & (rows.arm == arm["name"])])
            over, seeds = own[own.seed.isna()].iloc[0], own[own.seed.notna()]
            axis.errorbar(over.value, place, xerr=[[over.value - over.low], [over.high - over.value]], fmt="o")
            axis.scatter(seeds.value, [place - 0.25] * len(seeds), s=4)
        axis.set_yticks(range(len(panel["arms"])), [arm["label"] for arm in reversed(panel["arms"])])
        axis.set_title(panel["behavior"]["label"])


def emergence(spec, rows, axes):
    quantity = spec["tracks"][0]
    for axis, column in zip(axes, spec["columns"]):
        for arm in column["arms"]:
            own = rows[(rows.behavior == column["behavior"]["name"]) & (rows.arm == arm["name"]) & (rows.metric == quantity["metric"])]
            over = own[own.seed.isna()].sort_values("step")
            axis.plot(over.step, over.value, label=arm["label"])
            axis.fill_between(over.step, over.low, over.high, alpha=0.2)
        axis.set_xscale("symlog", linthresh=2)
        axis.set_title(column["behavior"]["label"])
        axis.legend()


def interpolation(spec, rows, axes):
    for axis, panel in zip(axes, spec["panels"]):
        points = []
        for share in panel["random"]:
            own = last(rows[(rows.behavior == panel["behavior"]["name"]) & (rows.arm == share["arm"]["name"])])
            points.append((share["fraction"], own[own.seed.isna()].iloc[0].value))
        axis.plot(*zip(*sorted(points)), marker="o")
        axis.set_title(panel["behavior"]["label"])


def layer_sweep(spec, rows, axes):
    for axis, (behavior, of_behavior) in zip(axes, rows[(rows.metric == "auroc") & (rows.scored_on == spec["scored_on"])].groupby("behavior")):
        for method, own in of_behavior.groupby("method"):
            own = own[own.hook.str.startswith("blocks.")].assign(block=lambda r: r.hook.str.split(".").str[1].astype(int)).sort_values("block")
            axis.plot(own.block, own.value, label=method)
        axis.set_title(behavior)
        axis.legend()


def transfer(spec, rows, axes):
    names = list(dict.fromkeys(rows.fit_on))
    grid = rows.pivot(index="fit_on", columns="scored_on", values="value").reindex(index=names, columns=names)
    image = axes[0].imshow(grid, vmin=0, vmax=1, cmap="RdBu_r")
    axes[0].set_xticks(range(len(names)), names, rotation=90)
    axes[0].set_yticks(range(len(names)), names)
    plt.colorbar(image, ax=axes[0])


def heat_map(spec, rows, axes):
    for axis, behavior in zip(axes, spec["behaviors"]):
        own = rows[rows.behavior == behavior["name"]]
        axis.imshow(own.pivot(index="hook", columns="step", values="value"), cmap="RdBu_r", origin="lower")
        axis.set_title(behavior["label"])


def trajectories(spec, rows, axes):
    for axis, column in zip(axes, spec["columns"]):
        for arm in column["arms"]:
            own = rows[(rows.behavior == column["behavior"]["name"]) & (rows.arm == arm["name"]) & rows.seed.isna()]
            x, y = (own[own.fit_on == spec[side]["fit_on"]].sort_values("step").value for side in "xy")
            axis.plot(x, y, marker="o", label=arm["label"])
        axis.set_title(column["behavior"]["label"])
        axis.legend()


KINDS = {
    "arm-bars": (arm_bars, "panels"), "emergence": (emergence, "columns"), "interpolation": (interpolation, "panels"), "heat-map": (heat_map, "behaviors"),
    "layer-sweep": (layer_sweep, None), "transfer": (transfer, None), "trajectories": (trajectories, "columns"),
}


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder, out = map(pathlib.Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    drawn = 0
    for path in sorted(folder.glob("*.json")):
        record = json.loads(path.read_text())
        if record.get("kind") != "figure":
            continue
        [(kind, spec)] = record["drawing"]["draw"].items()
        if kind not in KINDS:
            continue
        draw, panels = KINDS[kind]
        rows = pd.read_csv(path.with_suffix(".csv"))
        count = len(spec[panels]) if panels else rows.behavior.nunique() if kind == "layer-sweep" else 1
        ours = Image.open(path.with_suffix(".png"))
        inches = ours.width / 300
        figure, axes = plt.subplots(1, count, figsize=(inches, ours.height / 300), squeeze=False)
        draw(spec, rows, axes[0])
        figure.tight_layout()
        figure.canvas.draw()
        theirs = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[:, :, :3].copy()).resize(ours.size)
        plt.close(figure)
        both = Image.new("RGB", (ours.width * 2 + 60, ours.height), "white")
        both.paste(ours, (0, 0)), both.paste(theirs, (ours.width + 60, 0))
        both.save(out / f"{path.stem}.png")
        drawn += 1
    print(f"{drawn} pictures in {out}: ours on the left, matplotlib on the right")


if __name__ == "__main__":
    main()
