-- =====================================================================================================================
-- What topology answers: what was declared at an instant, what changed, what differs from the calls that were seen, what
-- stands on a resource, how two are connected, and a drawing.
--
-- The functions name fact tables, which setup creates later: hence plpgsql. They read as their caller.
-- =====================================================================================================================

CREATE FUNCTION topo_instant_require(at timestamptz) RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    IF at IS NULL OR NOT isfinite(at) THEN
        RAISE EXCEPTION 'a finite time is needed'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the instant that the question is about, such as now() - interval ''1 hour''.';
    END IF;
    RETURN at;
END
$$;
COMMENT ON FUNCTION topo_instant_require(timestamptz) IS 'The instant, or an error where it is none';

CREATE FUNCTION topo_resource_require(tenant_id bigint, urn text) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    found_id bigint;
BEGIN
    SELECT r.resource_id INTO found_id FROM dim_resource r
    WHERE r.tenant_id = topo_resource_require.tenant_id AND r.urn = urn_resolve(topo_resource_require.tenant_id, topo_resource_require.urn);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'resource % does not exist', coalesce('"' || urn || '"', 'NULL')
            USING ERRCODE = 'undefined_object',
                  HINT    = 'Resources are named by dim_resource.urn; SELECT urn FROM dim_resource WHERE name = ''...'' finds it.';
    END IF;
    RETURN found_id;
END
$$;
COMMENT ON FUNCTION topo_resource_require(bigint, text) IS 'The resource_id of that URN or of what it is another name for, or an error that says how to find it';

-- ---------------------------------------------------------------------------------------------------------------------
-- One instant, two instants
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION topology_at(tenant text, at timestamptz DEFAULT now())
RETURNS TABLE (src_urn text, dst_urn text, relation text, source text, props jsonb, valid_from timestamptz, valid_to timestamptz)
LANGUAGE plpgsql STABLE ROWS 10000
SET search_path = pg_catalog, @extschema@, pg_temp
SET jit = off
SET work_mem = '64MB'
AS $$
#variable_conflict use_column
DECLARE
    for_tenant CONSTANT bigint := etl_tenant_require(tenant);
    instant    CONSTANT timestamptz := topo_instant_require(at);
BEGIN
    -- The last condition says nothing new, but is indexed: history that ended before the instant is not read.
    RETURN QUERY
    SELECT s.urn, d.urn, e.relation, e.source, e.props, lower(e.valid), upper(e.valid)
    FROM topo_edge_time e
    JOIN dim_resource s ON s.resource_id = e.src_resource_id
    JOIN dim_resource d ON d.resource_id = e.dst_resource_id
    WHERE e.tenant_id = for_tenant AND e.valid @> instant
      AND coalesce(upper(e.valid), 'infinity') > instant
    UNION ALL
    SELECT s.urn, d.urn, j.relation, array_to_string(j.sources, ', '), topo_join_props(j.known_as), j.since, j.until
    FROM topo_joins(for_tenant, instant) AS j
    JOIN dim_resource s ON s.resource_id = j.src_resource_id
    JOIN dim_resource d ON d.resource_id = j.dst_resource_id;
END
$$;
COMMENT ON FUNCTION topology_at(text, timestamptz) IS 'The edges that were declared at an instant, and since when and until when; valid_to NULL: they still are. With those that follow from several sources, as topology_joins() has them';

CREATE FUNCTION topo_join_props(known_as text[]) RETURNS jsonb
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT jsonb_build_object('class', 'identity', 'at', known_as)
$$;
COMMENT ON FUNCTION topo_join_props(text[]) IS 'The properties of an edge that joins two names: by what they both are known as';

CREATE FUNCTION topology_diff(tenant text, t1 timestamptz, t2 timestamptz)
RETURNS TABLE (change text, src_urn text, dst_urn text, relation text, source text, props_before jsonb, props_after jsonb)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
SET jit = off
SET work_mem = '64MB'
AS $$
#variable_conflict use_column
DECLARE
    for_tenant CONSTANT bigint := etl_tenant_require(tenant);
    early CONSTANT timestamptz := least(topo_instant_require(t1), topo_instant_require(t2));
    late  CONSTANT timestamptz := greatest(t1, t2);
    back  CONSTANT boolean := t1 > t2;
BEGIN
    -- Only what has an end of its interval between the two can differ, and that is indexed. Joins are few.
    RETURN QUERY
    WITH gone AS (
        SELECT e.src_resource_id AS src, e.dst_resource_id AS dst, e.relation, e.source, e.source AS declared_by, e.props
        FROM topo_edge_time e
        WHERE e.tenant_id = for_tenant AND coalesce(upper(e.valid), 'infinity') > early AND coalesce(upper(e.valid), 'infinity') <= late AND e.valid @> early
        UNION ALL
        SELECT j.src_resource_id, j.dst_resource_id, j.relation, array_to_string(j.sources, ', '), '', topo_join_props(j.known_as)
        FROM topo_joins(for_tenant, early) AS j
    ), come AS (
        SELECT e.src_resource_id AS src, e.dst_resource_id AS dst, e.relation, e.source, e.source AS declared_by, e.props
        FROM topo_edge_time e
        WHERE e.tenant_id = for_tenant AND lower(e.valid) > early AND lower(e.valid) <= late AND e.valid @> late
        UNION ALL
        SELECT j.src_resource_id, j.dst_resource_id, j.relation, array_to_string(j.sources, ', '), '', topo_join_props(j.known_as)
        FROM topo_joins(for_tenant, late) AS j
    ), differ AS (
        -- A join is the same whoever says so.
        SELECT src, dst, relation, coalesce(c.source, g.source) AS source, CASE WHEN back THEN c.props ELSE g.props END AS before, CASE WHEN back THEN g.props ELSE c.props END AS after
        FROM gone g FULL JOIN come c USING (src, dst, relation, declared_by)
        WHERE g.props IS DISTINCT FROM c.props
    )
    SELECT CASE WHEN f.before IS NULL THEN 'opened' WHEN f.after IS NULL THEN 'closed' ELSE 'changed' END,
           s.urn, d.urn, f.relation, f.source, f.before, f.after
    FROM differ f
    JOIN dim_resource s ON s.resource_id = f.src
    JOIN dim_resource d ON d.resource_id = f.dst;
END
$$;
COMMENT ON FUNCTION topology_diff(text, timestamptz, timestamptz) IS
    'How the declared edges at t2 differ from those at t1: opened, closed, or changed in their props';

-- ---------------------------------------------------------------------------------------------------------------------
-- Declared and observed
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION topo_runs_as(urn text, relation text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    -- Roles and groups of an inventory have names within their source only: urn:topo:<source>/role%3A<name>, urn:topo:<source>/<name>.
    SELECT CASE relation
        WHEN 'RUNS_ON'  THEN coalesce(topo_caller(urn), 'urn:svc:' || substring(urn FROM '^urn:topo:[^/]*/role%3A(.+)$'))
        WHEN 'CONTAINS' THEN coalesce(substring(urn FROM '^urn:svc:.*$'), 'urn:svc:' || substring(urn FROM '^urn:topo:[^/]*/([^/%]+)$'))
    END
$$;
COMMENT ON FUNCTION topo_runs_as(text, text) IS
    'The service that is on a host if this one has such an edge to it: a role or a workload runs on it, a group contains it; NULL: none';

CREATE FUNCTION topology_drift(tenant text, since interval DEFAULT '24 hours')
RETURNS TABLE (drift text, src_urn text, dst_urn text, sources text[], calls bigint, last_seen timestamptz)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
SET jit = off
SET work_mem = '64MB'
AS $$
#variable_conflict use_column
DECLARE
    for_tenant CONSTANT bigint := etl_tenant_require(tenant);
    until CONSTANT timestamptz := etl_now();
    begins CONSTANT timestamptz := until - since;
BEGIN
    IF begins IS NULL OR begins >= until THEN
        RAISE EXCEPTION 'since must be longer than nothing'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Say how far to look back for calls, such as interval ''24 hours''.';
    END IF;
    RETURN QUERY
    WITH RECURSIVE joined AS MATERIALIZED (
        SELECT j.relation, j.src_resource_id AS a, j.dst_resource_id AS b FROM topo_joins(for_tenant, until) AS j
    ), known AS MATERIALIZED (
        SELECT r.resource_id, topo_caller(r.urn) AS urn FROM dim_resource r WHERE r.tenant_id = for_tenant AND topo_caller(r.urn) IS NOT NULL
        UNION ALL
        -- An instance or a load balancer calls nobody by that name, but by that of the host or Service.
        SELECT r.resource_id, r.urn FROM dim_resource r
        WHERE r.resource_id IN (SELECT j.a FROM joined j UNION SELECT j.b FROM joined j) AND topo_caller(r.urn) IS NULL
    ), step AS MATERIALIZED (
        SELECT a.urn, b.urn AS stands_for
        FROM (SELECT j.a, j.b FROM joined j WHERE j.relation = 'SAME_AS' UNION SELECT j.b, j.a FROM joined j) AS j
        JOIN known a ON a.resource_id = j.a JOIN known b ON b.resource_id = j.b
    ), same (urn, stands_for) AS (
        SELECT s.urn, s.stands_for FROM step s
        UNION
        SELECT s.urn, t.stands_for FROM same s JOIN step t ON t.urn = s.stands_for
    ), declared AS MATERIALIZED (
        -- What was declared at any time since counts as declared; only what still is can be missed.
        SELECT s.urn AS src, d.urn AS dst, array_agg(DISTINCT e.source ORDER BY e.source) AS sources,
               bool_or(e.valid @> until) AS still
        FROM topo_edge_time e
        JOIN known s ON s.resource_id = e.src_resource_id
        JOIN known d ON d.resource_id = e.dst_resource_id
        WHERE e.tenant_id = for_tenant AND e.relation = 'DEPENDS_ON' AND e.valid && tstzrange(begins, until, '[]') AND s.urn <> d.urn
          AND coalesce(upper(e.valid), 'infinity') > begins
          -- A Service depends on the load balancer that was made for it, and does not call it.
          AND NOT EXISTS (SELECT FROM same m WHERE m.urn = s.urn AND m.stands_for = d.urn)
          AND NOT EXISTS (SELECT FROM same m WHERE m.urn = d.urn AND m.stands_for = s.urn)
          -- What a Deployment has made calls under the name of the Deployment.
          AND NOT EXISTS (
              SELECT FROM topo_edge_time o JOIN known k ON k.resource_id = o.dst_resource_id
              WHERE o.tenant_id = for_tenant AND o.src_resource_id = e.src_resource_id AND o.relation = 'OWNED_BY'
                AND o.valid && tstzrange(begins, until, '[]'))
        GROUP BY 1, 2
    ), observed AS MATERIALIZED (
        SELECT s.urn AS src, d.urn AS dst, sum(c.calls)::bigint AS calls, max(c.bucket) AS last_seen
        FROM service_call_5m c
        JOIN known s ON s.resource_id = c.src_resource_id
        JOIN known d ON d.resource_id = c.dst_resource_id
        -- A bucket belongs to the time in which it ends.
        WHERE c.tenant_id = for_tenant AND c.bucket > begins - interval '5 min' AND c.bucket <= until AND s.urn <> d.urn
        GROUP BY 1, 2
    ), called AS (
        SELECT src AS urn FROM observed UNION SELECT dst FROM observed
    ), own_place AS MATERIALIZED (
        -- Inventories and states speak of hosts: what calls or is called stands for the hosts, too, that it is declared to be
        -- on, a database for the one that is its address.
        SELECT c.urn, c.urn AS stands_for FROM called c
        UNION
        SELECT c.urn, h.urn
        FROM topo_edge_time e
        JOIN dim_resource h ON h.resource_id = e.dst_resource_id AND h.urn LIKE 'urn:host:%'
        JOIN dim_resource s ON s.resource_id = e.src_resource_id
        JOIN called c ON c.urn = topo_runs_as(s.urn, e.relation)
        WHERE e.tenant_id = for_tenant AND e.relation IN ('RUNS_ON', 'CONTAINS') AND e.valid && tstzrange(begins, until, '[]')
          AND coalesce(upper(e.valid), 'infinity') > begins
        UNION
        SELECT c.urn, 'urn:host:' || substring(c.urn FROM '^urn:db:[^:]*:([^/]+)') FROM called c WHERE c.urn LIKE 'urn:db:%'
    ), place AS MATERIALIZED (
        SELECT p.urn, p.stands_for FROM own_place p
        UNION
        SELECT p.urn, m.stands_for FROM own_place p JOIN same m ON m.urn = p.stands_for
    ), met AS MATERIALIZED (
        SELECT d.src AS declared_src, d.dst AS declared_dst, o.src, o.dst
        FROM declared d
        JOIN place s ON s.stands_for = d.src
        JOIN place t ON t.stands_for = d.dst
        JOIN observed o ON o.src = s.urn AND o.dst = t.urn
    )
    SELECT 'declared_not_observed', d.src, d.dst, d.sources, 0::bigint, NULL::timestamptz
    FROM declared d
    WHERE d.still AND NOT EXISTS (SELECT FROM met m WHERE m.declared_src = d.src AND m.declared_dst = d.dst)
    UNION ALL
    SELECT 'observed_not_declared', o.src, o.dst, '{}', o.calls, o.last_seen
    FROM observed o
    WHERE NOT EXISTS (SELECT FROM met m WHERE m.src = o.src AND m.dst = o.dst)
    ORDER BY 1, 2, 3;
END
$$;
COMMENT ON FUNCTION topology_drift(text, interval) IS
    'DEPENDS_ON edges that are declared and were not seen in service_call_5m since, and calls that were seen and are not declared; services stand for the hosts that they are declared to be on, too, and whatever is joined (topology_joins) for each other';

-- ---------------------------------------------------------------------------------------------------------------------
-- Ways through the graph
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION topo_walk(tenant_id bigint, origin bigint, forward boolean, depth integer, at timestamptz, goal bigint DEFAULT NULL)
RETURNS TABLE (resource_id bigint, parent_id bigint, steps integer)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
    seen     bigint[];
    frontier bigint[];
    newest   bigint[] := ARRAY[origin];
    parents  bigint[] := ARRAY[NULL];
    -- Where else the frontier leads, by what several sources say together.
    way_from bigint[];
    way_to   bigint[];
    -- The other names of the newest.
    others   bigint[];
    level    integer := 0;
BEGIN
    -- Breadth first: every resource once, by one of its shortest ways. Cycles end where they began.
    LOOP
        seen     := seen || newest;
        frontier := frontier || newest;
        RETURN QUERY SELECT u.id, u.via, level FROM unnest(newest, parents) AS u (id, via);
        WITH joined AS MATERIALIZED (
            SELECT j.relation = 'SAME_AS' AS same, w.a, w.b
            FROM topo_joins(topo_walk.tenant_id, at, newest) AS j
            CROSS JOIN LATERAL (VALUES (j.src_resource_id, j.dst_resource_id, true), (j.dst_resource_id, j.src_resource_id, false)) AS w (a, b, along)
            JOIN unnest(newest) AS f (id) ON f.id = w.a
            WHERE j.relation = 'SAME_AS' OR w.along = forward
        ), other AS (
            SELECT j.b AS id, min(j.a) AS via FROM joined j
            WHERE j.same AND NOT EXISTS (SELECT FROM unnest(seen) AS v (id) WHERE v.id = j.b)
            GROUP BY 1
        )
        SELECT (SELECT array_agg(o.id ORDER BY o.id) FROM other o), (SELECT array_agg(o.via ORDER BY o.id) FROM other o),
               way_from || array_agg(j.a) FILTER (WHERE NOT j.same), way_to || array_agg(j.b) FILTER (WHERE NOT j.same)
        INTO others, parents, way_from, way_to
        FROM joined j;
        newest := others;
        -- Other names of what was reached are no step further.
        CONTINUE WHEN newest IS NOT NULL;
        EXIT WHEN level >= depth OR goal = ANY (frontier);
        level := level + 1;
        IF forward THEN
            SELECT array_agg(n.id), array_agg(n.via) INTO newest, parents FROM (
                SELECT e.id, min(e.via) AS via
                FROM (SELECT t.dst_resource_id AS id, t.src_resource_id AS via
                      FROM unnest(frontier) AS f (id)
                      JOIN topo_edge_time t ON t.tenant_id = topo_walk.tenant_id AND t.src_resource_id = f.id AND t.valid @> at
                      UNION ALL
                      SELECT w.b, w.a FROM unnest(way_from, way_to) AS w (a, b)) AS e
                WHERE NOT EXISTS (SELECT FROM unnest(seen) AS v (id) WHERE v.id = e.id)
                GROUP BY 1) AS n;
        ELSE
            SELECT array_agg(n.id), array_agg(n.via) INTO newest, parents FROM (
                SELECT e.id, min(e.via) AS via
                FROM (SELECT t.src_resource_id AS id, t.dst_resource_id AS via
                      FROM unnest(frontier) AS f (id)
                      JOIN topo_edge_time t ON t.tenant_id = topo_walk.tenant_id AND t.dst_resource_id = f.id AND t.valid @> at
                      UNION ALL
                      SELECT w.b, w.a FROM unnest(way_from, way_to) AS w (a, b)) AS e
                WHERE NOT EXISTS (SELECT FROM unnest(seen) AS v (id) WHERE v.id = e.id)
                GROUP BY 1) AS n;
        END IF;
        EXIT WHEN newest IS NULL;
        frontier := NULL;
        way_from := NULL;
        way_to   := NULL;
    END LOOP;
END
$$;
COMMENT ON FUNCTION topo_walk(bigint, bigint, boolean, integer, timestamptz, bigint) IS
    'The resources within so many steps along (forward) or against the edges of an instant, each with the one before it; other names of one machine are as far as it is; ends at the goal';

CREATE FUNCTION topo_depth_require(depth integer) RETURNS integer
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    IF depth IS NULL OR depth NOT BETWEEN 1 AND 100 THEN
        RAISE EXCEPTION 'depth must be between 1 and 100' USING ERRCODE = 'invalid_parameter_value', HINT = 'Say how many edges to follow; 3 is usual.';
    END IF;
    RETURN depth;
END
$$;
COMMENT ON FUNCTION topo_depth_require(integer) IS 'The depth, or an error where it is out of range';

-- A type of its own: columns of RETURNS TABLE could not be named like the arguments.
CREATE TYPE topo_affected AS (urn text, depth integer, path text[]);
COMMENT ON TYPE topo_affected IS 'A row of blast_radius(): what is affected, over how many edges, and the way there';

CREATE FUNCTION blast_radius(tenant text, urn text, depth integer DEFAULT 3, at timestamptz DEFAULT now())
RETURNS SETOF topo_affected
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    for_tenant CONSTANT bigint := etl_tenant_require(tenant);
    origin     CONSTANT bigint := topo_resource_require(for_tenant, blast_radius.urn);
    steps_max  CONSTANT integer := topo_depth_require(blast_radius.depth);
    instant    CONSTANT timestamptz := topo_instant_require(at);
BEGIN
    RETURN QUERY
    WITH RECURSIVE reached AS MATERIALIZED (
        SELECT w.resource_id, w.parent_id, w.steps, r.urn
        FROM topo_walk(for_tenant, origin, false, steps_max, instant) AS w JOIN dim_resource r USING (resource_id)
    ), way AS (
        SELECT w.resource_id, w.urn, w.steps, ARRAY[w.urn] AS path FROM reached w WHERE w.parent_id IS NULL
        UNION ALL
        SELECT w.resource_id, w.urn, w.steps, p.path || w.urn FROM way p JOIN reached w ON w.parent_id = p.resource_id
    )
    SELECT y.urn, y.steps, y.path FROM way y WHERE y.steps > 0 ORDER BY y.steps, y.urn;
END
$$;
COMMENT ON FUNCTION blast_radius(text, text, integer, timestamptz) IS
    'What stands on a resource: everything that leads to it along declared edges, with one of the shortest ways there. Between two names of one machine is no step';

CREATE FUNCTION topology_path(tenant text, a text, b text, at timestamptz DEFAULT now())
RETURNS TABLE (step integer, urn text, relation text, source text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    for_tenant CONSTANT bigint := etl_tenant_require(tenant);
    origin     CONSTANT bigint := topo_resource_require(for_tenant, a);
    goal       CONSTANT bigint := topo_resource_require(for_tenant, b);
    instant    CONSTANT timestamptz := topo_instant_require(at);
BEGIN
    RETURN QUERY
    WITH RECURSIVE reached AS MATERIALIZED (
        SELECT w.* FROM topo_walk(for_tenant, origin, true, 100, instant, goal) AS w
    ), way AS (
        SELECT w.resource_id, w.parent_id, 0 AS before FROM reached w WHERE w.resource_id = goal
        UNION ALL
        SELECT w.resource_id, w.parent_id, p.before + 1 FROM way p JOIN reached w ON w.resource_id = p.parent_id
    ), joined AS MATERIALIZED (
        SELECT j.src_resource_id AS a, j.dst_resource_id AS b, j.relation, array_to_string(j.sources, ', ') AS source FROM topo_joins(for_tenant, instant, ARRAY(SELECT y.resource_id FROM way y)) AS j
    )
    SELECT (max(y.before) OVER () - y.before)::integer AS step, r.urn, e.relation, e.source
    FROM way y
    JOIN dim_resource r USING (resource_id)
    LEFT JOIN LATERAL (
        SELECT e.relation, e.source FROM topo_edge_time e
        WHERE e.tenant_id = for_tenant AND e.src_resource_id = y.parent_id AND e.dst_resource_id = y.resource_id AND e.valid @> instant
        UNION ALL
        SELECT j.relation, j.source FROM joined j
        WHERE j.a = y.parent_id AND j.b = y.resource_id OR j.relation = 'SAME_AS' AND j.b = y.parent_id AND j.a = y.resource_id
        ORDER BY 1, 2 LIMIT 1
    ) AS e ON true
    ORDER BY 1;
END
$$;
COMMENT ON FUNCTION topology_path(text, text, text, timestamptz) IS
    'A shortest way from a to b along declared edges, at most 100 of them: one row a resource, with the edge that leads to it; no rows where there is none';

CREATE FUNCTION topology_dot(tenant text, at timestamptz DEFAULT now()) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    for_tenant CONSTANT bigint := etl_tenant_require(tenant);
    instant    CONSTANT timestamptz := topo_instant_require(at);
    drawing    text;
BEGIN
    WITH edge AS MATERIALIZED (
        SELECT DISTINCT e.src_resource_id AS src, e.dst_resource_id AS dst, e.relation, '' AS style
        FROM topo_edge_time e
        WHERE e.tenant_id = for_tenant AND e.valid @> instant
          AND coalesce(upper(e.valid), 'infinity') > instant
        UNION ALL
        SELECT j.src_resource_id, j.dst_resource_id, j.relation, CASE j.relation WHEN 'SAME_AS' THEN ', style=dashed, dir=none' ELSE ', style=dashed' END
        FROM topo_joins(for_tenant, instant) AS j
    ), node AS (
        SELECT src AS id FROM edge UNION SELECT dst FROM edge
    ), line (part, key1, key2, key3, content) AS (
        SELECT 1, r.urn, '', '', format('  %s [label=%s, tooltip=%s];', r.resource_id, topo_dot_text(r.name), topo_dot_text(r.urn))
        FROM node n JOIN dim_resource r ON r.resource_id = n.id
        UNION ALL
        SELECT 2, s.urn, d.urn, e.relation, format('  %s -> %s [label=%s%s];', e.src, e.dst, topo_dot_text(e.relation), e.style)
        FROM edge e JOIN dim_resource s ON s.resource_id = e.src JOIN dim_resource d ON d.resource_id = e.dst
    )
    SELECT string_agg(content || E'\n', '' ORDER BY part, key1 COLLATE "C", key2 COLLATE "C", key3 COLLATE "C") INTO drawing FROM line;
    RETURN E'digraph topology {\n  rankdir=LR;\n  node [shape=box];\n' || coalesce(drawing, '') || E'}\n';
END
$$;
COMMENT ON FUNCTION topology_dot(text, timestamptz) IS 'The edges of an instant in the DOT language of Graphviz, dashed where they follow from several sources (topology_joins)';

CREATE FUNCTION topo_dot_text(value text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    -- In DOT a backslash begins an escape in labels, and a quote ends them.
    SELECT '"' || replace(replace(replace(value, '\', '\\'), '"', '\"'), E'\n', '\n') || '"'
$$;
COMMENT ON FUNCTION topo_dot_text(text) IS 'A quoted text of the DOT language';
