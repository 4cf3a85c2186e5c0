-- =====================================================================================================================
-- etl_metrics(): what a Prometheus scrape wants to know, in its text format (version 0.0.4).
-- =====================================================================================================================

CREATE FUNCTION etl_metric_label(value text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT '"' || replace(replace(replace(value, '\', '\\'), '"', '\"'), E'\n', '\n') || '"'
$$;
COMMENT ON FUNCTION etl_metric_label(text) IS 'A label value of the Prometheus text format, quoted';

CREATE FUNCTION etl_metrics() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
SET jit = off
AS $$
    WITH status AS (
        SELECT s.*, format('job=%s,tenant=%s', etl_metric_label(s.job), etl_metric_label(s.tenant)) AS labels FROM etl_status s
    ), family (ordinal, name, type, help) AS (
        VALUES (1, 'observe_bridge_window_lag_seconds',             'gauge', 'Age of the end of the oldest window that is queued or running'),
               (2, 'observe_bridge_last_window_timestamp_seconds',  'gauge', 'End of the newest window that succeeded'),
               (3, 'observe_bridge_runs',                           'gauge', 'Runs in the ledger by status'),
               (4, 'observe_bridge_circuit_state',                  'gauge', '0 closed, 1 half open, 2 open'),
               (5, 'observe_bridge_rejected_records',               'gauge', 'Records refused in the windows whose rejects are kept'),
               (6, 'observe_bridge_run_seconds',                    'gauge', 'Mean duration of the runs that succeeded in the last hour'),
               (7, 'observe_bridge_records_per_hour',               'gauge', 'Records ingested by the runs that succeeded in the last hour'),
               (8, 'observe_bridge_backfill_windows',              'gauge', 'Windows of the backfills that are not done'),
               (9, 'observe_bridge_reconcile_checked_windows_total', 'counter', 'Windows compared with their source again'),
               (10, 'observe_bridge_late_windows_total',             'counter', 'Windows that differed from their source and ran again'),
               (11, 'observe_bridge_late_records_total',             'counter', 'Records that came after their window was read'),
               (12, 'observe_bridge_vanished_records_total',         'counter', 'Records that went after their window was read'),
               (13, 'observe_bridge_reconcile_failing_sources',      'gauge', 'Sources whose last comparison failed'),
               (14, 'observe_bridge_log_patterns',                  'gauge', 'Log patterns in the dictionary, without those of earlier masks'),
               (15, 'observe_bridge_log_patterns_limit',           'gauge', 'Log patterns that are told apart (dim_tenant.max_patterns); 0: no limit'),
               (16, 'observe_bridge_coarse_logs_per_hour',         'gauge', 'Log lines of the last hour that count under a coarser pattern, beyond the limit')
    ), recent AS (
        SELECT r.job, r.tenant_id, avg(extract(epoch FROM r.finished_at - r.started_at)) AS seconds,
               sum((r.stats #>> '{records,logs}')::bigint)    AS logs,
               sum((r.stats #>> '{records,metrics}')::bigint) AS metrics,
               sum((r.stats #>> '{records,spans}')::bigint)   AS spans,
               coalesce(sum((r.stats #>> '{records,coarse_logs}')::bigint), 0) AS coarse
        FROM etl_job_run r
        WHERE r.status = 'success' AND r.window_to > etl_now() - interval '2 hours' AND r.finished_at > etl_now() - interval '1 hour'
        GROUP BY r.job, r.tenant_id
    ), sample (name, labels, value) AS (
        SELECT 'observe_bridge_window_lag_seconds', labels, extract(epoch FROM coalesce(lag, '0')) FROM status
        UNION ALL
        SELECT 'observe_bridge_last_window_timestamp_seconds', labels, extract(epoch FROM last_window_to)
        FROM status WHERE last_window_to IS NOT NULL
        UNION ALL
        SELECT 'observe_bridge_runs', labels || format(',status="%s"', n.status), n.runs
        FROM status CROSS JOIN LATERAL (VALUES ('queued', queued), ('running', running), ('failed', failed)) AS n (status, runs)
        UNION ALL
        SELECT 'observe_bridge_circuit_state', labels, CASE circuit WHEN 'closed' THEN 0 WHEN 'half_open' THEN 1 ELSE 2 END FROM status
        UNION ALL
        SELECT 'observe_bridge_rejected_records',
               format('tenant=%s,dataset=%s,reason=%s', etl_metric_label(t.code), etl_metric_label(j.dataset), etl_metric_label(j.reason)),
               sum(j.count)
        FROM etl_reject j JOIN dim_tenant t USING (tenant_id) GROUP BY t.code, j.dataset, j.reason
        UNION ALL
        SELECT 'observe_bridge_run_seconds', format('job=%s,tenant=%s', etl_metric_label(n.job), etl_metric_label(t.code)), n.seconds
        FROM recent n JOIN dim_tenant t USING (tenant_id)
        UNION ALL
        SELECT 'observe_bridge_records_per_hour', format('tenant=%s,dataset="%s"', etl_metric_label(t.code), d.dataset), d.records
        FROM recent n JOIN dim_tenant t USING (tenant_id)
        CROSS JOIN LATERAL (VALUES ('logs', n.logs), ('metrics', n.metrics), ('traces', n.spans)) AS d (dataset, records)
        WHERE n.job = 'oo-agg' AND d.records IS NOT NULL
        UNION ALL
        SELECT 'observe_bridge_coarse_logs_per_hour', format('tenant=%s', etl_metric_label(t.code)), n.coarse
        FROM recent n JOIN dim_tenant t USING (tenant_id) WHERE n.job = 'oo-agg'
        UNION ALL
        SELECT d.name, format('tenant=%s', etl_metric_label(t.code)), d.value
        FROM dim_tenant t
        CROSS JOIN LATERAL (VALUES ('observe_bridge_log_patterns', (SELECT count(*) FROM log_pattern p WHERE p.tenant_id = t.tenant_id)
                                       - (SELECT count(*) FROM log_pattern_alias a WHERE a.tenant_id = t.tenant_id AND a.rule = 'mask change')),
                                   ('observe_bridge_log_patterns_limit', t.max_patterns)) AS d (name, value)
        UNION ALL
        SELECT 'observe_bridge_backfill_windows',
               format('job=%s,tenant=%s,backfill="%s",status="%s"', etl_metric_label(b.job), etl_metric_label(b.tenant), b.backfill_id, n.status), n.windows
        FROM etl_backfill_progress b
        CROSS JOIN LATERAL (VALUES ('done', b.windows_done), ('failed', b.windows_failed),
                                   ('remaining', b.windows - b.windows_done - b.windows_failed)) AS n (status, windows)
        WHERE b.state IN ('running', 'paused', 'failed')
        UNION ALL
        SELECT n.name, format('job="oo-agg",tenant=%s', etl_metric_label(r.code)), n.value
        FROM (SELECT t.code, sum(c.checked_windows) AS checked, sum(c.late_windows) AS late_windows, sum(c.late_records) AS late_records,
                     sum(c.vanished_records) AS vanished, -- A check that was taken out of the list fails no more.
                     count(DISTINCT c.source_id) FILTER (WHERE c.error IS NOT NULL AND c.recheck = ANY (e.recheck)) AS failing
              FROM etl_reconcile c JOIN dim_tenant t USING (tenant_id)
              LEFT JOIN etl_job_effective e ON e.job = 'oo-agg' AND e.tenant_id = c.tenant_id
              GROUP BY t.code) r
        CROSS JOIN LATERAL (VALUES ('observe_bridge_reconcile_checked_windows_total', r.checked), ('observe_bridge_late_windows_total', r.late_windows),
                                   ('observe_bridge_late_records_total', r.late_records), ('observe_bridge_vanished_records_total', r.vanished),
                                   ('observe_bridge_reconcile_failing_sources', r.failing)) AS n (name, value)
    )
    SELECT coalesce(string_agg(text, '' ORDER BY ordinal), '')
    FROM (
        SELECT f.ordinal, format(E'# HELP %s %s\n# TYPE %s %s\n', f.name, f.help, f.name, f.type)
                          || string_agg(format(E'%s{%s} %s\n', s.name, s.labels, s.value), '' ORDER BY s.labels) AS text
        FROM family f JOIN sample s USING (name)
        GROUP BY f.ordinal, f.name, f.help, f.type
    ) families
$$;
COMMENT ON FUNCTION etl_metrics() IS 'Lag, runs, circuits, rejects and throughput in the text format of Prometheus';
