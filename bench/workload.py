"""The workload: made by the generator of ../shared/bench, served by its stand-in for OpenObserve."""

import base64
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from datetime import datetime, timezone

USER, PASSWORD = "root@example.com", "Complexpass#123"
MINUTE = 60_000_000

# What the extension selects of each kind of stream; the floor receives the same bytes.
COLUMNS = {
    "logs": ("_timestamp", "body", "severity", "service_name", "host_name"),
    "metrics": ("_timestamp", "value", "service_name", "host_name", "__hash__", "is_monotonic", "aggregation_temporality"),
    "traces": ("_timestamp", "trace_id", "span_id", "reference_parent_span_id", "service_name", "duration", "span_status",
               "span_kind", "infer_service_name", "infer_service_type", "infer_service_system", "peer_service", "server_address",
               "db_system_name", "db_namespace", "messaging_system", "messaging_destination_name"),
}


class Workload:
    """One preset: its files below `folder`, and a server for it; `windows` minutes from `start_us` on.

    `sizes`: options of the generator that differ from the preset's.
    """

    def __init__(self, tools, folder, preset, start_us, windows, sizes=()):
        self.preset, self.folder = preset, os.path.join(folder, preset)
        self.start = start_us
        self.end = start_us + windows * MINUTE
        made = subprocess.run(
            [sys.executable, f"{tools}/gen_window.py", "--out", self.folder, "--preset", preset,
             "--start", iso(start_us), "--windows", str(windows), "--parquet-layout", "window", *sizes],
            check=True, capture_output=True, text=True)
        self.rows = json.loads(made.stdout)["rows"]
        # On a port of its own choice, which it prints.
        self.server = subprocess.Popen(
            [sys.executable, f"{tools}/oo_server.py", "--data", self.folder, "--port", "0"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.port = int(self.server.stdout.readline().rsplit(" ", 1)[1])

    def close(self):
        self.server.terminate()
        self.server.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def options(self):
        """Options of the foreign server, and of its user mapping."""
        return (f"kind 'openobserve', endpoint 'http://127.0.0.1:{self.port}', org 'default'",
                f"username '{USER}', password '{PASSWORD}'")

    def streams(self, kind):
        """The streams of a kind with their columns."""
        url = f"http://127.0.0.1:{self.port}/api/default/streams?type={kind}&fetchSchema=true"
        request = urllib.request.Request(url)
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        request.add_header("Authorization", "Basic " + token)
        with urllib.request.urlopen(request) as answer:
            return [(s["name"], {c["name"] for c in s["schema"]}) for s in json.load(answer)["list"]]

    def curl_config(self, path):
        """Writes a configuration with which curl receives what a window of the extension does, on one connection."""
        parts = []
        for kind, wanted in COLUMNS.items():
            for stream, columns in self.streams(kind):
                select = ", ".join(f'"{c}"' for c in wanted if c in columns)
                query = {"sql": f'SELECT {select} FROM "{stream}"', "start_time": self.start, "end_time": self.end,
                         "from": 0, "size": 1_000_000}
                parts.append("\n".join((
                    f'url = "http://127.0.0.1:{self.port}/api/default/_search?type={kind}"',
                    f"user = {json.dumps(USER + ':' + PASSWORD)}",
                    'header = "Content-Type: application/json"',
                    f"data = {json.dumps(json.dumps({'query': query}))}",
                    'output = "/dev/null"', "silent", "fail")))
        with open(path, "w") as out:
            out.write("\nnext\n".join(parts) + "\n")
        return len(parts)


def iso(us):
    """The ISO form of UTC microseconds."""
    return datetime.fromtimestamp(us / 1e6, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
