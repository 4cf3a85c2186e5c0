-- =====================================================================================================================
-- The components of observe_bridge_setup(). Each function sets up one and returns its status: ready, created, absent or
-- skipped, and a detail. A failure is an exception, which observe_bridge_setup() reports.
--
-- Nothing of an optional extension is named outside dynamic SQL, so all of this works in a database that has none.
-- =====================================================================================================================

CREATE FUNCTION etl_setup_facts(OUT status text, OUT detail text)
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    facts record;
    tenants bigint;
BEGIN
    SELECT * INTO facts FROM etl_facts_create();
    PERFORM etl_partitions_ensure(etl_now());

    -- Facts of an earlier installation may belong to tenants that only their rows remember.
    INSERT INTO dim_tenant (tenant_id, code)
    SELECT r.tenant_id, 'tenant_' || r.tenant_id
    FROM (SELECT DISTINCT tenant_id FROM dim_resource) r
    WHERE NOT EXISTS (SELECT FROM dim_tenant t WHERE t.tenant_id = r.tenant_id)
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS tenants = ROW_COUNT;
    IF tenants > 0 THEN
        PERFORM setval(pg_get_serial_sequence('@extschema@.dim_tenant', 'tenant_id'), greatest((SELECT max(tenant_id) FROM dim_tenant), 1));
    END IF;

    status := CASE WHEN facts.created = '{}' THEN 'ready' ELSE 'created' END;
    detail := concat_ws('; ',
        'created: ' || nullif(array_to_string(facts.created, ', '), ''),
        'adopted: ' || nullif(array_to_string(facts.adopted, ', '), ''),
        CASE WHEN tenants > 0 THEN format('tenants found in the facts and added: %s', tenants) END);
END
$$;
COMMENT ON FUNCTION etl_setup_facts() IS 'Component of observe_bridge_setup(): fact and knowledge-base tables';

CREATE FUNCTION etl_setup_timescaledb(OUT status text, OUT detail text)
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    ts text := etl_extension_schema('timescaledb');
    fact record;
    done text[] := '{}';
    native text[] := '{}';
    is_hypertable boolean;
BEGIN
    IF ts IS NULL THEN
        status := 'absent';
        detail := etl_absent('timescaledb', 'the large tables are natively partitioned');
        RETURN;
    END IF;
    status := 'ready';
    FOR fact IN
        SELECT f.name, f.chunk, c.relkind FROM etl_fact_tables() f
        JOIN pg_class c ON c.oid = to_regclass('@extschema@.' || quote_ident(f.name))
        WHERE f.chunk IS NOT NULL ORDER BY f.ordinal
    LOOP
        IF fact.relkind = 'p' THEN
            native := native || fact.name;
            CONTINUE;
        END IF;
        EXECUTE 'SELECT EXISTS (SELECT FROM timescaledb_information.hypertables WHERE hypertable_schema = $1 AND hypertable_name = $2)'
            INTO is_hypertable USING (SELECT nspname FROM pg_namespace WHERE oid = '@extschema@'::regnamespace), fact.name;
        IF NOT is_hypertable THEN
            EXECUTE format('SELECT %I.create_hypertable(%L::regclass, ''bucket'', chunk_time_interval => %L::interval, '
                           'create_default_indexes => false, migrate_data => true)',
                           ts, format('@extschema@.%I', fact.name), fact.chunk);
            status := 'created';
        END IF;
        done := done || fact.name;
    END LOOP;
    IF done = '{}' THEN
        status := 'skipped';
    END IF;
    detail := concat_ws('; ',
        'hypertables: ' || nullif(array_to_string(done, ', '), ''),
        'natively partitioned before timescaledb was installed, and left so: ' || nullif(array_to_string(native, ', '), ''));
END
$$;
COMMENT ON FUNCTION etl_setup_timescaledb() IS 'Component of observe_bridge_setup(): hypertables';

CREATE FUNCTION etl_setup_age(OUT status text, OUT detail text)
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    graph record;
    namespace record;
    made text[] := '{}';
    step record;
BEGIN
    IF etl_extension_schema('age') IS NULL THEN
        status := 'absent';
        detail := etl_absent('age', 'there is no call graph');
        RETURN;
    END IF;
    -- AGE 1.5 makes a label by an ALTER TABLE that event triggers do not know of: where any exist (TimescaleDB has some),
    -- doing so inside CREATE EXTENSION ends the server process (SIGSEGV in EventTriggerCollectAlterTableSubcmd).
    IF (to_regclass('ops."Resource"') IS NULL OR to_regclass('ops."CALLS"') IS NULL OR to_regclass('ops."STRUCT"') IS NULL)
       AND EXISTS (SELECT FROM pg_event_trigger WHERE evtenabled <> 'D')
       AND etl_in_extension_script()
    THEN
        status := 'skipped';
        detail := 'run SELECT observe_bridge_setup() once: AGE cannot make a graph inside CREATE EXTENSION in a database with event triggers';
        RETURN;
    END IF;
    -- AGE resolves its operators by search_path. The clause of this function puts the old one back.
    PERFORM set_config('search_path', 'pg_catalog, ag_catalog, @extschema@, pg_temp', true);
    -- Any C function of AGE loads its library, which LOAD only allows superusers.
    EXECUTE 'SELECT ag_catalog.agtype_build_map()';

    EXECUTE 'SELECT g.graphid FROM ag_catalog.ag_graph g WHERE g.name = ''ops''' INTO graph;
    SELECT n.oid, n.nspowner INTO namespace FROM pg_namespace n WHERE n.nspname = 'ops';
    IF namespace.oid IS NOT NULL THEN
        PERFORM etl_adopt_check('schema', 'ops', namespace.nspowner);
        IF graph.graphid IS NULL OR graph.graphid <> namespace.oid THEN
            -- A dump keeps the catalog rows of a graph with the oids of the old database, and its calls are of the past.
            -- It is a projection of service_call_5m and topo_edge_time: the next refresh fills a new one. Anything else in that schema is
            -- somebody's work.
            IF to_regclass('ops._ag_label_vertex') IS NULL
               OR EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = namespace.oid)
               OR EXISTS (
                   SELECT FROM pg_class c
                   WHERE c.relnamespace = namespace.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
                     AND c.relname NOT IN ('_ag_label_vertex', '_ag_label_edge')
                     AND NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid
                                     AND i.inhparent IN (to_regclass('ops._ag_label_vertex'), to_regclass('ops._ag_label_edge'))))
            THEN
                RAISE EXCEPTION 'schema "ops" exists and is not just a graph'
                    USING ERRCODE = 'duplicate_schema',
                          HINT    = 'Rename the schema, then run observe_bridge_setup(): the graph "ops" needs its name.';
            END IF;
            -- Catalog rows first: AGE protects the tables of labels it knows.
            IF graph.graphid IS NOT NULL THEN
                EXECUTE 'DELETE FROM ag_catalog.ag_label WHERE graph = $1' USING graph.graphid;
                EXECUTE 'DELETE FROM ag_catalog.ag_graph WHERE graphid = $1' USING graph.graphid;
            END IF;
            DROP SCHEMA ops CASCADE;
            graph.graphid := NULL;
            made := made || 'rebuilt after a restore'::text;
        END IF;
    END IF;
    IF graph.graphid IS NULL THEN
        EXECUTE 'SELECT ag_catalog.create_graph(''ops'')';
        made := made || 'graph ops'::text;
    END IF;

    FOR step IN
        SELECT * FROM (VALUES
            ('Resource', $q$SELECT ag_catalog.create_vlabel('ops', 'Resource')$q$),
            ('CALLS',    $q$SELECT ag_catalog.create_elabel('ops', 'CALLS')$q$),
            ('STRUCT',   $q$SELECT ag_catalog.create_elabel('ops', 'STRUCT')$q$),
            -- AGE makes no index. Cypher uses GIN for {key: value} patterns and this btree form for n.rid = value.
            ('resource_id_idx',         'CREATE UNIQUE INDEX resource_id_idx ON ops."Resource" (id)'),
            ('resource_properties_idx', 'CREATE INDEX resource_properties_idx ON ops."Resource" USING gin (properties)'),
            ('resource_rid_idx',        'CREATE UNIQUE INDEX resource_rid_idx ON ops."Resource" '
                                        '(ag_catalog.agtype_access_operator(properties, ''"rid"''::ag_catalog.agtype))'),
            ('resource_tenant_idx',     'CREATE INDEX resource_tenant_idx ON ops."Resource" '
                                        '(ag_catalog.agtype_access_operator(properties, ''"tenant_id"''::ag_catalog.agtype))'),
            ('calls_edge_idx',          'CREATE UNIQUE INDEX calls_edge_idx ON ops."CALLS" (start_id, end_id)'),
            ('calls_end_idx',           'CREATE INDEX calls_end_idx ON ops."CALLS" (end_id)'),
            -- Not unique: several sources may declare the same, and one source several relations.
            ('struct_edge_idx',         'CREATE INDEX struct_edge_idx ON ops."STRUCT" (start_id, end_id)'),
            ('struct_end_idx',          'CREATE INDEX struct_end_idx ON ops."STRUCT" (end_id)')
        ) AS s (relation, command)
    LOOP
        IF to_regclass(format('ops.%I', step.relation)) IS NULL THEN
            EXECUTE step.command;
            made := made || step.relation;
        END IF;
    END LOOP;

    -- Cypher is a function of AGE's schema, which only its owner may use by default.
    EXECUTE 'GRANT USAGE ON SCHEMA ag_catalog TO observe_bridge_reader, observe_bridge_operator, pg_monitor';
    GRANT USAGE ON SCHEMA ops TO observe_bridge_reader, observe_bridge_operator, pg_monitor;
    GRANT SELECT ON ALL TABLES IN SCHEMA ops TO observe_bridge_reader, observe_bridge_operator, pg_monitor;
    IF made <> '{}' THEN
        -- What is declared may not change for weeks: the graph does not wait for that.
        PERFORM etl_graph_follow(t.tenant_id) FROM dim_tenant t WHERE t.graph_structure;
    END IF;
    status := CASE WHEN made = '{}' THEN 'ready' ELSE 'created' END;
    detail := concat_ws('; ', 'graph ops with Resource, CALLS and STRUCT', 'created: ' || nullif(array_to_string(made, ', '), ''));
END
$$;
COMMENT ON FUNCTION etl_setup_age() IS
    'Component of observe_bridge_setup(): the graph "ops", its labels and their indexes';

CREATE FUNCTION etl_setup_vector(OUT status text, OUT detail text)
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    vector text := etl_extension_schema('vector');
BEGIN
    IF vector IS NULL THEN
        status := 'absent';
        detail := etl_absent('vector', 'kb_chunk has no column embedding');
        RETURN;
    END IF;
    status := 'ready';
    detail := 'kb_chunk.embedding with an HNSW index';
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = '@extschema@.kb_chunk'::regclass AND attname = 'embedding' AND NOT attisdropped) THEN
        EXECUTE format('ALTER TABLE @extschema@.kb_chunk ADD COLUMN embedding %I.vector(1536)', vector);
        status := 'created';
    END IF;
    IF to_regclass('@extschema@.kb_chunk_embedding_idx') IS NULL THEN
        EXECUTE format('CREATE INDEX kb_chunk_embedding_idx ON @extschema@.kb_chunk USING hnsw (embedding %I.vector_cosine_ops)', vector);
        status := 'created';
    END IF;
END
$$;
COMMENT ON FUNCTION etl_setup_vector() IS 'Component of observe_bridge_setup(): embeddings of kb_chunk';

CREATE FUNCTION etl_setup_pg_trgm(OUT status text, OUT detail text)
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    trgm text := etl_extension_schema('pg_trgm');
BEGIN
    IF trgm IS NULL THEN
        status := 'absent';
        detail := etl_absent('pg_trgm', 'log_pattern.pattern has no trigram index');
        RETURN;
    END IF;
    status := 'ready';
    detail := 'trigram index on log_pattern.pattern';
    IF to_regclass('@extschema@.log_pattern_pattern_idx') IS NULL THEN
        EXECUTE format('CREATE INDEX log_pattern_pattern_idx ON @extschema@.log_pattern USING gin (pattern %I.gin_trgm_ops)', trgm);
        status := 'created';
    END IF;
END
$$;
COMMENT ON FUNCTION etl_setup_pg_trgm() IS 'Component of observe_bridge_setup(): the trigram index on log patterns';

CREATE FUNCTION etl_setup_pg_cron(OUT status text, OUT detail text)
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    IF etl_extension_schema('pg_cron') IS NULL THEN
        status := 'absent';
        detail := etl_absent('pg_cron', 'not needed while the background workers run');
    ELSE
        -- Not scheduled from here: with preloaded workers it would only be a second, slower driver.
        status := 'ready';
        detail := 'without shared_preload_libraries, schedule both every minute: SELECT @extschema@.etl_tick() and CALL @extschema@.etl_run()';
    END IF;
END
$$;
COMMENT ON FUNCTION etl_setup_pg_cron() IS 'Component of observe_bridge_setup(): pg_cron as a driver';

CREATE FUNCTION etl_setup_pg_stat_statements(OUT status text, OUT detail text)
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    IF etl_extension_schema('pg_stat_statements') IS NULL THEN
        status := 'absent';
        detail := etl_absent('pg_stat_statements', 'nothing depends on it');
    ELSE
        status := 'ready';
        detail := 'statements of the workers appear there';
    END IF;
END
$$;
COMMENT ON FUNCTION etl_setup_pg_stat_statements() IS 'Component of observe_bridge_setup(): pg_stat_statements';
