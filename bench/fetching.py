"""Fetching and decoding alone, and ranges beside single windows: what the benchmark fetch_speed of the black-box tests costs."""

import json
import os
import subprocess
from contextlib import closing

from report import table
from workload import PASSWORD, USER, Workload

PASSES = 11
# Milliseconds of CPU to fetch and decode a window: over HTTP, from Parquet.
LIMITS = {"S": (3, 2), "L": (40, 20)}
# Sixty quiet minutes, where what a fetch costs by itself weighs most.
QUIET = ("--logs", "50", "--metrics", "20", "--spans", "20")
RANGE = 60
RANGE_FACTOR = 5


def measure(fetch_speed, engine_speed, tools, folder, start, verdicts):
    """The two tables; adds (what, target, measured, verdict) to `verdicts`."""
    rows = []
    for preset, limits in LIMITS.items():
        with closing(Workload(tools, folder, preset, start, 1)) as load:
            aggregate = aggregation(engine_speed, load.folder)
            for (way, options), limit in zip(ways(load), limits):
                got = run(fetch_speed, load.start, 1, options)
                rest = got["single"][0] - aggregate
                rows.append((f"{preset} {way}", f"{got['records']:,}", f"{got['single'][0]:.1f}", f"{aggregate:.1f}", f"{rest:.1f}",
                             f"{got['single'][1]:.1f}"))
                verdicts.append((f"{preset} {way}: fetch and decode, CPU", f"<= {limit} ms", f"{rest:.1f} ms",
                                 "met" if rest <= limit else "MISSED"))
    return "\n\n".join((
        table(("a window", "records", "CPU ms, fetched, decoded, aggregated", "aggregation alone", "fetch and decode", "wall ms"), rows),
        ranges(fetch_speed, tools, folder, start, verdicts),
    ))


def ranges(fetch_speed, tools, folder, start, verdicts):
    """Sixty windows one by one, and as one range."""
    rows = []
    with closing(Workload(tools, folder, "S", start - RANGE * 60_000_000, RANGE, QUIET)) as load:
        for way, options in ways(load):
            got = run(fetch_speed, load.start, RANGE, options)
            rates = {name: RANGE / got[name][1] * 1000 for name in ("single", "range")}
            factor = rates["range"] / rates["single"]
            rows.append((f"{way}, {got['records']:,} records", f"{rates['single']:.0f}", f"{rates['range']:.0f}", f"{factor:.1f}",
                         f"{got['single'][0] / got['range'][0]:.1f}"))
            verdicts.append((f"{RANGE} windows in one fetch beside single ones, {way}: windows/s", f">= {RANGE_FACTOR} times",
                             f"{factor:.1f} times", "met" if factor >= RANGE_FACTOR else "MISSED"))
    return table((f"{RANGE} quiet windows", "windows/s, one by one", "windows/s, one fetch", "times as many", "times less CPU"), rows)


def ways(load):
    """The ways to the records of a workload, with the options of a server."""
    return (
        ("over HTTP", ("kind=openobserve", f"endpoint=http://127.0.0.1:{load.port}", "org=default",
                       f"username={USER}", f"password={PASSWORD}")),
        ("from Parquet", ("kind=file", f"path={os.path.abspath(load.folder)}")),
    )


def run(fetch_speed, start, windows, options):
    """What fetch_speed prints."""
    command = [fetch_speed, str(start), str(windows), str(PASSES), *options]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def aggregation(engine_speed, folder):
    """Milliseconds of CPU for the aggregation of decoded records of a folder, as engine_speed has it."""
    printed = subprocess.run([engine_speed, folder, "aggregate"], check=True, capture_output=True, text=True).stdout
    line = next(line for line in printed.splitlines() if "records of a window" in line)
    return float(line.split("(")[1].split(" ms")[0])
