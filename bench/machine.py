"""What the figures were measured on."""

import os
import platform
import time


def describe(postgres, library):
    """(name, value) pairs: whoever reads a figure needs them."""
    return [
        ("date", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())),
        ("processor", f"{_field('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores"),
        ("memory", f"{int(_field('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.0f} GB"),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("PostgreSQL", postgres),
        ("observe_bridge", _library(library)),
        ("load before", " ".join(f"{x:.1f}" for x in os.getloadavg())),
    ]


def _library(path):
    # A debug build is three times as large and five times as slow: say what is being measured.
    built = time.strftime("%Y-%m-%d %H:%M", time.gmtime(os.path.getmtime(path)))
    return f"library of {os.path.getsize(path) / 2**20:.0f} MB, installed {built} UTC"


def _field(path, name):
    with open(path) as lines:
        for line in lines:
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return "unknown 0"
