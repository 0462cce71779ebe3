"""Numbers that heirloom-probe must reproduce: logistic regression, shrunk LDA, AUROC, DeLong, Wilson, calibration, PCA, TPR, rates, subspaces, rankings, erasure.

Writes crates/heirloom-probe/tests/fixtures/: arrays as f64 safetensors, scalars and short vectors as JSON with repr floats.
Every number comes from two routes (a library and a direct computation of the formula), compared before it is written.
"""

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import torch
from concept_erasure import LeaceFitter
from safetensors.numpy import load_file, save_file
from scipy.linalg import subspace_angles
from scipy.special import expit
from scipy.stats import bootstrap, norm, t, ttest_rel
from sklearn.covariance import ledoit_wolf
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from fixtures import PROBE_FIXTURES, versions, write_cases, write_json

SEED = 20260115
Z95 = float(norm.ppf(0.975))
MADE = {"made_by": "tools/reference/make_probe_fixtures.py"}


def rng(name):
    """One stream per fixture, so that changing one leaves the others as they are."""
    return np.random.default_rng([SEED, *name.encode()])


def save(name, arrays):
    PROBE_FIXTURES.mkdir(parents=True, exist_ok=True)
    arrays = {key: np.ascontiguousarray(value, np.float64) for key, value in arrays.items()}
    save_file(arrays, PROBE_FIXTURES / f"{name}.safetensors")
    again = load_file(PROBE_FIXTURES / f"{name}.safetensors")
    assert all(np.array_equal(again[key], value) for key, value in arrays.items())


def correlated(random, rows, columns, factors):
    """Columns that share a few factors, so that some are nearly collinear."""
    x = random.normal(size=(rows, factors)) @ random.normal(size=(factors, columns))
    return x + 0.5 * random.normal(size=(rows, columns))


def objective(x, y, c, w, b):
    """0.5·‖w‖² + C·Σᵢ log(1 + exp(−sᵢ(xᵢ·w + b))), sᵢ = ±1; the intercept is not penalized."""
    margin = np.where(y == 1, 1.0, -1.0) * (x @ w + b)
    return 0.5 * w @ w + c * np.logaddexp(0, -margin).sum()


def gradient(x, y, c, w, b):
    residual = expit(x @ w + b) - y
    return np.append(w + c * x.T @ residual, c * residual.sum())


def polish(x, y, c, w, b):
    """Newton steps in f64 from scikit-learn's answer until the gradient is at rounding."""
    design = np.c_[x, np.ones(len(x))]
    penalty = np.diag(np.append(np.ones(x.shape[1]), 0.0))
    beta = np.append(w, b)
    for _ in range(20):
        p = expit(design @ beta)
        hessian = penalty + c * (design * (p * (1 - p))[:, None]).T @ design
        beta = beta - np.linalg.solve(hessian, gradient(x, y, c, beta[:-1], beta[-1]))
    return beta[:-1], float(beta[-1])


def logistic():
    arrays, report = {}, {}
    for name, rows, columns, factors in (("narrow", 300, 24, 8), ("wide", 60, 200, 30)):
        random = rng(f"logistic-{name}")
        x = correlated(random, rows, columns, factors)
        if name == "narrow":
            x[:, 5] = x[:, 4] + 1e-2 * random.normal(size=rows)
            x[:, 11] = x[:, 2] - x[:, 3] + 1e-3 * random.normal(size=rows)
        x = (x - x.mean(0)) / x.std(0)
        y = (random.uniform(size=rows) < expit(1.5 * x[:, :6] @ random.normal(size=6) / 2 + 0.4)).astype(float)
        cs = [0.001, 0.01, 0.1, 1.0, 10.0, 100.0]
        answers = []
        for c in cs:
            fits = [
                LogisticRegression(C=c, solver=solver, tol=1e-12, max_iter=10000).fit(x, y)
                for solver in ("lbfgs", "newton-cholesky")
            ]
            w, b = polish(x, y, c, fits[1].coef_[0], fits[1].intercept_[0])
            far = [float(max(np.abs(f.coef_[0] - w).max(), abs(f.intercept_[0] - b))) for f in fits]
            size = float(np.abs(gradient(x, y, c, w, b)).max())
            value = float(objective(x, y, c, w, b))
            assert far[0] < 5e-5 * max(1, np.abs(w).max()) and far[1] < 1e-6 * max(1, np.abs(w).max()), (name, c, far)
            assert size < 1e-10 * max(1, c), (name, c, size)
            assert value <= min(objective(x, y, c, f.coef_[0], f.intercept_[0]) for f in fits) * (1 + 1e-12)
            answers.append((w, b, value, size, *far))
        w, b, value, size, lbfgs, newton = zip(*answers)
        arrays |= {
            f"{name}.x": x, f"{name}.y": y, f"{name}.c": cs,
            f"{name}.coef": np.stack(w), f"{name}.intercept": b, f"{name}.objective": value,
        }
        report[name] = {
            "rows": rows, "columns": columns, "positives": int(y.sum()), "c": cs, "intercept": list(b), "objective": list(value),
            "largest_gradient": list(size), "largest_difference_sklearn_lbfgs": list(lbfgs),
            "largest_difference_sklearn_newton_cholesky": list(newton),
        }
    save("logistic", arrays)
    write_json(PROBE_FIXTURES / "logistic.json", MADE | {
        "versions": versions("scikit-learn", "numpy", "scipy"),
        "objective": "0.5*||w||^2 + C * sum_i log(1 + exp(-s_i*(x_i.w + b))), s_i = +1 where y_i = 1 else -1; b is not penalized",
        "arrays": "logistic.safetensors: {narrow,wide}.{x [rows, columns], y [rows] 0/1, c [6], coef [6, columns], intercept [6], objective [6]}",
        "answer": "scikit-learn's optimum (newton-cholesky, lbfgs; tol 1e-12) polished by Newton steps in f64",
    } | report)


def shrinkage_by_formula(x):
    """Ledoit and Wolf 2004 (J. Multivar. Anal. 88:365), lemma 3.2–3.4, on centered rows with 1/n covariance."""
    n, d = x.shape
    s = x.T @ x / n
    mu = np.trace(s) / d
    delta = ((s - mu * np.eye(d)) ** 2).sum() / d
    beta = sum(((np.outer(row, row) - s) ** 2).sum() for row in x) / n**2 / d
    return min(beta, delta) / delta


def lda():
    arrays, report = {}, {}
    for name, rows, columns, factors in (("narrow", 200, 16, 5), ("wide", 40, 64, 10)):
        random = rng(f"lda-{name}")
        y = (np.arange(rows) % 5 < 2).astype(float)
        x = correlated(random, rows, columns, factors) + np.outer(y, random.normal(size=columns)) + 3.0
        mean0, mean1 = x[y == 0].mean(0), x[y == 1].mean(0)
        within = x - np.where(y[:, None] == 1, mean1, mean0)
        covariance, shrinkage = ledoit_wolf(within, assume_centered=True)
        assert abs(shrinkage - shrinkage_by_formula(within)) < 1e-12
        direction = np.linalg.solve(covariance, mean1 - mean0)
        arrays |= {
            f"{name}.x": x, f"{name}.y": y, f"{name}.mean0": mean0, f"{name}.mean1": mean1,
            f"{name}.covariance": covariance, f"{name}.direction": direction,
        }
        report[name] = {
            "rows": rows, "columns": columns, "shrinkage": float(shrinkage),
            "mu": float(np.trace(within.T @ within) / rows / columns),
            "midpoint": float(direction @ (mean0 + mean1) / 2), "direction_norm": float(np.linalg.norm(direction)),
        }
    save("lda", arrays)
    write_json(PROBE_FIXTURES / "lda.json", MADE | {
        "versions": versions("scikit-learn", "numpy"),
        "definition": "S = W'W/n of rows minus their class mean (n rows, not n-2); covariance = (1-shrinkage)*S + shrinkage*mu*I, "
                      "mu = trace(S)/d; direction = covariance^-1 (mean1 - mean0), not normalized; midpoint = direction.(mean0+mean1)/2",
        "arrays": "lda.safetensors: {narrow,wide}.{x, y, mean0, mean1, covariance, direction}",
    } | report)


def auroc_exact(scores, labels):
    """Mann–Whitney with ties half, as an exact fraction."""
    positive = [s for s, label in zip(scores, labels) if label]
    negative = [s for s, label in zip(scores, labels) if not label]
    twice = sum(2 * (p > n) + (p == n) for p in positive for n in negative)
    return Fraction(twice, 2 * len(positive) * len(negative))


def vectors(name):
    """Score vectors with and without ties, of odd sizes and balances."""
    random = rng(name)
    cases = [
        ("two", [0.0, 1.0], [0, 1]),
        ("perfect", list(range(20)), [0] * 12 + [1] * 8),
        ("reversed", list(range(20)), [1] * 8 + [0] * 12),
        ("all tied", [0.25] * 15, [0, 1, 1] * 5),
        ("one positive", [3, 1, 4, 1, 5, 9, 2, 6], [0, 0, 1, 0, 0, 0, 0, 0]),
        ("one negative", [3, 1, 4, 1, 5, 9, 2, 6], [1, 1, 1, 1, 1, 0, 1, 1]),
        ("tied at the edge", [0, 0, 0, 1, 1, 1, 2, 2], [0, 0, 1, 0, 1, 1, 1, 1]),
        ("negative zero", [0.0, -0.0, 1.0, -1.0], [0, 1, 1, 0]),
        ("tiny steps", [1.0, np.nextafter(1.0, 2.0), np.nextafter(1.0, 0.0), 1.0], [0, 1, 0, 1]),
        ("huge range", [-1e308, 1e308, 5e-324, 0.0, -5e-324], [0, 1, 1, 0, 0]),
    ]
    for rows, balance, shift, digits in (
        (30, 0.5, 0.5, 1), (31, 0.3, 1.0, 0), (57, 0.7, 0.0, 2), (80, 0.5, 2.0, 16), (101, 0.1, 1.0, 1), (150, 0.5, -0.7, 1),
        (200, 0.4, 0.3, 16), (333, 0.25, 1.5, 1),
    ):
        labels = (random.uniform(size=rows) < balance).astype(int)
        labels[:2] = 0, 1
        scores = np.round(random.normal(size=rows) + shift * labels, digits)
        cases.append((f"{rows} rows, {digits} digits", scores.tolist(), labels.tolist()))
    return [(name, [float(s) for s in scores], [int(v) for v in labels]) for name, scores, labels in cases]


def auroc():
    cases = []
    for name, scores, labels in vectors("auroc"):
        value = roc_auc_score(labels, scores)
        exact = auroc_exact(scores, labels)
        assert abs(value - float(exact)) < 1e-15 * 4
        cases.append({"name": name, "scores": scores, "labels": labels, "auroc": float(exact), "sklearn": float(value),
                      "fraction": [exact.numerator, exact.denominator]})
    write_cases(PROBE_FIXTURES / "auroc.json", MADE | {
        "versions": versions("scikit-learn"),
        "definition": "P(score of a positive > score of a negative) + half of ties; `auroc` is the exact fraction rounded once",
    }, "cases", cases)


def components_naive(scores, labels):
    """DeLong's structural components by their definition, every positive against every negative."""
    x, y = scores[labels == 1], scores[labels == 0]
    psi = (x[:, None] > y[None, :]) + 0.5 * (x[:, None] == y[None, :])
    return psi.mean(1), psi.mean(0)


def midrank(values):
    order = np.argsort(values, kind="stable")
    ranked, out, start = values[order], np.empty(len(values)), 0
    while start < len(values):
        stop = start
        while stop < len(values) and ranked[stop] == ranked[start]:
            stop += 1
        out[order[start:stop]] = 0.5 * (start + stop - 1) + 1
        start = stop
    return out


def components_fast(scores, labels):
    """The same from midranks: Sun and Xu 2014 (IEEE Signal Process. Lett. 21:1389), algorithm 2."""
    x, y = scores[labels == 1], scores[labels == 0]
    m, n = len(x), len(y)
    rank = midrank(np.concatenate([x, y]))
    return (rank[:m] - midrank(x)) / n, 1 - (rank[m:] - midrank(y)) / m


def delong_one(scores, labels):
    """(AUROC, variance): S10/m + S01/n with unbiased sample variances of the components."""
    v10, v01 = components_fast(scores, labels)
    w10, w01 = components_naive(scores, labels)
    assert np.allclose(v10, w10, rtol=0, atol=1e-12) and np.allclose(v01, w01, rtol=0, atol=1e-12)
    return float(w10.mean()), float(w10.var(ddof=1) / len(w10) + w01.var(ddof=1) / len(w01))


def from_counts(negative, positive):
    scores = [float(r) for counts in (negative, positive) for r, c in enumerate(counts, 1) for _ in range(c)]
    return scores, [0] * sum(negative) + [1] * sum(positive)


def delong():
    published = [
        # Hanley and McNeil 1982 (Radiology 143:29), table 1; Stata's `roctab` prints 0.8932, 0.0307, 0.83295, 0.95339.
        ("Hanley and McNeil 1982", *from_counts([33, 6, 6, 11, 2], [3, 2, 2, 11, 33]),
         {"auroc": 0.8932, "standard_error": 0.0307, "low": 0.83295, "high": 0.95339, "by": "Stata roctab"}),
        # Turck 2010 aSAH, WFNS grade against outcome, counts only; pROC 1.18.0 gives 0.8237, 0.7485-0.8988.
        ("aSAH wfns", *from_counts([37, 20, 3, 8, 4], [2, 12, 1, 8, 18]),
         {"auroc": 0.8237, "low": 0.7485, "high": 0.8988, "by": "pROC 1.18.0"}),
    ]
    drawn = [(*case, None) for case in vectors("delong") if min(sum(case[2]), len(case[2]) - sum(case[2])) > 1]
    cases = []
    for name, scores, labels, printed in published + drawn:
        area, variance = delong_one(np.array(scores), np.array(labels))
        half = Z95 * math.sqrt(variance)
        case = {"name": name, "scores": scores, "labels": labels, "auroc": area, "variance": variance,
                "low": area - half, "high": area + half}
        if printed:
            case["published"] = printed
            for key, digits in (("auroc", 4), ("low", 4), ("high", 4)):
                assert abs(case[key] - printed[key]) < 0.51 * 10.0**-digits, (name, key, case[key])
        cases.append(case)
    random = rng("delong-paired")
    paired = []
    for rows, digits in ((40, 1), (90, 16), (120, 0)):
        labels = (np.arange(rows) % 3 == 0).astype(int)
        shared = random.normal(size=rows)
        a = np.round(shared + labels + 0.5 * random.normal(size=rows), digits)
        b = np.round(shared + 0.4 * labels + 0.5 * random.normal(size=rows), digits)
        (a10, a01), (b10, b01) = components_naive(a, labels), components_naive(b, labels)
        cov = float(np.cov(a10, b10)[0, 1] / len(a10) + np.cov(a01, b01)[0, 1] / len(a01))
        (area_a, var_a), (area_b, var_b) = delong_one(a, labels), delong_one(b, labels)
        z = (area_a - area_b) / math.sqrt(var_a + var_b - 2 * cov)
        paired.append({"scores_a": a.tolist(), "scores_b": b.tolist(), "labels": labels.tolist(), "auroc_a": area_a, "auroc_b": area_b,
                       "variance_a": var_a, "variance_b": var_b, "covariance": cov, "z": z, "p": float(2 * norm.sf(abs(z)))})
    write_cases(PROBE_FIXTURES / "delong.json", MADE | {
        "versions": versions("numpy", "scipy"),
        "definition": "variance = var(V10)/m + var(V01)/n, unbiased; low and high = auroc -/+ z*sqrt(variance), not clipped to [0, 1]",
        "z": Z95,
        "checked": "naive = midrank (Sun and Xu 2014) to 1e-12; pROC by tools/reference/check_delong.R",
        "paired": paired,
    }, "cases", cases)


def wilson_interval(k, n, level):
    z = float(norm.ppf((1 + level) / 2))
    p, z2 = k / n, z * z
    center, half = (p + z2 / (2 * n)) / (1 + z2 / n), z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return (0.0 if k == 0 else center - half), (1.0 if k == n else center + half)


def wilson():
    # Newcombe 1998 (Stat. Med. 17:857), table I, method 3.
    published = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0.0, 0.1611), (1, 29): (0.0061, 0.1718)}
    cases = []
    for level in (0.95, 0.90, 0.99):
        for k, n in (*published, (0, 1), (1, 1), (20, 20), (5, 10), (1, 1000), (999, 1000), (500, 1000), (37, 41), (123456, 1000000)):
            low, high = wilson_interval(k, n, level)
            other = proportion_confint(k, n, 1 - level, method="wilson")
            assert max(abs(low - other[0]), abs(high - other[1])) < 1e-12, (k, n, other)
            case = {"k": k, "n": n, "level": level, "low": low, "high": high}
            if level == 0.95 and (k, n) in published:
                case["published"] = published[k, n]
                assert (round(low, 4), round(high, 4)) == published[k, n]
            cases.append(case)
    write_cases(PROBE_FIXTURES / "wilson.json", MADE | {
        "versions": versions("scipy", "statsmodels"),
        "definition": "Wilson score interval without continuity correction; exactly 0 at k = 0 and exactly 1 at k = n",
        "z95": Z95,
        "published": "Newcombe 1998, Stat. Med. 17:857, table I",
    }, "cases", cases)


def calibration_error(p, y, bins=10):
    index = np.minimum(np.floor(p * bins).astype(int), bins - 1)
    table = []
    for b in range(bins):
        inside = index == b
        if inside.any():
            table.append({"bin": b, "n": int(inside.sum()), "mean_probability": float(p[inside].mean()),
                          "fraction_positive": float(y[inside].mean())})
    return sum(row["n"] / len(p) * abs(row["fraction_positive"] - row["mean_probability"]) for row in table), table


def calibration():
    random = rng("calibration")
    p = random.uniform(size=500)
    cases = [
        ("edges", np.array([0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.95, 1.0, 1.0]), np.array([0, 0, 1, 0, 1, 1, 1, 1, 1, 0])),
        ("one bin", np.full(8, 0.55), np.array([1, 1, 1, 1, 0, 0, 0, 0])),
        ("perfectly sure and right", np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 0, 1, 1])),
        ("perfectly sure and wrong", np.array([0.0, 0.0, 1.0, 1.0]), np.array([1, 1, 0, 0])),
        ("calibrated", p, (random.uniform(size=500) < p).astype(int)),
        ("overconfident", p, (random.uniform(size=500) < 0.5 + 0.4 * (p - 0.5)).astype(int)),
    ]
    rows = []
    for name, p, y in cases:
        value, table = calibration_error(p, y)
        rows.append({"name": name, "probabilities": p.tolist(), "labels": y.tolist(), "ece": float(value), "bins": table})
    write_cases(PROBE_FIXTURES / "calibration.json", MADE | {
        "versions": versions("numpy"),
        "definition": "10 bins of equal width, bin = min(floor(10*p), 9) in f64; ece = sum over bins of n_b/n * |fraction positive - mean p|; "
                      "p is the probability of the positive class; empty bins are left out",
    }, "cases", rows)


def oriented(rows):
    """Sign fixed so that the largest absolute coordinate is positive; compare up to sign all the same."""
    rows = np.atleast_2d(rows)
    return rows * np.sign(rows[np.arange(len(rows)), np.abs(rows).argmax(1)])[:, None]


def pca():
    arrays, report = {}, {}
    for name, rows, columns in (("narrow", 60, 12), ("wide", 20, 50), ("unequal scales", 80, 10)):
        random = rng(f"pca-{name}")
        difference = correlated(random, rows, columns, 3) + random.normal(size=columns)
        if name == "unequal scales":
            difference *= 10.0 ** np.linspace(-4, 4, columns)
        kept = min(rows - 1, columns, 8)
        fit = PCA(n_components=kept, svd_solver="full").fit(difference)
        _, s, vt = np.linalg.svd(difference, full_matrices=False)
        values = np.linalg.eigvalsh(np.cov(difference.T))[::-1][:kept]
        assert np.allclose(values, fit.explained_variance_, rtol=1e-9, atol=1e-9 * values[0])
        key = name.replace(" ", "_")
        arrays |= {
            f"{key}.difference": difference, f"{key}.mean": fit.mean_, f"{key}.components": oriented(fit.components_),
            f"{key}.explained_variance": fit.explained_variance_, f"{key}.explained_variance_ratio": fit.explained_variance_ratio_,
            f"{key}.uncentered_first": oriented(vt[0])[0], f"{key}.uncentered_singular_values": s[:kept],
        }
        report[key] = {"rows": rows, "columns": columns, "components": kept}
    save("pca", arrays)
    write_json(PROBE_FIXTURES / "pca.json", MADE | {
        "versions": versions("scikit-learn", "numpy"),
        "definition": "explained variance is squared singular value / (rows - 1) of centered differences; `uncentered_first` is the first "
                      "right singular vector of the differences as they are; signs are arbitrary (largest absolute coordinate positive)",
        "arrays": "pca.safetensors: {narrow,wide,unequal_scales}.{difference, mean, components, explained_variance, "
                  "explained_variance_ratio, uncentered_first, uncentered_singular_values}",
    } | report)


def best_tpr(scores, labels, limit):
    """Every threshold, highest first: `score >= t` is positive; the last one whose false positives stay within the limit."""
    positives, negatives = sum(labels), len(labels) - sum(labels)
    best = (0, 0, None)
    for t in sorted(set(scores), reverse=True):
        true = sum(s >= t and v == 1 for s, v in zip(scores, labels))
        false = sum(s >= t and v == 0 for s, v in zip(scores, labels))
        if Fraction(false, negatives) <= limit and true > best[0]:
            best = (true, false, t)
    return best[0], best[1], best[2], positives, negatives


def tpr():
    random = rng("tpr")
    cases = [
        ("all tied", [1.0] * 10, [0, 1] * 5),
        ("perfect", [float(i) for i in range(10)], [0] * 5 + [1] * 5),
        ("a negative on top", [5.0, 4.0, 3.0, 2.0, 1.0], [0, 1, 1, 0, 0]),
        ("tie of best positive and negative", [5.0, 5.0, 3.0, 2.0, 1.0], [0, 1, 1, 0, 0]),
    ]
    for negatives, positives, shift, digits in ((50, 40, 2.0, 16), (100, 60, 2.0, 16), (100, 60, 1.5, 1), (199, 30, 2.5, 1),
                                                (200, 30, 2.5, 2), (450, 100, 1.0, 1), (1000, 80, 3.0, 1)):
        labels = np.array([0] * negatives + [1] * positives)
        scores = np.round(random.normal(size=len(labels)) + shift * labels, digits)
        cases.append((f"{negatives} negatives, {digits} digits", scores.tolist(), labels.tolist()))
    rows = []
    for name, scores, labels in cases:
        true, false, threshold, positives, negatives = best_tpr(scores, labels, Fraction(1, 100))
        fpr_curve, tpr_curve, _ = roc_curve(labels, scores, drop_intermediate=False)
        assert abs(tpr_curve[fpr_curve <= 0.01 + 1e-12].max() - true / positives) < 1e-12
        low, high = wilson_interval(true, positives, 0.95)
        rows.append({"name": name, "scores": scores, "labels": labels, "true_positives": true, "false_positives": false,
                     "positives": positives, "negatives": negatives, "threshold": threshold,
                     "tpr": true / positives, "low": low, "high": high})
    write_cases(PROBE_FIXTURES / "tpr.json", MADE | {
        "versions": versions("scikit-learn"),
        "definition": "largest TPR over thresholds t with FPR <= 0.01, `score >= t` counted positive; threshold null where none admits "
                      "a true positive; false_positives and threshold belong to the highest threshold with that TPR; low and high are Wilson 95 %",
    }, "cases", rows)


def student_t():
    random = rng("student t")
    cases = []
    for n in (2, 3, 4, 5, 10, 64, 768):
        values = np.round(random.normal(0.4, 0.3, n), 3)
        for level in (0.95, 0.99):
            low, high = t.interval(level, n - 1, values.mean(), values.std(ddof=1) / math.sqrt(n))
            assert abs(high - values.mean() - t.ppf((1 + level) / 2, n - 1) * values.std(ddof=1) / math.sqrt(n)) < 1e-12
            cases.append({"values": values.tolist(), "level": level, "low": float(low), "high": float(high)})
    return cases


def newcombe():
    # Newcombe 1998 (Stat. Med. 17:873), table II, method 10.
    published = {(56, 70, 48, 80): (0.0524, 0.3339), (9, 10, 3, 10): (0.1705, 0.8090), (6, 7, 2, 7): (0.0582, 0.8062)}
    cases = []
    for k, n, l, m in (*published, (0, 20, 0, 20), (20, 20, 0, 20), (20, 20, 20, 30), (1, 192, 5, 192), (500, 1000, 490, 900)):
        low, high = confint_proportions_2indep(k, n, l, m, compare="diff", method="newcomb", alpha=0.05)
        (l1, u1), (l2, u2), d = wilson_interval(k, n, 0.95), wilson_interval(l, m, 0.95), k / n - l / m
        by_hand = d - math.hypot(k / n - l1, u2 - l / m), d + math.hypot(u1 - k / n, l / m - l2)
        assert max(abs(low - by_hand[0]), abs(high - by_hand[1])) < 1e-12
        case = {"first": [k, n], "second": [l, m], "low": float(low), "high": float(high)}
        if (k, n, l, m) in published:
            case["published"] = published[k, n, l, m]
            assert (round(low, 4), round(high, 4)) == published[k, n, l, m]
        cases.append(case)
    return cases


def arms():
    """Seeds that differ far more than scenarios do, so that Student's t over seeds is the widest interval there is."""
    random = rng("arms")
    cases = []
    for runs, clusters, samples in ((2, 8, 1), (3, 12, 2), (5, 10, 3)):
        first = np.round(random.normal(size=(runs, 1, 1)) * 5 + random.normal(size=(runs, clusters, samples)), 3)
        second = np.round(random.normal(size=(runs, 1, 1)) * 5 + random.normal(size=(runs, clusters, samples)), 3)
        means = first.mean((1, 2)), second.mean((1, 2))
        low, high = t.interval(0.95, runs - 1, means[0].mean(), means[0].std(ddof=1) / math.sqrt(runs))
        paired = ttest_rel(*means).confidence_interval(0.95)
        cases.append({"first": first.tolist(), "second": second.tolist(), "mean": [float(means[0].mean()), float(low), float(high)],
                      "difference": [float((means[0] - means[1]).mean()), float(paired.low), float(paired.high)]})
    return cases


def plain_bootstrap():
    """One seed: its scenarios' means resampled. Ends of 200 000 resamples are within 0.5 % of the width of the exact ones."""
    random = rng("plain bootstrap")
    cases = []
    for clusters, samples in ((12, 1), (40, 2), (200, 1)):
        values = np.round(random.gamma(2.0, 1.0, size=(clusters, samples)), 3)
        result = bootstrap((values.mean(1),), np.mean, n_resamples=200_000, batch=10_000, method="percentile", rng=random)
        low, high = result.confidence_interval
        cases.append({"values": values.tolist(), "low": float(low), "high": float(high)})
    return cases


def rates():
    write_cases(PROBE_FIXTURES / "rate.json", MADE | {
        "versions": versions("scipy", "statsmodels", "numpy"),
        "newcombe": newcombe(),
        "arms": arms(),
        "bootstrap": plain_bootstrap(),
        "definition": "student t: mean -/+ t * sd/sqrt(n); newcombe: statsmodels' newcomb interval of first[0]/first[1] - second[0]/second[1], "
                      "95 %; arms: values [run][cluster][sample], [value, low, high] of the mean over runs' means and of the paired difference; "
                      "bootstrap: scipy's percentile interval of the mean of the clusters' means, values [cluster][sample]",
    }, "cases", student_t())


def subspaces():
    """Principal angles, largest first: scipy's, and those of the planes that rotations by known angles span."""
    random = rng("subspaces")
    cases = []
    for name, d, first, second in (("lines", 5, 1, 1), ("planes", 8, 2, 2), ("a line and a space", 6, 1, 3), ("spaces", 40, 6, 4)):
        a, b = random.normal(size=(first, d)), random.normal(size=(second, d))
        cases.append({"name": name, "first": a.tolist(), "second": b.tolist(), "angles": subspace_angles(a.T, b.T).tolist()})
    shared = random.normal(size=(2, 9))
    a, b = np.vstack([shared, random.normal(size=(1, 9))]), np.vstack([random.normal(size=(1, 9)), shared[::-1]])
    cases.append({"name": "a shared plane", "first": a.tolist(), "second": b.tolist(), "angles": subspace_angles(a.T, b.T).tolist()})
    # The plane of e1 and e2, and the plane of two vectors turned out of it by known angles; both rotated at random, both in another basis.
    for name, angles in (("turned", (1.2, 0.3)), ("hardly turned", (1e-6, 1e-11)), ("nearly orthogonal", (math.pi / 2, math.pi / 2 - 1e-9))):
        rotation, _ = np.linalg.qr(random.normal(size=(7, 7)))
        plane = np.eye(7)[:2]
        turned = np.stack([math.cos(t) * np.eye(7)[i] + math.sin(t) * np.eye(7)[i + 2] for i, t in enumerate(angles)])
        a, b = np.array([[2.0, 1.0], [0.5, -1.0]]) @ plane @ rotation, np.array([[1.0, 0.2], [-3.0, 1.0]]) @ turned @ rotation
        assert np.allclose(subspace_angles(a.T, b.T), angles, atol=1e-7)
        cases.append({"name": name, "first": a.tolist(), "second": b.tolist(), "angles": list(angles)})
    write_cases(PROBE_FIXTURES / "subspaces.json", MADE | {
        "versions": versions("scipy", "numpy"),
        "definition": "principal angles in radians, largest first, between the spans of the rows: scipy.linalg.subspace_angles; of `turned`, "
                      "`hardly turned` and `nearly orthogonal` the angles they were made with, which scipy meets to 1e-7",
    }, "cases", cases)


def direct_average_precision(scores, labels, weights):
    total, value, before = sum(w for w, y in zip(weights, labels) if y), 0.0, 0.0
    for t in sorted({s for s, w in zip(scores, weights) if w > 0}, reverse=True):
        hits = sum(w for s, w, y in zip(scores, weights, labels) if s >= t and y)
        value += (hits - before) / total * hits / sum(w for s, w in zip(scores, weights) if s >= t)
        before = hits
    return value


def rankings():
    random = rng("rankings")
    cases = []
    for name, n, share, levels in (("few", 8, 0.4, None), ("rare", 120, 0.05, None), ("ties", 60, 0.3, 5), ("all tied", 10, 0.4, 1), ("many", 300, 0.5, 40)):
        labels = (random.uniform(size=n) < share).astype(int)
        labels[:2] = 0, 1
        scores = np.round(random.normal(size=n) + labels, 3) if levels is None else random.integers(levels, size=n).astype(float)
        weights = random.integers(0, 4, size=n)
        weights[1] = 1
        plain = average_precision_score(labels, scores)
        weighted = average_precision_score(labels, scores, sample_weight=weights)
        assert abs(plain - direct_average_precision(scores, labels, np.ones(n))) < 1e-12
        assert abs(weighted - direct_average_precision(scores, labels, weights)) < 1e-12
        cases.append({"name": name, "scores": scores.tolist(), "labels": labels.tolist(), "weights": weights.tolist(),
                      "average_precision": float(plain), "weighted": float(weighted)})
    random_order = []
    for n, k in ((1, 1), (4, 1), (5, 2), (7, 3), (9, 9), (10, 4)):
        values = [Fraction(sum(Fraction(i + 1, row + 1) for i, row in enumerate(rows)), k) for rows in combinations(range(n), k)]
        mean = sum(values, Fraction(0)) / len(values)
        random_order.append({"rows": n, "causal": k, "expected": float(mean)})
    write_cases(PROBE_FIXTURES / "rankings.json", MADE | {
        "versions": versions("scikit-learn", "numpy"),
        "random": random_order,
        "definition": "average_precision_score, plain and with `weights` as sample_weight; random: the mean of average precision over every "
                      "way to place `causal` rows among `rows`, in fractions",
    }, "cases", cases)


def leace(x, z):
    """The paper's formula, arXiv 2306.03819 theorem 4.2: P = I - W^+ U U^T W."""
    centered, concept = x - x.mean(0), z - z.mean(0)
    values, vectors = np.linalg.eigh(centered.T @ centered / len(x))
    kept = values > values[-1] * len(values) * np.finfo(float).eps
    root = np.where(kept, np.sqrt(np.maximum(values, 0)), 0)
    w, w_inverse = (vectors * np.divide(1, root, out=np.zeros_like(root), where=kept)) @ vectors.T, (vectors * root) @ vectors.T
    u, s, _ = np.linalg.svd(w @ (centered.T @ concept / len(x)), full_matrices=False)
    u = u[:, s > 1e-8]
    return np.eye(x.shape[1]) - w_inverse @ u @ u.T @ w


def erasure():
    arrays, report = {}, {}
    for name, rows, columns, rank, classes in (
        ("label", 80, 8, 8, 1), ("wide", 18, 30, 30, 1), ("deficient", 60, 9, 6, 1), ("classes", 90, 10, 10, 3), ("numbers", 70, 7, 7, 2),
    ):
        random = rng(f"erasure-{name}")
        y = random.integers(max(classes, 2), size=rows)
        x = random.normal(size=(rows, rank)) * np.geomspace(1, 30, rank) + random.normal(size=(max(classes, 2), rank))[y]
        if rank < columns:
            # Copies and sums of columns: dependent to the last bit, in f32 too.
            x = np.round(x * 64) / 64
            x = np.c_[x, x[:, 0], x[:, 1] + x[:, 2], x[:, 3] - x[:, 4]]
        x = x.astype(np.float32).astype(np.float64) + 3.0
        x = x.astype(np.float32).astype(np.float64)
        z = {1: y[:, None].astype(float), 3: np.eye(3)[y], 2: np.c_[y, 0.3 * x[:, 0] + random.normal(size=rows)]}[classes]
        fitter = LeaceFitter(columns, z.shape[1], dtype=torch.float64, shrinkage=False, constrain_cov_trace=False, svd_tol=1e-8)
        eraser = fitter.update(torch.tensor(x), torch.tensor(z)).eraser
        p = eraser.P.numpy()
        far = float(np.abs(p - leace(x, z)).max())
        assert far < 1e-9, (name, far)
        erased = x - (x - x.mean(0)) @ (np.eye(columns) - p).T
        arrays |= {f"{name}.x": x, f"{name}.z": z, f"{name}.p": p, f"{name}.erased": erased}
        report[name] = {"rows": rows, "columns": columns, "rank": int(np.linalg.matrix_rank(x - x.mean(0))),
                        "erased_dimensions": int(round(columns - np.trace(p))), "largest_difference_of_the_formula": far}
    save("erasure", arrays)
    write_json(PROBE_FIXTURES / "erasure.json", MADE | {
        "versions": versions("concept-erasure", "torch", "numpy"),
        "definition": "concept_erasure.LeaceFitter in f64 with shrinkage=False, constrain_cov_trace=False, svd_tol=1e-8; compared with "
                      "P = I - W^+ U U^T W in numpy",
        "arrays": "erasure.safetensors: {label,wide,deficient,classes,numbers}.{x [rows, columns] of f32 values, z [rows, k], "
                  "p [columns, columns], erased [rows, columns]}",
    } | report)


if __name__ == "__main__":
    for make in (logistic, lda, auroc, delong, wilson, calibration, pca, tpr, rates, subspaces, rankings, erasure):
        make()
        print(f"{make.__name__}: done")
    for file in sorted(PROBE_FIXTURES.iterdir()):
        print(f"{file.stat().st_size:>8} {file.name}")
