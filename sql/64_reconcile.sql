-- =====================================================================================================================
-- Late data. The job "reconcile" compares windows of oo-agg with their sources again, at the times of etl_job.recheck
-- after their end, and invalidates those that differ.
--
-- Each source has a cursor for each time in that list (etl_reconcile.checked_to), whatever else the list has. A window that was read after a check was due has
-- had it by that: only windows that ran before are compared. So what is backfilled, queued or failed needs no check, and
-- one that ran again because of the first check has its second. What a window holds is told by its locators, refused
-- records included, which outlive the ledger and dumps.
-- =====================================================================================================================

CREATE FUNCTION etl_reconcile_due(tenant_id bigint)
RETURNS TABLE (source_id bigint, recheck interval, checked_from timestamptz, checked_to timestamptz)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    -- Bounds what is compared at once; a run goes on until nothing is left.
    longest CONSTANT interval := '6 hours';
BEGIN
    RETURN QUERY
    WITH todo AS (
        SELECT s.source_id, c.recheck, p.reached,
               least(etl_floor(etl_now() - c.recheck, e.align), p.reached + longest) AS upto, r.error IS NOT NULL AS failing
        FROM etl_job_effective e
        JOIN etl_source s ON s.job = e.job AND s.tenant_id = e.tenant_id AND s.enabled
        CROSS JOIN LATERAL (SELECT DISTINCT u.recheck FROM unnest(e.recheck) AS u (recheck)) AS c (recheck)
        LEFT JOIN etl_reconcile r ON r.source_id = s.source_id AND r.recheck = c.recheck
        -- A check that could not be made for as long as the job looks back is given up. Windows that ended before the first
        -- term of a new source's were read too late to need one.
        CROSS JOIN LATERAL (SELECT etl_floor(greatest(r.checked_to, s.active_since - c.recheck,
                                                      etl_now() - c.recheck - greatest(e.lookback, '1 hour')), e.align)) AS p (reached)
        WHERE e.job = 'oo-agg' AND e.tenant_id = etl_reconcile_due.tenant_id
    )
    SELECT t.source_id, t.recheck, t.reached,
           -- What runs at this moment may have been read too early, and is not there yet.
           least(t.upto, (SELECT min(r.window_from) FROM etl_job_run r
                          WHERE r.status = 'running' AND r.job = 'oo-agg' AND r.tenant_id = etl_reconcile_due.tenant_id
                            AND r.window_to > t.reached AND r.window_to <= t.upto AND r.started_at < r.window_to + t.recheck))
    FROM todo t
    WHERE t.upto > t.reached
    ORDER BY t.failing, t.source_id, t.recheck;
END
$$;
COMMENT ON FUNCTION etl_reconcile_due(bigint) IS
    'The part of time that each enabled source of a tenant is to be compared in now, by check; sources that failed last come last';

CREATE FUNCTION etl_reconcile_windows(source_id bigint, recheck interval, checked_from timestamptz, checked_to timestamptz)
RETURNS TABLE (window_from timestamptz, window_to timestamptz, attempt integer, records jsonb)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    src  etl_source;
    step interval := (etl_job_require('oo-agg')).align;
BEGIN
    SELECT s.* INTO src FROM etl_source s WHERE s.source_id = etl_reconcile_windows.source_id;
    RETURN QUERY
    WITH win AS MATERIALIZED (
        SELECT r.window_from, r.window_to, r.attempt FROM etl_job_run r
        WHERE r.status = 'success' AND r.job = src.job AND r.tenant_id = src.tenant_id
          AND r.window_to > etl_reconcile_windows.checked_from AND r.window_to <= etl_reconcile_windows.checked_to
          AND r.started_at < r.window_to + etl_reconcile_windows.recheck AND r.started_at >= src.active_since
        UNION ALL
        -- What the ledger of before a restore knew.
        SELECT g.starts, g.starts + step, NULL
        FROM etl_coverage c
        CROSS JOIN LATERAL generate_series(etl_ceil(greatest(c.covered_from, etl_reconcile_windows.checked_from, src.active_since), step),
                                           least(c.covered_to, etl_reconcile_windows.checked_to) - step, step) AS g (starts)
        WHERE c.job = src.job AND c.tenant_id = src.tenant_id
          AND NOT EXISTS (SELECT FROM etl_job_run r
                          WHERE r.job = src.job AND r.tenant_id = src.tenant_id AND r.window_from = g.starts AND r.window_to = g.starts + step)
    )
    SELECT w.window_from, w.window_to, w.attempt,
           (SELECT coalesce(jsonb_agg(jsonb_build_object('dataset', l.dataset, 'attributes', l.attributes)), '[]')
            FROM oo_locator l
            WHERE l.dataset IN ('logs', 'metrics', 'traces') AND l.t_from = w.window_from AND l.t_to = w.window_to
              AND l.tenant_id = src.tenant_id AND l.bucket IN (src.server, src.options ->> 'fallback') AND NOT l.attributes ? 'superseded')
    FROM win w
    ORDER BY w.window_from;
END
$$;
COMMENT ON FUNCTION etl_reconcile_windows(bigint, interval, timestamptz, timestamptz) IS
    'The windows that end in a part of time and were read before the check was due, with the locators of what they hold from a source; attempt is NULL where the ledger does not know the window';

CREATE FUNCTION etl_reconcile_record(source_id bigint, recheck interval, checked_from timestamptz, checked_to timestamptz, checked bigint,
    window_from timestamptz[], window_to timestamptz[], attempt integer[], late bigint[], vanished bigint[]) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
    src    etl_source;
    tenant text;
    win    record;
    differing bigint := 0;
BEGIN
    SELECT s.* INTO src FROM etl_source s WHERE s.source_id = etl_reconcile_record.source_id FOR KEY SHARE;
    SELECT t.code INTO tenant FROM dim_tenant t WHERE t.tenant_id = src.tenant_id;
    IF tenant IS NULL THEN
        -- Dropped meanwhile.
        RETURN 0;
    END IF;
    INSERT INTO etl_reconcile AS c (source_id, recheck, tenant_id, checked_to, checked_windows)
    VALUES (src.source_id, etl_reconcile_record.recheck, src.tenant_id, etl_reconcile_record.checked_to, checked)
    ON CONFLICT ON CONSTRAINT etl_reconcile_pkey DO UPDATE
    SET checked_to = excluded.checked_to, checked_windows = c.checked_windows + excluded.checked_windows, checked_at = etl_now(), error = NULL
    -- Somebody else was faster.
    WHERE c.checked_to <= etl_reconcile_record.checked_from;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    FOR win IN
        SELECT w.* FROM unnest(window_from, window_to, attempt, late, vanished) AS w (starts, ends, attempt, late, vanished)
        LEFT JOIN etl_job_run r ON r.job = src.job AND r.tenant_id = src.tenant_id AND r.window_from = w.starts AND r.window_to = w.ends
        -- One that ran again since was read again.
        WHERE r.attempt IS NOT DISTINCT FROM w.attempt
    LOOP
        INSERT INTO etl_late_window (tenant_id, window_from, window_to, source_id, recheck, late, vanished)
        VALUES (src.tenant_id, win.starts, win.ends, src.source_id, etl_reconcile_record.recheck, win.late, win.vanished)
        ON CONFLICT ON CONSTRAINT etl_late_window_pkey DO UPDATE
        SET late = excluded.late, vanished = excluded.vanished, found_at = excluded.found_at;
        UPDATE etl_reconcile c
        SET late_windows = c.late_windows + 1, late_records = c.late_records + win.late, vanished_records = c.vanished_records + win.vanished
        WHERE c.source_id = src.source_id AND c.recheck = etl_reconcile_record.recheck;
        PERFORM etl_invalidate(src.job, tenant, win.starts, win.ends);
        differing := differing + 1;
    END LOOP;
    RETURN differing;
END
$$;
COMMENT ON FUNCTION etl_reconcile_record(bigint, interval, timestamptz, timestamptz, bigint, timestamptz[], timestamptz[], integer[], bigint[], bigint[]) IS
    'Notes that a source was compared in a part of time and invalidates the windows that differ; returns how many those are';

CREATE FUNCTION etl_reconcile_failed(source_id bigint, recheck interval, checked_from timestamptz, error jsonb) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    INSERT INTO etl_reconcile AS c (source_id, recheck, tenant_id, checked_to, error)
    SELECT s.source_id, etl_reconcile_failed.recheck, s.tenant_id, etl_reconcile_failed.checked_from, etl_reconcile_failed.error
    FROM etl_source s WHERE s.source_id = etl_reconcile_failed.source_id
    ON CONFLICT ON CONSTRAINT etl_reconcile_pkey DO UPDATE SET error = excluded.error, checked_at = excluded.checked_at
$$;
COMMENT ON FUNCTION etl_reconcile_failed(bigint, interval, timestamptz, jsonb) IS
    'Notes that a source could not be compared; the same part of time is compared by the next run';
