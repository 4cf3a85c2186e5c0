-- =====================================================================================================================
-- What an operator does to runs and jobs: retry, cancel, pause, resume; and the view that shows where things stand.
-- =====================================================================================================================

CREATE FUNCTION etl_run_lock(run_id bigint) RETURNS etl_job_run
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    run etl_job_run;
BEGIN
    SELECT r.* INTO run FROM etl_job_run r WHERE r.run_id = etl_run_lock.run_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'run % does not exist', coalesce(run_id::text, 'NULL')
            USING ERRCODE = 'undefined_object', HINT = 'Runs are the rows of etl_job_run; old ones are removed by retention.';
    END IF;
    RETURN run;
END
$$;
COMMENT ON FUNCTION etl_run_lock(bigint) IS 'The run, locked, or an error';

CREATE FUNCTION etl_retry(run_id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
AS $$
DECLARE
    run  etl_job_run := etl_run_lock(run_id);
    due  timestamptz;
    done boolean;
BEGIN
    SELECT run.window_to + e.delay INTO due FROM etl_job_effective e
    WHERE e.job = run.job AND e.tenant_id = run.tenant_id AND NOT e.coalescing AND run.window_to + e.delay > etl_now();

    UPDATE etl_job_run r
    SET status          = CASE run.status WHEN 'running' THEN 'running' ELSE 'queued' END,
        requeue         = run.status = 'running',
        next_attempt_at = CASE run.status WHEN 'running' THEN r.next_attempt_at ELSE due END,
        finished_at     = NULL,
        batch_limit     = NULL,
        priority        = least(r.priority, 5),
        max_attempts    = CASE WHEN run.status IN ('running', 'queued') THEN r.max_attempts
                               ELSE r.attempt + coalesce((SELECT j.max_attempts FROM etl_job j WHERE j.name = r.job), 1) END
    WHERE r.run_id = run.run_id
      AND (run.status <> 'running' OR NOT r.requeue)
      AND (run.status <> 'queued'  OR r.next_attempt_at IS DISTINCT FROM due OR r.priority = 20);
    done := FOUND;

    IF done THEN
        -- Whoever retries believes the cause is gone.
        UPDATE etl_job_circuit c SET next_probe_at = etl_now() WHERE c.job = run.job AND c.tenant_id = run.tenant_id AND c.state = 'open';
        PERFORM etl_wake();
    END IF;
    RETURN done;
END
$$;
COMMENT ON FUNCTION etl_retry(bigint) IS
    'Queues a run that ended again, a running one for when it ends, and lets a waiting one run now; false: nothing to change';

CREATE FUNCTION etl_retry(job text, tenant text, "from" timestamptz DEFAULT '-infinity', "to" timestamptz DEFAULT 'infinity') RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    j          etl_job := etl_job_require(job);
    for_tenant bigint  := CASE WHEN tenant IS NOT NULL THEN etl_tenant_require(tenant) END;
    retried    bigint;
BEGIN
    IF "from" IS NULL OR "to" IS NULL OR "from" >= "to" THEN
        RAISE EXCEPTION 'the range of windows to retry is empty'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL  = format('from = %s, to = %s.', coalesce("from"::text, 'NULL'), coalesce("to"::text, 'NULL')),
                  HINT    = 'Windows that overlap ["from", "to") are retried; leave both out for all of them.';
    END IF;
    WITH failed AS MATERIALIZED (
        SELECT r.run_id FROM etl_job_run r
        WHERE r.status = 'failed' AND r.job = j.name AND r.tenant_id = coalesce(for_tenant, r.tenant_id)
          AND r.window_from < "to" AND r.window_to > "from"
        ORDER BY r.tenant_id, r.window_from
        FOR UPDATE
    )
    UPDATE etl_job_run r
    SET status = 'queued', next_attempt_at = NULL, finished_at = NULL, priority = least(r.priority, 5), batch_limit = NULL,
        max_attempts = r.attempt + j.max_attempts
    FROM failed f WHERE r.run_id = f.run_id;
    GET DIAGNOSTICS retried = ROW_COUNT;
    -- Whoever retries believes the cause is gone.
    UPDATE etl_job_circuit c SET next_probe_at = etl_now()
    WHERE c.job = j.name AND c.tenant_id = coalesce(for_tenant, c.tenant_id) AND c.state = 'open';
    PERFORM etl_wake();
    RETURN retried;
END
$$;
COMMENT ON FUNCTION etl_retry(text, text, timestamptz, timestamptz) IS
    'Queues every failed window of a job that overlaps a range again, of one tenant or (NULL) all; returns how many. Open circuits are probed at once';

CREATE FUNCTION etl_cancel(run_id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    run etl_job_run := etl_run_lock(run_id);
BEGIN
    CASE run.status
        WHEN 'queued' THEN
            UPDATE etl_job_run r SET status = 'cancelled', finished_at = etl_now(), next_attempt_at = NULL WHERE r.run_id = run.run_id;
        WHEN 'running' THEN
            UPDATE etl_job_run r SET cancel_requested = true, requeue = false WHERE r.run_id = run.run_id;
            -- Whoever holds the lock of its batch works on it (the number is the kind of lock): a pid alone may be reused.
            PERFORM pg_cancel_backend(l.pid) FROM pg_locks l
            WHERE l.locktype = 'userlock' AND l.objsubid = 2817 AND l.granted
              AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
              AND l.classid = (run.batch_id >> 32)::oid AND l.objid = (run.batch_id & 4294967295)::oid;
        ELSE
            RETURN false;
    END CASE;
    RETURN true;
END
$$;
COMMENT ON FUNCTION etl_cancel(bigint) IS
    'Cancels a queued run, or interrupts a running one; false: it has ended already';

CREATE FUNCTION etl_pause(job text, tenant text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    j etl_job := etl_job_require(job);
BEGIN
    IF tenant IS NULL THEN
        UPDATE etl_job k SET enabled = false WHERE k.name = j.name AND k.enabled;
        UPDATE etl_job_tenant o SET enabled = NULL WHERE o.job = j.name AND o.enabled;
    ELSE
        INSERT INTO etl_job_tenant (job, tenant_id, enabled) VALUES (j.name, etl_tenant_require(tenant), false)
        ON CONFLICT ON CONSTRAINT etl_job_tenant_pkey DO UPDATE SET enabled = false;
    END IF;
END
$$;
COMMENT ON FUNCTION etl_pause(text, text) IS
    'Stops enqueuing and claiming of a job, for one tenant or all; what runs goes on, and resuming loses no window';

CREATE FUNCTION etl_resume(job text, tenant text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    j          etl_job := etl_job_require(job);
    for_tenant bigint  := CASE WHEN tenant IS NOT NULL THEN etl_tenant_require(tenant) END;
BEGIN
    IF for_tenant IS NULL THEN
        UPDATE etl_job k SET enabled = true WHERE k.name = j.name AND NOT k.enabled;
    ELSE
        -- Back to what the job says; while the job as a whole is paused, this tenant alone goes on.
        INSERT INTO etl_job_tenant (job, tenant_id, enabled) VALUES (j.name, for_tenant, CASE WHEN NOT j.enabled THEN true END)
        ON CONFLICT ON CONSTRAINT etl_job_tenant_pkey DO UPDATE SET enabled = excluded.enabled;
    END IF;
    UPDATE etl_job_circuit c SET next_probe_at = etl_now()
    WHERE c.job = j.name AND c.tenant_id = coalesce(for_tenant, c.tenant_id) AND c.state = 'open';
    PERFORM etl_wake();
END
$$;
COMMENT ON FUNCTION etl_resume(text, text) IS
    'Undoes etl_pause; without a tenant, tenants that were paused by name stay paused. An open circuit is probed at once';

-- ---------------------------------------------------------------------------------------------------------------------
-- etl_status
-- ---------------------------------------------------------------------------------------------------------------------

CREATE VIEW etl_status AS
SELECT e.job,
       e.tenant,
       s.last_window_to,
       greatest('0'::interval, etl_now() - u.oldest_window_to)           AS lag,
       coalesce(u.queued, 0)                                             AS queued,
       coalesce(u.running, 0)                                            AS running,
       (SELECT count(*) FROM etl_job_run f
        WHERE f.status = 'failed' AND f.job = e.job AND f.tenant_id = e.tenant_id) AS failed,
       coalesce(c.state, 'closed')                                       AS circuit,
       coalesce(l.late_windows, 0)                                       AS late_windows,
       coalesce(l.late_records, 0)                                       AS late_records
FROM etl_job_effective e
LEFT JOIN (
    SELECT r.job, r.tenant_id,
           min(r.window_to)                               AS oldest_window_to,
           count(*) FILTER (WHERE r.status = 'queued')    AS queued,
           count(*) FILTER (WHERE r.status = 'running')   AS running
    FROM etl_job_run r
    WHERE r.status = 'queued' OR r.status = 'running'
    GROUP BY r.job, r.tenant_id
) u ON u.job = e.job AND u.tenant_id = e.tenant_id
LEFT JOIN LATERAL (
    SELECT r.window_to AS last_window_to FROM etl_job_run r
    WHERE r.status = 'success' AND r.job = e.job AND r.tenant_id = e.tenant_id
    ORDER BY r.window_to DESC LIMIT 1
) s ON true
LEFT JOIN etl_job_circuit c ON c.job = e.job AND c.tenant_id = e.tenant_id
LEFT JOIN LATERAL (
    SELECT count(DISTINCT (w.window_from, w.window_to)) AS late_windows, sum(w.late)::bigint AS late_records
    FROM etl_late_window w
    WHERE w.tenant_id = e.tenant_id AND w.found_at > etl_now() - interval '24 hours' AND e.job = 'oo-agg'
) l ON true
WHERE e.enabled OR u.job IS NOT NULL OR s.last_window_to IS NOT NULL
   OR EXISTS (SELECT FROM etl_job_run f WHERE f.status = 'failed' AND f.job = e.job AND f.tenant_id = e.tenant_id);
COMMENT ON VIEW   etl_status                IS 'Where each (job, tenant) stands';
COMMENT ON COLUMN etl_status.last_window_to IS 'End of the newest window that succeeded';
COMMENT ON COLUMN etl_status.lag IS
    'Age of the end of the oldest window that is queued or running; 0 when there is none';
COMMENT ON COLUMN etl_status.circuit IS
    'closed: all well; open: the source fails, windows wait; half_open: one window probes it';
COMMENT ON COLUMN etl_status.late_windows IS
    'Windows that reconcile found to differ from their source in the last 24 hours, and queued again';
COMMENT ON COLUMN etl_status.late_records IS 'Records that those windows lacked';
