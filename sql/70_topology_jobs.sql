-- =====================================================================================================================
-- The jobs topo-iac and topo-ansible: what keeps their sources apart, and a load on trial for topo_discover(). The jobs
-- themselves read in src/jobs/topo and write by topo_load().
-- =====================================================================================================================

CREATE FUNCTION topo_source_guard() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    -- As src/jobs/topo/options.rs has it.
    named CONSTANT text := coalesce(NEW.options ->> 'source', NEW.server);
    twin  etl_source;
BEGIN
    SELECT s.* INTO twin FROM etl_source s
    WHERE s.tenant_id = NEW.tenant_id AND s.job IN ('topo-iac', 'topo-ansible') AND s.enabled AND s.source_id <> NEW.source_id
      AND coalesce(s.options ->> 'source', s.server) = named
    ORDER BY s.source_id LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the tenant has a source of topology named "%" already', named
            USING ERRCODE = 'duplicate_object',
                  DETAIL  = format('It is source %s of job "%s", on server "%s". Each would close the edges of the other.', twin.source_id, twin.job, twin.server),
                  HINT    = 'Give the new one a name of its own: options => ''{"source": "..."}''.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION topo_source_guard() IS 'Trigger: no two sources of topology of a tenant have one name';

CREATE TRIGGER topo_source_guard BEFORE INSERT OR UPDATE OF tenant_id, job, server, options, enabled ON etl_source
    FOR EACH ROW WHEN (NEW.enabled AND NEW.job IN ('topo-iac', 'topo-ansible')) EXECUTE FUNCTION topo_source_guard();
COMMENT ON TRIGGER topo_source_guard ON etl_source IS 'Sources of topology have different names';

-- Of two that are added at once neither trigger sees the other's row.
CREATE UNIQUE INDEX etl_source_topology_name ON etl_source (tenant_id, coalesce(options ->> 'source', server))
    WHERE enabled AND job IN ('topo-iac', 'topo-ansible');
COMMENT ON INDEX etl_source_topology_name IS 'Sources of topology have different names, also when they are added at once';

CREATE FUNCTION topo_load_try(tenant text, source text, edges jsonb, max_shrink real, force boolean,
    OUT opened bigint, OUT closed bigint, OUT refused text)
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    -- The block takes back what the load did; what it counted stays.
    SELECT l.opened, l.closed INTO opened, closed FROM topo_load(tenant, source, edges, etl_now(), max_shrink, force) l;
    RAISE EXCEPTION 'taken back' USING ERRCODE = 'OB001';
EXCEPTION
    WHEN SQLSTATE 'OB001' THEN
        NULL;
    WHEN data_exception OR object_not_in_prerequisite_state THEN
        refused := SQLERRM;
END
$$;
COMMENT ON FUNCTION topo_load_try(text, text, jsonb, real, boolean) IS
    'What topo_load would open and close now, or why it would refuse; nothing stays of it';
