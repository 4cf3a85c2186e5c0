"""The private cluster of the benchmark: databases, sessions, and which process does what."""

import time

import psycopg

import processes

# Background processes of every PostgreSQL that write what a commit left to them.
WRITERS = ("checkpointer", "walwriter", "background writer")


class Cluster:
    def __init__(self, socket, port):
        self.socket, self.port = socket, port
        with self.session("postgres") as admin:
            self.version = admin.execute("SHOW server_version").fetchone()[0]
            data = admin.execute("SHOW data_directory").fetchone()[0]
        with open(f"{data}/postmaster.pid") as lines:
            self.postmaster = int(lines.readline())

    def dsn(self, database):
        return f"host={self.socket} port={self.port} user=postgres dbname={database}"

    def session(self, database):
        return psycopg.connect(self.dsn(database), autocommit=True)

    def processes(self, *titles):
        """Processes of the cluster whose title has one of these texts."""
        return [p for p, t in processes.children(self.postmaster).items() if any(x in t for x in titles)]

    def writers(self):
        return self.processes(*WRITERS)

    def fresh(self, database):
        """An empty database of this name; a former one and its workers go."""
        self.drop(database)
        with self.session("postgres") as admin:
            admin.execute(f"CREATE DATABASE {database}")
        return self.session(database)

    def drop(self, database):
        with self.session("postgres") as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")


class Bridge:
    """A database with the extension, one source for oo-agg, and windows only where they are asked for."""

    # Nothing is planned by the clock, and nothing else runs: only the windows that the benchmark enqueues.
    ONLY_ASKED = """
        UPDATE etl_job SET enabled = name = 'oo-agg',
                           run_interval = CASE name WHEN 'oo-agg' THEN '0' ELSE run_interval END"""

    def __init__(self, cluster, database, server, mapping="", options="{}"):
        self.cluster, self.database = cluster, database
        self.db = cluster.fresh(database)
        # Together: the scheduler starts at the commit, and must find the jobs as they shall be.
        with self.db.transaction():
            self.db.execute("CREATE EXTENSION observe_bridge")
            self.db.execute(self.ONLY_ASKED)
        self.db.execute(f"CREATE SERVER bench FOREIGN DATA WRAPPER observe_bridge OPTIONS ({server})")
        if mapping:
            self.db.execute(f"CREATE USER MAPPING FOR CURRENT_USER SERVER bench OPTIONS ({mapping})")
        self.db.execute("SELECT etl_source_add(tenant => 'default', job => 'oo-agg', server => 'bench', options => %s)", (options,))
        self.wait(lambda: self.scheduler(), "the scheduler does not start")

    def close(self):
        self.db.close()
        self.cluster.drop(self.database)

    def scheduler(self):
        """Pid of the scheduler; None until it runs."""
        return max(self.workers("scheduler"), default=None)

    def runners(self):
        """Pids of the runners."""
        return self.workers("runner")

    def workers(self, role):
        rows = self.db.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = %s",
            (f"observe_bridge {role}",))
        return [pid for (pid,) in rows]

    def enqueue(self, start_us, end_us):
        """Queues the windows of a range, also those that ran before; returns how many."""
        return self.db.execute(
            "SELECT etl_enqueue('oo-agg', 'default', to_timestamp(%s / 1e6), to_timestamp(%s / 1e6))",
            (start_us, end_us),
        ).fetchone()[0]

    def wait_done(self):
        """Waits until no window is left to do; raises with the error of one that failed."""
        def done():
            left, error = self.db.execute(
                "SELECT count(*) FILTER (WHERE status IN ('queued', 'running')), max(error::text) FROM etl_job_run"
            ).fetchone()
            if error:
                raise RuntimeError(f"a window failed: {error}")
            return left == 0
        self.wait(done, "the windows are not done", pause=0.002)

    def last_run(self):
        """(first start, last end) of the windows, as the ledger has them: seconds since the epoch."""
        return self.db.execute(
            "SELECT extract(epoch FROM min(started_at))::float8, extract(epoch FROM max(finished_at))::float8"
            " FROM etl_job_run").fetchone()

    def wait(self, condition, complaint, seconds=60, pause=0.05):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{complaint} after {seconds} s:\n{self.state()}")
            time.sleep(pause)

    def state(self):
        """What a complaint should show: the workers, what they wait for, the runs that are not done."""
        return "\n".join(row[0] for query in (
            "SELECT to_jsonb(s)::text FROM etl_worker_status() s",
            "SELECT to_jsonb(a)::text FROM pg_stat_activity a WHERE backend_type LIKE 'observe_bridge%'",
            "SELECT to_jsonb(r)::text FROM etl_job_run r WHERE status <> 'success' LIMIT 12",
        ) for row in self.db.execute(query))
