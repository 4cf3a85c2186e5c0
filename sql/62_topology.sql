-- =====================================================================================================================
-- Topology: what a source declares, kept as intervals in topo_edge_time.
--
-- A load is the whole of what one source declares at an instant. It is compared with what is open of that source: what is
-- new opens, what is gone closes, what has other properties does both, everything else is not touched. A source never
-- closes the edges of another. The comparison is in 65_topology_diff.sql; what topology has to say afterwards is in
-- 63_topology_questions.sql.
--
-- The functions name fact tables, which setup creates later: hence plpgsql, whose bodies are resolved when they run.
-- =====================================================================================================================

CREATE TABLE topo_source_state (
    tenant_id bigint      NOT NULL,
    source    text        NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT '-infinity',
    edges     bigint      NOT NULL DEFAULT 0,
    digest    bigint,
    naming    bigint,
    reading   bigint,
    validator jsonb,
    PRIMARY KEY (tenant_id, source)
);
COMMENT ON TABLE  topo_source_state           IS 'The newest load of each source of topology; its row is the lock of the source''s writer';
COMMENT ON COLUMN topo_source_state.loaded_at IS 'The instant of the newest load; an older one may not change anything';
COMMENT ON COLUMN topo_source_state.edges     IS 'Edges that are open since';
COMMENT ON COLUMN topo_source_state.digest    IS 'topo_digest() of the newest load: the same once more needs no comparison';
COMMENT ON COLUMN topo_source_state.naming    IS 'urn_naming() at the newest load: with other rules the same edges have other ends';
COMMENT ON COLUMN topo_source_state.reading   IS 'A hash of how a job read the document of the newest load: its address, the options of the source, the version';
COMMENT ON COLUMN topo_source_state.validator IS 'What the server said of that document, {"etag": ...} or {"modified": ...}; NULL: nothing, or the newest load was no job''s';

-- ---------------------------------------------------------------------------------------------------------------------
-- Properties of an edge that one load names several times
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION topo_props_join(a jsonb, b jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    -- The greater of two values: the same whatever the order.
    SELECT a || b || coalesce(jsonb_object_agg(l.key, greatest(l.value, b -> l.key)), '{}')
    FROM jsonb_each(a) AS l WHERE b ? l.key
$$;
COMMENT ON FUNCTION topo_props_join(jsonb, jsonb) IS 'The keys of both objects; of a key in both, the greater value';

-- Of a single row the state is its value: the function is called for repeated edges only.
CREATE AGGREGATE topo_props(jsonb) (SFUNC = topo_props_join, STYPE = jsonb);
COMMENT ON AGGREGATE topo_props(jsonb) IS 'Joins the properties of an edge that is named several times, in any order';

-- ---------------------------------------------------------------------------------------------------------------------
-- Loading
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION topo_edges_check(edges jsonb) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    expected CONSTANT text := 'Give a JSON array of {"src": "urn:...", "dst": "urn:...", "relation": "DEPENDS_ON", "props": {}}; props may be left out.';
    unreadable CONSTANT text := 'has "props" that nest too deeply, or hold a number that is too large';
    place bigint;
    what  text;
    wrong jsonb;
BEGIN
    IF edges IS NULL OR jsonb_typeof(edges) <> 'array' THEN
        RAISE EXCEPTION 'edges must be a JSON array, not %', coalesce(jsonb_typeof(edges), 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = expected;
    END IF;
    -- Lengths keep keys within what a B-tree page takes. Values are not shown, they are somebody's data; ends
    -- and relation only where they have been found to be such.
    SELECT n, reason, edge INTO place, what, wrong
    FROM jsonb_array_elements(edges) WITH ORDINALITY AS e (edge, n)
    CROSS JOIN LATERAL (SELECT CASE
        WHEN jsonb_typeof(edge) <> 'object'                                       THEN 'is not an object'
        WHEN jsonb_typeof(edge -> 'src') IS DISTINCT FROM 'string'                THEN 'has no text "src"'
        WHEN jsonb_typeof(edge -> 'dst') IS DISTINCT FROM 'string'                THEN 'has no text "dst"'
        WHEN jsonb_typeof(edge -> 'relation') IS DISTINCT FROM 'string'           THEN 'has no text "relation"'
        WHEN jsonb_typeof(edge -> 'props') NOT IN ('object', 'null')              THEN 'has "props" that are no object'
        WHEN octet_length(edge ->> 'src') NOT BETWEEN 1 AND 2000                  THEN 'has a "src" that is empty or longer than 2000 bytes'
        WHEN octet_length(edge ->> 'dst') NOT BETWEEN 1 AND 2000                  THEN 'has a "dst" that is empty or longer than 2000 bytes'
        WHEN octet_length(edge ->> 'relation') NOT BETWEEN 1 AND 200              THEN 'has a "relation" that is empty or longer than 200 bytes'
        WHEN topo_mask_props((edge -> 'props')::text) = 'null'                    THEN unreadable
    END) AS checked (reason)
    WHERE reason IS NOT NULL
    LIMIT 1;
    IF what = unreadable THEN
        RAISE EXCEPTION 'edge % % (src "%", dst "%", relation "%")', place, what, left(topo_mask_end(wrong ->> 'src'), 200),
            left(topo_mask_end(wrong ->> 'dst'), 200), wrong ->> 'relation'
            USING ERRCODE = 'program_limit_exceeded',
                  HINT    = 'Leave out what is nested more than 100 levels deep, and give numbers beyond 1e308 as texts.';
    ELSIF FOUND THEN
        RAISE EXCEPTION 'edge % %', place, what USING ERRCODE = 'invalid_parameter_value', HINT = expected;
    END IF;
END
$$;
COMMENT ON FUNCTION topo_edges_check(jsonb) IS 'Refuses edges that topo_load cannot read, naming the first one by its number';

CREATE FUNCTION topo_edges_unpack(edges jsonb, places integer[], OUT srcs text[], OUT dsts text[], OUT relations text[], OUT props jsonb[])
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, @extschema@, pg_temp
SET jit = off
SET work_mem = '64MB'
AS $$
DECLARE
    all_well boolean := jsonb_typeof(edges) = 'array';
    chosen   jsonb   := edges;
BEGIN
    IF all_well THEN
        IF places IS NOT NULL THEN
            SELECT coalesce(jsonb_agg(edges -> (p - 1)), '[]') INTO chosen FROM unnest(places) AS p;
        END IF;
        -- In one pass: unpacking is what costs. Which edge is wrong, and why, is found out when one is.
        -- What is checked is what was given, what comes out is without secrets.
        SELECT array_agg(topo_mask_end(e.src)), array_agg(topo_mask_end(e.dst)), array_agg(e.relation),
               array_agg(e.props),
               coalesce(bool_and(coalesce(
                   e.texts AND octet_length(e.src) BETWEEN 1 AND 2000 AND octet_length(e.dst) BETWEEN 1 AND 2000
                   AND octet_length(e.relation) BETWEEN 1 AND 200 AND jsonb_typeof(e.props) = 'object', false)), true)
        INTO srcs, dsts, relations, props, all_well
        FROM (SELECT j.edge ->> 'src' AS src, j.edge ->> 'dst' AS dst, j.edge ->> 'relation' AS relation,
                     coalesce(topo_mask_props((j.edge -> 'props')::text)::jsonb, nullif(j.edge -> 'props', 'null'), '{}') AS props,
                     jsonb_typeof(j.edge -> 'src') = 'string' AND jsonb_typeof(j.edge -> 'dst') = 'string'
                     AND jsonb_typeof(j.edge -> 'relation') = 'string' AS texts
              FROM jsonb_array_elements(chosen) AS j (edge) OFFSET 0) AS e;
    END IF;
    IF all_well IS NOT TRUE THEN
        PERFORM topo_edges_check(edges);
    END IF;
END
$$;
COMMENT ON FUNCTION topo_edges_unpack(jsonb, integer[]) IS
    'The columns of the edges at these places of an array, of all where places is NULL, without secrets; NULL where there are none; refuses what topo_load cannot read';

CREATE FUNCTION topo_resources_ensure(tenant_id bigint, source text, srcs text[], dsts text[], OUT ids text[], OUT resource_ids bigint[])
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
SET jit = off
SET work_mem = '64MB'
AS $$
#variable_conflict use_variable
DECLARE
    urns    text[];
    types   text[];
    names   text[];
    known   text[];
    lacking boolean;
BEGIN
    SELECT array_agg(n.id), array_agg(topo_urn(n.id, source)) INTO ids, urns
    FROM (SELECT unnest(srcs) UNION SELECT unnest(dsts)) AS n (id);
    -- From here on by the names that the tenant's rules give.
    SELECT e.known_as, e.types, e.names INTO urns, types, names FROM urn_enter(tenant_id, coalesce(urns, '{}')) AS e;
    LOOP
        SELECT array_agg(u.id), array_agg(r.resource_id), coalesce(bool_or(r.resource_id IS NULL), false) INTO known, resource_ids, lacking
        FROM unnest(ids, urns) AS u (id, urn)
        LEFT JOIN dim_resource r ON r.tenant_id = topo_resources_ensure.tenant_id AND r.urn = u.urn;
        EXIT WHEN NOT lacking;
        -- Somebody else may enter the same resource at the same time: what is read next sees it.
        INSERT INTO dim_resource AS r (tenant_id, urn, type, name)
        SELECT DISTINCT ON (u.urn COLLATE "C") tenant_id, u.urn, u.type, u.name
        FROM unnest(urns, types, names) AS u (urn, type, name)
        WHERE NOT EXISTS (SELECT FROM dim_resource k WHERE k.tenant_id = topo_resources_ensure.tenant_id AND k.urn = u.urn)
        -- By bytes, as the job oo-agg does it: two that enter the same names in different orders would wait for each other.
        ORDER BY u.urn COLLATE "C", u.type, u.name
        ON CONFLICT DO NOTHING;
    END LOOP;
    ids := known;
END
$$;
COMMENT ON FUNCTION topo_resources_ensure(bigint, text, text[], text[]) IS
    'Enters what edges name into dim_resource, where it is missing; returns the names in the edges beside their resources';

CREATE FUNCTION topo_source_lock(tenant_id bigint, source text) RETURNS topo_source_state
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    state topo_source_state;
BEGIN
    -- Locking in one statement and reading in the next ones: those see what the previous holder did.
    INSERT INTO topo_source_state (tenant_id, source) VALUES (topo_source_lock.tenant_id, topo_source_lock.source) ON CONFLICT DO NOTHING;
    SELECT s.* INTO STRICT state FROM topo_source_state s
    WHERE s.tenant_id = topo_source_lock.tenant_id AND s.source = topo_source_lock.source FOR UPDATE;
    IF state.loaded_at = '-infinity' THEN
        -- Facts may be older than this installation of the extension.
        SELECT coalesce(max(greatest(lower(e.valid), upper(e.valid))), '-infinity') INTO state.loaded_at
        FROM (SELECT t.valid FROM topo_edge_time t WHERE t.tenant_id = topo_source_lock.tenant_id AND t.source = topo_source_lock.source
              UNION ALL
              SELECT i.valid FROM topo_identity_time i WHERE i.tenant_id = topo_source_lock.tenant_id AND i.source = topo_source_lock.source) AS e;
    END IF;
    RETURN state;
END
$$;
COMMENT ON FUNCTION topo_source_lock(bigint, text) IS 'Makes the caller the only writer of a source until its transaction ends; returns where the source stands';

CREATE FUNCTION topo_load(tenant text, source text, edges jsonb, at timestamptz DEFAULT now(), max_shrink real DEFAULT 0.5,
    force boolean DEFAULT false, identities jsonb DEFAULT '[]', OUT opened bigint, OUT closed bigint, OUT unchanged bigint)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    -- So many edges may go by themselves: a small source shrinks by half when one thing is removed.
    few CONSTANT bigint := 10;
    for_tenant CONSTANT bigint := etl_tenant_require(tenant);
    vanished   bigint;
    told       bigint;
    state      topo_source_state;
    before     bigint;
    after      bigint;
    kept       bigint;
    standing   bigint;
    digests    bigint[];
    declared   record;
    found      record;
    called     bigint := urn_naming(for_tenant);
    renamed    bigint;
BEGIN
    IF coalesce(octet_length(source), 0) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION 'the source must be named by 1 to 200 bytes'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT    = 'Name what declares the edges, always the same: a state, a cluster, an inventory. A load closes only what its own source declared.';
    ELSIF at IS NULL OR NOT isfinite(at) THEN
        RAISE EXCEPTION 'at must be a finite time'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the instant at which the source declared these edges; the default is now().';
    ELSIF at > greatest(now(), etl_now()) + interval '5 minutes' THEN
        RAISE EXCEPTION 'at lies in the future: %', at
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL  = 'Every load until then would count as older.',
                  HINT    = 'Give the instant at which the source declared these edges; the default is now().';
    ELSIF max_shrink IS NULL OR NOT max_shrink BETWEEN 0 AND 1 THEN
        RAISE EXCEPTION 'max_shrink must be between 0 and 1'
            USING ERRCODE = 'invalid_parameter_value', HINT = '0.5, the default, refuses a load that would leave less than half of the edges.';
    END IF;
    IF jsonb_typeof(edges) = 'array' THEN
        -- Unpacked once, not by each of the steps.
        edges := edges || '[]'::jsonb;
        told  := topo_digest(edges);
    END IF;
    IF identities IS DISTINCT FROM '[]' THEN
        -- A NULL is refused below, and no newest load has its digest.
        told := told # topo_digest(identities);
    END IF;
    state := topo_source_lock(for_tenant, source);

    SELECT count(*) INTO standing FROM topo_edge_time t WHERE t.tenant_id = for_tenant AND t.source = topo_load.source AND upper_inf(t.valid);

    -- The same load once more. The count notices rows that somebody removed by hand.
    IF at >= state.loaded_at AND told = state.digest AND called = state.naming AND state.edges = standing THEN
        UPDATE topo_source_state s SET loaded_at = at
        WHERE s.tenant_id = for_tenant AND s.source = topo_load.source AND s.loaded_at < at;
        SELECT 0, 0, standing INTO opened, closed, unchanged;
        RETURN;
    END IF;

    digests := topo_edge_digests(edges);
    IF at >= state.loaded_at AND called = state.naming AND standing > 0 THEN
        SELECT d.* INTO opened, closed, unchanged, vanished
        FROM topo_delta_apply(for_tenant, source, at, state.loaded_at, edges, digests, called, standing) AS d;
    END IF;
    IF opened IS NULL THEN
        declared := topo_edges_unpack(edges, NULL);
        found    := topo_resources_ensure(for_tenant, source, declared.srcs, declared.dsts);
        -- Names may have become ambiguous.
        called   := urn_naming(for_tenant);
        SELECT d.* INTO opened, closed, unchanged, vanished
        FROM topo_diff_apply(for_tenant, source, at, state.loaded_at, declared.srcs, declared.dsts, declared.relations, declared.props,
                             digests, called, found.ids, found.resource_ids, NULL, coalesce(called <> state.naming, false)) AS d;
    END IF;
    -- After the edges: then it is known which names are ambiguous.
    renamed := topo_identities_apply(for_tenant, source, at, state.loaded_at, identities);
    before := closed + unchanged;
    after  := opened + unchanged;
    -- By other rules, or since a name has become ambiguous, things are called otherwise: that alone takes nothing away.
    kept   := CASE WHEN called <> state.naming THEN least(before, after) ELSE before - vanished END;
    IF at < state.loaded_at THEN
        IF opened + closed + renamed > 0 THEN
            RAISE EXCEPTION 'source "%" was loaded as of %, this load is older', source, state.loaded_at
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      DETAIL  = format('As of %s it would open %s and close %s edges, and change %s names.', at, opened, closed, renamed),
                      HINT    = 'Load snapshots in the order of their times. One that says what is known of its time already is accepted.';
        END IF;
        RETURN;
    END IF;
    IF NOT coalesce(force, false) AND (after = 0 AND before > 0 OR before > few AND kept < before * (1 - max_shrink::float8)) THEN
        RAISE EXCEPTION 'source "%" would lose % of its % edges', source, before - kept, before
            USING ERRCODE = 'data_exception',
                  DETAIL  = format('The source may be empty, cut off or of another kind. %s is refused.',
                                   CASE after WHEN 0 THEN 'An empty load' ELSE format('Losing more than %s %%', round(max_shrink::numeric * 100)) END),
                  HINT    = 'Check what was read. If it is right, load it with force => true.';
    END IF;
    UPDATE topo_source_state s SET loaded_at = at, edges = after, digest = told, naming = called, reading = NULL, validator = NULL
    WHERE s.tenant_id = for_tenant AND s.source = topo_load.source;
END
$$;
COMMENT ON FUNCTION topo_load(text, text, jsonb, timestamptz, real, boolean, jsonb) IS
    'Takes in all that a source declares at an instant, an array of {src, dst, relation, props}: what is new opens, what is gone closes, what has other props does both. identities: what its things are known as, too, an array of {urn, role, known_as}';
