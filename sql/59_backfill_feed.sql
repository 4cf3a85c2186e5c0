-- =====================================================================================================================
-- How backfills go on: the windows of a slice are queued in one statement; when they have ended, the slice is closed and
-- the next one follows.
--
-- Whoever changes a backfill locks its row first, then rows of the ledger. A window belongs to the backfill that is
-- written on it (etl_job_run.backfill_id), unless it only awaits its end (backfill_found = 'other').
-- =====================================================================================================================

-- ---------------------------------------------------------------------------------------------------------------------
-- Which windows a slice runs
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION etl_backfill_windows(b etl_backfill, slice etl_backfill_slice)
RETURNS TABLE (run_id bigint, window_from timestamptz, window_to timestamptz, status text, found text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    -- A slice that is open a second time runs again what failed in it the first time.
    again CONSTANT boolean  := slice.windows IS NOT NULL;
    align CONSTANT interval := (SELECT j.align FROM etl_job j WHERE j.name = b.job);
    -- What succeeded before retention took its row is not missing: its source may have forgotten the data, too.
    covered CONSTANT tstzmultirange := CASE WHEN b.reprocess = 'missing' THEN (
        SELECT range_agg(tstzrange(c.covered_from, c.covered_to)) FROM etl_coverage c
        WHERE c.job = b.job AND c.tenant_id = b.tenant_id AND c.covered_to > slice.slice_from AND c.covered_from < slice.slice_to) END;
    -- The windows that begin in the slice. Its ends are those of windows, unless align was changed since.
    first CONSTANT timestamptz := CASE WHEN slice.slice_from = b.range_from THEN etl_floor(slice.slice_from, align)
                                       ELSE etl_ceil(slice.slice_from, align) END;
BEGIN
    RETURN QUERY
    SELECT NULL::bigint, w.starts, w.starts + align, NULL::text, 'missing'
    FROM generate_series(first, slice.slice_to - interval '1 us', align) AS w (starts)
    WHERE b.reprocess <> 'failed' AND NOT again AND coalesce(NOT covered @> tstzrange(w.starts, w.starts + align), true)
      AND NOT EXISTS (SELECT FROM etl_job_run r
                      WHERE r.job = b.job AND r.tenant_id = b.tenant_id AND r.window_from = w.starts AND r.window_to = w.starts + align
                        AND r.window_from >= first AND r.window_from < slice.slice_to)
    UNION ALL
    SELECT r.run_id, r.window_from, r.window_to, r.status, f.found
    FROM etl_job_run r
    CROSS JOIN LATERAL (
        SELECT CASE WHEN r.status = 'cancelled'                    THEN 'missing'
                    WHEN r.status IN ('failed', 'success')         THEN r.status
                    -- Held by a backfill that is paused: this one takes it over.
                    WHEN r.status = 'queued' AND r.priority = 20   THEN r.backfill_found
                    -- What another backfill works on has its number already.
                    WHEN NOT EXISTS (SELECT FROM etl_backfill o WHERE o.backfill_id = r.backfill_id AND o.state = 'running') THEN 'other' END AS found) f
    WHERE r.job = b.job AND r.tenant_id = b.tenant_id
      AND r.window_from >= least(first, slice.slice_from) AND r.window_from < slice.slice_to
      AND CASE WHEN again                    THEN r.status = 'failed' AND r.backfill_id = b.backfill_id AND r.slice_no = slice.slice_no AND r.backfill_found <> 'other'
               WHEN b.reprocess = 'failed'   THEN r.status = 'failed'
               WHEN b.reprocess = 'missing'  THEN r.status IN ('cancelled', 'queued', 'running') AND r.window_to = r.window_from + align
               ELSE                               r.window_to = r.window_from + align END
      AND f.found IS NOT NULL
    ORDER BY 2;
END
$$;
COMMENT ON FUNCTION etl_backfill_windows(etl_backfill, etl_backfill_slice) IS
    'The windows a slice would enqueue, and those that it would await (found = other); run_id is NULL where there is no row yet';

CREATE FUNCTION etl_backfill_enqueue(b etl_backfill, slice etl_backfill_slice) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    at       CONSTANT timestamptz := etl_now();
    settings record;
    enqueued bigint;
BEGIN
    SELECT e.delay, e.max_attempts INTO settings FROM etl_job_effective e WHERE e.job = b.job AND e.tenant_id = b.tenant_id;

    WITH wanted AS MATERIALIZED (
        SELECT * FROM etl_backfill_windows(b, slice)
    ), fresh AS (
        INSERT INTO etl_job_run (job, tenant_id, window_from, window_to, origin, priority, max_attempts, next_attempt_at,
                                 created_at, backfill_id, slice_no, backfill_found)
        SELECT b.job, b.tenant_id, w.window_from, w.window_to, 'backfill', 10, settings.max_attempts,
               CASE WHEN w.window_to + settings.delay > at THEN w.window_to + settings.delay END,
               at, b.backfill_id, slice.slice_no, w.found
        FROM wanted w WHERE w.run_id IS NULL
        ORDER BY w.window_from
        ON CONFLICT (job, tenant_id, window_from, window_to) DO NOTHING
        RETURNING 1
    ), locked AS MATERIALIZED (
        -- In the order of windows, as whoever else locks many: they wait for each other and no more.
        SELECT r.run_id, r.status, w.found
        FROM wanted w JOIN etl_job_run r ON r.run_id = w.run_id AND r.status = w.status
        ORDER BY w.window_from
        FOR UPDATE OF r
    ), again AS (
        -- attempt is a fencing token and stays; error and stats tell of the last run until the next one.
        UPDATE etl_job_run r
        SET status = 'queued', origin = 'backfill', priority = 10, max_attempts = r.attempt + settings.max_attempts,
            next_attempt_at = NULL, finished_at = NULL, batch_limit = NULL,
            backfill_id = b.backfill_id, slice_no = slice.slice_no, backfill_found = l.found
        FROM locked l WHERE r.run_id = l.run_id AND l.status IN ('success', 'failed', 'cancelled')
        RETURNING 1
    ), awaited AS (
        UPDATE etl_job_run r
        SET backfill_id = b.backfill_id, slice_no = slice.slice_no, backfill_found = l.found,
            priority = CASE r.priority WHEN 20 THEN 10 ELSE r.priority END
        FROM locked l WHERE r.run_id = l.run_id AND l.status IN ('queued', 'running')
        RETURNING l.found
    )
    SELECT (SELECT count(*) FROM fresh) + (SELECT count(*) FROM again) + (SELECT count(*) FROM awaited WHERE found <> 'other')
    INTO enqueued;
    RETURN enqueued;
END
$$;
COMMENT ON FUNCTION etl_backfill_enqueue(etl_backfill, etl_backfill_slice) IS 'Queues the windows of a slice; returns how many';

-- ---------------------------------------------------------------------------------------------------------------------
-- From slice to slice
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION etl_backfill_ended(b etl_backfill, slice etl_backfill_slice) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN NOT EXISTS (
            SELECT FROM etl_job_run r
            WHERE r.backfill_id = b.backfill_id AND r.slice_no = slice.slice_no AND r.status IN ('queued', 'running'))
        -- Where another backfill was first, the slice is through when that one is.
        AND (b.state <> 'running' OR b.reprocess = 'failed' OR NOT EXISTS (
            SELECT FROM etl_backfill o
            JOIN etl_job_run r ON r.backfill_id = o.backfill_id AND r.status IN ('queued', 'running')
            WHERE o.state = 'running' AND o.backfill_id <> b.backfill_id AND o.job = b.job AND o.tenant_id = b.tenant_id
              AND r.window_from >= slice.slice_from AND r.window_from < slice.slice_to));
END
$$;
COMMENT ON FUNCTION etl_backfill_ended(etl_backfill, etl_backfill_slice) IS
    'Whether nothing of an open slice is queued or runs any more';

CREATE FUNCTION etl_stats_rows(stats jsonb) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT coalesce((stats ->> 'rows')::numeric,
                    coalesce((stats #>> '{records,logs}')::numeric, 0) + coalesce((stats #>> '{records,metrics}')::numeric, 0)
                    + coalesce((stats #>> '{records,spans}')::numeric, 0))::bigint
$$;
COMMENT ON FUNCTION etl_stats_rows(jsonb) IS 'Rows a run reports in etl_job_run.stats: those a SQL job returned, or the records oo-agg read';

CREATE FUNCTION etl_backfill_close(b etl_backfill) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
SET enable_seqscan = off
SET jit = off
AS $$
    UPDATE etl_backfill_slice s
    SET state          = CASE WHEN b.state = 'cancelled' THEN 'cancelled' WHEN n.failed > 0 THEN 'failed' ELSE 'done' END,
        windows        = n.succeeded + n.failed,
        windows_failed = n.failed,
        rows           = n.rows,
        finished_at    = etl_now()
    FROM etl_backfill_slice o
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE r.status = 'success')                                        AS succeeded,
               count(*) FILTER (WHERE r.status = 'failed')                                         AS failed,
               coalesce(sum(etl_stats_rows(r.stats)) FILTER (WHERE r.status = 'success'), 0)       AS rows
        FROM etl_job_run r
        WHERE r.job = b.job AND r.tenant_id = b.tenant_id AND r.window_from < o.slice_to
          -- The first window may begin before its slice, if align was changed since.
          AND r.window_from >= o.slice_from - coalesce((SELECT j.align FROM etl_job j WHERE j.name = b.job), '0')
          AND r.backfill_id = b.backfill_id AND r.slice_no = o.slice_no AND r.backfill_found <> 'other') n
    WHERE o.backfill_id = b.backfill_id AND o.state = 'running' AND etl_backfill_ended(b, o)
      AND s.backfill_id = o.backfill_id AND s.slice_no = o.slice_no
$$;
COMMENT ON FUNCTION etl_backfill_close(etl_backfill) IS 'Closes the slices whose windows have all ended, with what became of them';

CREATE FUNCTION etl_backfill_may_feed(b etl_backfill) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM etl_backfill_slice s WHERE s.backfill_id = b.backfill_id AND s.state = 'waiting')
        AND NOT EXISTS (SELECT FROM etl_job_run r WHERE r.backfill_id = b.backfill_id AND r.status = 'queued' AND r.backfill_found <> 'other')
        AND EXISTS (SELECT FROM etl_job_effective e
                    WHERE e.job = b.job AND e.tenant_id = b.tenant_id AND e.enabled
                      -- So that no runner waits for the last windows of a slice where several may run.
                      AND e.concurrency > (SELECT count(*) FROM etl_backfill_slice s WHERE s.backfill_id = b.backfill_id AND s.state = 'running'));
END
$$;
COMMENT ON FUNCTION etl_backfill_may_feed(etl_backfill) IS 'Whether the next slice of a running backfill may be enqueued';

CREATE FUNCTION etl_backfill_hold(id bigint) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    -- No claim looks at this priority. What an operator retries gets another one, and runs.
    UPDATE etl_job_run r SET priority = 20
    WHERE r.backfill_id = id AND r.status = 'queued' AND r.priority = 10 AND r.backfill_found <> 'other'
$$;
COMMENT ON FUNCTION etl_backfill_hold(bigint) IS 'Keeps the queued windows of a backfill from being claimed';

CREATE FUNCTION etl_backfill_step(id bigint) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
SET jit = off
AS $$
DECLARE
    at       CONSTANT timestamptz := etl_now();
    -- A long row of slices with nothing to do is gone through bit by bit: the next call goes on.
    budget   numeric := 100000;
    b        etl_backfill;
    slice    etl_backfill_slice;
    enqueued bigint := 0;
BEGIN
    -- Whoever holds it does what is to be done.
    SELECT k.* INTO b FROM etl_backfill k WHERE k.backfill_id = id FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    IF b.state IN ('running', 'paused') AND NOT EXISTS (SELECT FROM etl_job j WHERE j.name = b.job) THEN
        PERFORM etl_backfill_cancel(id);
        RETURN 0;
    END IF;
    IF b.state = 'paused' THEN
        PERFORM etl_backfill_hold(id);
    END IF;
    PERFORM etl_backfill_close(b);

    WHILE b.state = 'running' AND budget > 0 AND enqueued = 0 AND etl_backfill_may_feed(b) LOOP
        SELECT s.* INTO slice FROM etl_backfill_slice s
        WHERE s.backfill_id = id AND s.state = 'waiting'
        ORDER BY CASE WHEN b.newest_first THEN -s.slice_no ELSE s.slice_no END LIMIT 1;
        enqueued := etl_backfill_enqueue(b, slice);
        UPDATE etl_backfill_slice s
        SET state = 'running', windows = coalesce(s.windows, enqueued), started_at = coalesce(s.started_at, at), finished_at = NULL
        WHERE s.backfill_id = id AND s.slice_no = slice.slice_no;
        budget := budget - 100 - extract(epoch FROM slice.slice_to - slice.slice_from)
                                 / (SELECT extract(epoch FROM j.align) FROM etl_job j WHERE j.name = b.job);
        IF enqueued = 0 THEN
            PERFORM etl_backfill_close(b);
        END IF;
    END LOOP;

    UPDATE etl_backfill k
    SET started_at  = coalesce(k.started_at, at),
        resumed_at  = coalesce(k.resumed_at, at)
    WHERE k.backfill_id = id AND b.state = 'running' AND k.resumed_at IS NULL
      AND EXISTS (SELECT FROM etl_backfill_slice s WHERE s.backfill_id = id AND s.started_at IS NOT NULL);

    IF b.state = 'running' AND NOT EXISTS (SELECT FROM etl_backfill_slice s WHERE s.backfill_id = id AND s.state IN ('waiting', 'running')) THEN
        UPDATE etl_backfill k
        SET state = CASE WHEN EXISTS (SELECT FROM etl_backfill_slice s WHERE s.backfill_id = id AND s.state = 'failed') THEN 'failed' ELSE 'done' END,
            finished_at = at, ran = k.ran + coalesce(at - k.resumed_at, '0'), resumed_at = NULL
        WHERE k.backfill_id = id;
    END IF;
    IF enqueued > 0 THEN
        PERFORM etl_wake();
    END IF;
    RETURN enqueued;
END
$$;
COMMENT ON FUNCTION etl_backfill_step(bigint) IS
    'Does for one backfill what is to be done now: closes slices, enqueues the next one, ends it; returns the windows enqueued';

CREATE FUNCTION etl_backfill_feed() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    id       bigint;
    enqueued bigint := 0;
BEGIN
    -- Only reads until there is something to do: it is asked every second.
    FOR id IN
        SELECT b.backfill_id FROM etl_backfill b
        WHERE (b.state IN ('running', 'paused')
               AND (NOT EXISTS (SELECT FROM etl_job j WHERE j.name = b.job)
                    OR CASE b.state
                       WHEN 'paused' THEN EXISTS (SELECT FROM etl_job_run r
                                                  WHERE r.backfill_id = b.backfill_id AND r.status = 'queued' AND r.priority = 10 AND r.backfill_found <> 'other')
                       ELSE etl_backfill_may_feed(b)
                            OR NOT EXISTS (SELECT FROM etl_backfill_slice s WHERE s.backfill_id = b.backfill_id AND s.state IN ('waiting', 'running')) END))
           OR EXISTS (SELECT FROM etl_backfill_slice s WHERE s.backfill_id = b.backfill_id AND s.state = 'running' AND etl_backfill_ended(b, s))
        ORDER BY b.backfill_id
    LOOP
        enqueued := enqueued + etl_backfill_step(id);
    END LOOP;
    RETURN enqueued;
END
$$;
COMMENT ON FUNCTION etl_backfill_feed() IS
    'Lets every backfill go on that can: for etl_tick, and for when a window has ended; returns the windows enqueued';
