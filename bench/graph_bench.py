"""How long a refresh of the graph takes: as the ledger has the runs of age-refresh, done by the workers."""

import statistics
from contextlib import closing

import processes
from cluster import Bridge
from report import table

ROUNDS = 5
# (edges, services, upper limit in ms of a refresh that replaces all of them)
SIZES = ((10_000, 1_000, 600), (100_000, 5_000, 6_000))
NOTHING = "kind 'mock', logs_per_minute '0', metrics_per_minute '0', spans_per_minute '0'"


class GraphBridge(Bridge):
    """As a Bridge, with AGE and the resources; age-refresh runs when it is asked to."""

    def __init__(self, cluster, database, services):
        super().__init__(cluster, database, NOTHING)
        with self.db.transaction():
            self.db.execute("CREATE EXTENSION age")
            self.db.execute("UPDATE etl_job SET enabled = name = 'age-refresh'")
        self.db.execute("SELECT observe_bridge_setup()")
        self.services = services
        self.meter = processes.Meter({"runners": self.runners})
        self.db.execute(
            "INSERT INTO dim_resource (resource_id, tenant_id, urn, type, name)"
            " SELECT n, 1, 'urn:svc:s' || n, 'service', 's' || n FROM generate_series(1, %s) n", (services,))

    def call(self, edges, shift):
        """So many calls in the present bucket; with another shift, not one of them is the same."""
        each = edges // self.services
        with self.db.transaction():
            self.db.execute("TRUNCATE service_call_5m")
            self.db.execute(
                "INSERT INTO service_call_5m (bucket, tenant_id, src_resource_id, dst_resource_id, calls, errors, rps, err_rate, p50_ms, p95_ms)"
                " SELECT date_bin('5 min', now(), 'epoch'), 1, s, 1 + (s + d * 2 + %s) %% %s, 300, 3, random(), 0.01, 1, random() * 100"
                " FROM generate_series(1, %s) s, generate_series(1, %s) d",
                (shift % 2, self.services, self.services, each))

    def refresh(self):
        """(ms, CPU ms, edges created, updated, deleted) of a refresh."""
        self.db.execute("DELETE FROM etl_job_run")
        self.meter.start()
        self.db.execute("SELECT etl_enqueue('age-refresh', 'default', now(), now() + interval '1 us')")
        self.wait_done()
        cpu = self.meter.stop()["runners"]
        wall, *did = self.db.execute(
            "SELECT (1000 * extract(epoch FROM finished_at - started_at))::float8, (stats -> 'graph' ->> 'edges_created')::int,"
            " (stats -> 'graph' ->> 'edges_updated')::int, (stats -> 'graph' ->> 'edges_deleted')::int FROM etl_job_run").fetchone()
        return wall, cpu, did


def checked(refreshed, expected):
    """Wall and CPU ms, if the refresh did what was expected."""
    wall, cpu, did = refreshed
    if did != list(expected):
        raise RuntimeError(f"a refresh created, updated and deleted {did} edges, not {expected}")
    return wall, cpu


def row(what, samples):
    """A line of the table: wall and CPU, each as median (min..max)."""
    return (what, *(f"{statistics.median(s):.0f} ({min(s):.0f}..{max(s):.0f})" for s in zip(*samples)))


def measure(cluster, targets):
    """The table; its targets are added to `targets`. Without AGE on this server, a line that says so."""
    with cluster.session("postgres") as admin:
        if not admin.execute("SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'age')").fetchone()[0]:
            return "skipped: AGE is not available on this server"
    rows = []
    for edges, services, limit in SIZES:
        with closing(GraphBridge(cluster, "bench_graph", services)) as bridge:
            bridge.call(edges, 0)
            rows.append(row(f"{edges:,} edges into an empty graph", [checked(bridge.refresh(), (edges, 0, 0))]))
            churn, same, few = [], [], []
            for i in range(1, ROUNDS + 1):
                bridge.call(edges, i)
                churn.append(checked(bridge.refresh(), (edges, 0, edges)))
                same.append(checked(bridge.refresh(), (0, 0, 0)))
                bridge.db.execute("UPDATE service_call_5m SET rps = rps + 1 WHERE src_resource_id = 1")
                few.append(checked(bridge.refresh(), (0, edges // services, 0)))
        rows += [
            row(f"{edges:,} edges go, {edges:,} others come", churn),
            row(f"{edges:,} edges, nothing has changed", same),
            row(f"{edges:,} edges, {edges // services} have changed", few),
        ]
        ms = statistics.median(wall for wall, _ in churn)
        targets.append((f"graph: refresh that replaces {edges:,} edges", f"< {limit} ms", f"{ms:.0f} ms", "met" if ms < limit else "MISSED"))
    return table(("the graph", "wall ms, median (min..max)", "CPU ms of the runner"), rows)
