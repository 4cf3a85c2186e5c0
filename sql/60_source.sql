-- =====================================================================================================================
-- Sources: a foreign data wrapper without handler (its servers and user mappings hold connections and secrets, there is
-- nothing to scan), and the functions that connect a job of a tenant with a server.
-- =====================================================================================================================

CREATE FOREIGN DATA WRAPPER observe_bridge NO HANDLER VALIDATOR observe_bridge_fdw_validator;
COMMENT ON FOREIGN DATA WRAPPER observe_bridge IS
    'Connections of observe_bridge: servers of kind openobserve, s3, file, http, git or mock';

CREATE FUNCTION etl_server_digest(server text, fallback text) RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    -- A dump changes the order of the options.
    SELECT hashtextextended(coalesce(jsonb_agg((SELECT jsonb_agg(o ORDER BY o COLLATE "C") FROM unnest(f.srvoptions) AS o) ORDER BY n.ordinality)::text, ''), 0)
    FROM unnest(ARRAY[server, fallback]) WITH ORDINALITY AS n (name, ordinality)
    JOIN pg_foreign_server f ON f.srvname = n.name::name
$$;
COMMENT ON FUNCTION etl_server_digest(text, text) IS 'A hash of the options of a server, and of its fallback: another one means that it leads elsewhere';

CREATE FUNCTION etl_sources_look() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
SET jit = off
AS $$
BEGIN
    UPDATE etl_source s
    SET enabled = false, disabled_reason = format('foreign server "%s" does not exist any more', s.server)
    WHERE s.enabled AND NOT EXISTS (SELECT FROM pg_foreign_server f WHERE f.srvname = s.server);

    -- A server that leads elsewhere now says nothing about what was read before.
    UPDATE etl_source s
    SET active_since = CASE WHEN s.server_digest IS NULL THEN s.active_since ELSE etl_now() END, server_digest = f.digest
    FROM (SELECT o.source_id, etl_server_digest(o.server, o.options ->> 'fallback') AS digest FROM etl_source o WHERE o.enabled) f
    WHERE f.source_id = s.source_id AND s.server_digest IS DISTINCT FROM f.digest;
END
$$;
COMMENT ON FUNCTION etl_sources_look() IS 'Disables sources whose server was dropped, and notes since when a server leads to where it does';

-- Not SECURITY DEFINER: the source reads with the rights of the role that adds it.
CREATE FUNCTION etl_source_add(tenant text, job text, server text, options jsonb DEFAULT '{}') RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    twin       record;
    j          etl_job := etl_job_require(job);
    for_tenant bigint  := etl_tenant_require(tenant);
    wrapper    name;
    added      bigint;
BEGIN
    IF NOT j.needs_source THEN
        RAISE EXCEPTION 'job "%" reads no source', j.name
            USING ERRCODE = 'wrong_object_type',
                  DETAIL  = 'Jobs that read sources: ' || (SELECT coalesce(string_agg(k.name, ', ' ORDER BY k.name), 'none') FROM etl_job k WHERE k.needs_source) || '.',
                  HINT    = 'Name one of them.';
    END IF;
    IF jsonb_typeof(etl_source_add.options) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'the options of a source must be a JSON object, not %', coalesce(jsonb_typeof(etl_source_add.options), 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'For example ''{"logs":["default"],"metrics":["*"]}''; ''{}'' reads everything.';
    END IF;

    SELECT w.fdwname INTO wrapper FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
    WHERE s.srvname = server;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'server % does not exist', coalesce('"' || server || '"', 'NULL')
            USING ERRCODE = 'undefined_object',
                  DETAIL  = 'Servers of observe_bridge: ' || coalesce((
                      SELECT string_agg(s.srvname, ', ' ORDER BY s.srvname)
                      FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
                      WHERE w.fdwname = 'observe_bridge'), 'none') || '.',
                  HINT    = 'CREATE SERVER name FOREIGN DATA WRAPPER observe_bridge OPTIONS (kind ''openobserve'', endpoint ''http://...'', org ''default'').';
    ELSIF wrapper <> 'observe_bridge' THEN
        RAISE EXCEPTION 'server "%" belongs to another foreign data wrapper', server
            USING ERRCODE = 'wrong_object_type',
                  DETAIL  = format('It was created for "%s".', wrapper),
                  HINT    = 'Name a server that was created with FOREIGN DATA WRAPPER observe_bridge.';
    ELSIF NOT has_server_privilege(current_user, server, 'USAGE') THEN
        RAISE EXCEPTION 'permission denied for foreign server %', server
            USING ERRCODE = 'insufficient_privilege',
                  HINT    = format('GRANT USAGE ON FOREIGN SERVER %I TO %I.', server, current_user);
    END IF;
    PERFORM etl_source_check(server, j.name, etl_source_add.options);

    SELECT s.source_id, s.server INTO twin FROM etl_source s
    WHERE s.tenant_id = for_tenant AND s.job = j.name AND s.enabled
      AND (s.server = etl_source_add.options ->> 'fallback' OR s.options ->> 'fallback' IN (etl_source_add.server, etl_source_add.options ->> 'fallback'))
    ORDER BY s.source_id LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'tenant "%" has a source for job "%" that reads the same records', tenant, j.name
            USING ERRCODE = 'duplicate_object',
                  DETAIL  = format('Source %s reads server "%s"; a fallback is read like a source of its own.', twin.source_id, twin.server),
                  HINT    = format('Take that source away first: SELECT etl_source_drop(%s). Its facts stay.', twin.source_id);
    END IF;

    INSERT INTO etl_source (tenant_id, job, server, options, owner, server_digest)
    VALUES (for_tenant, j.name, server, etl_source_add.options, quote_ident(current_user)::regrole,
            etl_server_digest(server, etl_source_add.options ->> 'fallback'))
    ON CONFLICT (tenant_id, job, server) DO NOTHING
    RETURNING source_id INTO added;
    IF added IS NULL THEN
        RAISE EXCEPTION 'tenant "%" has a source for job "%" on server "%" already', tenant, j.name, server
            USING ERRCODE = 'duplicate_object',
                  DETAIL  = 'The same server twice would count every record twice.',
                  HINT    = 'Change etl_source.options, or call etl_source_drop(source_id) first.';
    END IF;
    PERFORM etl_wake();
    RETURN added;
END
$$;
COMMENT ON FUNCTION etl_source_add(text, text, text, jsonb) IS
    'Lets a job of a tenant read from a foreign server, with the rights and the user mapping of the calling role; returns the source_id';

CREATE FUNCTION etl_source_drop(source_id bigint) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    gone etl_source;
BEGIN
    DELETE FROM etl_source s WHERE s.source_id = etl_source_drop.source_id RETURNING s.* INTO gone;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'source % does not exist', coalesce(source_id::text, 'NULL')
            USING ERRCODE = 'undefined_object', HINT = 'Sources are the rows of etl_source.';
    END IF;
    IF starts_with(gone.job, 'topo-') THEN
        RAISE NOTICE 'what source % declared stays declared', source_id
            USING HINT = format('To close its edges: SELECT topo_load(%L, %L, ''[]'', force => true).',
                                (SELECT t.code FROM dim_tenant t WHERE t.tenant_id = gone.tenant_id),
                                coalesce(gone.options ->> 'source', gone.server));
    END IF;
END
$$;
COMMENT ON FUNCTION etl_source_drop(bigint) IS
    'Removes a source. What was read from it stays, edges of the topology stay open, and its job goes on where it stopped when a source is added again';
