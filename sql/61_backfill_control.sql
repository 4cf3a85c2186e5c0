-- =====================================================================================================================
-- What an operator sees of backfills and does to them: progress; pause, resume, cancel.
-- =====================================================================================================================

-- ---------------------------------------------------------------------------------------------------------------------
-- Where backfills stand
-- ---------------------------------------------------------------------------------------------------------------------

CREATE VIEW etl_backfill_progress AS
SELECT b.backfill_id, b.job, t.code AS tenant, b.range_from, b.range_to, b.state,
       s.slices, s.slices_done, s.slices_failed,
       s.windows, n.windows_done, n.windows_failed,
       s.rows + (SELECT coalesce(sum(etl_stats_rows(r.stats)), 0)
                 FROM etl_backfill_slice o
                 JOIN etl_job_run r ON r.job = b.job AND r.tenant_id = b.tenant_id AND r.window_from >= o.slice_from AND r.window_from < o.slice_to
                 WHERE o.backfill_id = b.backfill_id AND o.state = 'running'
                   AND r.status = 'success' AND r.backfill_id = b.backfill_id AND r.backfill_found <> 'other')::bigint AS rows,
       n.rate,
       CASE WHEN b.state = 'running' AND n.rate > 0
            THEN etl_now() + make_interval(secs => ((s.windows - n.windows_done - n.windows_failed) / n.rate)::double precision) END AS eta,
       b.started_at, b.finished_at,
       (SELECT r.error FROM etl_job_run r
        WHERE r.backfill_id = b.backfill_id AND r.status <> 'success' AND r.backfill_found <> 'other'
          AND r.started_at >= b.started_at AND r.error IS NOT NULL
        ORDER BY r.started_at DESC LIMIT 1) AS last_error
FROM etl_backfill b
LEFT JOIN dim_tenant t USING (tenant_id)
LEFT JOIN etl_job j ON j.name = b.job
CROSS JOIN LATERAL (
    SELECT count(*)                                                       AS slices,
           count(*) FILTER (WHERE c.state = 'done')                       AS slices_done,
           count(*) FILTER (WHERE c.state = 'failed')                     AS slices_failed,
           -- Not known before its turn: at most so many.
           coalesce(sum(coalesce(c.windows, CASE c.state WHEN 'waiting' THEN
               ceil(extract(epoch FROM c.slice_to - c.slice_from) / extract(epoch FROM j.align)) END)), 0)::bigint AS windows,
           coalesce(sum(c.windows) FILTER (WHERE b.state <> 'dry_run'), 0)::bigint AS windows_begun,
           coalesce(sum(c.windows_failed), 0)::bigint                     AS windows_failed,
           coalesce(sum(c.rows), 0)::bigint                               AS rows
    FROM etl_backfill_slice c WHERE c.backfill_id = b.backfill_id
) s
CROSS JOIN LATERAL (
    -- Of the slices that are open; what has failed in the others is in windows_failed.
    SELECT count(*)                                       AS unfinished,
           count(*) FILTER (WHERE r.status = 'failed')    AS failed
    FROM etl_backfill_slice o
    JOIN etl_job_run r ON r.backfill_id = b.backfill_id AND r.slice_no = o.slice_no AND r.status <> 'success' AND r.backfill_found <> 'other'
    WHERE o.backfill_id = b.backfill_id AND o.state IN ('waiting', 'running')
) open
CROSS JOIN LATERAL (
    SELECT s.windows_begun - s.windows_failed - open.unfinished AS windows_done,
           s.windows_failed + open.failed                       AS windows_failed,
           (s.windows_begun - s.windows_failed - open.unfinished)
               / nullif(extract(epoch FROM b.ran + coalesce(etl_now() - b.resumed_at, '0')), 0) AS rate
) n;
COMMENT ON VIEW   etl_backfill_progress         IS 'Where each backfill stands, also while it runs';
COMMENT ON COLUMN etl_backfill_progress.windows IS
    'Windows it runs in all; of slices whose turn has not come an upper bound';
COMMENT ON COLUMN etl_backfill_progress.rows    IS 'Rows or records that its windows report in their stats';
COMMENT ON COLUMN etl_backfill_progress.rate    IS 'Windows a second, over the time it ran';
COMMENT ON COLUMN etl_backfill_progress.eta     IS 'When it ends if it goes on like that';
COMMENT ON COLUMN etl_backfill_progress.last_error IS 'The last error of a window that has not succeeded since';

-- ---------------------------------------------------------------------------------------------------------------------
-- Pause, resume, cancel
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION etl_backfill_require(backfill_id bigint) RETURNS etl_backfill
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    b etl_backfill;
BEGIN
    SELECT k.* INTO b FROM etl_backfill k WHERE k.backfill_id = etl_backfill_require.backfill_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'backfill % does not exist', coalesce(backfill_id::text, 'NULL')
            USING ERRCODE = 'undefined_object', HINT = 'Backfills are the rows of etl_backfill_progress; finished ones are removed by retention.';
    END IF;
    RETURN b;
END
$$;
COMMENT ON FUNCTION etl_backfill_require(bigint) IS 'The backfill, locked, or an error';

CREATE FUNCTION etl_backfill_pause(backfill_id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    b etl_backfill := etl_backfill_require(backfill_id);
BEGIN
    IF b.state <> 'running' THEN
        RETURN false;
    END IF;
    UPDATE etl_backfill k SET state = 'paused', ran = k.ran + coalesce(etl_now() - k.resumed_at, '0'), resumed_at = NULL
    WHERE k.backfill_id = b.backfill_id;
    PERFORM etl_backfill_hold(b.backfill_id);
    RETURN true;
END
$$;
COMMENT ON FUNCTION etl_backfill_pause(bigint) IS
    'No further window of the backfill is claimed or enqueued; what runs goes on. false: it does not run';

CREATE FUNCTION etl_backfill_resume(backfill_id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    b etl_backfill := etl_backfill_require(backfill_id);
BEGIN
    IF b.state NOT IN ('paused', 'failed') THEN
        RETURN false;
    END IF;
    UPDATE etl_backfill k SET state = 'running', finished_at = NULL, resumed_at = CASE WHEN k.started_at IS NOT NULL THEN etl_now() END
    WHERE k.backfill_id = b.backfill_id;
    UPDATE etl_backfill_slice s SET state = 'waiting', windows_failed = 0
    WHERE s.backfill_id = b.backfill_id AND s.state = 'failed' AND b.state = 'failed';
    UPDATE etl_job_run r SET priority = 10 WHERE r.backfill_id = b.backfill_id AND r.status = 'queued' AND r.priority = 20;
    -- Whoever resumes believes the cause is gone.
    UPDATE etl_job_circuit c SET next_probe_at = etl_now() WHERE c.job = b.job AND c.tenant_id = b.tenant_id AND c.state = 'open';
    PERFORM etl_backfill_step(b.backfill_id);
    PERFORM etl_wake();
    RETURN true;
END
$$;
COMMENT ON FUNCTION etl_backfill_resume(bigint) IS
    'A paused backfill goes on, a failed one runs again what failed; false: it is neither. An open circuit is probed at once';

CREATE FUNCTION etl_backfill_cancel(backfill_id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    b     etl_backfill := etl_backfill_require(backfill_id);
    edges bigint[];
BEGIN
    IF b.state NOT IN ('running', 'paused') THEN
        RETURN false;
    END IF;
    UPDATE etl_backfill k SET state = 'cancelled', finished_at = etl_now(), ran = k.ran + coalesce(etl_now() - k.resumed_at, '0'), resumed_at = NULL
    WHERE k.backfill_id = b.backfill_id
    RETURNING k.* INTO b;
    -- Those that have run once before are closed below, with what became of their windows.
    UPDATE etl_backfill_slice s
    SET state = CASE WHEN s.windows IS NULL THEN 'cancelled' ELSE 'running' END, finished_at = etl_now()
    WHERE s.backfill_id = b.backfill_id AND s.state = 'waiting';

    -- Dependents of what ran already wait for the windows beside it, which do not run now: those at the edges decide.
    SELECT array_agg(e.run_id) INTO edges
    FROM (SELECT r.run_id, r.window_from, r.window_to, r.backfill_found,
                 lag(r.window_to)    OVER run AS last_to,
                 lead(r.window_from) OVER run AS next_from
          FROM etl_job_run r
          WHERE r.backfill_id = b.backfill_id AND r.status = 'queued' AND r.backfill_found <> 'other' AND r.priority >= 10
          WINDOW run AS (ORDER BY r.window_from)) e
    WHERE e.backfill_found = 'success' AND (e.last_to IS DISTINCT FROM e.window_from OR e.next_from IS DISTINCT FROM e.window_to);

    -- What had run before is as it was: its result is still there, and no longer this backfill's affair. What an operator
    -- retried (priority 5) runs.
    WITH put_back AS (
        UPDATE etl_job_run r
        SET status          = CASE r.backfill_found WHEN 'missing' THEN 'cancelled' ELSE r.backfill_found END,
            backfill_found  = CASE r.backfill_found WHEN 'missing' THEN 'missing'   ELSE 'other' END,
            finished_at     = etl_now(),
            next_attempt_at = NULL,
            priority        = 10
        WHERE r.backfill_id = b.backfill_id AND r.status = 'queued' AND r.backfill_found <> 'other' AND r.priority >= 10
        RETURNING r.slice_no, r.backfill_found
    )
    UPDATE etl_backfill_slice s SET windows = s.windows - n.put_back
    FROM (SELECT p.slice_no, count(*) AS put_back FROM put_back p WHERE p.backfill_found = 'other' GROUP BY p.slice_no) n
    WHERE s.backfill_id = b.backfill_id AND s.slice_no = n.slice_no;

    PERFORM etl_dependents(r.job, r.tenant_id, r.window_from, r.window_to, r.priority)
    FROM etl_job_run r WHERE r.run_id = ANY (edges);

    -- What somebody else asked for meanwhile goes on. One process works on all windows of a batch.
    UPDATE etl_job_run r SET cancel_requested = true
    WHERE r.backfill_id = b.backfill_id AND r.status = 'running' AND r.backfill_found <> 'other' AND NOT r.requeue;
    PERFORM etl_cancel(batch.run_id)
    FROM (SELECT min(r.run_id) AS run_id FROM etl_job_run r
          WHERE r.backfill_id = b.backfill_id AND r.status = 'running' AND r.cancel_requested GROUP BY r.batch_id) batch;
    PERFORM etl_backfill_close(b);
    RETURN true;
END
$$;
COMMENT ON FUNCTION etl_backfill_cancel(bigint) IS
    'Ends a backfill: its queued windows are cancelled, or again what they were when they had run before; running ones are asked to stop. false: it has ended already';
