"""Measures the extension, a peer and the floor on a private cluster, and prints the tables of docs/benchmarks.md.

Started by scripts/bench.sh, which makes the cluster. Contenders take turns, window by window, so that whatever else
the machine does meets them all. The first windows of each are not counted.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, closing

import engine
import fetching
import graph_bench
import machine
import processes
import queue_bench
import topology_bench
import workload
from cluster import Bridge, Cluster
from contenders import Floor, Peer, Runner
from report import table

WARM_UP = 3
IDLE_SECONDS = 20

# CPU and wall ms, private MB, over HTTP and from Parquet.
WINDOW_TARGETS = {
    "S": ({"cpu": 10, "wall": 20, "memory": 50}, {"memory": 50}),
    "L": ({"cpu": 100, "memory": 50}, {"cpu": 60, "memory": 50}),
}
TEN_TARGET = {"whole": 1000}
# Rows of the table of targets, as parts are measured.
TARGETS = []


def step(text):
    print(f"==> {text}", flush=True)


def rounds(contenders, n):
    """n counted runs of each, in turns, after the warm-up; then memory."""
    for i in range(WARM_UP + n):
        for c in contenders:
            c.measure() if i >= WARM_UP else c.once()
    for c in contenders:
        c.measure_memory()


def windows_table(contenders):
    """One line a contender, its CPU beside that of the peer."""
    peer = next((c.figures for c in contenders if isinstance(c, Peer)), None)
    rows = []
    for c in contenders:
        f = c.figures
        TARGETS.extend(f.verdicts())
        rows.append([
            f.what,
            f.spread("cpu"),
            f"{f.median('own'):.1f} + {f.median('server'):.1f} + {f.median('writers'):.1f}",
            f.spread("wall"),
            f.spread("whole"),
            f"{f.memory:.0f}" if f.memory else "-",
            *([f"{f.median('cpu') / peer.median('cpu'):.2f}"] if peer else []),
        ])
    header = ["what", "CPU ms", "own + server + writers", "wall ms", "until seen ms", "private MB"]
    return table(header + (["CPU / peer"] if peer else []), rows)


def machinery(cluster):
    """What the machinery costs when there is nothing in a window, and when there is no window."""
    step(f"empty windows, and {IDLE_SECONDS} s of nothing to do")
    start = minutes_ago(20)
    nothing = "kind 'mock', logs_per_minute '0', metrics_per_minute '0', spans_per_minute '0'"
    with closing(Bridge(cluster, "bench_idle", nothing)) as bridge:
        empty = Runner("empty window", bridge, start, start + workload.MINUTE)
        rounds([empty], 11)
        idle, burnt = doing_nothing(cluster, bridge)
    f = empty.figures
    TARGETS.append((f"idle for {IDLE_SECONDS} s: transaction ids used", "0", burnt, "met" if burnt == 0 else "MISSED"))
    busy = sum(idle.values()) / IDLE_SECONDS
    TARGETS.append((f"idle for {IDLE_SECONDS} s: CPU of all workers", "< 2 ms/s", f"{busy:.2f} ms/s", "met" if busy < 2 else "MISSED"))
    run = f.median("wall")
    TARGETS.append(("empty window: from claim to success", "< 3 ms", f"{run:.1f} ms", "met" if run < 3 else "MISSED"))
    return "\n".join([
        table(("empty window", "median (min..max)"), [
            ("CPU ms, runner", f.spread("own")),
            ("CPU ms, scheduler", f.spread("server")),
            ("ms from claim to success", f.spread("wall")),
            ("ms from etl_enqueue() to claim", f.spread("pickup")),
            ("ms from etl_enqueue() to success, as another session sees it", f.spread("whole")),
            ("private MB of the runner", f"{f.memory:.0f}"),
        ]),
        "",
        table((f"idle for {IDLE_SECONDS} s", "value"), [
            *((f"CPU ms per s, {name}", f"{ms / IDLE_SECONDS:.2f}") for name, ms in idle.items()),
            ("transaction ids used", burnt),
        ]),
    ])


def doing_nothing(cluster, bridge):
    """CPU ms by process, and transaction ids used, while nothing is queued."""
    meter = processes.Meter({
        "launcher": lambda: cluster.processes("observe_bridge launcher"),
        "scheduler": lambda: [bridge.scheduler()],
        "idle runner": bridge.runners,
    })

    def next_id():
        return bridge.db.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()[0]

    before = next_id()
    meter.start()
    time.sleep(IDLE_SECONDS)
    return meter.stop(), next_id() - before


def mock(cluster):
    step("a window of the embedded mock source")
    start = minutes_ago(20)
    with closing(Bridge(cluster, "bench_mock", "kind 'mock'")) as bridge:
        what = "5k logs, 500 points, 1k spans, made up in the runner"
        contender = Runner(what, bridge, start, start + workload.MINUTE)
        rounds([contender], 7)
    return windows_table([contender])


def one_window(cluster, tools, folder, preset, n):
    """One window over HTTP and from Parquet, beside the peer and the floor."""
    with ExitStack() as stack:
        def using(thing):
            return stack.enter_context(closing(thing))

        step(f"preset {preset}: making the data")
        load = using(workload.Workload(tools, folder, preset, minutes_ago(20), 1))
        server, mapping = load.options()
        config = os.path.join(folder, "curl.conf")
        requests = load.curl_config(config)
        http = using(Bridge(cluster, f"bench_{preset.lower()}_http", server, mapping))
        # All objects of the window are there: nothing has to settle.
        settled = '{"settle": 0}'
        file = using(Bridge(cluster, f"bench_{preset.lower()}_file", f"kind 'file', path '{load.folder}'", options=settled))
        peer = using(Peer(f"{preset}: polars + COPY, HTTP", cluster, load))
        over_http, from_parquet = WINDOW_TARGETS[preset]
        contenders = [
            Runner(f"{preset}: observe_bridge, HTTP", http, load.start, load.end, over_http),
            Runner(f"{preset}: observe_bridge, Parquet", file, load.start, load.end, from_parquet),
            peer,
            using(Floor(f"{preset}: floor: curl, {requests} requests; one commit", cluster, config)),
        ]
        step(f"preset {preset}: {n} rounds")
        rounds(contenders, n)
        return "\n".join([windows_table(contenders), "", check(cluster, tools, load, http, peer)])


def engine_alone(tools, folder, binary):
    """The engine without PostgreSQL and sockets, on the records of L."""
    step("the engine alone")
    with closing(workload.Workload(tools, folder, "L", minutes_ago(20), 1)) as load:
        return engine.measure(binary, load.folder, f"{tools}/../loghub", TARGETS)


def check(cluster, tools, load, bridge, peer):
    """Whether the results are right: the extension's by the generator's truth, the peer's by its sums."""
    said = subprocess.run(
        [sys.executable, f"{tools}/verify.py", "--truth", f"{load.folder}/truth.json",
         "--dsn", cluster.dsn(bridge.database),
         "--metric-sql", "SELECT m.bucket, r.name, m.metric, m.avg_val, m.max_val, m.p95_val"
                         " FROM metric_1m m JOIN dim_resource r USING (resource_id)",
         "--call-sql", "SELECT c.bucket, s.name, d.name, c.rps, c.err_rate, c.p50_ms, c.p95_ms FROM service_call_5m c"
                       " JOIN dim_resource s ON s.resource_id = c.src_resource_id"
                       " JOIN dim_resource d ON d.resource_id = c.dst_resource_id WHERE NOT c.inferred",
         "--pattern-sql", "SELECT l.bucket, r.name, p.class_id::text, sum(l.count_total), sum(l.count_error),"
                          " min(p.sample_message)"
                          " FROM log_pattern_5m l JOIN dim_resource r ON r.resource_id = l.resource_id"
                          " JOIN log_pattern p ON p.tenant_id = l.tenant_id AND p.fingerprint_id = l.fingerprint_id"
                          " GROUP BY 1, 2, 3"],
        capture_output=True, text=True)
    if not said.stdout:
        raise RuntimeError(f"verify.py failed: {said.stderr}")
    result = json.loads(said.stdout)

    def exact(name):
        found = result[name]
        return f"{found['matched']} of {found['expected']}{' exact' if found['ok'] else ', NOT EXACT'}"

    logs = result["log_pattern_5m"]
    calls = bridge.db.execute("SELECT sum(calls)::bigint FROM service_call_5m WHERE NOT inferred").fetchone()[0]
    sums = (peer.rows["points"], peer.rows["lines"], peer.rows["calls"])
    same = sums == (load.rows["metric_rows"], load.rows["log_rows"], calls)
    peers = "the same sums" if same else f"OTHER SUMS {sums}"
    return (f"Checked against the generator's truth: metrics {exact('metric_1m')}, calls {exact('service_call_5m')}, "
            f"log lines {logs['lines_counted']} of {logs['lines_expected']} in {logs['fingerprints']} patterns "
            f"(grouping accuracy {logs['ga']:.2f}). The peer: {peers}, {peer.rows['patterns']} patterns.")


def ten_windows(cluster, tools, folder):
    """Ten windows of the size of S, queued at once."""
    step("preset M: making the data")
    with closing(workload.Workload(tools, folder, "M", minutes_ago(20), 10)) as load:
        with closing(Bridge(cluster, "bench_m", *load.options())) as bridge:
            what = "ten windows of S at once, HTTP"
            contender = Runner(what, bridge, load.start, load.end, TEN_TARGET)
            step("preset M: 7 rounds")
            rounds([contender], 7)
    return windows_table([contender])


def minutes_ago(minutes):
    """The start of the 5-minute bucket so many minutes ago, UTC microseconds: what is read must lie in the past."""
    now = int(time.time()) - minutes * 60
    return (now - now % 300) * 1_000_000


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--socket", required=True, help="folder of the cluster's socket")
    p.add_argument("--port", type=int, required=True)
    p.add_argument("--telemetry", required=True, help="folder for the data, below observe_bridge.file_roots")
    p.add_argument("--library", required=True, help="the installed library")
    p.add_argument("--engine", help="the example engine_speed, built for release; without it the engine alone is not measured")
    p.add_argument("--fetch", help="the benchmark fetch_speed, built; without it fetching alone is not measured")
    p.add_argument("--out", required=True, help="file for the tables")
    p.add_argument("--shared", default=os.environ.get("OBSERVE_BRIDGE_SHARED", "../shared"),
                   help="folder with bench/gen_window.py; default: OBSERVE_BRIDGE_SHARED, else ../shared")
    p.add_argument("--only", default="engine,fetch,machinery,queue,graph,topology,mock,S,M,L", help="parts to measure")
    p.add_argument("--rounds", type=int, default=11, help="counted runs of a window of S")
    o = p.parse_args()
    cluster, only, tools = Cluster(o.socket, o.port), o.only.split(","), f"{o.shared}/bench"
    os.makedirs(o.telemetry, exist_ok=True)
    parts = [("Machine", table(("", ""), machine.describe(cluster.version, o.library)))]
    skipped = not os.path.exists(f"{tools}/gen_window.py")
    if "engine" in only and o.engine and not skipped:
        parts.append(("The engine alone", engine_alone(tools, o.telemetry, o.engine)))
    if "fetch" in only and o.fetch and o.engine and not skipped:
        step("fetching alone; sixty windows in one fetch")
        fetched = fetching.measure(o.fetch, o.engine, tools, o.telemetry, minutes_ago(20), TARGETS)
        parts.append(("Fetching and decoding alone", fetched))
    if "machinery" in only:
        parts.append(("The machinery alone", machinery(cluster)))
    if "queue" in only:
        step("30 days of windows, 100,000 queued windows")
        parts.append(("The queue", queue_bench.measure(cluster, TARGETS)))
    if "graph" in only:
        step("10,000 and 100,000 edges of the graph")
        parts.append(("The graph", graph_bench.measure(cluster, TARGETS)))
    if "topology" in only:
        step("100,000 declared edges")
        parts.append(("Declared topology", topology_bench.measure(cluster, TARGETS)))
    if "mock" in only:
        parts.append(("The embedded source", mock(cluster)))
    if not skipped:
        if "S" in only:
            one = one_window(cluster, tools, o.telemetry, "S", o.rounds)
            parts.append(("One window S: 5k logs, 500 points, 1k spans", one))
        if "M" in only:
            parts.append(("Ten windows of S queued at once", ten_windows(cluster, tools, o.telemetry)))
        if "L" in only:
            one = one_window(cluster, tools, o.telemetry, "L", 5)
            parts.append(("One window L: 100k logs, 10k points, 20k spans", one))
    shutil.rmtree(o.telemetry, ignore_errors=True)
    if TARGETS:
        parts.append(("Targets", table(("what", "target", "measured", "verdict"), TARGETS)))
    text = "\n".join(f"### {title}\n\n{body}\n" for title, body in parts)
    with open(o.out, "w") as out:
        out.write(text)
    print(f"\n{text}\nTimes are median (min..max); what is what: docs/benchmarks.md. These tables are in {o.out} too.")
    if skipped:
        print(f"skipped: needs ../shared/bench (presets S, M and L, the peer, the floor); {tools} is not there")


if __name__ == "__main__":
    main()
