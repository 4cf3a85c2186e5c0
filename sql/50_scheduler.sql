-- =====================================================================================================================
-- Enqueuing: which windows there are. etl_schedule goes on from etl_cursor, etl_enqueue takes any range.
--
-- A window is [from, to), both multiples of etl_job.align since the epoch, in UTC. All interval arithmetic runs with
-- TimeZone = UTC, so that '1 day' is 24 hours whatever the session's zone does. "Now" is etl_now(), which tests may set.
-- =====================================================================================================================

CREATE VIEW etl_job_effective AS
SELECT j.name                               AS job,
       t.tenant_id,
       t.code                               AS tenant,
       coalesce(o.enabled, j.enabled)
           AND t.enabled
           -- observe_bridge.tenant_shard, such as 2/8: this server runs one tenant in eight.
           AND coalesce((hashint8extended(t.tenant_id, 0) & 9223372036854775807) % split_part(shard.setting, '/', 2)::bigint + 1
                        = split_part(shard.setting, '/', 1)::bigint, true)
           AND (NOT j.needs_source OR EXISTS (
                   SELECT FROM etl_source s WHERE s.job = j.name AND s.tenant_id = t.tenant_id AND s.enabled))
           -- It compares what oo-agg has read.
           AND (j.name <> 'reconcile' OR EXISTS (
                   SELECT FROM etl_source s WHERE s.job = 'oo-agg' AND s.tenant_id = t.tenant_id AND s.enabled)) AS enabled,
       j.kind,
       j.run_interval,
       j.align,
       coalesce(o.delay, j.delay)           AS delay,
       coalesce(o.lookback, j.lookback)     AS lookback,
       j.concurrency,
       j.after,
       j.max_attempts,
       j.timeout,
       j.coalesce                           AS coalescing,
       j.max_running                        AS job_max_running,
       t.max_running                        AS tenant_max_running,
       j.batch,
       coalesce(o.recheck, j.recheck)       AS recheck
FROM etl_job j
CROSS JOIN dim_tenant t
CROSS JOIN (SELECT nullif(current_setting('observe_bridge.tenant_shard', true), '') AS setting) shard
LEFT JOIN etl_job_tenant o ON o.job = j.name AND o.tenant_id = t.tenant_id;
COMMENT ON VIEW etl_job_effective IS
    'Every job of every tenant with its overrides applied; enabled: the job, the tenant, the shard, and a source where one is needed';

CREATE FUNCTION etl_floor(at timestamptz, align interval) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT date_bin(align, at, 'epoch'::timestamptz)
$$;
COMMENT ON FUNCTION etl_floor(timestamptz, interval) IS
    'The greatest multiple of align since the epoch (UTC) that is not after the time';

CREATE FUNCTION etl_ceil(at timestamptz, align interval) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
AS $$
    SELECT etl_floor(at + align - interval '1 us', align)
$$;
COMMENT ON FUNCTION etl_ceil(timestamptz, interval) IS
    'The smallest multiple of align since the epoch (UTC) that is not before the time';

-- ---------------------------------------------------------------------------------------------------------------------
-- etl_tick
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION etl_due(at timestamptz)
RETURNS TABLE (job text, tenant_id bigint, align interval, delay interval, coalescing boolean, max_attempts integer,
               first_from timestamptz, upper_bound timestamptz)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
-- Called every second: compiling or planning it anew would cost more than running it.
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT e.job, e.tenant_id, e.align, e.delay, e.coalescing, e.max_attempts,
           -- The first bucket of the 5-minute tables should be whole.
           date_bin(e.align,
                    CASE e.job WHEN 'oo-agg' THEN date_bin('5 min', u.upper_bound - e.lookback, 'epoch') ELSE u.upper_bound - e.lookback END,
                    'epoch'),
           u.upper_bound
    FROM etl_job_effective e
    CROSS JOIN LATERAL (SELECT date_bin(nullif(e.run_interval, '0'), at - e.delay, 'epoch') AS upper_bound) u
    WHERE e.enabled AND e.run_interval > '0';
END
$$;
COMMENT ON FUNCTION etl_due(timestamptz) IS
    'For every scheduled (job, tenant) that is enabled: the end of the last window due at a time, and where a new cursor starts';

CREATE FUNCTION etl_schedule(at timestamptz) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
SET jit = off
AS $$
DECLARE
    max_windows CONSTANT integer     := 100000;
    clock       CONSTANT timestamptz := etl_now();
    enqueued bigint;
BEGIN
    PERFORM etl_sources_look();

    -- Asked first, once for all that follows: called every second, it mostly finds nothing.
    IF NOT EXISTS (SELECT FROM etl_due(at) d LEFT JOIN etl_cursor c ON c.job = d.job AND c.tenant_id = d.tenant_id
                   WHERE c.next_from IS NULL OR c.next_from < d.upper_bound)
    THEN
        RETURN 0;
    END IF;

    -- Asked first: an INSERT waits for whoever locks the table, even if it has nothing to insert.
    IF EXISTS (SELECT FROM etl_due(at) d
               WHERE NOT EXISTS (SELECT FROM etl_cursor c WHERE c.job = d.job AND c.tenant_id = d.tenant_id))
    THEN
        INSERT INTO etl_cursor (job, tenant_id, next_from)
        SELECT d.job, d.tenant_id, d.first_from
        FROM etl_due(at) d
        WHERE NOT EXISTS (SELECT FROM etl_cursor c WHERE c.job = d.job AND c.tenant_id = d.tenant_id)
        ORDER BY d.job, d.tenant_id
        ON CONFLICT DO NOTHING;
    END IF;

    -- Locking in one statement and reading in the next: the second sees what the previous holder of the locks did.
    PERFORM FROM etl_cursor c JOIN etl_due(at) d USING (job, tenant_id)
    WHERE c.next_from < d.upper_bound
    ORDER BY c.job, c.tenant_id
    FOR UPDATE OF c;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;

    WITH due AS MATERIALIZED (
        SELECT d.*, first.next_from,
               -- Years to catch up are enqueued bit by bit: the next tick goes on.
               CASE WHEN extract(epoch FROM d.upper_bound - first.next_from) / extract(epoch FROM d.align) <= max_windows THEN d.upper_bound
                    ELSE first.next_from + max_windows * d.align END AS upto
        FROM etl_cursor c JOIN etl_due(at) d USING (job, tenant_id)
        -- After a change of align the first window may begin before the last one ended: rather twice than not at all.
        CROSS JOIN LATERAL (SELECT date_bin(d.align, c.next_from, 'epoch') AS next_from) first
        WHERE c.next_from < d.upper_bound
    ), advanced AS (
        UPDATE etl_cursor c SET next_from = due.upto
        FROM due WHERE c.job = due.job AND c.tenant_id = due.tenant_id
    ), inserted AS (
        INSERT INTO etl_job_run AS r (job, tenant_id, window_from, window_to, origin, priority, max_attempts, next_attempt_at)
        SELECT due.job, due.tenant_id, w.window_from, w.window_from + due.align, 'schedule',
               -- A long catch-up must not hold up the present.
               CASE WHEN w.window_from < due.upper_bound - greatest(3 * due.align, '15 min') THEN 10 ELSE 0 END,
               due.max_attempts,
               -- A tick of the future: its windows wait until their time has come.
               CASE WHEN NOT due.coalescing AND w.window_from + due.align + due.delay > clock THEN w.window_from + due.align + due.delay END
        FROM due
        CROSS JOIN LATERAL generate_series(due.next_from, due.upto - due.align, due.align) AS w (window_from)
        -- Upstream first, as those do it who finish windows.
        ORDER BY (SELECT j.after <> '{}' FROM etl_job j WHERE j.name = due.job), due.job, due.tenant_id, w.window_from
        ON CONFLICT (job, tenant_id, window_from, window_to) DO UPDATE
        -- A backfill was here first: from now on the window is the schedule's, whatever becomes of the backfill.
        SET status          = CASE r.status WHEN 'running' THEN 'running'         ELSE 'queued' END,
            next_attempt_at = CASE r.status WHEN 'running' THEN r.next_attempt_at ELSE excluded.next_attempt_at END,
            max_attempts    = CASE r.status WHEN 'running' THEN r.max_attempts    ELSE r.attempt + excluded.max_attempts END,
            finished_at     = NULL,
            origin          = excluded.origin,
            priority        = excluded.priority,
            backfill_id     = NULL,
            slice_no        = NULL
        WHERE r.backfill_id IS NOT NULL AND r.status IN ('queued', 'running', 'cancelled')
        RETURNING 1
    )
    SELECT count(*) INTO enqueued FROM inserted;

    RETURN enqueued;
END
$$;
COMMENT ON FUNCTION etl_schedule(timestamptz) IS
    'Enqueues every window that the schedules of jobs make due at a time and that is not yet enqueued; returns how many';

CREATE FUNCTION etl_tick(at timestamptz DEFAULT now()) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    enqueued bigint;
BEGIN
    IF at IS NULL OR NOT isfinite(at) THEN
        RAISE EXCEPTION 'etl_tick needs a finite time, not %', coalesce(at::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Call etl_tick() for now.';
    END IF;
    IF etl_restoring() THEN
        RETURN 0;
    END IF;
    -- None of them writes, or takes a transaction id, when there is nothing to do.
    enqueued := etl_invalidations_apply() + etl_schedule(CASE at WHEN now() THEN etl_now() ELSE at END) + etl_backfill_feed();
    IF enqueued > 0 THEN
        PERFORM etl_wake();
    END IF;
    RETURN enqueued;
END
$$;
COMMENT ON FUNCTION etl_tick(timestamptz) IS
    'Enqueues every window that is due and not yet enqueued, that was invalidated, or that is next in a backfill; returns how many. It only enqueues, and a clock that went back does nothing';

-- ---------------------------------------------------------------------------------------------------------------------
-- etl_enqueue
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION etl_enqueue(job text, tenant text, window_from timestamptz, window_to timestamptz, args jsonb DEFAULT '{}') RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    max_windows CONSTANT numeric := 1000000;
    j         etl_job := etl_job_require(job);
    for_tenant bigint := etl_tenant_require(tenant);
    at        timestamptz := etl_now();
    wait      interval;
    first     timestamptz;
    windows   numeric;
    enqueued  bigint;
BEGIN
    IF window_from IS NULL OR window_to IS NULL OR NOT isfinite(window_from) OR NOT isfinite(window_to) THEN
        RAISE EXCEPTION 'a window needs two finite times'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL  = format('window_from = %s, window_to = %s.', coalesce(window_from::text, 'NULL'), coalesce(window_to::text, 'NULL')),
                  HINT    = 'Give both ends, e.g. now() - interval ''1 hour'' and now().';
    END IF;
    IF window_from >= window_to THEN
        RAISE EXCEPTION 'the window is empty'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL  = format('window_from = %s is not before window_to = %s.', window_from, window_to),
                  HINT    = 'A window is [window_from, window_to): the end must be later than the start.';
    END IF;
    IF args IS NOT NULL AND jsonb_typeof(args) <> 'object' THEN
        RAISE EXCEPTION 'args must be a JSON object, not %', jsonb_typeof(args)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Use ''{}'' when there is nothing to say.';
    END IF;

    first   := etl_floor(window_from, j.align);
    windows := ceil(extract(epoch FROM window_to - first) / extract(epoch FROM j.align));
    IF windows > max_windows THEN
        RAISE EXCEPTION 'the range has % windows of job "%"', windows, j.name
            USING ERRCODE = 'program_limit_exceeded',
                  DETAIL  = format('At most %s windows of %s can be enqueued at once.', max_windows, j.align),
                  HINT    = 'Enqueue a shorter range, then the next one.';
    END IF;
    SELECT e.delay INTO wait FROM etl_job_effective e WHERE e.job = j.name AND e.tenant_id = for_tenant;

    WITH enqueued_windows AS (
        INSERT INTO etl_job_run AS r (job, tenant_id, window_from, window_to, origin, priority, max_attempts, next_attempt_at, args)
        SELECT j.name, for_tenant, w.starts, w.starts + j.align,
               CASE WHEN windows > 1 THEN 'backfill' ELSE 'manual' END,
               CASE WHEN windows > 1 THEN 10 ELSE 5 END,
               j.max_attempts,
               -- A job that coalesces reads the present: a window that has begun need not be over.
               CASE WHEN NOT j.coalesce AND w.starts + j.align + wait > at THEN w.starts + j.align + wait END,
               coalesce(etl_enqueue.args, '{}')
        FROM generate_series(first, first + (windows::integer - 1) * j.align, j.align) AS w (starts)
        ORDER BY w.starts
        ON CONFLICT (job, tenant_id, window_from, window_to) DO UPDATE
        -- One that runs is flagged, one that has ended is queued again. attempt is a fencing token and stays.
        SET status           = CASE r.status WHEN 'running' THEN 'running'         ELSE 'queued' END,
            requeue          = r.status = 'running',
            next_attempt_at  = CASE r.status WHEN 'running' THEN r.next_attempt_at ELSE excluded.next_attempt_at END,
            finished_at      = NULL,
            error            = CASE r.status WHEN 'running' THEN r.error           END,
            stats            = CASE r.status WHEN 'running' THEN r.stats           END,
            origin           = excluded.origin,
            priority         = excluded.priority,
            batch_limit      = NULL,
            backfill_id      = NULL,
            slice_no         = NULL,
            max_attempts     = CASE r.status WHEN 'running' THEN r.max_attempts    ELSE r.attempt + excluded.max_attempts END,
            args             = CASE r.status WHEN 'queued'  THEN r.args || excluded.args ELSE excluded.args END
        -- A queued one that belongs to a backfill does so no more: whatever becomes of that, it will run. One that is told
        -- something new keeps what it was told before.
        WHERE r.status <> 'queued' OR r.backfill_id IS NOT NULL OR NOT r.args @> excluded.args
        RETURNING 1
    )
    SELECT count(*) INTO enqueued FROM enqueued_windows;

    IF enqueued > 0 THEN
        PERFORM etl_wake();
    END IF;
    RETURN enqueued;
END
$$;
COMMENT ON FUNCTION etl_enqueue(text, text, timestamptz, timestamptz, jsonb) IS
    'Enqueues the windows that overlap a range, also those that ran already; returns how many will run because of it. Windows still queued are left alone, unless args say something new: then they get these, too';
