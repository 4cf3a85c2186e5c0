-- =====================================================================================================================
-- What several sources declare under different names, and is one thing or belongs together: a Node, the cloud's instance
-- and the inventory's host that are one machine; a Service and the load balancer that was made for it.
--
-- Loads keep as intervals what else their things are known as (topo_identity_time). What is joined at an instant follows
-- from what was kept for that instant and from nothing else: not from the order of loads, and no edge is written
-- otherwise because of it. Where a name fits two things of one role, nothing is joined by it.
--
-- The functions name fact tables, which setup creates later: hence plpgsql, whose bodies are resolved when they run.
-- =====================================================================================================================

CREATE FUNCTION topo_identities_unpack(identities jsonb, OUT things text[], OUT roles text[], OUT known_as text[])
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, @extschema@, pg_temp
SET jit = off
AS $$
DECLARE
    expected CONSTANT text := 'Give a JSON array of {"urn": "urn:...", "role": "instance", "known_as": "urn:host:..."}; roles are instance, node, host, balancer and service.';
    place bigint;
    what  text;
BEGIN
    IF identities IS NULL OR jsonb_typeof(identities) <> 'array' THEN
        RAISE EXCEPTION 'identities must be a JSON array, not %', coalesce(jsonb_typeof(identities), 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = expected;
    END IF;
    -- Lengths keep keys within what a B-tree page takes. Values are not shown: they are somebody's data.
    SELECT n, reason INTO place, what
    FROM jsonb_array_elements(identities) WITH ORDINALITY AS e (item, n)
    CROSS JOIN LATERAL (SELECT CASE
        WHEN jsonb_typeof(item) <> 'object'                                           THEN 'is not an object'
        WHEN jsonb_typeof(item -> 'urn') IS DISTINCT FROM 'string'                    THEN 'has no text "urn"'
        WHEN jsonb_typeof(item -> 'role') IS DISTINCT FROM 'string'                   THEN 'has no text "role"'
        WHEN jsonb_typeof(item -> 'known_as') IS DISTINCT FROM 'string'               THEN 'has no text "known_as"'
        WHEN octet_length(item ->> 'urn') NOT BETWEEN 1 AND 2000                      THEN 'has a "urn" that is empty or longer than 2000 bytes'
        WHEN item ->> 'role' NOT IN ('instance', 'node', 'host', 'balancer', 'service') THEN 'has a "role" that is none'
        WHEN item ->> 'known_as' NOT LIKE 'urn:_%'                                    THEN 'has a "known_as" that is no URN'
        WHEN octet_length(item ->> 'known_as') > 1000                                 THEN 'has a "known_as" that is longer than 1000 bytes'
    END) AS checked (reason)
    WHERE reason IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'identity % %', place, what USING ERRCODE = 'invalid_parameter_value', HINT = expected;
    END IF;
    SELECT array_agg(topo_mask_end(i.item ->> 'urn')), array_agg(i.item ->> 'role'), array_agg(topo_mask_end(i.item ->> 'known_as'))
    INTO things, roles, known_as
    FROM jsonb_array_elements(identities) AS i (item);
END
$$;
COMMENT ON FUNCTION topo_identities_unpack(jsonb) IS
    'The columns of what things are known as, without secrets; NULL where there are none; refuses what topo_load cannot read, naming the first one by its number';

CREATE FUNCTION topo_identities_apply(tenant_id bigint, source text, at timestamptz, loaded_at timestamptz, identities jsonb) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
SET jit = off
SET work_mem = '64MB'
AS $$
#variable_conflict use_variable
DECLARE
    said    record;
    found   record;
    named   record;
    changed bigint;
BEGIN
    said := topo_identities_unpack(identities);
    IF said.things IS NULL AND NOT EXISTS (
        SELECT FROM topo_identity_time t WHERE t.tenant_id = topo_identities_apply.tenant_id AND t.source = topo_identities_apply.source
    ) THEN
        RETURN 0;
    END IF;
    found := topo_resources_ensure(tenant_id, source, coalesce(said.things, '{}'), '{}');
    -- By the names that the tenant's rules give. What is one only as long as nothing else has it tells nothing apart.
    SELECT c.candidates, c.exclusives INTO named FROM urn_candidates(tenant_id, coalesce(said.known_as, '{}')) AS c;
    -- What ends and what begins are different rows, so the exclusion constraint has no order to watch. An interval that
    -- began at this very instant is removed instead of closed, since it would be empty.
    WITH declared AS (
        SELECT DISTINCT r.resource_id, i.role, CASE WHEN i.exclusive THEN i.known_as ELSE i.candidate END AS known_as
        FROM unnest(said.things, said.roles, said.known_as, named.candidates, named.exclusives) AS i (thing, role, known_as, candidate, exclusive)
        JOIN unnest(found.ids, found.resource_ids) AS r (id, resource_id) ON r.id = i.thing
    ), standing AS (
        SELECT t.ctid AS row_id, t.resource_id, t.role, t.known_as, lower(t.valid) = at AS is_new
        FROM topo_identity_time t
        WHERE t.tenant_id = topo_identities_apply.tenant_id AND t.source = topo_identities_apply.source
          AND CASE WHEN at < loaded_at THEN t.valid @> at ELSE upper_inf(t.valid) END
    ), diff AS MATERIALIZED (
        SELECT resource_id, role, known_as, s.row_id, s.is_new
        FROM declared d FULL JOIN standing s USING (resource_id, role, known_as)
        WHERE s.row_id IS NULL OR d.known_as IS NULL
    ), ended AS (
        UPDATE topo_identity_time t SET valid = tstzrange(lower(t.valid), at)
        WHERE at >= loaded_at AND t.ctid = ANY (ARRAY(SELECT d.row_id FROM diff d WHERE NOT d.is_new))
    ), removed AS (
        DELETE FROM topo_identity_time t
        WHERE at >= loaded_at AND t.ctid = ANY (ARRAY(SELECT d.row_id FROM diff d WHERE d.is_new))
    ), started AS (
        INSERT INTO topo_identity_time (tenant_id, resource_id, role, known_as, source, valid)
        SELECT tenant_id, d.resource_id, d.role, d.known_as, source, tstzrange(at, NULL)
        FROM diff d WHERE d.row_id IS NULL AND at >= loaded_at
    )
    SELECT count(*) INTO changed FROM diff;
    RETURN changed;
END
$$;
COMMENT ON FUNCTION topo_identities_apply(bigint, text, timestamptz, timestamptz, jsonb) IS
    'The temporal diff of what a source says its things are known as; how much differs. Of a load older than loaded_at only that is told';

-- ---------------------------------------------------------------------------------------------------------------------
-- Joining
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION topo_joins(tenant_id bigint, at timestamptz, around bigint[] DEFAULT NULL)
RETURNS TABLE (relation text, src_resource_id bigint, dst_resource_id bigint, known_as text[], sources text[], since timestamptz, until timestamptz)
LANGUAGE plpgsql STABLE ROWS 1000
SET search_path = pg_catalog, @extschema@, pg_temp
SET jit = off
SET work_mem = '64MB'
-- With and without "around" are different statements.
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
    near bigint[] := around;
BEGIN
    -- What decides of a thing are those that share a name with it, and those that share one with these.
    FOR i IN 1 .. CASE WHEN around IS NULL THEN 0 ELSE 2 END LOOP
        SELECT array_agg(n.id) INTO near FROM (
            WITH name AS (
                SELECT t.known_as FROM topo_identity_time t
                WHERE t.tenant_id = topo_joins.tenant_id AND t.resource_id = ANY (near) AND t.valid @> at
                UNION
                SELECT r.urn FROM dim_resource r WHERE r.resource_id = ANY (near)
            )
            SELECT t.resource_id AS id FROM name JOIN topo_identity_time t ON t.tenant_id = topo_joins.tenant_id AND t.known_as = name.known_as
            WHERE t.valid @> at
            UNION
            SELECT r.resource_id FROM name JOIN dim_resource r ON r.tenant_id = topo_joins.tenant_id AND r.urn = name.known_as
            UNION
            SELECT unnest(near)) AS n;
    END LOOP;
    RETURN QUERY
    -- The condition on the upper end says nothing new, but is indexed. Names compare by bytes.
    WITH said AS MATERIALIZED (
        SELECT i.resource_id, i.known_as COLLATE "C" AS known_as, i.role, i.role IN ('balancer', 'service') AS fronts, array_agg(i.source) AS sources,
               min(lower(i.valid)) AS since, max(coalesce(upper(i.valid), 'infinity')) AS until
        FROM topo_identity_time i
        WHERE i.tenant_id = topo_joins.tenant_id AND i.valid @> at AND coalesce(upper(i.valid), 'infinity') > at
          AND (around IS NULL OR i.resource_id = ANY (near))
        GROUP BY 1, 2, 3
    ), own AS MATERIALIZED (
        -- Every machine is known by its own URN, whether or not a file declares it.
        SELECT r.resource_id, r.urn COLLATE "C" AS urn FROM (SELECT DISTINCT s.known_as FROM said s WHERE NOT s.fronts) AS n
        JOIN dim_resource r ON r.tenant_id = topo_joins.tenant_id AND r.urn = n.known_as
    ), part AS MATERIALIZED (
        SELECT DISTINCT s.resource_id, s.role FROM said s WHERE NOT s.fronts
        UNION
        SELECT o.resource_id, 'instance' FROM own o WHERE o.urn LIKE 'urn:aws:i-%' OR o.urn LIKE 'urn:aliyun:i-%'
    ), claim AS MATERIALIZED (
        SELECT s.known_as, s.resource_id, s.role, s.sources, s.since, s.until FROM said s WHERE NOT s.fronts
        UNION ALL
        SELECT o.urn, o.resource_id, NULL, '{}', '-infinity', 'infinity' FROM own o
        WHERE NOT EXISTS (SELECT FROM said s WHERE s.known_as = o.urn AND s.resource_id = o.resource_id)
    ), shared AS MATERIALIZED (
        SELECT c.known_as FROM claim c GROUP BY 1 HAVING min(c.resource_id) < max(c.resource_id)
    ), clear AS MATERIALIZED (
        -- Two of one role show that the name does not tell machines apart.
        SELECT h.known_as FROM shared h
        WHERE NOT EXISTS (SELECT FROM (SELECT c.known_as FROM claim c JOIN part p ON p.resource_id = c.resource_id
                                       GROUP BY c.known_as, p.role HAVING min(c.resource_id) < max(c.resource_id)) AS twice
                          WHERE twice.known_as = h.known_as)
    ), pair AS MATERIALIZED (
        SELECT a.resource_id AS a, b.resource_id AS b, a.known_as, a.sources || b.sources AS sources,
               greatest(a.since, b.since) AS since, least(a.until, b.until) AS until
        FROM clear l JOIN claim a ON a.known_as = l.known_as JOIN claim b ON b.known_as = l.known_as AND b.resource_id <> a.resource_id
    ), torn AS MATERIALIZED (
        -- It would be two machines.
        SELECT DISTINCT p.a FROM pair p JOIN part r ON r.resource_id = p.b GROUP BY p.a, r.role HAVING min(p.b) < max(p.b)
    ), fronted AS (
        -- A load balancer, and the only Service that has its address.
        SELECT min(s.resource_id) FILTER (WHERE s.role = 'balancer') AS a, min(s.resource_id) FILTER (WHERE s.role = 'service') AS b,
               s.known_as, array_agg(u.source) AS sources, max(s.since) AS since, min(s.until) AS until
        FROM said s CROSS JOIN LATERAL unnest(s.sources) AS u (source)
        WHERE s.fronts
        GROUP BY s.known_as
        HAVING min(s.resource_id) FILTER (WHERE s.role = 'balancer') = max(s.resource_id) FILTER (WHERE s.role = 'balancer')
           AND min(s.resource_id) FILTER (WHERE s.role = 'service') = max(s.resource_id) FILTER (WHERE s.role = 'service')
    ), joined AS (
        SELECT CASE WHEN x.urn COLLATE "C" < y.urn COLLATE "C" THEN p.a ELSE p.b END AS a, CASE WHEN x.urn COLLATE "C" < y.urn COLLATE "C" THEN p.b ELSE p.a END AS b,
               'SAME_AS' AS relation, p.known_as, p.sources, p.since, p.until
        FROM pair p
        JOIN dim_resource x ON x.resource_id = p.a
        JOIN dim_resource y ON y.resource_id = p.b
        WHERE p.a < p.b
          AND NOT EXISTS (SELECT FROM torn t WHERE t.a = p.a) AND NOT EXISTS (SELECT FROM torn t WHERE t.a = p.b)
        UNION ALL
        SELECT f.a, f.b, 'ROUTES_TO', f.known_as, f.sources, f.since, f.until FROM fronted f WHERE f.a <> f.b
    )
    SELECT j.relation, j.a, j.b, array_agg(DISTINCT j.known_as), array_agg(DISTINCT u.source COLLATE "C"), min(j.since), nullif(max(j.until), 'infinity')
    FROM joined j CROSS JOIN LATERAL unnest(j.sources) AS u (source)
    WHERE around IS NULL OR j.a = ANY (around) OR j.b = ANY (around)
    GROUP BY 1, 2, 3;
END
$$;
COMMENT ON FUNCTION topo_joins(bigint, timestamptz, bigint[]) IS
    'What is joined at an instant, all of it or only with these resources, by what names and whose word, and as long as these were there: SAME_AS between names of one machine, the lesser URN first; ROUTES_TO from a load balancer to the Service that it was made for';

CREATE FUNCTION topology_joins(tenant text, at timestamptz DEFAULT now())
RETURNS TABLE (src_urn text, dst_urn text, relation text, known_as text[], sources text[], valid_from timestamptz, valid_to timestamptz)
LANGUAGE plpgsql STABLE ROWS 1000
SET search_path = pg_catalog, @extschema@, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    for_tenant CONSTANT bigint := etl_tenant_require(tenant);
    instant    CONSTANT timestamptz := topo_instant_require(at);
BEGIN
    RETURN QUERY
    SELECT s.urn, d.urn, j.relation, j.known_as, j.sources, j.since, j.until
    FROM topo_joins(for_tenant, instant) AS j
    JOIN dim_resource s ON s.resource_id = j.src_resource_id
    JOIN dim_resource d ON d.resource_id = j.dst_resource_id
    ORDER BY 1, 2, 3;
END
$$;
COMMENT ON FUNCTION topology_joins(text, timestamptz) IS
    'What different names were joined at an instant, by what they both are known as, and which sources said so: SAME_AS for one machine, ROUTES_TO from a load balancer to the Service that it was made for';
