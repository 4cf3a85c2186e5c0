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

CREATE FUNCTION etl_claimable(place integer DEFAULT NULL, places integer DEFAULT NULL)
RETURNS TABLE (job text, tenant_id bigint, kind text, timeout interval, coalescing boolean, concurrency integer, batch integer, circuit text, priority integer)
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
    sign integer;
    cap  integer := nullif(current_setting('observe_bridge.max_running', true)::integer, 0);
BEGIN
    -- Most looks find nothing: that takes a tenth of the time.
    IF NOT EXISTS (SELECT FROM etl_job_run r WHERE r.status = 'queued') THEN
        RETURN;
    END IF;
    -- Every eighth claim serves the lowest priority first, so that a busy present cannot starve a backfill.
    sign := (SELECT CASE WHEN last_value % backfill_slot = 0 THEN -1 ELSE 1 END FROM etl_claim_seq);
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
    ), slots AS MATERIALIZED (
        SELECT r.job, r.tenant_id, count(*) AS used FROM etl_job_run r
        WHERE r.status = 'running' AND r.run_id = r.batch_id GROUP BY r.job, r.tenant_id
    ), served AS (
        SELECT e.job, e.tenant_id, e.kind, e.timeout, e.coalescing, e.concurrency, e.batch, c.state, h.priority,
               row_number() OVER turns AS turn,
               first_value(h.priority) OVER turns AS first_priority
        FROM queued q
        JOIN etl_job_effective e ON e.job = q.job AND e.tenant_id = q.tenant_id AND e.enabled
        LEFT JOIN etl_job_circuit c ON c.job = q.job AND c.tenant_id = q.tenant_id
        LEFT JOIN etl_turn t ON t.job = q.job AND t.tenant_id = q.tenant_id
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(s.used) FILTER (WHERE s.job = q.job AND s.tenant_id = q.tenant_id), 0) AS of_pair,
                   coalesce(sum(s.used) FILTER (WHERE s.job = q.job), 0)                               AS of_job,
                   coalesce(sum(s.used) FILTER (WHERE s.tenant_id = q.tenant_id), 0)                   AS of_tenant,
                   coalesce(sum(s.used), 0)                                                            AS of_all
            FROM slots s) u
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
        WHERE u.of_pair < e.concurrency
          AND (e.job_max_running    IS NULL OR u.of_job    < e.job_max_running)
          AND (e.tenant_max_running IS NULL OR u.of_tenant < e.tenant_max_running)
          AND (cap                  IS NULL OR u.of_all    < cap)
          AND CASE c.state WHEN 'open'      THEN c.next_probe_at <= at
                           WHEN 'half_open' THEN u.of_pair = 0
                           ELSE true END
          -- Where one window stands for all, the others wait for its retry too.
          -- (not EXISTS, which could be planned as a hash of the whole queue)
          AND NOT (e.coalescing AND coalesce((
                  SELECT true FROM etl_job_run r
                  WHERE r.status = 'queued' AND r.job = q.job AND r.tenant_id = q.tenant_id AND r.attempt > 0 AND r.next_attempt_at > at
                  LIMIT 1), false))
        WINDOW turns AS (ORDER BY sign * h.priority, t.turn NULLS FIRST, e.tenant_id, e.job)
    )
    SELECT s.job, s.tenant_id, s.kind, s.timeout, s.coalescing, s.concurrency, s.batch, s.state, s.priority
    FROM served s
    -- A runner prefers the tenants whose hash is its place, among those that are next anyway: nobody is passed over long.
    ORDER BY coalesce(s.turn > places OR s.priority <> s.first_priority
                      OR (hashint8extended(s.tenant_id, 0) & 9223372036854775807) % places <> place, false), s.turn;
END
$$;
COMMENT ON FUNCTION etl_claimable(integer, integer) IS
    'The (job, tenant) pairs that have a window to claim now, in the order in which etl_claim serves them to the runner of a place among so many; reads only, so polling costs no transaction id';

CREATE FUNCTION etl_batch_take(head etl_job_run, pid integer, max_windows integer, shares integer DEFAULT 1, upto timestamptz DEFAULT 'infinity')
RETURNS SETOF etl_job_run
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    at      CONSTANT timestamptz := etl_now();
    length  CONSTANT interval    := head.window_to - head.window_from;
    windows CONSTANT integer     := least(max_windows, head.batch_limit);
    -- Not worth dividing: the minutes of one 5-minute bucket.
    few     CONSTANT integer     := 5;
BEGIN
    IF windows <= 1 THEN
        RETURN QUERY
        UPDATE etl_job_run r
        SET status = 'running', attempt = r.attempt + 1, started_at = at, finished_at = NULL, next_attempt_at = NULL,
            worker_pid = pid, cancel_requested = false, batch_id = r.run_id
        WHERE r.run_id = head.run_id
        RETURNING r.*;
        RETURN;
    END IF;
    RETURN QUERY
    WITH following AS MATERIALIZED (
        SELECT r.run_id, r.window_from FROM etl_job_run r
        WHERE r.status = 'queued' AND r.job = head.job AND r.tenant_id = head.tenant_id AND r.priority = head.priority
          AND r.window_from BETWEEN head.window_from AND at AND (r.next_attempt_at IS NULL OR r.next_attempt_at <= at)
          AND r.window_to <= upto AND r.window_to - r.window_from = length AND r.args = head.args
          AND r.backfill_id IS NOT DISTINCT FROM head.backfill_id AND r.slice_no IS NOT DISTINCT FROM head.slice_no
        ORDER BY r.window_from LIMIT windows
        FOR UPDATE SKIP LOCKED
    ), numbered AS (
        SELECT f.run_id, f.window_from, row_number() OVER (ORDER BY f.window_from) - 1 AS n FROM following f
    ), contiguous AS MATERIALIZED (
        SELECT n.run_id, first_value(n.run_id) OVER (ORDER BY n.window_from DESC) AS last_run_id
        FROM numbered n
        WHERE n.window_from = head.window_from + n.n * length
          -- What fits into one batch is shared with the others who may work on it.
          AND (shares <= 1 OR n.n < (SELECT CASE WHEN count(*) = windows THEN windows
                                                 ELSE greatest(few, (count(*) + shares - 1) / shares) END FROM following))
    )
    UPDATE etl_job_run r
    SET status = 'running', attempt = r.attempt + 1, started_at = at, finished_at = NULL, next_attempt_at = NULL,
        worker_pid = pid, cancel_requested = false, batch_id = c.last_run_id
    FROM contiguous c WHERE r.run_id = c.run_id
    RETURNING r.*;
END
$$;
COMMENT ON FUNCTION etl_batch_take(etl_job_run, integer, integer, integer, timestamptz) IS
    'Marks a locked queued window and those that follow it without a gap running, as one batch; of what is left of a queue only one share';

CREATE FUNCTION etl_claim(pid integer, place integer DEFAULT NULL, places integer DEFAULT NULL, max_windows integer DEFAULT NULL)
RETURNS TABLE (run_id bigint, batch_id bigint, job text, kind text, tenant_id bigint, window_from timestamptz, window_to timestamptz,
               attempt integer, timeout interval)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
SET enable_seqscan = off
SET enable_bitmapscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    whole_slice CONSTANT integer := 1000000;
    at   timestamptz := etl_now();
    pair record;
    head etl_job_run;
BEGIN
    FOR pair IN SELECT * FROM etl_claimable(place, places) LOOP
        -- Somebody's open transaction holds it: claims of all others must not wait for that.
        PERFORM FROM etl_turn t WHERE t.job = pair.job AND t.tenant_id = pair.tenant_id FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND AND EXISTS (SELECT FROM etl_turn t WHERE t.job = pair.job AND t.tenant_id = pair.tenant_id);
        -- First the turn, then the window: whoever decides about dependents holds the turn until commit, so what is
        -- claimed here sees everything that was decided (etl_dependents).
        PERFORM etl_turn_take(pair.job, pair.tenant_id, true);

        -- A window that somebody else has locked must not stop the ones behind it: SKIP LOCKED.
        IF pair.coalescing THEN
            -- The newest window stands for the older ones.
            SELECT r.* INTO head FROM etl_job_run r
            WHERE r.status = 'queued' AND r.job = pair.job AND r.tenant_id = pair.tenant_id
              AND r.window_from <= at AND (r.next_attempt_at IS NULL OR r.next_attempt_at <= at)
            ORDER BY r.window_from DESC LIMIT 1 FOR UPDATE SKIP LOCKED;
        ELSE
            SELECT r.* INTO head FROM etl_job_run r
            WHERE r.status = 'queued' AND r.job = pair.job AND r.tenant_id = pair.tenant_id AND r.priority = pair.priority
              AND r.window_from <= at AND (r.next_attempt_at IS NULL OR r.next_attempt_at <= at)
            ORDER BY r.window_from LIMIT 1 FOR UPDATE SKIP LOCKED;
        END IF;
        CONTINUE WHEN NOT FOUND;

        IF pair.circuit = 'open' THEN
            UPDATE etl_job_circuit c SET state = 'half_open' WHERE c.job = pair.job AND c.tenant_id = pair.tenant_id;
        END IF;
        RETURN QUERY
        SELECT b.run_id, b.batch_id, b.job, pair.kind, b.tenant_id, b.window_from, b.window_to, b.attempt, pair.timeout
        FROM etl_batch_take(head, pid,
                 CASE WHEN pair.coalescing OR pair.circuit <> 'closed' THEN 1
                      -- A slice of a SQL job's backfill is one call of its function.
                      WHEN pair.kind = 'sql' THEN CASE WHEN head.backfill_id IS NOT NULL THEN whole_slice ELSE 1 END
                      ELSE least(pair.batch, max_windows) END,
                 CASE pair.kind WHEN 'sql' THEN 1 ELSE pair.concurrency END) b
        ORDER BY b.window_from;
        RETURN;
    END LOOP;
END
$$;
COMMENT ON FUNCTION etl_claim(integer, integer, integer, integer) IS
    'Takes the next window that may run, with those that follow it where they are done as one range (of a built-in job at most max_windows), and marks them running for a process; no row: nothing to do. Live windows first, one claim in eight serves backfill first, tenants take turns';

CREATE FUNCTION etl_claim_range(for_job text, for_tenant bigint, "from" timestamptz, "to" timestamptz, pid integer)
RETURNS TABLE (run_id bigint, batch_id bigint, job text, kind text, tenant_id bigint, window_from timestamptz, window_to timestamptz,
               attempt integer, timeout interval)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    whole_range CONSTANT integer := 1000000;
    j    etl_job := etl_job_require(for_job);
    head etl_job_run;
BEGIN
    PERFORM etl_turn_take(j.name, for_tenant, true);
    INSERT INTO etl_job_run (job, tenant_id, window_from, window_to, origin, priority, max_attempts)
    SELECT j.name, for_tenant, w.starts, w.starts + j.align, 'manual', 5, j.max_attempts
    FROM generate_series(etl_floor("from", j.align), "to" - j.align, j.align) AS w (starts)
    ORDER BY w.starts
    ON CONFLICT (job, tenant_id, window_from, window_to) DO NOTHING;

    UPDATE etl_job_run r
    SET status = 'queued', priority = 5, next_attempt_at = NULL, finished_at = NULL, batch_limit = NULL, backfill_id = NULL, slice_no = NULL,
        max_attempts = CASE r.status WHEN 'queued' THEN r.max_attempts ELSE r.attempt + j.max_attempts END
    WHERE r.job = j.name AND r.tenant_id = for_tenant AND r.window_from >= "from" AND r.window_to <= "to"
      AND (r.status IN ('failed', 'cancelled')
           OR r.status = 'queued' AND (r.priority <> 5 OR r.next_attempt_at IS NOT NULL OR r.batch_limit IS NOT NULL OR r.backfill_id IS NOT NULL));

    SELECT r.* INTO head FROM etl_job_run r
    WHERE r.status = 'queued' AND r.job = j.name AND r.tenant_id = for_tenant AND r.priority = 5
      AND r.window_from >= "from" AND r.window_to <= "to"
    ORDER BY r.window_from LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF FOUND THEN
        RETURN QUERY
        SELECT b.run_id, b.batch_id, b.job, j.kind, b.tenant_id, b.window_from, b.window_to, b.attempt, j.timeout
        FROM etl_batch_take(head, pid, whole_range, 1, "to") b
        ORDER BY b.window_from;
    END IF;
END
$$;
COMMENT ON FUNCTION etl_claim_range(text, bigint, timestamptz, timestamptz, integer) IS
    'Takes the first windows of a range that have not succeeded and are not running, as one batch, for a caller who works on just that range; enqueues those that are missing';
