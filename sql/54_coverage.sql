-- =====================================================================================================================
-- How far a job has come: the watermark, and what takes it back.
--
-- etl_job_run says which windows succeeded. Retention shortens it, so what succeeded is kept in etl_coverage as ranges:
-- it grows before rows are removed. Changes of data that was processed already are told by etl_invalidate, in the
-- transaction that makes them: whenever that commits, the windows run again.
-- =====================================================================================================================

CREATE TABLE etl_coverage (
    job          text        NOT NULL,
    tenant_id    bigint      NOT NULL,
    covered_from timestamptz NOT NULL,
    covered_to   timestamptz NOT NULL,
    PRIMARY KEY (job, tenant_id, covered_from),
    CHECK (covered_from < covered_to)
);
COMMENT ON TABLE  etl_coverage IS
    'Ranges in which every window of a (job, tenant) succeeded once, also where the ledger is forgotten; one row while nothing is missing';
COMMENT ON COLUMN etl_coverage.covered_to IS 'End of the range, which is not part of it';

CREATE TABLE etl_invalidation (
    job         text        NOT NULL,
    tenant_id   bigint      NOT NULL,
    window_from timestamptz NOT NULL,
    window_to   timestamptz NOT NULL,
    xid         xid8        NOT NULL DEFAULT pg_current_xact_id(),
    -- With the transaction in the key no writer waits for another, and one that says it twice adds nothing.
    PRIMARY KEY (job, tenant_id, window_from, window_to, xid),
    CHECK (window_from < window_to)
) WITH (
    -- Nearly always empty, and looked at every second.
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold    = 1000
);
COMMENT ON TABLE  etl_invalidation     IS 'Windows whose data changed after they ran; the next etl_tick queues them again';
COMMENT ON COLUMN etl_invalidation.xid IS 'The transaction that changed the data';

CREATE INDEX etl_job_run_unwell ON etl_job_run (job, tenant_id, window_from) WHERE status IN ('running', 'failed', 'cancelled');
COMMENT ON INDEX etl_job_run_unwell IS 'With etl_job_run_queue: the first window that has not succeeded, for etl_watermark';

-- ---------------------------------------------------------------------------------------------------------------------
-- Coverage
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION etl_coverage_change(job text, tenant_id bigint, added tstzmultirange, removed tstzmultirange DEFAULT '{}') RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    known   tstzmultirange;
    changed tstzmultirange;
BEGIN
    -- Locking in one statement and reading in the next: the second sees what the previous holder of the locks did.
    PERFORM FROM etl_coverage c WHERE c.job = etl_coverage_change.job AND c.tenant_id = etl_coverage_change.tenant_id FOR UPDATE;
    SELECT coalesce(range_agg(tstzrange(c.covered_from, c.covered_to)), '{}') INTO known
    FROM etl_coverage c WHERE c.job = etl_coverage_change.job AND c.tenant_id = etl_coverage_change.tenant_id;
    changed := known + added - removed;
    IF changed = known THEN
        RETURN;
    END IF;
    DELETE FROM etl_coverage c WHERE c.job = etl_coverage_change.job AND c.tenant_id = etl_coverage_change.tenant_id;
    INSERT INTO etl_coverage AS c (job, tenant_id, covered_from, covered_to)
    SELECT etl_coverage_change.job, etl_coverage_change.tenant_id, lower(r), upper(r) FROM unnest(changed) AS r
    -- Somebody else wrote the first row of this pair at the same moment.
    ON CONFLICT (job, tenant_id, covered_from) DO UPDATE SET covered_to = greatest(c.covered_to, excluded.covered_to);
END
$$;
COMMENT ON FUNCTION etl_coverage_change(text, bigint, tstzmultirange, tstzmultirange) IS
    'Adds ranges to the coverage of a (job, tenant), then takes others away';

CREATE FUNCTION etl_coverage_advance(tenant_id bigint, before timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    for_tenant CONSTANT bigint := tenant_id;
    known record;
BEGIN
    FOR known IN
        SELECT j.name AS job, c.covered_from, c.covered_to
        FROM etl_job j
        LEFT JOIN LATERAL (
            SELECT c.covered_from, c.covered_to FROM etl_coverage c WHERE c.job = j.name AND c.tenant_id = for_tenant
            ORDER BY c.covered_from LIMIT 1) c ON true
        ORDER BY j.name
    LOOP
        PERFORM etl_coverage_change(known.job, for_tenant,
            (SELECT coalesce(range_agg(tstzrange(w.window_from, w.window_to)), '{}') FROM (
                -- Only what the first range cannot know yet.
                SELECT r.window_from, r.window_to FROM etl_job_run r
                WHERE r.status = 'success' AND r.job = known.job AND r.tenant_id = for_tenant
                  AND r.window_to > coalesce(known.covered_to, '-infinity')
                UNION ALL
                SELECT r.window_from, r.window_to FROM etl_job_run r
                WHERE r.status = 'success' AND r.job = known.job AND r.tenant_id = for_tenant AND r.window_from < known.covered_from) w),
            -- A window that succeeded, was queued again and then failed: without its row nothing else would say so.
            (SELECT coalesce(range_agg(tstzrange(r.window_from, r.window_to)), '{}') FROM etl_job_run r
             WHERE r.status IN ('failed', 'cancelled') AND r.job = known.job AND r.tenant_id = for_tenant AND r.finished_at < before));
    END LOOP;
END
$$;
COMMENT ON FUNCTION etl_coverage_advance(bigint, timestamptz) IS
    'Brings the coverage of all jobs of a tenant up to the ledger, whose rows that ended before a time may then be removed';

-- ---------------------------------------------------------------------------------------------------------------------
-- Watermark
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION etl_upper(job text, tenant_id bigint) RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
AS $$
    SELECT date_bin(CASE WHEN e.run_interval > '0' THEN e.run_interval ELSE e.align END, etl_now() - e.delay, 'epoch')
    FROM etl_job_effective e WHERE e.job = etl_upper.job AND e.tenant_id = etl_upper.tenant_id
$$;
COMMENT ON FUNCTION etl_upper(text, bigint) IS 'The end of the last window that is due now';

CREATE FUNCTION etl_prefix(job text, tenant_id bigint, since timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    of_job    CONSTANT text   := job;
    of_tenant CONSTANT bigint := tenant_id;
    starts  timestamptz := since;
    reached timestamptz;
    pending timestamptz;
BEGIN
    IF starts IS NULL THEN
        SELECT min(c.covered_from) INTO starts FROM etl_coverage c WHERE c.job = of_job AND c.tenant_id = of_tenant;
        IF starts IS NULL AND NOT EXISTS (
            SELECT FROM etl_job_run r WHERE r.status = 'success' AND r.job = of_job AND r.tenant_id = of_tenant)
        THEN
            RETURN NULL;
        END IF;
        starts := least(starts, (SELECT r.window_from FROM etl_job_run r
                                 WHERE r.job = of_job AND r.tenant_id = of_tenant AND r.status <> 'cancelled'
                                 ORDER BY r.window_from LIMIT 1));
    END IF;

    SELECT coalesce(max(c.covered_to), starts) INTO reached FROM etl_coverage c
    WHERE c.job = of_job AND c.tenant_id = of_tenant AND c.covered_from <= starts AND c.covered_to > starts;

    -- Windows may overlap or differ in length, after a change of align.
    SELECT coalesce(max(upper(r)), starts) INTO reached
    FROM (
        SELECT unnest(range_agg(w.piece)) FROM (
            SELECT tstzrange(c.covered_from, c.covered_to) FROM etl_coverage c
            WHERE c.job = of_job AND c.tenant_id = of_tenant AND c.covered_to > starts
            UNION ALL
            SELECT tstzrange(r.window_from, r.window_to) FROM etl_job_run r
            WHERE r.status = 'success' AND r.job = of_job AND r.tenant_id = of_tenant AND r.window_to > reached) AS w (piece)
    ) AS island (r)
    WHERE r @> starts;

    SELECT least(
        (SELECT min(q.window_from)
         FROM (VALUES (0), (5), (10), (20)) AS p (priority)
         CROSS JOIN LATERAL (
             SELECT r.window_from FROM etl_job_run r
             WHERE r.status = 'queued' AND r.job = of_job AND r.tenant_id = of_tenant AND r.priority = p.priority
               AND r.window_from < reached AND r.window_to > starts
             ORDER BY r.window_from LIMIT 1) q),
        (SELECT r.window_from FROM etl_job_run r
         WHERE r.status IN ('running', 'failed', 'cancelled') AND r.job = of_job AND r.tenant_id = of_tenant
           AND r.window_from < reached AND r.window_to > starts
         ORDER BY r.window_from LIMIT 1),
        (SELECT min(i.window_from) FROM etl_invalidation i
         WHERE i.job = of_job AND i.tenant_id = of_tenant AND i.window_from < reached AND i.window_to > starts))
    INTO pending;
    RETURN greatest(starts, least(reached, pending));
END
$$;
COMMENT ON FUNCTION etl_prefix(text, bigint, timestamptz) IS
    'How far every window from a time on has succeeded and is not to run again: that time itself when its own window has not. From NULL: from the first window there is; NULL when none has succeeded';

CREATE FUNCTION etl_watermark(job text, tenant text) RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    RETURN etl_prefix((etl_job_require(job)).name, etl_tenant_require(tenant), NULL);
END
$$;
COMMENT ON FUNCTION etl_watermark(text, text) IS
    'Up to when every window of a job has succeeded, none failed, queued again or invalidated in between; its first window when that has not succeeded, NULL when none has';

-- ---------------------------------------------------------------------------------------------------------------------
-- Invalidation
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION etl_invalidate(job text, tenant text, "from" timestamptz, "to" timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
    align interval := (etl_job_require(job)).align;
BEGIN
    IF "from" IS NULL OR "to" IS NULL OR NOT isfinite("from") OR NOT isfinite("to") OR "from" > "to" THEN
        RAISE EXCEPTION 'an invalidation needs two finite times, the earlier one first'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL  = format('"from" = %s, "to" = %s.', coalesce("from"::text, 'NULL'), coalesce("to"::text, 'NULL')),
                  HINT    = 'Give the time of the changed row as both, or the range of several: every window that overlaps runs again.';
    END IF;
    IF "from" < '0001-01-01 00:00:00+00' OR "to" > '9999-12-31 00:00:00+00' THEN
        RAISE EXCEPTION 'an invalidation lies between the years 1 and 9999'
            USING ERRCODE = 'datetime_field_overflow', HINT = 'Give the time of the changed row, or the range of several.';
    END IF;
    INSERT INTO etl_invalidation (job, tenant_id, window_from, window_to)
    VALUES (etl_invalidate.job, etl_tenant_require(tenant), etl_floor("from", align),
            -- The end is not part of the range, except that an empty range stands for the window around it.
            etl_floor(CASE WHEN "to" > "from" THEN "to" - interval '1 us' ELSE "to" END, align) + align)
    ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION etl_invalidate(text, text, timestamptz, timestamptz) IS
    'Says that data in [from, to) changed: once the calling transaction has committed, the windows run again. For triggers; from = to is the window around that time';

CREATE FUNCTION etl_invalidations_apply() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    max_windows CONSTANT numeric     := 1000000;
    clock       CONSTANT timestamptz := etl_now();
    queued bigint;
BEGIN
    -- Called every second: a look at an empty table takes no transaction id.
    IF NOT EXISTS (SELECT FROM etl_invalidation) THEN
        RETURN 0;
    END IF;

    WITH chosen AS MATERIALIZED (
        SELECT c.* FROM (
            SELECT i.*, sum(extract(epoch FROM i.window_to - i.window_from) / extract(epoch FROM j.align)) OVER turn
                        - extract(epoch FROM i.window_to - i.window_from) / extract(epoch FROM j.align) AS before
            FROM etl_invalidation i LEFT JOIN etl_job j ON j.name = i.job
            WINDOW turn AS (ORDER BY i.xid, i.job, i.tenant_id, i.window_from, i.window_to ROWS UNBOUNDED PRECEDING)) c
        WHERE coalesce(c.before, 0) < max_windows
    ), taken AS (
        -- What is deleted here, and nothing else, is queued below: two ticks at once never take the same row, and
        -- one that becomes visible in between stays.
        DELETE FROM etl_invalidation i USING chosen c
        WHERE (i.job, i.tenant_id, i.window_from, i.window_to, i.xid) = (c.job, c.tenant_id, c.window_from, c.window_to, c.xid)
        RETURNING i.job, i.tenant_id, i.window_from, i.window_to, i.xid, c.before
    ), cut AS (
        -- Of a job or tenant that was dropped nothing is left to do.
        SELECT t.job, t.tenant_id, t.window_from, t.window_to, t.xid, e.align, e.delay, e.max_attempts, e.run_interval,
               CASE WHEN extract(epoch FROM t.window_to - etl_floor(t.window_from, e.align)) / extract(epoch FROM e.align) <= max_windows - floor(t.before)
                    THEN t.window_to
                    ELSE etl_floor(t.window_from, e.align) + (max_windows - floor(t.before))::integer * e.align END AS upto
        FROM taken t JOIN etl_job_effective e ON e.job = t.job AND e.tenant_id = t.tenant_id
    ), put_off AS (
        -- Very long ranges are done bit by bit.
        INSERT INTO etl_invalidation (job, tenant_id, window_from, window_to, xid)
        SELECT c.job, c.tenant_id, c.upto, c.window_to, c.xid FROM cut c WHERE c.upto < c.window_to
        ON CONFLICT DO NOTHING
    ), changed AS (
        SELECT DISTINCT c.job, c.tenant_id, c.align, c.delay, c.max_attempts, c.run_interval, w.starts
        FROM cut c
        CROSS JOIN LATERAL generate_series(etl_floor(c.window_from, c.align), c.upto - interval '1 us', c.align) AS w (starts)
    ), enqueued AS (
        INSERT INTO etl_job_run AS r (job, tenant_id, window_from, window_to, origin, priority, max_attempts, next_attempt_at)
        SELECT c.job, c.tenant_id, c.starts, c.starts + c.align, 'invalidation', 5, c.max_attempts,
               CASE WHEN c.starts + c.align + c.delay > clock THEN c.starts + c.align + c.delay END
        FROM changed c
        LEFT JOIN etl_cursor k ON k.job = c.job AND k.tenant_id = c.tenant_id
        WHERE EXISTS (SELECT FROM etl_job_run o
                      WHERE o.job = c.job AND o.tenant_id = c.tenant_id AND o.window_from = c.starts AND o.window_to = c.starts + c.align)
           -- A window that was never enqueued: the schedule comes to those ahead of it, and to no other.
           OR CASE WHEN c.run_interval = '0' THEN true
                   WHEN k.next_from IS NULL  THEN c.starts + c.align + c.delay <= clock
                   ELSE c.starts < k.next_from END
        -- Upstream first, as those do it who finish windows.
        ORDER BY (SELECT j.after <> '{}' FROM etl_job j WHERE j.name = c.job), c.job, c.tenant_id, c.starts
        ON CONFLICT (job, tenant_id, window_from, window_to) DO UPDATE
        -- One that is still queued will see the change; but what a backfill queued, it may cancel. attempt is a fencing
        -- token and stays.
        SET status          = CASE r.status WHEN 'running' THEN 'running' ELSE 'queued' END,
            requeue         = r.status = 'running',
            next_attempt_at = CASE r.status WHEN 'running' THEN r.next_attempt_at ELSE excluded.next_attempt_at END,
            finished_at     = NULL,
            error           = CASE r.status WHEN 'running' THEN r.error END,
            stats           = CASE r.status WHEN 'running' THEN r.stats END,
            origin          = excluded.origin,
            priority        = excluded.priority,
            batch_limit     = CASE r.status WHEN 'running' THEN r.batch_limit END,
            backfill_id     = NULL,
            slice_no        = NULL,
            max_attempts    = CASE r.status WHEN 'running' THEN r.max_attempts ELSE r.attempt + excluded.max_attempts END
        WHERE r.status <> 'queued' OR r.backfill_id IS NOT NULL
        RETURNING 1
    )
    SELECT count(*) INTO queued FROM enqueued;

    IF queued > 0 THEN
        PERFORM etl_wake();
    END IF;
    RETURN queued;
END
$$;
COMMENT ON FUNCTION etl_invalidations_apply() IS
    'Queues the windows of committed invalidations again, at most a million at a time; returns how many will run because of it. Called by etl_tick';
