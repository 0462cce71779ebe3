#!/usr/bin/env python3
"""Reads what a run wrote with numpy, pandas and safetensors alone, computes one figure's numbers anew from the artifacts, holds them against
the table to 1e-12, and draws that figure where matplotlib is installed.

    python tools/read_run.py runs/quickstart rates.png       a run with arms: rates from grades
    python tools/read_run.py runs/smollm2 auroc.png          a run of probes: AUROC by block from activations and directions

Cells begin with `# %%`, for editors that run them one by one. Versions that it was written with: tools/requirements.txt.
"""
# %% What a run is made of
import json, pathlib, sys

import numpy as np
import pandas as pd
from safetensors import safe_open

RUN = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "runs/quickstart")
OUT = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else "figure.png")
if not (RUN / "table.csv").is_file():
    sys.exit(f"error: `{RUN}` holds no table.csv; make a run with `heirloom quickstart`")


def header(path):
    """The one metadata key of a heirloom tensor file."""
    with safe_open(path, framework="numpy") as file:
        return json.loads(file.metadata()["heirloom"])


def tensors(path):
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines() if line]


table = pd.read_csv(RUN / "table.csv")
IS_PROBES = (RUN / "made-from.json").is_file()
if not IS_PROBES and not (RUN / "experiment.json").is_file():
    sys.exit(f"error: `{RUN}` holds a table, but is no run of `heirloom run` or `heirloom quickstart`; read its table.csv with pandas")
print(f"{RUN}: {len(table)} numbers, {table.metric.nunique()} metrics")

# %% Everything else that stands in the folder, opened once
opened = {}
for path in sorted(RUN.rglob("*")):
    if path.suffix == ".safetensors":
        with safe_open(path, framework="numpy") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}
            kind = json.loads((file.metadata() or {}).get("heirloom", '{"kind": "weights"}'))["kind"]
        opened[kind] = opened.get(kind, 0) + len(shapes)
    elif path.suffix == ".jsonl":
        opened["JSON lines"] = opened.get("JSON lines", 0) + len(lines(path))
    elif path.suffix == ".json":
        json.loads(path.read_text())
        opened["JSON documents"] = opened.get("JSON documents", 0) + 1
    elif path.suffix == ".csv":
        opened["rows of CSV"] = opened.get("rows of CSV", 0) + len(pd.read_csv(path))
print("opened: " + ", ".join(f"{count} {kind}" for kind, count in sorted(opened.items())))


# %% A run with arms: the rate of each arm and seed is the mean of its grades at the last step
def rates():
    found = []
    behaviors = json.loads((RUN / "experiment.json").read_text())["figures"]["behaviors"]
    for student in sorted((RUN / "student").iterdir()):
        if not (student / "manifest.json").is_file():
            continue
        manifest = json.loads((student / "manifest.json").read_text())
        [grades] = (RUN / "grade").glob(student.name + "-*")
        last = max((int(file.stem.split("-")[1]), file) for file in grades.glob("step-*.jsonl"))
        rows = pd.DataFrame(lines(last[1]))
        for behavior in (panel["behavior"] for panel in behaviors):
            own = rows[rows.behavior == behavior]
            # Of the two graders of a behavior the first says whether it is shown, the second whether the answer is well formed.
            shows = own[own.sha256 == own.sha256.iloc[0]]
            found.append((behavior, manifest["arm"], manifest["seed"], last[0], shows.answer.mean(), len(shows)))
    return pd.DataFrame(found, columns=["behavior", "arm", "seed", "step", "value", "n"])


# %% A run of probes: AUROC of the selection groups at every hook point, from activations and directions
def auroc(scores, labels):
    """The share of pairs of a positive and a negative in the right order, ties for a half."""
    ranks = pd.Series(scores).rank().to_numpy()
    positives, negatives = labels.sum(), (~labels).sum()
    return (ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives)


def aurocs():
    made = json.loads((RUN / "made-from.json").read_text())
    method = made["experiment"]["probe"]["headline"]
    found = []
    for probe in (RUN / path for path in made["artifacts"] if path.startswith("probe/")):
        directions, about = tensors(probe / f"{method}.safetensors"), header(probe / f"{method}.safetensors")
        behavior = about["behavior"]
        [store] = [RUN / path for path in made["artifacts"] if path.rsplit("-", 1)[0] == f"capture/{behavior}-pairs"]
        rows = pd.DataFrame(lines(store / "rows.jsonl"))
        chosen = rows.group.isin(about["select_groups"]).to_numpy()
        activations = {}
        for shard in sorted(store.glob("activations-*.safetensors")):
            for hook, tensor in tensors(shard).items():
                activations.setdefault(hook, []).append(tensor)
        labels = rows.label.to_numpy(dtype=bool)[chosen]
        for hook, direction in directions.items():
            reading = about["readings"][hook]
            x = np.concatenate(activations[hook])[chosen].astype(np.float64)
            scores = reading["scale"] * (x @ direction.astype(np.float64)) + reading["intercept"]
            found.append((behavior, hook, method, auroc(scores, labels)))
    return pd.DataFrame(found, columns=["behavior", "hook", "method", "value"])


# %% Held against the table
if IS_PROBES:
    ours = table[(table.metric == "auroc") & (table.scored_on == "selection groups")]
    both = aurocs().merge(ours, on=["behavior", "hook", "method"], suffixes=("", "_table"))
else:
    ours = table[(table.metric == "rate") & table.seed.notna()]
    both = rates().merge(ours, on=["behavior", "arm", "seed", "step"], suffixes=("", "_table"))
    assert (both.n == both.n_table).all()
far = (both.value - both.value_table).abs().max()
print(f"{len(both)} numbers computed anew; the largest difference from the table is {far:.1e}")
assert len(both) > 0 and far <= 1e-12

# %% Drawn
try:
    import matplotlib
except ImportError:
    print("to draw them, install matplotlib as well")
    sys.exit(0)
matplotlib.use("Agg")
import matplotlib.pyplot as plt

behaviors = list(both.behavior.unique())
figure, panels = plt.subplots(1, len(behaviors), figsize=(7, 2.6 if IS_PROBES else 4.2), sharey=True, squeeze=False)
for panel, behavior in zip(panels[0], behaviors):
    own = both[both.behavior == behavior]
    if IS_PROBES:
        blocks = own[own.hook.str.startswith("blocks.")].assign(block=lambda rows: rows.hook.str.split(".").str[1].astype(int)).sort_values("block")
        panel.plot(blocks.block, blocks.value, marker="o", markersize=2.5, linewidth=1)
        panel.axhline(0.5, color="gray", linestyle=":", linewidth=0.8)
        panel.set_xlabel("block")
    else:
        arms = list(own.arm.unique())[::-1]
        panel.scatter(own.value, [arms.index(arm) for arm in own.arm], s=6, alpha=0.6)
        panel.scatter(own.groupby("arm").value.mean().reindex(arms), range(len(arms)), marker="|", s=60)
        panel.set_yticks(range(len(arms)), arms, fontsize=6)
        panel.set_xlim(-0.03, 1.03)
        panel.set_xlabel("behavior rate", fontsize=7)
    panel.set_title(behavior, fontsize=8)
    panel.tick_params(labelsize=6)
panels[0][0].set_ylabel("AUROC" if IS_PROBES else "")
figure.tight_layout()
figure.savefig(OUT, dpi=200)
print(OUT)
