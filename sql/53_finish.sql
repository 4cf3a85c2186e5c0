-- =====================================================================================================================
-- Finishing: success with the dependents it makes ready, failure with its retry and circuit, rescue from dead workers.
-- Each checks attempt, so a runner that lost its run cannot finish it.
-- =====================================================================================================================

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
        requeue      = false, cancel_requested = false, next_attempt_at = NULL, error = NULL,
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

CREATE FUNCTION etl_backoff(failures integer) RETURNS interval
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    -- The jitter keeps windows that failed together from coming back together.
    SELECT make_interval(secs => least(300, 2 * 2 ^ least(greatest(failures, 1) - 1, 10)) * (0.875 + 0.25 * random()))
$$;
COMMENT ON FUNCTION etl_backoff(integer) IS
    'Wait after the n-th failure: 2 s doubling to 5 min, with a jitter of 12.5 % either way';

CREATE FUNCTION etl_finish_failure(run_id bigint, attempt integer, error jsonb, transient boolean, retry_after interval DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
    circuit_threshold CONSTANT integer  := 3;
    interrupted       CONSTANT boolean  := coalesce(error -> 'interrupted' = 'true', false);
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
    ELSIF interrupted THEN
        -- Somebody cancelled the statement or session that ran it, which says nothing about the window.
        final := 'queued';
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
        -- Neither a transient failure nor a cancelled session uses up an attempt, so an outage of any length loses no window.
        max_attempts     = CASE WHEN run.requeue AND final <> 'queued' THEN r.attempt + budget
                                WHEN final = 'queued' AND (transient OR interrupted) THEN r.max_attempts + 1
                                ELSE r.max_attempts END,
        next_attempt_at  = retry_at,
        finished_at      = CASE WHEN run.requeue OR final = 'queued' THEN NULL ELSE at END,
        error            = etl_finish_failure.error,
        requeue = false, cancel_requested = false
    WHERE r.run_id = run.run_id
    RETURNING r.status INTO final;
    RETURN final;
END
$$;
COMMENT ON FUNCTION etl_finish_failure(bigint, integer, jsonb, boolean, interval) IS
    'Records a failed attempt and returns the new status of the run: queued, failed or cancelled; NULL: the run was lost to somebody else. error.permanent = true fails at once, error.interrupted = true uses up no attempt';

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
