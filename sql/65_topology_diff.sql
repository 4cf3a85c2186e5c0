-- =====================================================================================================================
-- The temporal diff: a load against the open edges of its source. Once for a whole load, and once for what differs of it.
--
-- Unpacking an array of edges and finding their resources is what a load costs, so it is done only for what differs:
-- topo_edge_time.digest has the digest of the element that a row was made of. An element is what names the edge and its
-- properties, and together with urn_naming() it is the resources. Both are in the digest: an open row with the digest of
-- an element is what that element would become. Rows of edges that one load named several times have none; they and what
-- names them are compared each time.
-- =====================================================================================================================

CREATE FUNCTION topo_diff_apply(tenant_id bigint, source text, at timestamptz, loaded_at timestamptz,
    srcs text[], dsts text[], relations text[], props jsonb[], digests bigint[], naming bigint, ids text[], resource_ids bigint[], row_ids tid[],
    renamed boolean, OUT opened bigint, OUT closed bigint, OUT unchanged bigint, OUT vanished bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
SET jit = off
-- What is joined has no statistics, and sorting texts costs more than hashing them.
SET enable_mergejoin = off
SET work_mem = '64MB'
AS $function$
BEGIN
    -- What is changed goes before what is added: the exclusion constraint is checked row by row, hence the conditions on
    -- the counts. An edge that opened at this very instant is removed instead of closed, since an interval is not empty;
    -- one that closed at this very instant goes on. Of an older load only the counts are taken.
    EXECUTE format($$
        WITH resource AS (
            SELECT u.id, u.resource_id FROM unnest($5, $6) AS u (id, resource_id)
        ), declared AS (
            SELECT s.resource_id AS src, d.resource_id AS dst, e.relation, topo_props(e.props) AS props,
                   CASE count(*) WHEN 1 THEN min(e.digest) # $12 END AS digest
            FROM unnest($7, $8, $9, $10, $11) AS e (src, dst, relation, props, digest)
            LEFT JOIN resource s ON s.id = e.src
            LEFT JOIN resource d ON d.id = e.dst
            GROUP BY 1, 2, 3
        ), standing AS (
            SELECT t.ctid AS row_id, t.src_resource_id AS src, t.dst_resource_id AS dst, t.relation, t.props, t.digest,
                   lower(t.valid) = $3 AS is_new
            FROM topo_edge_time t WHERE t.tenant_id = $1 AND t.source = $2 AND %s
        ), diff AS MATERIALIZED (
            SELECT src, dst, relation, w.props, w.digest, w.props IS NOT NULL AS wanted, s.row_id, s.is_new,
                   w.props IS NOT DISTINCT FROM s.props AS same, s.digest AS known
            FROM declared w FULL JOIN standing s USING (src, dst, relation)
        ), change AS MATERIALIZED (
            SELECT d.*, p.ctid AS ended_id
            FROM diff d
            LEFT JOIN topo_edge_time p ON p.tenant_id = $1 AND p.source = $2 AND p.src_resource_id = d.src AND p.dst_resource_id = d.dst
                                      AND p.relation = d.relation AND p.props = d.props AND upper(p.valid) = $3 AND $3 = $4
            WHERE NOT d.same AND $3 >= $4
        ), ended AS (
            UPDATE topo_edge_time t SET valid = tstzrange(lower(t.valid), $3)
            WHERE t.ctid = ANY (ARRAY(SELECT c.row_id FROM change c WHERE NOT c.is_new))
            RETURNING 1
        ), removed AS (
            DELETE FROM topo_edge_time t WHERE t.ctid = ANY (ARRAY(SELECT c.row_id FROM change c WHERE c.is_new))
            RETURNING 1
        ), cleared AS MATERIALIZED (
            SELECT (SELECT count(*) FROM ended) + (SELECT count(*) FROM removed) AS rows
        ), resumed AS (
            UPDATE topo_edge_time t SET valid = tstzrange(lower(t.valid), NULL)
            WHERE t.ctid = ANY (ARRAY(SELECT c.ended_id FROM change c WHERE c.wanted AND (SELECT rows FROM cleared) >= 0))
            RETURNING 1
        ), started AS (
            INSERT INTO topo_edge_time (tenant_id, src_resource_id, dst_resource_id, relation, source, valid, props, digest)
            SELECT $1, c.src, c.dst, c.relation, $2, tstzrange($3, NULL), c.props, c.digest
            FROM change c WHERE c.wanted AND c.ended_id IS NULL AND (SELECT rows FROM cleared) >= 0
            RETURNING 1
        ), redigested AS (
            -- Else no later load would find its rows by what they are called now.
            UPDATE topo_edge_time t SET digest = d.digest
            FROM diff d
            WHERE t.ctid = d.row_id AND d.same AND d.digest IS DISTINCT FROM d.known AND $14 AND $3 >= $4
        ), written AS (
            SELECT (SELECT rows FROM cleared) + (SELECT count(*) FROM resumed) + (SELECT count(*) FROM started) AS rows
        )
        SELECT count(*) FILTER (WHERE wanted AND NOT same), count(*) FILTER (WHERE row_id IS NOT NULL AND NOT same), count(*) FILTER (WHERE same),
               count(*) FILTER (WHERE NOT wanted)
        FROM diff WHERE (SELECT rows FROM written) >= 0
    $$, CASE WHEN at < loaded_at THEN 't.valid @> $3' WHEN row_ids IS NULL THEN 'upper_inf(t.valid)' ELSE 'upper_inf(t.valid) AND t.ctid = ANY ($13)' END)
    INTO opened, closed, unchanged, vanished
    USING tenant_id, source, at, loaded_at, ids, resource_ids, srcs, dsts, relations, props, digests, naming, row_ids, renamed;
END
$function$;
COMMENT ON FUNCTION topo_diff_apply(bigint, text, timestamptz, timestamptz, text[], text[], text[], jsonb[], bigint[], bigint, text[], bigint[], tid[], boolean) IS
    'The temporal diff of one load in one statement, with the resources by the names in the edges, and against these open rows, NULL: all of the source; renamed: rows that stay get the digest of what they are called now; of a load older than loaded_at only counts what it would change';

CREATE FUNCTION topo_delta_apply(tenant_id bigint, source text, at timestamptz, loaded_at timestamptz, edges jsonb, digests bigint[], naming bigint,
    standing bigint, OUT opened bigint, OUT closed bigint, OUT unchanged bigint, OUT vanished bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
SET jit = off
SET enable_mergejoin = off
SET work_mem = '64MB'
-- Plans for other numbers of edges would be of no use.
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_variable
DECLARE
    places      integer[];
    new_digests bigint[];
    row_ids     tid[];
    declared    record;
    found       record;
BEGIN
    SELECT coalesce(array_agg(e.place) FILTER (WHERE t.row_id IS NULL), '{}'),
           array_agg(e.digest) FILTER (WHERE t.row_id IS NULL),
           coalesce(array_agg(t.row_id) FILTER (WHERE e.place IS NULL), '{}')
    INTO places, new_digests, row_ids
    FROM (SELECT d.digest, d.digest # naming AS known_by, d.place::integer FROM unnest(digests) WITH ORDINALITY AS d (digest, place)) AS e
    FULL JOIN (SELECT o.ctid AS row_id, o.digest AS known_by FROM topo_edge_time o
               WHERE o.tenant_id = topo_delta_apply.tenant_id AND o.source = topo_delta_apply.source AND upper_inf(o.valid)) AS t USING (known_by);
    IF cardinality(places) * 2 > cardinality(digests) THEN
        RETURN;
    END IF;

    declared := topo_edges_unpack(edges, places);
    found    := topo_resources_ensure(tenant_id, source, declared.srcs, declared.dsts);
    -- A name that has become ambiguous is another one in every edge. And what differs may name an edge that stays, too: then
    -- its properties are those of both.
    IF urn_naming(tenant_id) <> naming OR EXISTS (
        SELECT FROM unnest(declared.srcs, declared.dsts, declared.relations) AS e (src, dst, relation)
        JOIN unnest(found.ids, found.resource_ids) AS s (id, resource_id) ON s.id = e.src
        JOIN unnest(found.ids, found.resource_ids) AS d (id, resource_id) ON d.id = e.dst
        JOIN topo_edge_time t ON t.tenant_id = topo_delta_apply.tenant_id AND t.source = topo_delta_apply.source AND upper_inf(t.valid)
                             AND t.src_resource_id = s.resource_id AND t.dst_resource_id = d.resource_id AND t.relation = e.relation
        WHERE NOT EXISTS (SELECT FROM unnest(row_ids) AS r (row_id) WHERE r.row_id = t.ctid)
    ) THEN
        RETURN;
    END IF;
    SELECT d.* INTO opened, closed, unchanged, vanished
    FROM topo_diff_apply(tenant_id, source, at, loaded_at, declared.srcs, declared.dsts, declared.relations, declared.props,
                         new_digests, naming, found.ids, found.resource_ids, row_ids, false) AS d;
    unchanged := unchanged + standing - cardinality(row_ids);
END
$$;
COMMENT ON FUNCTION topo_delta_apply(bigint, text, timestamptz, timestamptz, jsonb, bigint[], bigint, bigint) IS
    'The temporal diff of a load, digests being those of its edges and standing the number of open ones; NULL, and nothing of it done, where much differs or digests do not tell';
