"""How fast declared topology is read, loaded and asked: SQL alone, in a session of its own."""

import json
import statistics
import time
from contextlib import closing

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
    return table(("declared topology", "ms, median (min..max)"), rows)
