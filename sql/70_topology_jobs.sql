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

-- ---------------------------------------------------------------------------------------------------------------------
-- Documents of HTTP servers that are not modified
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION topo_source_load(tenant text, source text, edges jsonb, max_shrink real, force boolean, reading bigint, validator jsonb,
    identities jsonb, OUT opened bigint, OUT closed bigint, OUT unchanged bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    at CONSTANT timestamptz := etl_now();
BEGIN
    SELECT l.opened, l.closed, l.unchanged INTO opened, closed, unchanged FROM topo_load(tenant, source, edges, at, max_shrink, force, identities) l;
    -- By a clock that went back this may be older than what is loaded.
    UPDATE topo_source_state s SET reading = topo_source_load.reading, validator = topo_source_load.validator
    WHERE s.tenant_id = etl_tenant_require(tenant) AND s.source = topo_source_load.source AND s.loaded_at = at
      AND (s.reading IS DISTINCT FROM topo_source_load.reading OR s.validator IS DISTINCT FROM topo_source_load.validator);
END
$$;
COMMENT ON FUNCTION topo_source_load(text, text, jsonb, real, boolean, bigint, jsonb, jsonb) IS
    'topo_load of what a job has read now; keeps what the server said of the document, and how it was read';

CREATE FUNCTION topo_source_known(tenant_id bigint, source text, reading bigint) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    state topo_source_state;
BEGIN
    SELECT s.* INTO state FROM topo_source_state s
    WHERE s.tenant_id = topo_source_known.tenant_id AND s.source = topo_source_known.source AND s.reading = topo_source_known.reading
      AND s.validator IS NOT NULL AND s.naming = urn_naming(s.tenant_id);
    -- The count notices rows that somebody removed by hand.
    IF state.edges = (SELECT count(*) FROM topo_edge_time t
                      WHERE t.tenant_id = state.tenant_id AND t.source = state.source AND upper_inf(t.valid)) THEN
        RETURN state.validator;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION topo_source_known(bigint, text, bigint) IS
    'What the server said of the document that is loaded, if reading it again would give the open edges: it was read like this, and rules and rows are the same';

CREATE FUNCTION topo_sources_forget(tenant_id bigint, job text) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    UPDATE topo_source_state s SET validator = NULL
    WHERE s.tenant_id = topo_sources_forget.tenant_id AND s.validator IS NOT NULL
      AND s.source IN (SELECT coalesce(e.options ->> 'source', e.server) FROM etl_source e
                       WHERE e.tenant_id = topo_sources_forget.tenant_id AND e.job = topo_sources_forget.job)
$$;
COMMENT ON FUNCTION topo_sources_forget(bigint, text) IS 'After a run that failed, the next one reads everything';

CREATE FUNCTION topo_source_confirm(tenant text, source text, reading bigint, validator jsonb) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    at    CONSTANT timestamptz := etl_now();
    state topo_source_state := topo_source_lock(etl_tenant_require(tenant), source);
BEGIN
    IF (state.reading, state.validator) IS DISTINCT FROM (topo_source_confirm.reading, topo_source_confirm.validator) THEN
        RAISE EXCEPTION 'source "%" was loaded by somebody else meanwhile', source
            USING ERRCODE = 'serialization_failure', HINT = 'Nothing needs to be done: the next attempt reads the whole document.';
    END IF;
    UPDATE topo_source_state s SET loaded_at = at
    WHERE s.tenant_id = state.tenant_id AND s.source = state.source AND s.loaded_at < at;
    RETURN state.edges;
END
$$;
COMMENT ON FUNCTION topo_source_confirm(text, text, bigint, jsonb) IS
    'Takes the document that is loaded for the newest, its server having said that it is not modified; returns how many edges stay';

-- ---------------------------------------------------------------------------------------------------------------------
-- On trial
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION topo_load_try(tenant text, source text, edges jsonb, max_shrink real, force boolean,
    identities jsonb, OUT opened bigint, OUT closed bigint, OUT refused text)
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    -- The block takes back what the load did; what it counted stays.
    SELECT l.opened, l.closed INTO opened, closed FROM topo_load(tenant, source, edges, etl_now(), max_shrink, force, identities) l;
    RAISE EXCEPTION 'taken back' USING ERRCODE = 'OB001';
EXCEPTION
    WHEN SQLSTATE 'OB001' THEN
        NULL;
    WHEN data_exception OR object_not_in_prerequisite_state THEN
        refused := SQLERRM;
END
$$;
COMMENT ON FUNCTION topo_load_try(text, text, jsonb, real, boolean, jsonb) IS
    'What topo_load would open and close now, or why it would refuse; nothing stays of it';
