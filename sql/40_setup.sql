-- =====================================================================================================================
-- observe_bridge_setup(): creates what is missing, attaches the optional extensions that are installed, reports.
--
-- Run by CREATE EXTENSION, and again by hand after one of the optional extensions was installed.
-- =====================================================================================================================

CREATE FUNCTION etl_restoring() RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT coalesce(nullif(current_setting('observe_bridge.restoring', true), '')::boolean, false)
        OR coalesce(nullif(current_setting('timescaledb.restoring',    true), '')::boolean, false)
$$;
COMMENT ON FUNCTION etl_restoring() IS
    'Whether a restore is going on (observe_bridge.restoring or timescaledb.restoring): nothing is created or enqueued';

CREATE FUNCTION etl_absent(extension text, consequence text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT CASE WHEN EXISTS (SELECT FROM pg_available_extensions WHERE name = extension)
                THEN format('available: CREATE EXTENSION %I, then SELECT observe_bridge_setup(); ', extension)
                ELSE 'not available on this server; ' END || consequence
$$;
COMMENT ON FUNCTION etl_absent(text, text) IS
    'What observe_bridge_setup() says about an extension that is not installed in this database';

-- ---------------------------------------------------------------------------------------------------------------------
-- Membership. Inside CREATE EXTENSION whatever is created becomes a member of the extension; facts must not be.
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION etl_members() RETURNS text[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT coalesce(array_agg(d.classid || ':' || d.objid), '{}')
    FROM pg_depend d
    JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'observe_bridge'
    WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
$$;
COMMENT ON FUNCTION etl_members() IS 'The objects that belong to the extension, as class:oid';

CREATE FUNCTION etl_members_detach(keep text[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    object record;
BEGIN
    FOR object IN
        SELECT m.id, i.type, i.identity
        FROM unnest(etl_members()) AS m (id)
        CROSS JOIN LATERAL pg_identify_object(split_part(m.id, ':', 1)::oid, split_part(m.id, ':', 2)::oid, 0) i
        WHERE m.id <> ALL (keep)
        -- A table takes its row type along, a type its array type; taking those first would be an error.
        ORDER BY i.type = 'type', i.identity LIKE '%[]'
    LOOP
        CONTINUE WHEN object.id <> ALL (etl_members());
        EXECUTE format('ALTER EXTENSION observe_bridge DROP %s %s', object.type, object.identity);
    END LOOP;
END
$$;
COMMENT ON FUNCTION etl_members_detach(text[]) IS 'Detaches from the extension every member that is not in the list';

CREATE FUNCTION etl_in_extension_script() RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    before text[] := etl_members();
    inside boolean;
BEGIN
    -- There is no function that tells; but what is created in a script becomes a member.
    CREATE TEMP TABLE etl_probe ();
    inside := cardinality(etl_members()) > cardinality(before);
    DROP TABLE pg_temp.etl_probe;
    RETURN inside;
END
$$;
COMMENT ON FUNCTION etl_in_extension_script() IS
    'Whether CREATE EXTENSION or ALTER EXTENSION UPDATE of observe_bridge is running';

-- ---------------------------------------------------------------------------------------------------------------------
-- All components
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION observe_bridge_setup() RETURNS TABLE (component text, status text, detail text)
-- With the rights of the owner of the extension, so that whoever calls it, facts get one owner.
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
SET client_min_messages = warning
AS $$
#variable_conflict use_column
DECLARE
    components CONSTANT text[] := '{facts,timescaledb,age,vector,pg_trgm,pg_cron,pg_stat_statements}';
    members text[];
BEGIN
    IF etl_restoring() THEN
        RETURN QUERY SELECT c, 'skipped', 'a restore is going on: run observe_bridge_setup() when it is done' FROM unnest(components) AS c;
        RETURN;
    END IF;
    -- One at a time.
    LOCK TABLE etl_retention IN SHARE ROW EXCLUSIVE MODE;
    members := etl_members();

    -- Without facts nothing works, so an error here is one of the caller; the others are optional.
    RETURN QUERY SELECT 'facts', s.status, s.detail FROM etl_setup_facts() s;
    FOREACH component IN ARRAY components[2:] LOOP
        BEGIN
            EXECUTE format('SELECT s.status, s.detail FROM @extschema@.%I() s', 'etl_setup_' || component) INTO status, detail;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS detail = MESSAGE_TEXT;
            status := 'error';
            detail := format('%s (SQLSTATE %s)', detail, SQLSTATE);
            RAISE WARNING 'observe_bridge_setup(): %: %', component, detail;
        END;
        RETURN NEXT;
    END LOOP;

    PERFORM etl_members_detach(members);
END
$$;
COMMENT ON FUNCTION observe_bridge_setup() IS
    'Creates the fact tables, attaches the optional extensions that are installed; idempotent. One row per component: ready, created, absent, skipped or error';
