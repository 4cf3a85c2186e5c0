"""The engine alone, on one core: what the example engine_speed prints, beside pyarrow where it reads the same files."""

import glob
import os
import statistics
import subprocess
import time

import pyarrow.parquet as pq

from report import table
from workload import COLUMNS

PASSES = 5
# Part of the name of a row, its target, and the figure it is about.
TARGETS = (
    ("search answers", 1.0, "GB/s"),
    ("NDJSON", 1.0, "GB/s"),
    ("fingerprints of raw lines", 2.5, "M lines/s"),
    ("records of a window", 2.0, "M records/s"),
)


def measure(binary, folder, loghub, verdicts):
    """The table; adds (what, target, measured, verdict) to `verdicts`."""
    command = [binary, folder, *(["--lines", loghub] if os.path.isdir(loghub) else [])]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines()]
    header, rows = rows[0], rows[2:]
    for row in rows:
        if row[0].startswith("Parquet objects"):
            ours, peer = float(row[1].split(" ms")[0]), pyarrow(folder)
            row[2] = f"read by pyarrow, one thread: {peer:.1f} ms"
            ratio = peer / ours
            verdicts.append(("Parquet: times as fast as pyarrow", ">= 2", f"{ratio:.1f}", verdict(ratio >= 2)))
        for name, least, unit in TARGETS:
            if name in row[0]:
                value = float(row[1].split(" ")[0])
                verdicts.append((f"engine: {row[0]}", f">= {least} {unit}", f"{value:.2f} {unit}", verdict(value >= least)))
    return table(header, rows)


def verdict(met):
    return "met" if met else "MISSED"


def pyarrow(folder):
    """Milliseconds of CPU in which pyarrow reads the needed columns of all objects on one thread."""
    files = []
    for kind, wanted in COLUMNS.items():
        for path in glob.glob(f"{folder}/files/default/{kind}/**/*.parquet", recursive=True):
            names = set(pq.read_schema(path).names)
            files.append((path, [c for c in wanted if c in names]))
    times = []
    for _ in range(PASSES + 1):
        start = time.process_time()
        for path, columns in files:
            pq.read_table(path, columns=columns, use_threads=False, pre_buffer=False, partitioning=None)
        times.append(time.process_time() - start)
    return statistics.median(times[1:]) * 1000
