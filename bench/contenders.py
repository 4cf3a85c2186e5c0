"""Who is measured: each does the same window again and again, and says what it cost."""

import json
import os
import resource
import subprocess
import sys
import threading
import time

import processes
from report import Figures
from workload import PASSWORD, USER

# After a window the runner looks for the next one, and the writers write: that belongs to the window's cost.
SETTLE = 0.15


class Contender:
    """Runs `once()` for its figures; `pids()` are the processes whose memory counts.

    Figures of a run, all in ms: cpu = own + server + writers; wall, the work itself; whole, until the result can be
    seen.
    """

    def __init__(self, what, target=None):
        self.figures = Figures(what, target)

    def measure(self):
        self.figures.add(**self.once())

    def measure_memory(self):
        """The most private memory of any one process during a run that is not timed."""
        peak, over = 0.0, threading.Event()

        def sample():
            nonlocal peak
            while not over.is_set():
                peak = max([peak, *map(processes.private_mb, self.pids())])
                time.sleep(0.001)
        sampler = threading.Thread(target=sample)
        sampler.start()
        try:
            self.once()
        finally:
            over.set()
            sampler.join()
        self.figures.memory = peak


class Runner(Contender):
    """The extension: windows are enqueued, its background workers do them."""

    def __init__(self, what, bridge, start, end, target=None):
        super().__init__(what, target)
        self.bridge, self.start, self.end = bridge, start, end
        self.current = []
        self.meter = processes.Meter({
            "own": bridge.runners,
            "scheduler": lambda: [bridge.scheduler()],
            "writers": bridge.cluster.writers,
        })

    def once(self):
        self.current = self.bridge.runners()
        self.meter.start()
        asked = time.time()
        self.bridge.enqueue(self.start, self.end)
        self.bridge.wait_done()
        done = time.time()
        time.sleep(SETTLE)
        ms = self.meter.stop()
        started, finished = self.bridge.last_run()
        self.current = self.bridge.runners()
        return {
            "cpu": sum(ms.values()),
            "own": ms["own"],
            "server": ms["scheduler"],
            "writers": ms["writers"],
            "pickup": (started - asked) * 1000,
            "wall": (finished - started) * 1000,
            "whole": (done - asked) * 1000,
        }

    def pids(self):
        return self.current


class Peer(Contender):
    """peer_polars.py: the same window with polars and COPY."""

    DATABASE = "bench_peer"

    def __init__(self, what, cluster, workload):
        super().__init__(what)
        cluster.fresh(self.DATABASE).close()
        self.cluster = cluster
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(os.path.dirname(__file__), "peer_polars.py"),
             "--dsn", cluster.dsn(self.DATABASE), "--port", str(workload.port), "--user", USER, "--password", PASSWORD,
             "--start", str(workload.start), "--end", str(workload.end)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.backend = self.answer()["backend"]
        self.rows = None
        self.meter = processes.Meter({
            "own": lambda: [self.process.pid],
            "server": lambda: [self.backend],
            "writers": cluster.writers,
        })

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the peer has ended, its message is above")
        return json.loads(line)

    def once(self):
        self.meter.start()
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        answer = self.answer()
        time.sleep(SETTLE)
        ms = self.meter.stop()
        self.rows = answer["rows"]
        return {"cpu": sum(ms.values()), **ms, "wall": answer["ms"], "whole": answer["ms"]}

    def pids(self):
        return [self.process.pid]

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.cluster.drop(self.DATABASE)


class Floor(Contender):
    """What no program can avoid: receiving the bytes (curl, one connection) and committing one row."""

    def __init__(self, what, cluster, config):
        super().__init__(what)
        self.config = config
        self.db = cluster.session("postgres")
        self.db.execute("CREATE TABLE IF NOT EXISTS bench_floor (n int)")
        backend = self.db.info.backend_pid
        self.meter = processes.Meter({"server": lambda: [backend], "writers": cluster.writers})

    def once(self):
        own, wall = self.curl("--config", self.config)
        # To start and end the program is not part of the floor.
        idle = self.curl("--version")
        own, wall = max(0.0, own - idle[0]), max(0.0, wall - idle[1])
        self.meter.start()
        begun = time.perf_counter()
        self.db.execute("INSERT INTO bench_floor VALUES (1)")
        commit = (time.perf_counter() - begun) * 1000
        time.sleep(SETTLE)
        ms = self.meter.stop()
        return {"cpu": own + sum(ms.values()), "own": own, **ms, "wall": wall + commit, "whole": wall + commit}

    def curl(self, *arguments):
        """CPU and wall time of one call, ms."""
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(["curl", *arguments], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return cpu * 1000, (time.perf_counter() - begun) * 1000

    def pids(self):
        return []

    def close(self):
        self.db.execute("DROP TABLE bench_floor")
        self.db.close()
