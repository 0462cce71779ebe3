"""Times scikit-learn and numpy on the probes heirloom fits: logistic regression over a C grid, LDA, difference of means.

4000 training rows × 576, z-scored on the training rows, 800 groups, 5 grouped folds, 7 values of C, 1000 held-out rows.
The data come from a fixed seed; `--data` keeps them as safetensors (x f32 [5000, 576], y, group, fold i64; fold −1 = held out),
so that the other side reads the same numbers. Prints one JSON object.

Usage: python tools/bench/probe_sklearn.py --data probe.safetensors
"""

import argparse
import json
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from sklearn.covariance import ledoit_wolf
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

TRAIN, TEST, COLUMNS, PER_GROUP, FOLDS = 4000, 1000, 576, 5, 5
GRID = np.logspace(-4, 2, 7)


def synthetic():
    """Rows with a decaying spectrum, as activations have, a group effect, and a label along one hidden direction."""
    random = np.random.default_rng(20260115)
    rows = TRAIN + TEST
    group = np.arange(rows) // PER_GROUP
    basis, _ = np.linalg.qr(random.normal(size=(COLUMNS, COLUMNS)))
    scale = (1 + np.arange(COLUMNS)) ** -0.5
    latent = random.normal(size=(rows, COLUMNS)) + 0.7 * random.normal(size=(group[-1] + 1, COLUMNS))[group]
    hidden = random.normal(size=COLUMNS) * (np.arange(COLUMNS) < 60)
    score = latent @ hidden / np.linalg.norm(hidden)
    y = (random.uniform(size=rows) < 1 / (1 + np.exp(-1.6 * score))).astype(np.int64)
    x = (latent * scale) @ basis.T + 2 * random.normal(size=COLUMNS)
    x = (x - x[:TRAIN].mean(0)) / x[:TRAIN].std(0)
    fold = random.permutation(TRAIN // PER_GROUP)[group[:TRAIN]] % FOLDS
    return {"x": x.astype(np.float32), "y": y, "group": group.astype(np.int64),
            "fold": np.concatenate([fold, np.full(TEST, -1)]).astype(np.int64)}


def timed(function):
    start = time.perf_counter()
    value = function()
    return round(time.perf_counter() - start, 4), value


def grid_search(x, y, fold, solver):
    """Mean held-out AUROC of every C over the folds, the best C refitted on all rows; cold starts."""
    def fit(c, rows):
        return LogisticRegression(C=c, solver=solver, max_iter=1000).fit(x[rows], y[rows])

    areas = np.array([
        [roc_auc_score(y[fold == k], fit(c, fold != k).decision_function(x[fold == k])) for k in range(FOLDS)] for c in GRID
    ]).mean(1)
    best = float(GRID[areas.argmax()])
    return best, areas.tolist(), fit(best, fold >= 0)


def lda(x, y):
    mean = [x[y == label].mean(0) for label in (0, 1)]
    covariance, _ = ledoit_wolf(x - np.where(y[:, None] == 1, mean[1], mean[0]), assume_centered=True)
    return np.linalg.solve(covariance, mean[1] - mean[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="read from here, or written here if it is not there")
    parser.add_argument("--dtype", default="f64", choices=("f32", "f64"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--solvers", nargs="+", default=["lbfgs", "newton-cholesky"])
    args = parser.parse_args()

    data = load_file(args.data) if args.data and args.data.exists() else synthetic()
    if args.data and not args.data.exists():
        save_file(data, args.data)
    fold = data["fold"]
    x = data["x"].astype(np.float64 if args.dtype == "f64" else np.float32)
    train, test = fold >= 0, fold < 0
    report = {
        "what": "scikit-learn probes", "rows": int(train.sum()), "held_out": int(test.sum()), "columns": x.shape[1],
        "folds": FOLDS, "c": GRID.tolist(), "dtype": args.dtype, "threads": args.threads,
        "scikit-learn": version("scikit-learn"), "numpy": version("numpy"),
    }
    with threadpool_limits(args.threads), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for solver in args.solvers:
            seconds, (best, areas, fit) = timed(lambda: grid_search(x[train], data["y"][train], fold[train], solver))
            report[f"logistic_{solver}"] = {
                "seconds": seconds, "best_c": best, "cv_auroc": areas,
                "held_out_auroc": float(roc_auc_score(data["y"][test], fit.decision_function(x[test]))),
                "one_fit_seconds": timed(lambda: LogisticRegression(C=best, solver=solver, max_iter=1000).fit(x[train], data["y"][train]))[0],
            }
        xt, yt = x[train], data["y"][train]
        for name, make in (
            ("difference_of_means", lambda: xt[yt == 1].mean(0) - xt[yt == 0].mean(0)),
            ("lda_ledoit_wolf", lambda: lda(xt, yt)),
        ):
            seconds, direction = min((timed(make) for _ in range(5)), key=lambda pair: pair[0])
            report[name] = {"seconds": seconds, "held_out_auroc": float(roc_auc_score(data["y"][test], x[test] @ direction))}
    report["warnings"] = sorted({str(w.message).splitlines()[0] for w in caught})
    print(json.dumps(report))


if __name__ == "__main__":
    main()
