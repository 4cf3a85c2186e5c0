-- =====================================================================================================================
-- Native partitions of the large fact tables, where TimescaleDB is not installed. Partitions are made ahead of time;
-- what belongs to none (old backfills) goes to the DEFAULT partition and is moved when its partition is made.
-- =====================================================================================================================

CREATE FUNCTION etl_partitions_ensure(at timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
-- The session's zone must not shift bounds, and ISO is what they are printed and read back in.
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
SET "DateStyle" = 'ISO'
AS $$
DECLARE
    epoch CONSTANT timestamptz := '1970-01-01 00:00:00+00';
    fact record;
    lower_bound timestamptz;
    upper_bound timestamptz;
    partition text;
    stray boolean;
    made integer := 0;
BEGIN
    IF at IS NULL OR NOT isfinite(at) THEN
        RAISE EXCEPTION 'partitions need a finite time, not %', coalesce(at::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Use now().';
    END IF;
    FOR fact IN
        SELECT f.name, f.chunk FROM etl_fact_tables() f
        JOIN pg_class c ON c.oid = to_regclass('@extschema@.' || quote_ident(f.name)) AND c.relkind = 'p'
        ORDER BY f.ordinal
    LOOP
        -- Serialises with other callers, not with readers and writers.
        EXECUTE format('LOCK TABLE ONLY @extschema@.%I IN SHARE UPDATE EXCLUSIVE MODE', fact.name);
        IF to_regclass(format('@extschema@.%I', fact.name || '_default')) IS NULL THEN
            EXECUTE format('CREATE TABLE @extschema@.%I PARTITION OF @extschema@.%I DEFAULT', fact.name || '_default', fact.name);
            EXECUTE format('COMMENT ON TABLE @extschema@.%I IS %L', fact.name || '_default', 'Rows of ' || fact.name || ' that belong to no other partition');
            made := made + 1;
        END IF;
        FOR step IN -1 .. 2 LOOP
            lower_bound := date_bin(fact.chunk, at, epoch) + step * fact.chunk;
            upper_bound := lower_bound + fact.chunk;
            partition := fact.name || to_char(lower_bound, '"_p"YYYYMMDD');
            CONTINUE WHEN to_regclass(format('@extschema@.%I', partition)) IS NOT NULL;
            EXECUTE format('CREATE TABLE @extschema@.%I (LIKE @extschema@.%I INCLUDING ALL)', partition, fact.name);
            EXECUTE format('COMMENT ON TABLE @extschema@.%I IS %L', partition, format('%s from %s to %s', fact.name, lower_bound, upper_bound));
            EXECUTE format('SELECT EXISTS (SELECT FROM @extschema@.%I WHERE bucket >= %L AND bucket < %L)',
                           fact.name || '_default', lower_bound, upper_bound) INTO stray;
            IF stray THEN
                -- Writers wait, so that no row slips into DEFAULT between the move and the attachment.
                EXECUTE format('LOCK TABLE @extschema@.%I IN ACCESS EXCLUSIVE MODE', fact.name || '_default');
                EXECUTE format('WITH moved AS (DELETE FROM @extschema@.%I WHERE bucket >= %L AND bucket < %L RETURNING *) '
                               'INSERT INTO @extschema@.%I SELECT * FROM moved',
                               fact.name || '_default', lower_bound, upper_bound, partition);
            END IF;
            EXECUTE format('ALTER TABLE @extschema@.%I ATTACH PARTITION @extschema@.%I FOR VALUES FROM (%L) TO (%L)',
                           fact.name, partition, lower_bound, upper_bound);
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION etl_partitions_ensure(timestamptz) IS
    'Makes the partitions around a time (previous, current, next two) and empties DEFAULT into them; returns how many were made';

CREATE FUNCTION etl_partitions_drop(fact text, before timestamptz) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
SET "DateStyle" = 'ISO'
AS $$
DECLARE
    partition record;
    dropped integer := 0;
BEGIN
    FOR partition IN
        SELECT c.relname, b.bound
        FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid
        CROSS JOIN LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid) AS bound) b
        WHERE i.inhparent = to_regclass(format('@extschema@.%I', fact))
        ORDER BY c.relname
    LOOP
        IF partition.bound = 'DEFAULT' THEN
            EXECUTE format('DELETE FROM @extschema@.%I WHERE bucket < %L', partition.relname, before);
        ELSIF substring(partition.bound FROM $re$ TO \('([^']+)'\)$re$)::timestamptz <= before THEN
            EXECUTE format('DROP TABLE @extschema@.%I', partition.relname);
            dropped := dropped + 1;
        END IF;
    END LOOP;
    RETURN dropped;
END
$$;
COMMENT ON FUNCTION etl_partitions_drop(text, timestamptz) IS
    'Drops the native partitions of a fact table that end at or before a time, and deletes older rows of its DEFAULT; returns how many were dropped';
