"""How fast declared topology is read, loaded and asked: SQL alone, in a session of its own."""

import json
import statistics
import threading
import time
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import processes
from cluster import Bridge
from report import table

EDGES = 100_000
ROUNDS = 5
NOTHING = "kind 'mock', logs_per_minute '0', metrics_per_minute '0', spans_per_minute '0'"
# So many edges between 20,000 things and 30,000 others; `{changed}` is added to a property of one in a hundred.
SNAPSHOT = """
    SELECT jsonb_agg(jsonb_build_object('src', 'urn:svc:s' || mod(n, 20000), 'dst', 'urn:svc:d' || mod(n * 7 + n / 20000, 30011),
                     'relation', 'DEPENDS_ON',
                     'props', jsonb_build_object('port', mod(n, 9000) + CASE WHEN mod(n, 100) = 0 THEN {changed} ELSE 0 END)))
    FROM generate_series(1, {edges}) n"""


def timed(db, sql, parameters=()):
    """ms of a statement and its commit, and its first row."""
    start = time.perf_counter()
    row = db.execute(sql, parameters).fetchone()
    return (time.perf_counter() - start) * 1000, row


def loading(db, kind, expected):
    """ms of loading a prepared snapshot, which has to open, close and leave so many edges."""
    ms, done = timed(db, "SELECT l.* FROM snapshot s, topo_load('default', 'bench', s.edges, clock_timestamp()) l WHERE s.kind = %s", (kind,))
    if list(done) != list(expected):
        raise RuntimeError(f"a load opened, closed and left {done} edges, not {expected}")
    return ms


def yaml_manifests(megabytes):
    """Manifests of that size: a Deployment and a Service each."""
    document = """apiVersion: apps/v1
kind: Deployment
metadata: {{name: app-{n}, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: app-{n}}}}}
  template:
    metadata: {{labels: {{app: app-{n}}}}}
    spec:
      containers:
      - name: main
        image: registry.example.com/shop/app-{n}:1.2.3
        env:
        - {{name: NEXT_ADDR, value: 'app-{m}:8080'}}
        - {{name: LOG_LEVEL, value: info}}
---
apiVersion: v1
kind: Service
metadata: {{name: app-{n}, namespace: shop}}
spec: {{selector: {{app: app-{n}}}, ports: [{{port: 8080}}]}}
---
"""
    size = len(document.format(n=10_000, m=10_000))
    return "".join(document.format(n=n, m=n + 1) for n in range(megabytes * 1_000_000 // size))


def terraform_state(megabytes):
    """A state of that size: instances in subnets, with the attributes that such instances have."""
    attributes = {f"attribute_{i}": f"value of attribute {i} that nobody asks for" for i in range(40)}

    def instance(n):
        return {"mode": "managed", "type": "aws_instance", "name": f"i{n}", "provider": "provider[\"registry.terraform.io/hashicorp/aws\"]",
                "instances": [{"schema_version": 1, "dependencies": ["aws_subnet.s"],
                               "attributes": {"id": f"i-{n:017x}", "subnet_id": "subnet-1", **attributes}}]}

    subnet = {"mode": "managed", "type": "aws_subnet", "name": "s", "instances": [{"attributes": {"id": "subnet-1"}}]}
    size = len(json.dumps(instance(10_000)))
    resources = [subnet, *(instance(n) for n in range(megabytes * 1_000_000 // size))]
    return json.dumps({"version": 4, "terraform_version": "1.9.0", "lineage": "bench", "resources": resources})


def added_mb(pids, work):
    """The most private memory that a process has while `work()` goes on, above what it has when it is seen first; MB.

    `pids()` gives the processes that count. All memory of a process counts, whoever allocated it: the message of the client,
    PostgreSQL's copy, the document and what is made of it.
    """
    first, peak, over = {}, {}, threading.Event()

    def look():
        for pid in pids():
            mb = processes.private_mb(pid)
            first.setdefault(pid, mb)
            peak[pid] = max(peak.get(pid, 0.0), mb)

    def sample():
        while not over.wait(0.002):
            look()
    look()
    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        work()
    finally:
        over.set()
        sampler.join()
    return max((peak[pid] - first[pid] for pid in peak), default=0.0)


@contextmanager
def served(content):
    """A URL on loopback at which the content is."""
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with closing(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        server.close = server.server_close
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/bench.tfstate"
        server.shutdown()


def memory(bridge, megabytes):
    """(what, MB) of a Terraform state of that size: by topo_extract() in a new session, and by the job in its runner."""
    state = terraform_state(megabytes)
    with closing(bridge.cluster.session(bridge.database)) as session:
        pid = session.execute("SELECT pg_backend_pid()").fetchone()[0]
        extract = added_mb(lambda: [pid], lambda: session.execute("SELECT count(*) FROM topo_extract(%s)", (state,)))
    db = bridge.db
    db.execute("UPDATE etl_job SET enabled = name = 'topo-iac', run_interval = '0' WHERE name IN ('oo-agg', 'topo-iac')")
    with served(state.encode()) as url:
        db.execute(f"CREATE SERVER state FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'http', url '{url}')")
        db.execute("CREATE USER MAPPING FOR CURRENT_USER SERVER state")
        db.execute("SELECT etl_source_add(tenant => 'default', job => 'topo-iac', server => 'state')")

        def run():
            db.execute("SELECT etl_enqueue('topo-iac', 'default', now() - interval '1 second', now())")
            bridge.wait_done()
        job = added_mb(lambda: bridge.cluster.processes("observe_bridge runner"), run)
    return ("topo_extract()", extract), ("the job topo-iac", job)


def measure(cluster, targets):
    """The table; its targets are added to `targets`."""
    rows = []

    def add(what, samples, limit=None):
        ms = statistics.median(samples)
        rows.append((what, f"{ms:.0f} ({min(samples):.0f}..{max(samples):.0f})"))
        if limit:
            targets.append((f"topology: {what}", f"< {limit} ms", f"{ms:.0f} ms", "met" if ms < limit else "MISSED"))

    with closing(Bridge(cluster, "bench_topology", NOTHING)) as bridge:
        db = bridge.db
        db.execute("CREATE TABLE snapshot (kind text, edges jsonb)")
        for kind, changed in (("as it was", 0), ("changed", 10_000)):
            db.execute("INSERT INTO snapshot SELECT %s, (" + SNAPSHOT.format(changed=changed, edges=EDGES) + ")", (kind,))
        first, same, changed = [], [], []
        for _ in range(ROUNDS):
            db.execute("TRUNCATE topo_edge_time, topo_source_state")
            db.execute("DELETE FROM dim_resource")
            first.append(loading(db, "as it was", (EDGES, 0, 0)))
            db.execute("VACUUM ANALYZE topo_edge_time")
            db.execute("VACUUM ANALYZE dim_resource")
        for _ in range(ROUNDS):
            same.append(loading(db, "as it was", (0, 0, EDGES)))
            before = db.execute("SELECT clock_timestamp()").fetchone()[0]
            for kind in ("changed", "as it was"):
                changed.append(loading(db, kind, (EDGES // 100, EDGES // 100, EDGES - EDGES // 100)))
        add(f"first load of {EDGES:,} edges", first, 6000)
        add("the same once more, nothing is written", same, 250)
        add("1 % of them changed", changed, 600)
        add(f"topology_at(), {EDGES:,} edges", [timed(db, "SELECT count(*) FROM topology_at('default', now())")[0] for _ in range(ROUNDS + 2)][2:], 100)
        add("topology_diff(), 1 % changed twice since",
            [timed(db, "SELECT count(*) FROM topology_diff('default', %s, now())", (before,))[0] for _ in range(ROUNDS)], 200)
        for what, content, limit in (("topo_extract(), 8 MB of manifests in YAML", yaml_manifests(8), 1500),
                                     ("topo_extract(), a Terraform state of 50 MB", terraform_state(50), 1000)):
            add(what, [timed(db, "SELECT count(*) FROM topo_extract(%s)", (content,))[0] for _ in range(ROUNDS)], limit)
        for who, mb in memory(bridge, 50):
            what, limit = f"peak private MB of {who}, a Terraform state of 50 MB", 4 * 50
            rows.append((what, f"{mb:.0f} MB"))
            targets.append((f"topology: {what}", f"<= {limit} MB", f"{mb:.0f} MB", "met" if mb <= limit else "MISSED"))
    return table(("declared topology", "ms, median (min..max)"), rows)
