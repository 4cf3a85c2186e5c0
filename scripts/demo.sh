#!/usr/bin/env bash
# demo.sh start: ten minutes of made-up telemetry through the background workers of a private cluster.
# demo.sh stop: stops that cluster and removes it.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh
. scripts/cluster.sh
cluster_paths "$PWD/.demo"

show() { printf '\n-- %s\n' "$1"; query demo -c "$2"; }

start() {
  scripts/install.sh
  cluster_start "shared_preload_libraries = 'observe_bridge,timescaledb'" "max_worker_processes = 32" \
    "timescaledb.telemetry_level = off"
  if [ "$(query postgres -At -c "SELECT count(*) FROM pg_database WHERE datname = 'demo'")" = 0 ]; then
    step "creating database demo with the extension and the embedded mock source"
    query postgres -c 'CREATE DATABASE demo'
    query demo -o /dev/null <<'SQL'
CREATE EXTENSION timescaledb;
CREATE EXTENSION age;
CREATE EXTENSION vector;
CREATE EXTENSION pg_trgm;
CREATE EXTENSION observe_bridge;
INSERT INTO etl_job_tenant (job, tenant_id, lookback) SELECT 'oo-agg', tenant_id, '10 minutes' FROM dim_tenant;
CREATE SERVER mock FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind 'mock', metrics_per_minute '1500');
SELECT etl_source_add(tenant => 'default', job => 'oo-agg', server => 'mock');
SQL
  fi
  step "the background workers run the last ten minutes"
  wait_for_windows
  results
}

# Only looks on: planning, claiming and running are the workers' business.
wait_for_windows() {
  local line='' last='' begun=$SECONDS
  while :; do
    line=$(query demo -At -F ' ' -c "
      SELECT count(*) FILTER (WHERE status = 'success'), count(*), count(*) FILTER (WHERE status = 'failed')
        FROM etl_job_run WHERE job = 'oo-agg'")
    [ "$line" != "$last" ] && { set -- $line; printf '    %s of %s windows done, %s failed\n' "$1" "$2" "$3"; last=$line; }
    set -- $line
    [ "$1" -ge 10 ] && [ "$(query demo -At -c "SELECT count(*) FROM etl_job_run WHERE job = 'age-refresh' AND status = 'success'")" -ge 1 ] && return
    if [ $((SECONDS - begun)) -gt 60 ]; then
      query demo -c 'SELECT * FROM etl_worker_status()' -c 'SELECT job, status, error FROM etl_job_run WHERE error IS NOT NULL LIMIT 3'
      die "the windows are not done after a minute, see $CLUSTER/server.log"
    fi
    sleep 0.5
  done
}

results() {
  show 'etl_status: windows and lag' \
    'SELECT job, tenant, last_window_to, lag, queued, running, failed, circuit FROM etl_status'
  show 'Busiest metrics' \
    "SELECT m.metric, count(DISTINCT r.name) AS resources, sum(m.sample_count) AS samples, round(avg(m.p95_val)::numeric, 2) AS p95
       FROM metric_1m m JOIN dim_resource r USING (resource_id) GROUP BY 1 ORDER BY samples DESC, metric LIMIT 5"
  show 'Counters: what they grew by' \
    "SELECT m.metric, count(DISTINCT r.name) AS resources, round(sum(m.increase)) AS increase
       FROM metric_1m m JOIN dim_resource r USING (resource_id) WHERE m.increase IS NOT NULL GROUP BY 1 ORDER BY 1 LIMIT 5"
  show 'Databases and queues that send no spans' \
    'SELECT s.name AS caller, d.type, d.urn AS callee, sum(c.calls) AS calls, round(max(c.p95_ms)::numeric, 1) AS p95_ms
       FROM service_call_5m c JOIN dim_resource s ON s.resource_id = c.src_resource_id JOIN dim_resource d ON d.resource_id = c.dst_resource_id
      WHERE c.inferred GROUP BY 1, 2, 3 ORDER BY calls DESC LIMIT 5'
  show 'Calls between services, from SQL' \
    'SELECT s.name AS caller, d.name AS callee, sum(c.calls) AS calls, round(avg(c.err_rate)::numeric, 3) AS err_rate, round(max(c.p95_ms)::numeric, 1) AS p95_ms
       FROM service_call_5m c JOIN dim_resource s ON s.resource_id = c.src_resource_id JOIN dim_resource d ON d.resource_id = c.dst_resource_id
      GROUP BY 1, 2 ORDER BY calls DESC LIMIT 5'
  printf '\n-- The same calls, live, from cypher\n'
  query demo <<'SQL'
LOAD 'age';
SET search_path = public, ag_catalog;
SELECT * FROM cypher('ops', $$
    MATCH (a:Resource)-[c:CALLS]->(b:Resource)
    RETURN a.name, b.name, c.rps, c.err_rate, c.p95, c.last_seen ORDER BY c.rps DESC LIMIT 5 $$)
    AS (caller agtype, callee agtype, rps agtype, err_rate agtype, p95_ms agtype, last_seen agtype);
SQL
  show 'Top log patterns' \
    'SELECT sum(l.count_total) AS lines, sum(l.count_error) AS errors, left(split_part(p.pattern, chr(10), 1), 90) AS pattern
       FROM log_pattern_5m l JOIN log_pattern p USING (tenant_id, fingerprint_id) GROUP BY l.fingerprint_id, p.pattern ORDER BY lines DESC LIMIT 5'
  show 'oo_replay: raw records behind the busiest call' \
    'SELECT left(record::text, 150) AS record FROM oo_replay((SELECT sample_ref FROM service_call_5m ORDER BY calls DESC LIMIT 1), 3) AS record'
  cat <<END

The workers go on: one window a minute.
  connect:  $(bin psql) -h $SOCKET -p $(cluster_port) -U postgres demo
  by TCP:   127.0.0.1:$(cluster_port), user postgres, password in $CLUSTER/password
  log:      $CLUSTER/server.log
  stop:     make stop
END
}

stop() {
  cluster_stop
  [ ! -d "$CLUSTER" ] || { rm -rf "$CLUSTER"; ok "the demo is stopped and removed"; }
}

case "${1:-}" in
  start) start ;;
  stop) stop ;;
  *) die "usage: scripts/demo.sh start|stop" ;;
esac
