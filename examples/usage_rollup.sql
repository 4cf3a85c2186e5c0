-- Usage by the hour, as a job of observe_bridge.
--
-- Events arrive, late ones too, are corrected, deleted and moved to another account; whatever happens to them, and
-- however long the transaction was that did it, usage_hourly ends up equal to a GROUP BY over usage_event.
--
--   psql -f usage_rollup.sql
--
-- as a role that may create tables and is a member of observe_bridge_operator (GRANT observe_bridge_operator TO ..).
-- The extension is taken to be in schema public, and preloaded; without workers, run CALL etl_run() now and then.

SET search_path = public, pg_temp;

-- 1. Events, and what is kept of them by the hour ---------------------------------------------------------------------

CREATE TABLE usage_event (
    event_id  bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint      NOT NULL DEFAULT 1,       -- dim_tenant.tenant_id; 1 is the tenant 'default'
    account   text        NOT NULL,
    at        timestamptz NOT NULL,
    tokens    bigint      NOT NULL
);
CREATE INDEX ON usage_event (tenant_id, at);

CREATE TABLE usage_hourly (
    tenant_id bigint,
    hour      timestamptz,
    account   text,
    events    bigint      NOT NULL,
    tokens    bigint      NOT NULL,
    PRIMARY KEY (tenant_id, hour, account)
);

-- 2. The rollup: what it writes for a window replaces what was there --------------------------------------------------
--
-- It may get one hour or a whole month. Running it twice changes nothing, and what vanished from the events vanishes
-- here. It returns how many rows it wrote.

CREATE FUNCTION usage_rollup(tenant_id bigint, window_from timestamptz, window_to timestamptz) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    written bigint;
BEGIN
    DELETE FROM usage_hourly h
    WHERE h.tenant_id = usage_rollup.tenant_id AND h.hour >= window_from AND h.hour < window_to;

    INSERT INTO usage_hourly (tenant_id, hour, account, events, tokens)
    SELECT e.tenant_id, date_bin('1 hour', e.at, 'epoch'), e.account, count(*), sum(e.tokens)
    FROM usage_event e
    WHERE e.tenant_id = usage_rollup.tenant_id AND e.at >= window_from AND e.at < window_to
    GROUP BY 1, 2, 3;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;

-- 3. The job ----------------------------------------------------------------------------------------------------------
--
-- It runs as the role that creates it. source_range lets backfills and the guard know the history; lock_key keeps it
-- apart from an older cron job that calls pg_try_advisory_lock(4246) before it writes the same table (drop it if there
-- is none).

SELECT etl_job_create('usage-hourly', 'usage_rollup',
    run_interval => '1 hour',
    delay        => '5 min',
    lookback     => '1 day',
    source_range => 'SELECT min(at), max(at) FROM usage_event WHERE tenant_id = $1',
    lock_key     => 4246);

-- 4. Changes: every hour that a statement touches runs again ----------------------------------------------------------
--
-- The note is part of the writer's own transaction, so it counts when that commits, be it days later. Both the old and
-- the new place of a row are told: an event may move to another hour, account or tenant. SECURITY DEFINER: writers of
-- events need no rights on jobs.

CREATE FUNCTION usage_event_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
        PERFORM etl_invalidate('usage-hourly', t.code, o.hour, o.hour)
        FROM (SELECT DISTINCT tenant_id, date_bin('1 hour', at, 'epoch') AS hour FROM old_rows) o JOIN dim_tenant t USING (tenant_id);
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        PERFORM etl_invalidate('usage-hourly', t.code, n.hour, n.hour)
        FROM (SELECT DISTINCT tenant_id, date_bin('1 hour', at, 'epoch') AS hour FROM new_rows) n JOIN dim_tenant t USING (tenant_id);
    END IF;
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM etl_invalidate('usage-hourly', t.code, min(h.hour), max(h.hour) + interval '1 hour')
        FROM usage_hourly h JOIN dim_tenant t USING (tenant_id) GROUP BY t.code;
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION usage_event_changed() FROM PUBLIC;

CREATE TRIGGER usage_event_inserted AFTER INSERT ON usage_event
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION usage_event_changed();
CREATE TRIGGER usage_event_updated AFTER UPDATE ON usage_event
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION usage_event_changed();
CREATE TRIGGER usage_event_deleted AFTER DELETE ON usage_event
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION usage_event_changed();
CREATE TRIGGER usage_event_truncated AFTER TRUNCATE ON usage_event
    FOR EACH STATEMENT EXECUTE FUNCTION usage_event_changed();

-- 5. A history from before the job, as an upgrade finds it ------------------------------------------------------------

ALTER TABLE usage_event DISABLE TRIGGER USER;
INSERT INTO usage_event (account, at, tokens)
SELECT 'account ' || n % 7, now() - n * interval '37 min', n % 1000 FROM generate_series(1, 3000) n;
ALTER TABLE usage_event ENABLE TRIGGER USER;

-- 6. The backfill: month by month in the background, from the first event on -------------------------------------------
--
-- etl_backfill_pause, etl_backfill_resume and etl_backfill_cancel take the id; a look at the view shows how far it is:
--   SELECT * FROM etl_backfill_progress;

SELECT etl_backfill('usage-hourly', 'default', slice => '1 month');

-- 7. The hook of a migration that must not go on before the rollup is complete -----------------------------------------
--
-- It does on the spot what the background has not done yet, and waits for what that is doing. Run it outside of a
-- transaction. Then the guard, which a migration may also call alone: it raises while history is missing or the rollup
-- trails the last event by more than an hour, and passes on an empty table.

CALL etl_ensure_current('usage-hourly', 'default', max_lag => '1 hour', sleep_between_slices => '0');
SELECT etl_guard('usage-hourly', 'default', max_lag => '1 hour');

-- 8. How far it is, and what went wrong -------------------------------------------------------------------------------

SELECT etl_watermark('usage-hourly', 'default');
SELECT window_from, window_to, status, attempt, stats, error FROM etl_job_run
WHERE job = 'usage-hourly' ORDER BY window_from DESC LIMIT 10;
