-- =====================================================================================================================
-- Finishing: success with the dependents it makes ready, failure with its retry and circuit, rescue from dead workers.
-- Each checks attempt, so a runner that lost its run cannot finish it.
-- =====================================================================================================================

-- ---------------------------------------------------------------------------------------------------------------------
-- Dependents
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION etl_dependents(upstream text, tenant_id bigint, "from" timestamptz, "to" timestamptz, priority integer) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    dependent record;
    win       record;
    changed   bigint := 0;
    touched   bigint;
BEGIN
    FOR dependent IN
        SELECT e.* FROM etl_job_effective e
        WHERE e.tenant_id = etl_dependents.tenant_id AND upstream = ANY (e.after) AND e.enabled
        ORDER BY e.job
    LOOP
        -- Two upstream windows may finish at once, each not seeing the other's success: the later one waits here and,
        -- in the statements that follow, sees both.
        PERFORM etl_turn_take(dependent.job, etl_dependents.tenant_id, false);

        FOR win IN
            SELECT w.starts, w.starts + dependent.align AS ends
            FROM generate_series(etl_floor("from", dependent.align), "to" - interval '1 us', dependent.align) AS w (starts)
            WHERE NOT EXISTS (
                SELECT FROM unnest(dependent.after) AS needed (job)
                WHERE EXISTS (
                        -- Windows have one length a job, so those that overlap start less than the longest before.
                        SELECT FROM etl_job_run r
                        WHERE r.job = needed.job AND r.tenant_id = etl_dependents.tenant_id
                          AND r.window_from < w.starts + dependent.align AND r.window_to > w.starts AND r.status <> 'success'
                          AND r.window_from >= w.starts - coalesce((SELECT j.align FROM etl_job j WHERE j.name = needed.job), '0'))
                   -- Its last upstream window may not even be enqueued. A coalescing job reads the present: it need not wait.
                   -- How far they are is said by the schedule, where there is one, for single windows may be ahead of it.
                   OR NOT dependent.coalescing AND NOT coalesce(
                        (SELECT k.next_from >= w.starts + dependent.align FROM etl_cursor k JOIN etl_job j ON j.name = k.job
                         WHERE k.job = needed.job AND k.tenant_id = etl_dependents.tenant_id AND j.run_interval > '0'),
                        (SELECT r.window_to >= w.starts + dependent.align FROM etl_job_run r
                         WHERE r.job = needed.job AND r.tenant_id = etl_dependents.tenant_id
                         ORDER BY r.window_from DESC, r.window_to DESC LIMIT 1),
                        false))
        LOOP
            IF dependent.coalescing THEN
                CONTINUE WHEN EXISTS (SELECT FROM etl_job_run r
                                      WHERE r.status = 'queued' AND r.job = dependent.job AND r.tenant_id = etl_dependents.tenant_id);
                UPDATE etl_job_run r SET requeue = true
                WHERE r.status = 'running' AND r.job = dependent.job AND r.tenant_id = etl_dependents.tenant_id AND NOT r.cancel_requested;
                GET DIAGNOSTICS touched = ROW_COUNT;
                changed := changed + touched;
                CONTINUE WHEN touched > 0;
            END IF;
            INSERT INTO etl_job_run AS r (job, tenant_id, window_from, window_to, origin, priority, max_attempts)
            VALUES (dependent.job, etl_dependents.tenant_id, win.starts, win.ends, 'dependency',
                    CASE WHEN dependent.coalescing THEN 0 ELSE etl_dependents.priority END, dependent.max_attempts)
            ON CONFLICT (job, tenant_id, window_from, window_to) DO UPDATE
            SET status          = CASE r.status WHEN 'running' THEN 'running' ELSE 'queued' END,
                requeue         = r.status = 'running',
                next_attempt_at = NULL,
                finished_at     = NULL,
                origin          = excluded.origin,
                priority        = excluded.priority,
                batch_limit     = NULL,
                backfill_id     = NULL,
                slice_no        = NULL,
                max_attempts    = CASE r.status WHEN 'running' THEN r.max_attempts ELSE r.attempt + excluded.max_attempts END
            WHERE r.status <> 'queued' OR r.backfill_id IS NOT NULL;
            GET DIAGNOSTICS touched = ROW_COUNT;
            changed := changed + touched;
        END LOOP;
    END LOOP;
    RETURN changed;
END
$$;
COMMENT ON FUNCTION etl_dependents(text, bigint, timestamptz, timestamptz, integer) IS
    'Enqueues the windows of dependent jobs that became ready by the success of a range; returns how many';

-- ---------------------------------------------------------------------------------------------------------------------
-- Finish
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION etl_finish_success(run_ids bigint[], attempts integer[], stats jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    at    timestamptz := etl_now();
    runs  record;
    last_run_id bigint;
    was   record;
    wake  boolean;
BEGIN
    SELECT count(*) AS n, min(l.job) AS job, min(l.tenant_id) AS tenant_id, min(l.window_from) AS window_from, max(l.window_to) AS window_to,
           max(l.priority) AS priority, bool_or(l.requeue) AS requeue, bool_or(l.backfill_id IS NOT NULL) AS backfill
    INTO runs
    FROM (SELECT r.* FROM unnest(run_ids, attempts) AS u (run_id, attempt) JOIN etl_job_run r ON r.run_id = u.run_id
          WHERE r.attempt = u.attempt AND r.status = 'running'
          FOR UPDATE OF r) l;
    IF runs.n = 0 OR runs.n <> cardinality(run_ids) THEN
        RETURN false;
    END IF;

    SELECT coalesce(j.coalesce, false) AS coalescing, coalesce(j.max_attempts, 1) AS max_attempts INTO was
    FROM etl_job j WHERE j.name = runs.job;

    last_run_id := run_ids[cardinality(run_ids)];
    UPDATE etl_job_run r
    SET status       = CASE WHEN r.requeue THEN 'queued' ELSE 'success' END,
        max_attempts = CASE WHEN r.requeue THEN r.attempt + coalesce(was.max_attempts, 1) ELSE r.max_attempts END,
        finished_at  = CASE WHEN r.requeue THEN NULL ELSE at END,
        requeue      = false, cancel_requested = false, next_attempt_at = NULL, error = NULL, batch_limit = NULL,
        stats        = CASE WHEN jsonb_typeof(etl_finish_success.stats) = 'array'
                            THEN etl_finish_success.stats -> (array_position(run_ids, r.run_id) - 1)
                            WHEN r.run_id = last_run_id THEN etl_finish_success.stats
                            ELSE jsonb_build_object('batch', last_run_id) END
    WHERE r.run_id = ANY (run_ids);

    IF was.coalescing THEN
        UPDATE etl_job_run r
        SET status = 'success', finished_at = at, next_attempt_at = NULL, error = NULL,
            stats = jsonb_build_object('coalesced_into', last_run_id)
        WHERE r.status = 'queued' AND r.job = runs.job AND r.tenant_id = runs.tenant_id AND r.window_from < runs.window_from;
        -- What a window that failed had taken with it.
        UPDATE etl_job_run r
        SET status = 'success', finished_at = at, error = NULL, stats = jsonb_build_object('coalesced_into', last_run_id)
        WHERE r.status = 'cancelled' AND r.job = runs.job AND r.tenant_id = runs.tenant_id AND r.window_from < runs.window_from
          AND r.stats ? 'coalesced_into';
    END IF;

    UPDATE etl_job_circuit c SET failures = 0 WHERE c.job = runs.job AND c.tenant_id = runs.tenant_id AND c.state = 'closed' AND c.failures > 0;
    UPDATE etl_job_circuit c SET state = 'closed', failures = 0, opened_at = NULL, next_probe_at = NULL
    WHERE c.job = runs.job AND c.tenant_id = runs.tenant_id AND c.state <> 'closed';
    wake := runs.requeue OR runs.backfill;
    IF FOUND THEN
        -- The source is back: windows that wait because of it need not wait any longer.
        UPDATE etl_job_run r SET next_attempt_at = NULL
        WHERE r.status = 'queued' AND r.job = runs.job AND r.tenant_id = runs.tenant_id AND r.next_attempt_at > at
          AND r.next_attempt_at < 'infinity' AND r.attempt > 0 AND r.window_to <= at AND r.run_id <> ALL (run_ids);
        wake := true;
    END IF;

    IF etl_dependents(runs.job, runs.tenant_id, runs.window_from, runs.window_to, runs.priority) > 0 OR wake THEN
        PERFORM etl_wake();
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION etl_finish_success(bigint[], integer[], jsonb) IS
    'Ends runs of one batch, in the order of their windows, in the transaction that wrote their data. stats: an array has those of each, an object is of all and goes to the last. false: one was lost to somebody else, and that transaction must be rolled back';

CREATE FUNCTION etl_backoff(failures integer) RETURNS interval
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    -- The jitter keeps windows that failed together from coming back together.
    SELECT make_interval(secs => least(300, 2 * 2 ^ least(greatest(failures, 1) - 1, 10)) * (0.875 + 0.25 * random()))
$$;
COMMENT ON FUNCTION etl_backoff(integer) IS
    'Wait after the n-th failure: 2 s doubling to 5 min, with a jitter of 12.5 % either way';

CREATE FUNCTION etl_finish_failure(run_ids bigint[], attempts integer[], error jsonb, transient boolean, retry_after interval DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
    circuit_threshold CONSTANT integer  := 3;
    longest_wait      CONSTANT interval := '1 hour';
    at       CONSTANT timestamptz := etl_now();
    -- Somebody cancelled the statement or session that ran it, which says nothing about the window.
    interrupted CONSTANT boolean := coalesce(error -> 'interrupted' = 'true', false);
    -- Somebody else holds the advisory lock of the job.
    skipped  CONSTANT boolean := coalesce(error -> 'skipped' = 'true', false);
    -- The source does not have all of it yet, as it said itself.
    unsettled CONSTANT boolean := coalesce(error -> 'unsettled' = 'true', false);
    died     CONSTANT boolean := error ->> 'sqlstate' IS NOT DISTINCT FROM '57P01';
    held     bigint[];
    run      etl_job_run;
    windows  integer;
    budget   integer;
    failures integer;
    skips    integer;
    retry_at timestamptz;
    -- The new status of what was not asked to be cancelled; whether it uses up an attempt; most windows of the next try.
    final    text    := 'queued';
    counted  boolean := false;
    at_most  integer;
BEGIN
    SELECT array_agg(l.run_id ORDER BY l.window_from) INTO held
    FROM (SELECT r.run_id, r.window_from FROM unnest(run_ids, attempts) AS u (run_id, attempt) JOIN etl_job_run r ON r.run_id = u.run_id
          WHERE r.attempt = u.attempt AND r.status = 'running'
          FOR UPDATE OF r) l;
    IF held IS NULL THEN
        RETURN NULL;
    END IF;
    windows := cardinality(held);
    SELECT r.* INTO run FROM etl_job_run r WHERE r.run_id = held[windows];
    budget := coalesce((SELECT j.max_attempts FROM etl_job j WHERE j.name = run.job), 1);

    IF interrupted OR (run.cancel_requested AND windows = 1) THEN
        NULL;
    ELSIF skipped THEN
        skips    := 1 + CASE WHEN run.error -> 'skipped' = 'true' THEN coalesce((run.stats ->> 'skipped_locked')::integer, 0) ELSE 0 END;
        retry_at := at + etl_backoff(skips);
        IF skips % 10 = 0 THEN
            RAISE WARNING 'window % of job "%" was skipped % times in a row', run.window_from, run.job, skips
                USING DETAIL = error ->> 'message', HINT = error ->> 'hint';
        END IF;
    ELSIF unsettled AND windows > 1 THEN
        -- The older ones may have settled.
        at_most  := (windows + 1) / 2;
    ELSIF unsettled THEN
        retry_at := at + greatest(least(coalesce(retry_after, '0'), longest_wait), interval '2 s');
    ELSIF transient THEN
        -- A batch counts as if its windows had been tried one after the other, until the circuit opens.
        INSERT INTO etl_job_circuit AS c (job, tenant_id, failures) VALUES (run.job, run.tenant_id, least(windows, circuit_threshold))
        ON CONFLICT (job, tenant_id) DO UPDATE SET failures = c.failures + excluded.failures
        RETURNING c.failures INTO failures;
        retry_at := at + greatest(etl_backoff(failures), least(coalesce(retry_after, '0'), longest_wait));
        UPDATE etl_job_circuit c
        SET state = 'open', opened_at = coalesce(c.opened_at, at), next_probe_at = retry_at
        WHERE c.job = run.job AND c.tenant_id = run.tenant_id AND (c.failures >= circuit_threshold OR c.state <> 'closed');
    ELSE
        -- A probe was answered, if not well: that is not what the circuit guards against. A dead worker proves nothing.
        UPDATE etl_job_circuit c SET state = 'closed', failures = 0, opened_at = NULL, next_probe_at = NULL
        WHERE c.job = run.job AND c.tenant_id = run.tenant_id AND c.state = 'half_open' AND NOT died;
        IF coalesce(error -> 'permanent' = 'true', false) THEN
            final := 'failed';
        ELSIF windows > 1 AND (NOT died OR run.attempt >= run.max_attempts AND budget > 1) THEN
            -- Half as many next time: the window that cannot be done ends up alone, and only that one fails. A batch
            -- whose worker died is tried again as it is first, for that may not have been its fault; one that may only be
            -- tried once is not.
            at_most := (windows + 1) / 2;
        ELSIF run.attempt >= run.max_attempts THEN
            final := 'failed';
        ELSE
            counted  := true;
            retry_at := at + greatest(etl_backoff(budget - (run.max_attempts - run.attempt)), least(coalesce(retry_after, '0'), longest_wait));
        END IF;
    END IF;

    UPDATE etl_job_run r
    SET status           = CASE WHEN r.requeue THEN 'queued' WHEN r.cancel_requested THEN 'cancelled' ELSE final END,
        -- Neither a transient failure nor a cancelled session uses up an attempt, so an outage of any length loses no window.
        max_attempts     = CASE WHEN r.requeue AND (r.cancel_requested OR final = 'failed') THEN r.attempt + budget
                                WHEN final = 'queued' AND NOT counted AND NOT r.cancel_requested THEN greatest(r.max_attempts, r.attempt) + 1
                                ELSE r.max_attempts END,
        next_attempt_at  = CASE WHEN r.requeue OR NOT r.cancel_requested THEN retry_at END,
        finished_at      = CASE WHEN r.requeue OR (final = 'queued' AND NOT r.cancel_requested) THEN NULL ELSE at END,
        error            = etl_finish_failure.error,
        stats            = CASE WHEN skipped THEN jsonb_build_object('outcome', 'skipped_locked', 'skipped_locked', skips) END,
        batch_limit      = coalesce(at_most, r.batch_limit),
        requeue = false, cancel_requested = false
    WHERE r.run_id = ANY (held);
    SELECT r.status INTO final FROM etl_job_run r WHERE r.run_id = run.run_id;
    IF final = 'failed' AND (SELECT j.coalesce FROM etl_job j WHERE j.name = run.job) THEN
        -- It read the present for the older ones, too: each of them would read the same again, and fail of it.
        UPDATE etl_job_run r
        SET status = 'cancelled', finished_at = at, next_attempt_at = NULL, error = etl_finish_failure.error,
            stats = jsonb_build_object('coalesced_into', run.run_id)
        WHERE r.status = 'queued' AND r.job = run.job AND r.tenant_id = run.tenant_id AND r.window_from < run.window_from;
    END IF;
    RETURN final;
END
$$;
COMMENT ON FUNCTION etl_finish_failure(bigint[], integer[], jsonb, boolean, interval) IS
    'Records a failed attempt at the windows of a batch and returns the new status of the last: queued, failed or cancelled; NULL: they were lost to somebody else. error.permanent = true fails at once, error.interrupted, error.skipped or error.unsettled = true uses up no attempt';

CREATE FUNCTION etl_rescue(batch_id bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    runs record;
BEGIN
    SELECT array_agg(r.run_id ORDER BY r.window_from) AS run_ids, array_agg(r.attempt ORDER BY r.window_from) AS attempts INTO runs
    FROM etl_job_run r WHERE r.status = 'running' AND r.batch_id = etl_rescue.batch_id;
    RETURN etl_finish_failure(runs.run_ids, runs.attempts, jsonb_build_object(
               'sqlstate', '57P01',
               'message',  'the worker died',
               'detail',   'The process that ran this window ended without finishing it.',
               'hint',     'See the server log around that time; etl_retry(run_id) runs the window again.'), false) IS NOT NULL;
END
$$;
COMMENT ON FUNCTION etl_rescue(bigint) IS
    'Takes a batch away from a process that died: its windows are queued again, or failed when their attempts are used up; false: none of them is running. Only for whoever holds the lock of the batch';
