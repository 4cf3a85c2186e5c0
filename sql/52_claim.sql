-- =====================================================================================================================
-- Claiming and finishing: the functions that runners call. The caller holds a lock that serialises claims, so counts of
-- what runs are exact; attempt is the fencing token, so a runner that lost its run cannot finish it.
-- =====================================================================================================================

-- ---------------------------------------------------------------------------------------------------------------------
-- Small parts
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION etl_backoff(failures integer) RETURNS interval
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    -- The jitter keeps windows that failed together from coming back together.
    SELECT make_interval(secs => least(300, 2 * 2 ^ least(greatest(failures, 1) - 1, 10)) * (0.875 + 0.25 * random()))
$$;
COMMENT ON FUNCTION etl_backoff(integer) IS 'Wait after the n-th failure: 2 s doubling to 5 min, with a jitter of 12.5 % either way';

CREATE FUNCTION etl_turn_take(job text, tenant_id bigint, next boolean) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO etl_turn AS t (job, tenant_id, turn)
    VALUES (etl_turn_take.job, etl_turn_take.tenant_id, CASE WHEN next THEN nextval('@extschema@.etl_claim_seq') ELSE 0 END)
    ON CONFLICT (job, tenant_id) DO UPDATE SET turn = CASE WHEN next THEN excluded.turn ELSE t.turn END;
END
$$;
COMMENT ON FUNCTION etl_turn_take(text, bigint, boolean) IS
    'Locks the turn of a (job, tenant) until the end of the transaction, and with next moves it to the end of the line';

-- ---------------------------------------------------------------------------------------------------------------------
-- Claim
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION etl_claimable()
RETURNS TABLE (job text, tenant_id bigint, tenant text, timeout interval, coalescing boolean, circuit text, priority integer)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
-- The queue may be empty or hold a million rows when the plan is made; only its index is right for both.
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    backfill_slot CONSTANT integer := 8;
    at   timestamptz := etl_now();
    -- Every eighth claim serves the lowest priority first, so that a busy present cannot starve a backfill.
    sign integer := (SELECT CASE WHEN last_value % backfill_slot = 0 THEN -1 ELSE 1 END FROM etl_claim_seq);
BEGIN
    RETURN QUERY
    -- Hops from one queued (job, tenant) to the next: the cost does not depend on the length of the queue.
    WITH RECURSIVE queued AS (
        (SELECT r.job, r.tenant_id FROM etl_job_run r WHERE r.status = 'queued' ORDER BY r.job, r.tenant_id LIMIT 1)
        UNION ALL
        SELECT n.job, n.tenant_id
        FROM queued q
        CROSS JOIN LATERAL (
            SELECT r.job, r.tenant_id FROM etl_job_run r
            WHERE r.status = 'queued' AND (r.job, r.tenant_id) > (q.job, q.tenant_id)
            ORDER BY r.job, r.tenant_id LIMIT 1) n
    )
    SELECT e.job, e.tenant_id, e.tenant, e.timeout, e.coalescing, c.state, h.priority
    FROM queued q
    JOIN etl_job_effective e ON e.job = q.job AND e.tenant_id = q.tenant_id AND e.enabled
    LEFT JOIN etl_job_circuit c ON c.job = q.job AND c.tenant_id = q.tenant_id
    LEFT JOIN etl_turn t ON t.job = q.job AND t.tenant_id = q.tenant_id
    CROSS JOIN LATERAL (
        SELECT count(DISTINCT coalesce(r.batch_id, r.run_id)) AS slots FROM etl_job_run r
        WHERE r.status = 'running' AND r.job = q.job AND r.tenant_id = q.tenant_id) u
    CROSS JOIN LATERAL (
        -- Within a priority, windows of the future come last: the bound on window_from ends the scan before them.
        SELECT p.priority
        FROM (VALUES (0), (5), (10)) AS p (priority)
        CROSS JOIN LATERAL (
            SELECT r.window_from FROM etl_job_run r
            WHERE r.status = 'queued' AND r.job = q.job AND r.tenant_id = q.tenant_id AND r.priority = p.priority
              AND r.window_from <= at AND (r.next_attempt_at IS NULL OR r.next_attempt_at <= at)
            ORDER BY r.window_from LIMIT 1) first
        ORDER BY sign * p.priority LIMIT 1) h
    WHERE u.slots < e.concurrency
      AND CASE c.state WHEN 'open'      THEN c.next_probe_at <= at
                       WHEN 'half_open' THEN u.slots = 0
                       ELSE true END
      -- Where one window stands for all, the others wait for its retry too.
      -- (not EXISTS, which could be planned as a hash of the whole queue)
      AND NOT (e.coalescing AND coalesce((
              SELECT true FROM etl_job_run r
              WHERE r.status = 'queued' AND r.job = q.job AND r.tenant_id = q.tenant_id AND r.attempt > 0 AND r.next_attempt_at > at
              LIMIT 1), false))
    ORDER BY sign * h.priority, t.turn NULLS FIRST, e.tenant_id, e.job;
END
$$;
COMMENT ON FUNCTION etl_claimable() IS
    'The (job, tenant) pairs that have a window to claim now, in the order in which etl_claim serves them; reads only, so polling costs no transaction id';

CREATE FUNCTION etl_claim(pid integer)
RETURNS TABLE (run_id bigint, job text, tenant_id bigint, tenant text, window_from timestamptz, window_to timestamptz,
               attempt integer, args jsonb, timeout interval)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    at   timestamptz := etl_now();
    pair record;
    head bigint;
BEGIN
    FOR pair IN SELECT * FROM etl_claimable() LOOP
        -- First the turn, then the window: whoever decides about dependents holds the turn until commit, so what is
        -- claimed here sees everything that was decided (etl_dependents).
        PERFORM etl_turn_take(pair.job, pair.tenant_id, true);

        -- A window that somebody else has locked must not stop the ones behind it: SKIP LOCKED.
        IF pair.coalescing THEN
            -- The newest window stands for the older ones.
            SELECT r.run_id INTO head FROM etl_job_run r
            WHERE r.status = 'queued' AND r.job = pair.job AND r.tenant_id = pair.tenant_id
              AND r.window_from <= at AND (r.next_attempt_at IS NULL OR r.next_attempt_at <= at)
            ORDER BY r.window_from DESC LIMIT 1 FOR UPDATE SKIP LOCKED;
        ELSE
            SELECT r.run_id INTO head FROM etl_job_run r
            WHERE r.status = 'queued' AND r.job = pair.job AND r.tenant_id = pair.tenant_id AND r.priority = pair.priority
              AND r.window_from <= at AND (r.next_attempt_at IS NULL OR r.next_attempt_at <= at)
            ORDER BY r.window_from LIMIT 1 FOR UPDATE SKIP LOCKED;
        END IF;
        CONTINUE WHEN NOT FOUND;

        IF pair.circuit = 'open' THEN
            UPDATE etl_job_circuit c SET state = 'half_open' WHERE c.job = pair.job AND c.tenant_id = pair.tenant_id;
        END IF;
        RETURN QUERY
        UPDATE etl_job_run r
        SET status = 'running', attempt = r.attempt + 1, started_at = at, finished_at = NULL, next_attempt_at = NULL,
            worker_pid = pid, batch_id = r.run_id, cancel_requested = false
        WHERE r.run_id = head
        RETURNING r.run_id, r.job, r.tenant_id, pair.tenant, r.window_from, r.window_to, r.attempt, r.args, pair.timeout;
        RETURN;
    END LOOP;
END
$$;
COMMENT ON FUNCTION etl_claim(integer) IS
    'Takes the next window that may run and marks it running for a process; no row: nothing to do. Live windows first, one claim in eight serves backfill first, tenants take turns';

CREATE FUNCTION etl_claim_next(lead_run_id bigint, lead_attempt integer, max_windows integer)
RETURNS TABLE (run_id bigint, job text, tenant_id bigint, tenant text, window_from timestamptz, window_to timestamptz,
               attempt integer, args jsonb, timeout interval)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    at   timestamptz := etl_now();
    lead etl_job_run;
    head etl_job_run;
    upto timestamptz;
    setting record;
BEGIN
    SELECT r.* INTO lead FROM etl_job_run r
    WHERE r.run_id = lead_run_id AND r.attempt = lead_attempt AND r.status = 'running';
    -- One that failed before, or probes a circuit, goes alone.
    IF NOT FOUND OR lead.error IS NOT NULL
       OR EXISTS (SELECT FROM etl_job_circuit c WHERE c.job = lead.job AND c.tenant_id = lead.tenant_id AND c.state <> 'closed')
    THEN
        RETURN;
    END IF;
    SELECT e.tenant, e.timeout INTO setting FROM etl_job_effective e WHERE e.job = lead.job AND e.tenant_id = lead.tenant_id;

    upto := lead.window_to;
    FOR n IN 1 .. max_windows LOOP
        SELECT r.* INTO head FROM etl_job_run r
        WHERE r.job = lead.job AND r.tenant_id = lead.tenant_id AND r.window_from = upto
          AND r.window_to - r.window_from = lead.window_to - lead.window_from
          AND r.status = 'queued' AND r.error IS NULL AND r.args = lead.args
          AND (r.next_attempt_at IS NULL OR r.next_attempt_at <= at)
        ORDER BY r.window_to LIMIT 1
        FOR UPDATE SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        RETURN QUERY
        UPDATE etl_job_run r
        SET status = 'running', attempt = r.attempt + 1, started_at = at, finished_at = NULL, next_attempt_at = NULL,
            worker_pid = lead.worker_pid, batch_id = lead.batch_id, cancel_requested = false
        WHERE r.run_id = head.run_id
        RETURNING r.run_id, r.job, r.tenant_id, setting.tenant, r.window_from, r.window_to, r.attempt, r.args, setting.timeout;
        upto := head.window_to;
    END LOOP;
END
$$;
COMMENT ON FUNCTION etl_claim_next(bigint, integer, integer) IS
    'Takes up to max_windows queued windows that follow a claimed one without a gap, in the same slot: they are fetched as one range';

-- ---------------------------------------------------------------------------------------------------------------------
-- Dependents
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION etl_dependents(run etl_job_run) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    dependent record;
    win       record;
    changed   bigint := 0;
    touched   bigint;
BEGIN
    FOR dependent IN
        SELECT e.* FROM etl_job_effective e
        WHERE e.tenant_id = run.tenant_id AND run.job = ANY (e.after) AND e.enabled
        ORDER BY e.job
    LOOP
        -- Two upstream windows may finish at once, each not seeing the other's success: the later one waits here and,
        -- in the statements that follow, sees both.
        PERFORM etl_turn_take(dependent.job, run.tenant_id, false);

        FOR win IN
            SELECT w.starts, w.starts + dependent.align AS ends
            FROM generate_series(etl_floor(run.window_from, dependent.align), run.window_to - interval '1 us', dependent.align) AS w (starts)
            WHERE NOT EXISTS (
                SELECT FROM unnest(dependent.after) AS upstream (job)
                WHERE EXISTS (
                        -- Windows have one length a job, so those that overlap start less than the longest before.
                        SELECT FROM etl_job_run r
                        WHERE r.job = upstream.job AND r.tenant_id = run.tenant_id
                          AND r.window_from < w.starts + dependent.align AND r.window_to > w.starts AND r.status <> 'success'
                          AND r.window_from >= w.starts - coalesce((SELECT j.align FROM etl_job j WHERE j.name = upstream.job), '0'))
                   -- Its last upstream window may not even be enqueued. A coalescing job reads the present: it need not wait.
                   OR NOT dependent.coalescing AND NOT EXISTS (
                        SELECT FROM (SELECT r.window_to FROM etl_job_run r
                                     WHERE r.job = upstream.job AND r.tenant_id = run.tenant_id
                                     ORDER BY r.window_from DESC, r.window_to DESC LIMIT 1) newest
                        WHERE newest.window_to >= w.starts + dependent.align))
        LOOP
            IF dependent.coalescing THEN
                CONTINUE WHEN EXISTS (SELECT FROM etl_job_run r
                                      WHERE r.status = 'queued' AND r.job = dependent.job AND r.tenant_id = run.tenant_id);
                UPDATE etl_job_run r SET requeue = true
                WHERE r.status = 'running' AND r.job = dependent.job AND r.tenant_id = run.tenant_id AND NOT r.cancel_requested;
                GET DIAGNOSTICS touched = ROW_COUNT;
                changed := changed + touched;
                CONTINUE WHEN touched > 0;
            END IF;
            INSERT INTO etl_job_run AS r (job, tenant_id, window_from, window_to, origin, priority, max_attempts)
            VALUES (dependent.job, run.tenant_id, win.starts, win.ends, 'dependency',
                    CASE WHEN dependent.coalescing THEN 0 ELSE run.priority END, dependent.max_attempts)
            ON CONFLICT (job, tenant_id, window_from, window_to) DO UPDATE
            SET status          = CASE r.status WHEN 'running' THEN 'running' ELSE 'queued' END,
                requeue         = r.status = 'running',
                next_attempt_at = NULL,
                finished_at     = NULL,
                origin          = excluded.origin,
                priority        = excluded.priority,
                max_attempts    = CASE r.status WHEN 'running' THEN r.max_attempts ELSE r.attempt + excluded.max_attempts END
            WHERE r.status <> 'queued';
            GET DIAGNOSTICS touched = ROW_COUNT;
            changed := changed + touched;
        END LOOP;
    END LOOP;
    RETURN changed;
END
$$;
COMMENT ON FUNCTION etl_dependents(etl_job_run) IS
    'Enqueues the windows of dependent jobs that became ready by the success of a run; returns how many';

-- ---------------------------------------------------------------------------------------------------------------------
-- Finish
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION etl_finish_success(run_id bigint, attempt integer, stats jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    at   timestamptz := etl_now();
    run  etl_job_run;
    was  record;
    wake boolean;
BEGIN
    SELECT r.* INTO run FROM etl_job_run r
    WHERE r.run_id = etl_finish_success.run_id AND r.attempt = etl_finish_success.attempt AND r.status = 'running'
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;

    SELECT coalesce(j.coalesce, false) AS coalescing, coalesce(j.max_attempts, 1) AS max_attempts INTO was
    FROM etl_job j WHERE j.name = run.job;

    UPDATE etl_job_run r
    SET status       = CASE WHEN r.requeue THEN 'queued' ELSE 'success' END,
        max_attempts = CASE WHEN r.requeue THEN r.attempt + coalesce(was.max_attempts, 1) ELSE r.max_attempts END,
        finished_at  = CASE WHEN r.requeue THEN NULL ELSE at END,
        requeue      = false, cancel_requested = false, batch_id = NULL, next_attempt_at = NULL, error = NULL,
        stats        = etl_finish_success.stats
    WHERE r.run_id = run.run_id;
    wake := run.requeue;

    IF was.coalescing THEN
        UPDATE etl_job_run r
        SET status = 'success', finished_at = at, next_attempt_at = NULL, error = NULL,
            stats = jsonb_build_object('coalesced_into', run.run_id)
        WHERE r.status = 'queued' AND r.job = run.job AND r.tenant_id = run.tenant_id AND r.window_from < run.window_from;
    END IF;

    UPDATE etl_job_circuit c SET failures = 0 WHERE c.job = run.job AND c.tenant_id = run.tenant_id AND c.state = 'closed' AND c.failures > 0;
    UPDATE etl_job_circuit c SET state = 'closed', failures = 0, opened_at = NULL, next_probe_at = NULL
    WHERE c.job = run.job AND c.tenant_id = run.tenant_id AND c.state <> 'closed';
    IF FOUND THEN
        -- The source is back: windows that wait because of it need not wait any longer.
        UPDATE etl_job_run r SET next_attempt_at = NULL
        WHERE r.status = 'queued' AND r.job = run.job AND r.tenant_id = run.tenant_id AND r.next_attempt_at > at
          AND r.attempt > 0 AND r.window_to <= at AND r.run_id <> run.run_id;
        wake := true;
    END IF;

    IF etl_dependents(run) > 0 OR wake THEN
        PERFORM etl_wake();
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION etl_finish_success(bigint, integer, jsonb) IS
    'Ends a run in the transaction that wrote its data; false: the run was lost to somebody else, and that transaction must be rolled back';

CREATE FUNCTION etl_finish_failure(run_id bigint, attempt integer, error jsonb, transient boolean, retry_after interval DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
    circuit_threshold CONSTANT integer  := 3;
    longest_wait      CONSTANT interval := '1 hour';
    at       timestamptz := etl_now();
    run      etl_job_run;
    budget   integer;
    failures integer;
    retry_at timestamptz;
    final    text;
BEGIN
    SELECT r.* INTO run FROM etl_job_run r
    WHERE r.run_id = etl_finish_failure.run_id AND r.attempt = etl_finish_failure.attempt AND r.status = 'running'
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    budget := coalesce((SELECT j.max_attempts FROM etl_job j WHERE j.name = run.job), 1);

    IF run.cancel_requested THEN
        final := 'cancelled';
    ELSIF transient THEN
        INSERT INTO etl_job_circuit AS c (job, tenant_id, failures) VALUES (run.job, run.tenant_id, 1)
        ON CONFLICT (job, tenant_id) DO UPDATE SET failures = c.failures + 1
        RETURNING c.failures INTO failures;
        retry_at := at + greatest(etl_backoff(failures), least(coalesce(retry_after, '0'), longest_wait));
        UPDATE etl_job_circuit c
        SET state = 'open', opened_at = coalesce(c.opened_at, at), next_probe_at = retry_at
        WHERE c.job = run.job AND c.tenant_id = run.tenant_id AND (c.failures >= circuit_threshold OR c.state <> 'closed');
        final := 'queued';
    ELSE
        -- A probe was answered, if not well: that is not what the circuit guards against. A dead worker proves nothing.
        UPDATE etl_job_circuit c SET state = 'closed', failures = 0, opened_at = NULL, next_probe_at = NULL
        WHERE c.job = run.job AND c.tenant_id = run.tenant_id AND c.state = 'half_open' AND error ->> 'sqlstate' IS DISTINCT FROM '57P01';
        IF coalesce(error -> 'permanent' = 'true', false) OR run.attempt >= run.max_attempts THEN
            final := 'failed';
        ELSE
            final := 'queued';
            retry_at := at + greatest(etl_backoff(budget - (run.max_attempts - run.attempt)), least(coalesce(retry_after, '0'), longest_wait));
        END IF;
    END IF;

    UPDATE etl_job_run r
    SET status           = CASE WHEN run.requeue THEN 'queued' ELSE final END,
        -- A transient failure does not use up an attempt, so an outage of any length loses no window.
        max_attempts     = CASE WHEN run.requeue AND final <> 'queued' THEN r.attempt + budget
                                WHEN final = 'queued' AND transient    THEN r.max_attempts + 1
                                ELSE r.max_attempts END,
        next_attempt_at  = retry_at,
        finished_at      = CASE WHEN run.requeue OR final = 'queued' THEN NULL ELSE at END,
        error            = etl_finish_failure.error,
        requeue = false, cancel_requested = false, batch_id = NULL
    WHERE r.run_id = run.run_id
    RETURNING r.status INTO final;
    RETURN final;
END
$$;
COMMENT ON FUNCTION etl_finish_failure(bigint, integer, jsonb, boolean, interval) IS
    'Records a failed attempt and returns the new status of the run: queued, failed or cancelled; NULL: the run was lost to somebody else. error.permanent = true fails at once';

CREATE FUNCTION etl_rescue(run_id bigint, attempt integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    RETURN etl_finish_failure(run_id, attempt, jsonb_build_object(
               'sqlstate', '57P01',
               'message',  'the worker died',
               'detail',   'The process that ran this window ended without finishing it.',
               'hint',     'See the server log around that time; etl_retry(run_id) runs the window again.'), false) IS NOT NULL;
END
$$;
COMMENT ON FUNCTION etl_rescue(bigint, integer) IS
    'Takes a run away from a process that died: queued again, or failed when its attempts are used up; false: it is not running with that attempt any more';
