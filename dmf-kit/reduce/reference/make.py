#!/usr/bin/env python3
"""Writes what numpy and scipy say of some series, for tests/reference.rs to compare with.

    python3 make.py            # writes series.json and expected.json beside itself
    python3 make.py FOLDER     # writes them there

The inputs are drawn by Python's own generator, whose numbers are the same in every version, and have few digits, so that they are
read back exactly. Debian: python3-numpy, python3-scipy.
"""

import json
import math
import random
import sys
from pathlib import Path

import numpy as np
import scipy.ndimage
import scipy.stats

BASE = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
SECOND = 1_000_000_000
EDGES = [-5.0, 0.0, 10.0, 14.5, 17.0, 17.25, 20.0, 21.0, 23.0, 26.0, 31.0]
QUANTILES = [0.0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0]
EVERY = 60 * SECOND
WINDOW = (300 * SECOND, 120 * SECOND)
EVENTS = (24.0, 22.0)
ANOMALIES = (31, 3.5, 0.05)
JOINS = [("carry", 0), ("carry", 5 * SECOND), ("nearest", 2 * SECOND), ("nearest", 30 * SECOND)]


def series():
    draw = random.Random(20260101)

    def times(count, most):
        time, out = BASE, []
        for _ in range(count):
            out.append(time)
            time += draw.randrange(0, most)
        return out

    def rounded(value):
        return round(value, 4)

    noisy_t = times(1200, 20 * SECOND)
    noisy = [rounded(draw.gauss(20, 3)) for _ in noisy_t]
    offset_t = times(600, 3 * SECOND)
    offset = [round(1e9 + draw.random() + i / 1000, 2) for i in range(600)]
    counter_t, counter, level = times(400, 30 * SECOND), [], 0.0
    for _ in counter_t:
        level = 0.0 if draw.random() < 0.02 else rounded(level + draw.random() * 5)
        counter.append(level)
    wave_t = [BASE + i * 10 * SECOND for i in range(1000)]
    wave = [rounded(20 + 5 * math.sin(i / 40) + draw.gauss(0, 0.3)) for i in range(1000)]
    for at in draw.sample(range(1000), 12):
        wave[at] = rounded(wave[at] + draw.choice([-1, 1]) * draw.uniform(5, 30))
    wide_t = times(700, SECOND)
    wide = [rounded(draw.choice([-1, 1, 1, 1]) * math.exp(draw.gauss(3, 3))) for _ in wide_t]
    wide[10:13] = [0.0, 0.0, -0.0]
    odd_t = times(60, SECOND)
    odd = [rounded(draw.random()) for _ in odd_t]
    for at, value in [(0, math.nan), (7, math.inf), (30, -math.inf), (31, math.nan), (59, math.inf)]:
        odd[at] = value
    # A second series beside "noisy", of which some times are the same.
    beside_t = sorted(draw.sample(noisy_t, 200) + [time + draw.randrange(1, 40) * SECOND // 4 for time in noisy_t[::3]])
    beside = [rounded(draw.gauss(0, 1) + 0.5 * (time - BASE) / 1e12) for time in beside_t]
    return {
        "noisy": (noisy_t, noisy),
        "offset": (offset_t, offset),
        "counter": (counter_t, counter),
        "wave": (wave_t, wave),
        "wide": (wide_t, wide),
        "odd": (odd_t, odd),
        "beside": (beside_t, beside),
    }


def finite(points):
    times, values = np.array(points[0], dtype=np.int64), np.array(points[1], dtype=np.float64)
    keep = np.isfinite(values)
    return times[keep], values[keep]


def moments(points):
    times, values = finite(points)
    every = np.array(points[1])
    return {
        "count": len(values),
        "nan": int(np.isnan(every).sum()),
        "infinite": int(np.isinf(every).sum()),
        "sum": math.fsum(values),
        "mean": math.fsum(values) / len(values),
        "min": values.min(),
        "max": values.max(),
        # About the smallest value, which takes no digits: differences of such close numbers are exact.
        "stddev": np.std(values - values.min(), ddof=1),
        "first": values[0],
        "last": values[-1],
    }


def histogram(points):
    _, values = finite(points)
    counts, _ = np.histogram(values, EDGES)
    return {"counts": counts, "below": (values < EDGES[0]).sum(), "above": (values > EDGES[-1]).sum()}


def trend(points):
    times, values = finite(points)
    fit = scipy.stats.linregress((times - times[0]) / 1e9, values)
    return {"slope": fit.slope, "intercept": fit.intercept, "r": fit.rvalue, "stderr": fit.stderr}


def top(points, k):
    times, values = finite(points)
    order = np.lexsort((np.arange(len(values)), -values))[:k]
    return {"times": times[order], "values": values[order]}


def increase(points):
    times, values = finite(points)
    steps = np.diff(values)
    resets = steps < 0
    grown = math.fsum(np.where(resets, values[1:], steps))
    return {
        "gauge": values[-1] - values[0],
        "counter": grown,
        "resets": resets.sum(),
        "seconds": (times[-1] - times[0]) / 1e9,
        "per_second": grown / ((times[-1] - times[0]) / 1e9),
    }


def rates(points):
    times, values = finite(points)
    # Of equal times the last takes the others' place, as what the next difference is taken from.
    steps = [i for i in range(1, len(times)) if times[i] > times[i - 1]]
    made = np.array([(values[i] - values[i - 1]) / ((times[i] - times[i - 1]) / 1e9) for i in steps])
    return moments((times[steps].tolist(), made.tolist()))


def resampled(points):
    times, values = finite(points)
    starts, first = np.unique(times // EVERY * EVERY, return_index=True)
    last = np.append(first[1:], len(values)) - 1
    count = np.diff(np.append(first, len(values)))
    total = np.add.reduceat(values, first)
    return {
        "starts": starts,
        "mean": total / count,
        "first": values[first],
        "last": values[last],
        "min": np.minimum.reduceat(values, first),
        "max": np.maximum.reduceat(values, first),
        "sum": total,
        "count": count,
    }


def events(points, begin, end):
    times, values = finite(points)
    runs, number = scipy.ndimage.label(values >= end)
    out = []
    for run in range(1, number + 1):
        places = np.flatnonzero(runs == run)
        strong = places[values[places] >= begin]
        if len(strong):
            own = places[places >= strong[0]]
            behind = places[-1] + 1
            top = own[np.argmax(values[own])]
            out.append({
                "start": times[own[0]],
                "end": times[behind] if behind < len(times) else None,
                "points": len(own),
                "extreme": values[top],
                "at": times[top],
            })
    return out


def anomalies(points, window, threshold, resolution):
    times, values = finite(points)
    before = np.lib.stride_tricks.sliding_window_view(values, window)[:-1]
    center = np.median(before, axis=1)
    scale = np.maximum(scipy.stats.median_abs_deviation(before, axis=1, scale="normal"), resolution)
    z = (values[window:] - center) / scale
    found = np.flatnonzero(np.abs(z) > threshold)
    return {
        "judged": len(z),
        "times": times[window:][found],
        "values": values[window:][found],
        "median": center[found],
        "z": z[found],
    }


def windows(points, size, step):
    times, values = finite(points)
    out = []
    start = (times[0] - size) // step * step + step
    while start <= times[-1]:
        low, high = np.searchsorted(times, [start, start + size])
        if high > low:
            out.append({"start": start, "count": high - low, "mean": values[low:high].mean(), "max": values[low:high].max()})
        start += step
    return out


def joined(leader, other, how, within):
    times, values = finite(leader)
    other_times, other_values = finite(other)
    before = np.searchsorted(other_times, times, side="right") - 1
    pairs = []
    for time, value, place in zip(times, values, before):
        near = [place] if how == "carry" else [place, place + 1]
        near = [at for at in near if 0 <= at < len(other_times) and abs(other_times[at] - time) <= within]
        if near:
            at = min(near, key=lambda at: abs(other_times[at] - time))
            pairs.append((value, other_values[at]))
    x, y = np.array(pairs).T
    fit = scipy.stats.linregress(x, y)
    return {
        "how": how,
        "within": within,
        "rows": len(pairs),
        "pearson": scipy.stats.pearsonr(x, y)[0],
        "covariance": np.cov(x, y)[0, 1],
        "slope": fit.slope,
        "intercept": fit.intercept,
        "slope_error": fit.stderr,
    }


def distinct(all_series):
    # Many different values by a rule that the test knows as well: the i-th is i * 0.37.
    made = [int(len(np.unique(np.arange(count) * 0.37))) for count in (100, 512, 513, 1000, 10_000, 100_000)]
    return {
        "series": {name: int(len(np.unique(finite(points)[1]))) for name, points in all_series.items()},
        "made": made,
    }


def expected(every):
    names = ["noisy", "offset", "counter", "wave", "wide", "odd", "beside"]
    return {
        "moments": {name: moments(every[name]) for name in names},
        "histogram": {"edges": EDGES, "noisy": histogram(every["noisy"]), "wide": histogram(every["wide"]), "odd": histogram(every["odd"])},
        "quantiles": {
            "asked": QUANTILES,
            **{name: np.quantile(finite(every[name])[1], QUANTILES, method="lower") for name in names},
        },
        "trend": {name: trend(every[name]) for name in names},
        "top": {name: top(every[name], 7) for name in names},
        "increase": {name: increase(every[name]) for name in names},
        "rates": {name: rates(every[name]) for name in ["noisy", "wave", "beside"]},
        "resampled": {"every": EVERY, **{name: resampled(every[name]) for name in ["counter", "odd"]}},
        "events": {
            "thresholds": EVENTS,
            "wave": events(every["wave"], *EVENTS),
            "noisy": events(every["noisy"], *EVENTS),
            "below": events((every["wave"][0], [-v for v in every["wave"][1]]), -17.0, -18.5),
        },
        "anomalies": {"settings": ANOMALIES, **{name: anomalies(every[name], *ANOMALIES) for name in ["wave", "noisy", "odd"]}},
        "windows": {"size": WINDOW[0], "step": WINDOW[1], **{name: windows(every[name], *WINDOW) for name in ["counter", "offset"]}},
        "joined": [joined(every["noisy"], every["beside"], *how) for how in JOINS],
        "distinct": distinct(every),
    }


def plain(value):
    """For JSON: what is not finite by its name."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, (float, np.floating)):
        value = float(value)
        return value if math.isfinite(value) else str(value)
    return value


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
    every = series()
    for name, value in [("series", {key: {"times": t, "values": v} for key, (t, v) in every.items()}), ("expected", expected(every))]:
        (folder / f"{name}.json").write_text(json.dumps(plain(value), separators=(",", ":")) + "\n")


main()
