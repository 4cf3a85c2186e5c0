-- =====================================================================================================================
-- Retention, run by the job "retention" for each tenant, and the removal of a tenant.
-- =====================================================================================================================

CREATE FUNCTION etl_chunks_drop(fact text, before timestamptz) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    ts      text := etl_extension_schema('timescaledb');
    table_id regclass := to_regclass(format('@extschema@.%I', fact));
    is_hypertable boolean := false;
    dropped integer := 0;
BEGIN
    IF ts IS NOT NULL THEN
        EXECUTE 'SELECT EXISTS (SELECT FROM timescaledb_information.hypertables WHERE format(''%I.%I'', hypertable_schema, hypertable_name)::regclass = $1)'
            INTO is_hypertable USING table_id;
    END IF;
    IF is_hypertable THEN
        EXECUTE format('SELECT count(*) FROM %I.drop_chunks($1, older_than => $2)', ts) INTO dropped USING table_id, before;
    ELSIF (SELECT relkind FROM pg_class WHERE oid = table_id) = 'p' THEN
        dropped := etl_partitions_drop(fact, before);
    ELSE
        EXECUTE format('DELETE FROM %s WHERE bucket < $1', table_id) USING before;
        GET DIAGNOSTICS dropped = ROW_COUNT;
    END IF;
    RETURN dropped;
END
$$;
COMMENT ON FUNCTION etl_chunks_drop(text, timestamptz) IS
    'Drops what lies before a time, of all tenants: chunks of a hypertable, partitions, or rows of a plain table; returns how many';

CREATE FUNCTION etl_retention_run(tenant_id bigint, at timestamptz) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
    newest_runs_kept CONSTANT integer := 1000;
    for_tenant bigint := tenant_id;
    keep    jsonb := (SELECT jsonb_object_agg(table_name, keep) FROM etl_retention WHERE isfinite(keep));
    removed jsonb := '{}';
    fact    record;
    n       bigint;
    -- reconcile compares windows with their locators, the oldest of them so long after their end. Without its locators a
    -- window would seem to hold nothing.
    locators_kept interval := CASE WHEN keep ? 'oo_locator' THEN greatest((keep ->> 'oo_locator')::interval, (
        SELECT max(c.recheck) + greatest(e.lookback, '1 hour') + interval '1 day'
        FROM etl_job_effective e CROSS JOIN LATERAL unnest(e.recheck) AS c (recheck)
        WHERE e.job = 'oo-agg' AND e.tenant_id = for_tenant GROUP BY e.lookback)) END;
BEGIN
    IF at IS NULL OR NOT isfinite(at) OR at > etl_now() THEN
        RAISE EXCEPTION 'retention needs a time that is not in the future, not %', coalesce(at::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL  = 'A later time would remove rows that are still to be kept.',
                  HINT    = 'Use now(); what is kept how long is set in etl_retention.';
    END IF;
    removed := jsonb_build_object('partitions_made', etl_partitions_ensure(at));

    FOR fact IN
        SELECT f.name, at - r.keep AS before FROM etl_fact_tables() f JOIN etl_retention r ON r.table_name = f.name
        WHERE f.chunk IS NOT NULL AND isfinite(r.keep) ORDER BY f.ordinal
    LOOP
        removed := removed || jsonb_build_object(fact.name, etl_chunks_drop(fact.name, fact.before));
    END LOOP;

    -- By dataset, each found by a hop in the index (dataset, t_from, t_to).
    WITH RECURSIVE datasets AS (
        (SELECT l.dataset FROM oo_locator l ORDER BY l.dataset LIMIT 1)
        UNION ALL
        SELECT n.dataset FROM datasets d
        CROSS JOIN LATERAL (SELECT l.dataset FROM oo_locator l WHERE l.dataset > d.dataset ORDER BY l.dataset LIMIT 1) n
    )
    DELETE FROM oo_locator l USING datasets d
    WHERE l.dataset = d.dataset AND l.tenant_id = for_tenant
      AND l.t_from < at - locators_kept AND l.t_to < at - locators_kept;
    GET DIAGNOSTICS n = ROW_COUNT;
    removed := removed || jsonb_build_object('oo_locator', n);

    -- What is declared today stays, and what was within the time that is kept. Without a setting all does.
    DELETE FROM topo_edge_time e
    WHERE e.tenant_id = for_tenant AND coalesce(upper(e.valid), 'infinity') < at - (keep ->> 'topo_edge_time')::interval;
    GET DIAGNOSTICS n = ROW_COUNT;
    removed := removed || jsonb_build_object('topo_edge_time', n);

    -- What joins the edges is kept as long as they are.
    DELETE FROM topo_identity_time i
    WHERE i.tenant_id = for_tenant AND coalesce(upper(i.valid), 'infinity') < at - (keep ->> 'topo_edge_time')::interval;
    GET DIAGNOSTICS n = ROW_COUNT;
    removed := removed || jsonb_build_object('topo_identity_time', n);

    DELETE FROM etl_partial_1m p
    WHERE p.tenant_id = for_tenant
      AND p.written_at < at - interval '1 day' - (SELECT e.lookback FROM etl_job_effective e WHERE e.job = 'oo-agg' AND e.tenant_id = for_tenant);
    GET DIAGNOSTICS n = ROW_COUNT;
    removed := removed || jsonb_build_object('etl_partial_1m', n);

    -- What the ledger forgets stays known as covered, else the watermark would go back.
    PERFORM etl_coverage_advance(for_tenant, at - (keep ->> 'etl_job_run')::interval);
    -- The newest windows of each job stay, however old: they show what happened last.
    WITH RECURSIVE jobs AS (
        (SELECT r.job FROM etl_job_run r ORDER BY r.job LIMIT 1)
        UNION ALL
        SELECT n.job FROM jobs j
        CROSS JOIN LATERAL (SELECT r.job FROM etl_job_run r WHERE r.job > j.job ORDER BY r.job LIMIT 1) n
    )
    DELETE FROM etl_job_run r
    USING jobs j
    CROSS JOIN LATERAL (
        SELECT o.window_from FROM etl_job_run o WHERE o.job = j.job AND o.tenant_id = for_tenant
        ORDER BY o.window_from DESC OFFSET newest_runs_kept - 1 LIMIT 1) oldest_kept
    WHERE r.job = j.job AND r.tenant_id = for_tenant AND r.window_from < oldest_kept.window_from
      AND r.status IN ('success', 'failed', 'cancelled') AND r.finished_at < at - (keep ->> 'etl_job_run')::interval;
    GET DIAGNOSTICS n = ROW_COUNT;
    removed := removed || jsonb_build_object('etl_job_run', n);

    DELETE FROM etl_backfill b
    WHERE b.tenant_id = for_tenant AND b.state NOT IN ('running', 'paused') AND b.finished_at < at - (keep ->> 'etl_job_run')::interval;
    GET DIAGNOSTICS n = ROW_COUNT;
    removed := removed || jsonb_build_object('etl_backfill', n);

    DELETE FROM etl_reject r WHERE r.tenant_id = for_tenant AND r.created_at < at - (keep ->> 'etl_reject')::interval;
    GET DIAGNOSTICS n = ROW_COUNT;
    removed := removed || jsonb_build_object('etl_reject', n);

    DELETE FROM etl_late_window w WHERE w.tenant_id = for_tenant AND w.found_at < at - (keep ->> 'etl_job_run')::interval;
    GET DIAGNOSTICS n = ROW_COUNT;
    removed := removed || jsonb_build_object('etl_late_window', n);
    RETURN removed;
END
$$;
COMMENT ON FUNCTION etl_retention_run(bigint, timestamptz) IS
    'Removes what is older than etl_retention says, makes partitions ahead; returns what was removed: chunks or partitions of the bucketed tables, rows of the others';

CREATE FUNCTION etl_tenant_drop(tenant text) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    for_tenant bigint := etl_tenant_require(tenant);
    removed jsonb := '{}';
    object  text;
    n       bigint;
BEGIN
    IF EXISTS (SELECT FROM etl_job_run r WHERE r.tenant_id = for_tenant AND r.status = 'running') THEN
        RAISE EXCEPTION 'tenant "%" has running windows', tenant
            USING ERRCODE = 'object_in_use',
                  HINT    = 'UPDATE dim_tenant SET enabled = false for it, wait until etl_status shows none running, then drop it.';
    END IF;
    -- Rows that know their tenant only through another row go first.
    DELETE FROM kb_chunk c      USING kb_doc d         WHERE d.doc_id   = c.doc_id   AND d.tenant_id = for_tenant;
    DELETE FROM evidence_link l USING event_envelope e WHERE e.event_id = l.event_id AND e.tenant_id = for_tenant;
    FOR object IN
        SELECT f.name FROM etl_fact_tables() f WHERE f.name NOT IN ('kb_chunk', 'evidence_link')
        UNION ALL
        SELECT unnest('{etl_job_run,etl_backfill,etl_cursor,etl_turn,etl_job_circuit,etl_coverage,etl_invalidation,etl_partial_1m,etl_reject,etl_reconcile,etl_late_window,topo_source_state,urn_alias,dim_tenant}'::text[])
    LOOP
        EXECUTE format('DELETE FROM @extschema@.%I WHERE tenant_id = $1', object) USING for_tenant;
        GET DIAGNOSTICS n = ROW_COUNT;
        removed := removed || jsonb_build_object(object, n);
    END LOOP;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION etl_tenant_drop(text) IS
    'Removes a tenant with its configuration, ledger and facts; returns the rows removed by table. The graph follows at its next refresh';
