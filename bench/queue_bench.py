"""How fast windows are enqueued and claimed, however many there are: SQL alone, with no worker in the way."""

import statistics
import time
from contextlib import closing

from cluster import Bridge
from report import table

MONTH = 30 * 24 * 60
ROUNDS = 7
CLAIMS = 25


def spread(samples):
    return f"{statistics.median(samples):.1f} ({min(samples):.1f}..{max(samples):.1f})"


def timed(db, sql):
    """ms of a statement and its commit, as the client sees them."""
    start = time.perf_counter()
    db.execute(sql)
    return (time.perf_counter() - start) * 1000


def empty(db):
    db.execute("TRUNCATE etl_job_run, etl_backfill, etl_backfill_slice; DELETE FROM etl_coverage")


def enqueuing(db, prepare, sql):
    """ms for 30 days of one-minute windows, each time into an empty ledger."""
    samples = []
    for _ in range(ROUNDS):
        empty(db)
        if prepare:
            db.execute(prepare)
        samples.append(timed(db, sql))
        queued = db.execute("SELECT count(*) FROM etl_job_run WHERE job = 'oo-agg' AND status = 'queued'").fetchone()[0]
        if not MONTH - 60 <= queued <= MONTH + 60:
            raise RuntimeError(f"{queued} windows are queued, not {MONTH}: {sql}")
    return samples


def claiming(db, windows, batch):
    """ms of a claim in a queue of so many windows. The transaction is rolled back, so the workers see nothing of it."""
    empty(db)
    db.execute(f"SELECT etl_enqueue('oo-agg', 'default', date_trunc('hour', now()) - interval '{windows + 60} min',"
               " date_trunc('hour', now()) - interval '1 hour')")
    db.execute("VACUUM ANALYZE etl_job_run")
    samples = []
    with db.transaction(force_rollback=True):
        db.execute("UPDATE etl_job SET enabled = true, concurrency = 64, batch = %s WHERE name = 'oo-agg'", (batch,))
        for i in range(CLAIMS + 3):
            start = time.perf_counter()
            claimed = db.execute("SELECT count(*) FROM etl_claim(pg_backend_pid())").fetchone()[0]
            # The first claims of a session make the plans.
            if i >= 3:
                samples.append((time.perf_counter() - start) * 1000)
            if claimed != batch:
                raise RuntimeError(f"{claimed} windows were claimed, not {batch}")
    return samples


def measure(cluster, targets):
    """The table; its targets are added to `targets`."""
    nothing = "kind 'mock', logs_per_minute '0', metrics_per_minute '0', spans_per_minute '0'"
    with closing(Bridge(cluster, "bench_queue", nothing)) as bridge:
        db = bridge.db
        db.execute("SELECT etl_pause('oo-agg')")
        span = "date_trunc('hour', now()) - interval '31 days', date_trunc('hour', now()) - interval '1 day'"
        month = {
            "etl_enqueue()": enqueuing(db, None, f"SELECT etl_enqueue('oo-agg', 'default', {span})"),
            "etl_tick() after an outage": enqueuing(
                db,
                "INSERT INTO etl_cursor SELECT 'oo-agg', 1, date_trunc('hour', now()) - interval '30 days'",
                # Enabled for this transaction only: nobody else sees it so.
                "BEGIN; UPDATE etl_job SET enabled = true, run_interval = '1 min' WHERE name = 'oo-agg'; SELECT etl_tick();"
                " UPDATE etl_job SET enabled = false, run_interval = '0' WHERE name = 'oo-agg'; COMMIT"),
        }
        claims = {(windows, batch): claiming(db, windows, batch)
                  for windows in (10_000, 100_000) for batch in (1, 60)}
    for what, samples in month.items():
        ms = statistics.median(samples)
        targets.append((f"30 days of one-minute windows, {what}", "< 1000 ms", f"{ms:.0f} ms", "met" if ms < 1000 else "MISSED"))
    ms = statistics.median(claims[100_000, 1])
    targets.append(("claim in a queue of 100,000", "< 2 ms", f"{ms:.1f} ms", "met" if ms < 2 else "MISSED"))
    return table(("the queue", "ms, median (min..max)"), [
        *((f"30 days of one-minute windows ({MONTH:,}), {what}", spread(samples)) for what, samples in month.items()),
        *((f"claim of {batch} of {windows:,} queued windows", spread(samples)) for (windows, batch), samples in claims.items()),
    ])
