-- =====================================================================================================================
-- Questions about log patterns: what was logged in a range, and what differs between two ranges.
-- =====================================================================================================================

CREATE FUNCTION log_range("from" timestamptz, "to" timestamptz, OUT first_bucket timestamptz, OUT end_bucket timestamptz)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    IF "from" IS NULL OR "to" IS NULL OR NOT isfinite("from") OR NOT isfinite("to") OR "from" >= "to" THEN
        RAISE EXCEPTION 'the range from % to % is none', coalesce("from"::text, 'NULL'), coalesce("to"::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT    = 'Give two finite instants, the earlier first: now() - interval ''1 hour'', now().';
    END IF;
    first_bucket := date_bin('5 minutes', "from", 'epoch');
    end_bucket := date_bin('5 minutes', "to", 'epoch');
    IF end_bucket < "to" THEN
        end_bucket := end_bucket + interval '5 minutes';
    END IF;
END
$$;
COMMENT ON FUNCTION log_range(timestamptz, timestamptz) IS 'A range of time, outward to the 5 minutes by which lines are counted; raises when there is none';

CREATE FUNCTION log_patterns(
    tenant    text,
    "from"    timestamptz,
    "to"      timestamptz DEFAULT now(),
    by        text        DEFAULT 'class',
    service   text        DEFAULT NULL,
    search    text        DEFAULT NULL,
    severity  text        DEFAULT NULL,
    min_count bigint      DEFAULT 1,
    new_since timestamptz DEFAULT NULL,
    only_new  boolean     DEFAULT false,
    "limit"   integer     DEFAULT 100
)
RETURNS TABLE (
    class_id bigint, fingerprint_id bigint, fingerprints bigint, pattern text, sample text, max_severity text,
    count bigint, errors bigint, error_share double precision, services text[],
    range_first timestamptz, range_last timestamptz, first_seen timestamptz, last_seen timestamptz, is_new boolean
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    levels       CONSTANT text[] := enum_range(NULL::event_severity)::text[];
    most_services CONSTANT integer := 10;
    for_tenant   bigint := etl_tenant_require(tenant);
    range        record;
    from_level   integer := array_position(levels, upper(log_patterns.severity));
    wanted       text := '%' || replace(replace(replace(search, '\', '\\'), '%', '\%'), '_', '\_') || '%';
    resources    bigint[];
BEGIN
    range := log_range("from", "to");
    IF by IS NULL OR by NOT IN ('class', 'fingerprint') THEN
        RAISE EXCEPTION 'patterns are not counted by %', coalesce(quote_literal(by), 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'by is ''class'' or ''fingerprint''.';
    END IF;
    IF log_patterns.severity IS NOT NULL AND from_level IS NULL THEN
        RAISE EXCEPTION 'there is no severity "%"', log_patterns.severity
            USING ERRCODE = 'invalid_parameter_value', HINT = format('Severities are %s.', array_to_string(levels, ', '));
    END IF;
    IF service IS NOT NULL THEN
        SELECT coalesce(array_agg(r.resource_id), '{}') INTO resources
        FROM dim_resource r WHERE r.tenant_id = for_tenant AND (r.name = service OR r.urn = service);
    END IF;

    RETURN QUERY
    WITH found AS (
        -- A class is found by any of its patterns.
        SELECT m.fingerprint_id FROM log_pattern m
        WHERE m.tenant_id = for_tenant
          AND CASE by WHEN 'class' THEN m.class_id ELSE m.fingerprint_id END
              IN (SELECT CASE by WHEN 'class' THEN p.class_id ELSE p.fingerprint_id END
                  FROM log_pattern p WHERE p.tenant_id = for_tenant AND p.pattern ILIKE wanted)
    ), counted AS (
        SELECT l.fingerprint_id, l.resource_id, sum(l.count_total) AS total, sum(l.count_error) AS errors,
               min(l.bucket) AS range_first, max(l.bucket) AS range_last
        FROM log_pattern_5m l
        WHERE l.tenant_id = for_tenant AND l.bucket >= range.first_bucket AND l.bucket < range.end_bucket
          AND (resources IS NULL OR l.resource_id = ANY (resources))
          AND (wanted IS NULL OR l.fingerprint_id IN (SELECT f.fingerprint_id FROM found f))
        GROUP BY l.fingerprint_id, l.resource_id
    ), named AS (
        SELECT CASE by WHEN 'class' THEN p.class_id ELSE p.fingerprint_id END AS id, c.*
        FROM counted c JOIN log_pattern p ON p.tenant_id = for_tenant AND p.fingerprint_id = c.fingerprint_id
    ), grouped AS (
        SELECT n.id, n.resource_id, sum(n.total) AS total, sum(n.errors) AS errors,
               min(n.range_first) AS range_first, max(n.range_last) AS range_last
        FROM named n GROUP BY n.id, n.resource_id
    ), sizes AS (
        SELECT d.id, count(*) AS fingerprints FROM (SELECT DISTINCT n.id, n.fingerprint_id FROM named n) AS d GROUP BY d.id
    ), summed AS (
        SELECT g.id, sum(g.total)::bigint AS total, sum(g.errors)::bigint AS errors,
               min(g.range_first) AS range_first, max(g.range_last) + interval '5 minutes' AS range_last,
               (array_agg(g.resource_id ORDER BY g.total DESC, g.resource_id))[:most_services] AS resources
        FROM grouped g
        GROUP BY g.id
        HAVING sum(g.total) >= coalesce(min_count, 1)
    ), known AS (
        -- Of a class, what all its patterns know: one that is backfilled makes it older.
        SELECT CASE by WHEN 'class' THEN p.class_id ELSE p.fingerprint_id END AS id,
               min(p.first_seen) AS first_seen, max(p.last_seen) AS last_seen, max(array_position(levels, p.severity)) AS level
        FROM log_pattern p
        WHERE p.tenant_id = for_tenant AND CASE by WHEN 'class' THEN p.class_id ELSE p.fingerprint_id END IN (SELECT s.id FROM summed s)
        GROUP BY 1
    ), chosen AS (
        SELECT s.*, k.first_seen, k.last_seen, k.level,
               k.first_seen >= coalesce(new_since, range.first_bucket) AS is_new
        FROM summed s JOIN known k USING (id)
        WHERE (from_level IS NULL OR k.level >= from_level)
          AND (NOT only_new OR k.first_seen >= coalesce(new_since, range.first_bucket))
        ORDER BY s.total DESC, s.id
        LIMIT "limit"
    )
    SELECT p.class_id, CASE by WHEN 'fingerprint' THEN c.id END,
           z.fingerprints, p.pattern, p.sample_message, levels[c.level],
           c.total, c.errors, c.errors::double precision / nullif(c.total, 0),
           ARRAY(SELECT r.name FROM unnest(c.resources) WITH ORDINALITY AS u (resource_id, n)
                 JOIN dim_resource r ON r.resource_id = u.resource_id ORDER BY u.n),
           c.range_first, c.range_last, c.first_seen, c.last_seen, c.is_new
    FROM chosen c JOIN sizes z ON z.id = c.id JOIN log_pattern p ON p.tenant_id = for_tenant AND p.fingerprint_id = c.id
    ORDER BY c.total DESC, c.id;
END
$$;
COMMENT ON FUNCTION log_patterns(text, timestamptz, timestamptz, text, text, text, text, bigint, timestamptz, boolean, integer) IS
    'What was logged in a range (outward to 5 minutes), most lines first, by class or by fingerprint. range_first and range_last: the 5 minutes it was seen in, within the range; first_seen, last_seen: ever; is_new: first seen within the range, or since new_since. service: name or URN; search: a part of the pattern; severity: at least; services: at most 10, busiest first';

CREATE FUNCTION log_pattern_diff(
    tenant    text,
    a_from    timestamptz,
    a_to      timestamptz,
    b_from    timestamptz,
    b_to      timestamptz,
    min_score double precision DEFAULT 4,
    min_ratio double precision DEFAULT 2,
    "limit"   integer          DEFAULT 100
)
RETURNS TABLE (
    change text, class_id bigint, pattern text, sample text, max_severity text, services text[],
    count_a bigint, count_b bigint, rate_a double precision, rate_b double precision, ratio double precision,
    score double precision, first_seen timestamptz, last_seen timestamptz
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    levels        CONSTANT text[] := enum_range(NULL::event_severity)::text[];
    most_services CONSTANT integer := 10;
    for_tenant    bigint := etl_tenant_require(tenant);
    range_a       record;
    range_b       record;
    seconds_a     double precision;
    seconds_b     double precision;
BEGIN
    range_a := log_range(a_from, a_to);
    range_b := log_range(b_from, b_to);
    -- Five minutes in which one range ends and the other begins belong to the later one.
    IF a_to <= b_from THEN
        range_a.end_bucket := least(range_a.end_bucket, range_b.first_bucket);
    ELSIF b_to <= a_from THEN
        range_b.end_bucket := least(range_b.end_bucket, range_a.first_bucket);
    END IF;
    IF range_a.first_bucket < range_b.end_bucket AND range_b.first_bucket < range_a.end_bucket
       OR range_a.first_bucket >= range_a.end_bucket OR range_b.first_bucket >= range_b.end_bucket
    THEN
        RAISE EXCEPTION 'the two ranges share some time'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL  = format('Lines are counted by 5 minutes: %s to %s, and %s to %s.', range_a.first_bucket, range_a.end_bucket, range_b.first_bucket, range_b.end_bucket),
                  HINT    = 'Give ranges that do not overlap, such as the hour before and the hour after a deployment.';
    END IF;
    -- What is still to come has no lines.
    seconds_a := extract(epoch FROM least(range_a.end_bucket, greatest(etl_now(), range_a.first_bucket + interval '1 minute')) - range_a.first_bucket);
    seconds_b := extract(epoch FROM least(range_b.end_bucket, greatest(etl_now(), range_b.first_bucket + interval '1 minute')) - range_b.first_bucket);

    RETURN QUERY
    WITH counted AS (
        -- Two hops in the index, however far apart the ranges are.
        SELECT s.fingerprint_id, s.resource_id, sum(s.a) AS a, sum(s.b) AS b
        FROM (SELECT l.fingerprint_id, l.resource_id, l.count_total AS a, 0 AS b
              FROM log_pattern_5m l
              WHERE l.tenant_id = for_tenant AND l.bucket >= range_a.first_bucket AND l.bucket < range_a.end_bucket
              UNION ALL
              SELECT l.fingerprint_id, l.resource_id, 0, l.count_total
              FROM log_pattern_5m l
              WHERE l.tenant_id = for_tenant AND l.bucket >= range_b.first_bucket AND l.bucket < range_b.end_bucket) AS s
        GROUP BY s.fingerprint_id, s.resource_id
    ), grouped AS (
        SELECT p.class_id AS id, c.resource_id, sum(c.a) AS a, sum(c.b) AS b
        FROM counted c JOIN log_pattern p ON p.tenant_id = for_tenant AND p.fingerprint_id = c.fingerprint_id
        GROUP BY p.class_id, c.resource_id
    ), summed AS (
        SELECT g.id, sum(g.a)::bigint AS a, sum(g.b)::bigint AS b,
               (array_agg(g.resource_id ORDER BY g.a + g.b DESC, g.resource_id))[:most_services] AS resources
        FROM grouped g GROUP BY g.id
    ), known AS (
        SELECT p.class_id AS id, min(p.first_seen) AS first_seen, max(p.last_seen) AS last_seen, max(array_position(levels, p.severity)) AS level
        FROM log_pattern p
        WHERE p.tenant_id = for_tenant AND p.class_id IN (SELECT s.id FROM summed s)
        GROUP BY p.class_id
    ), expected AS (
        -- As many lines as there would be if nothing had changed, by the length of the ranges.
        SELECT s.*, k.first_seen, k.last_seen, k.level,
               s.a / seconds_a AS rate_a, s.b / seconds_b AS rate_b,
               (s.a + s.b) * seconds_a / (seconds_a + seconds_b) AS expected_a,
               (s.a + s.b) * seconds_b / (seconds_a + seconds_b) AS expected_b
        FROM summed s JOIN known k USING (id)
    ), scored AS (
        -- The signed root of the log-likelihood ratio of two Poisson rates, G = 2 sum(observed ln(observed / expected)):
        -- without a change it is about normal, mean 0 and deviation 1 (T. Dunning, "Accurate Methods for the Statistics of
        -- Surprise and Coincidence", Computational Linguistics 19(1), 1993). Unlike a plain difference of counts it
        -- holds for small counts as well. Log lines come in bursts, hence the ratio beside it.
        SELECT e.*, sign(e.rate_b - e.rate_a) * sqrt(2 * greatest(0,
                        CASE WHEN e.a > 0 THEN e.a * ln(e.a / e.expected_a) ELSE 0 END
                      + CASE WHEN e.b > 0 THEN e.b * ln(e.b / e.expected_b) ELSE 0 END)) AS score
        FROM expected e
    ), chosen AS (
        SELECT s.*,
               CASE WHEN s.a = 0 AND s.first_seen >= greatest(range_b.first_bucket, range_a.end_bucket) THEN 'new'
                    WHEN s.a = 0 THEN 'returned'
                    WHEN s.b = 0 THEN 'gone'
                    WHEN s.rate_b > s.rate_a THEN 'more'
                    ELSE 'less' END AS change
        FROM scored s
    )
    SELECT c.change, c.id, p.pattern, p.sample_message, levels[c.level],
           ARRAY(SELECT r.name FROM unnest(c.resources) WITH ORDINALITY AS u (resource_id, n)
                 JOIN dim_resource r ON r.resource_id = u.resource_id ORDER BY u.n),
           c.a, c.b, c.rate_a, c.rate_b, c.rate_b / nullif(c.rate_a, 0), c.score, c.first_seen, c.last_seen
    FROM chosen c JOIN log_pattern p ON p.tenant_id = for_tenant AND p.fingerprint_id = c.id
    -- What was never seen before says something however rare it is.
    WHERE c.change = 'new'
       OR abs(c.score) >= min_score
          AND (c.a = 0 OR c.b = 0 OR greatest(c.rate_a / c.rate_b, c.rate_b / c.rate_a) >= min_ratio)
    ORDER BY abs(c.score) DESC, c.id
    LIMIT "limit";
END
$$;
COMMENT ON FUNCTION log_pattern_diff(text, timestamptz, timestamptz, timestamptz, timestamptz, double precision, double precision, integer) IS
    'What was logged otherwise in range b than in range a, by class, most significant first. change: new (never seen before), returned (not in a), gone, more, less. rate: lines a second; ratio: rate_b / rate_a; score: as many standard deviations as chance would have it, by the log-likelihood ratio of two Poisson rates. All but new ones need min_score, those in both also min_ratio';
