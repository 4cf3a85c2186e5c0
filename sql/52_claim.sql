-- =====================================================================================================================
-- Claiming: what runners call to get work. The caller holds a lock that serialises claims, so the count of what runs is
-- exact. attempt, raised by each claim, is the fencing token that 53_finish.sql checks.
-- =====================================================================================================================

-- ---------------------------------------------------------------------------------------------------------------------
-- Turns
-- ---------------------------------------------------------------------------------------------------------------------

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
        SELECT count(*) AS slots FROM etl_job_run r
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
            worker_pid = pid, cancel_requested = false
        WHERE r.run_id = head
        RETURNING r.run_id, r.job, r.tenant_id, pair.tenant, r.window_from, r.window_to, r.attempt, r.args, pair.timeout;
        RETURN;
    END LOOP;
END
$$;
COMMENT ON FUNCTION etl_claim(integer) IS
    'Takes the next window that may run and marks it running for a process; no row: nothing to do. Live windows first, one claim in eight serves backfill first, tenants take turns';
