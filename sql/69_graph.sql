-- =====================================================================================================================
-- The graph follows what is declared: a load of topology, or a tenant that wants its topology in the graph, has the job
-- age-refresh run for that tenant. (Calls bring it about by themselves: it comes after oo-agg.)
-- =====================================================================================================================

CREATE FUNCTION etl_graph_follow(tenant_id bigint) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
AS $$
BEGIN
    -- The job reads the present: the window only has to be one that has begun.
    PERFORM etl_enqueue(j.name, t.code, etl_floor(etl_now(), j.align), etl_floor(etl_now(), j.align) + j.align)
    FROM dim_tenant t, etl_job j
    WHERE t.tenant_id = etl_graph_follow.tenant_id AND j.name = 'age-refresh'
      AND etl_extension_schema('age') IS NOT NULL AND NOT etl_restoring();
END
$$;
COMMENT ON FUNCTION etl_graph_follow(bigint) IS 'Has the graph of a tenant refreshed; nothing without AGE';

CREATE FUNCTION etl_graph_follows() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    PERFORM etl_graph_follow(t.tenant_id) FROM dim_tenant t
    WHERE t.tenant_id = NEW.tenant_id AND (t.graph_structure OR TG_TABLE_NAME = 'dim_tenant');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION etl_graph_follows() IS 'Trigger: has the graph of the row''s tenant refreshed';

-- At the end of the transaction: the row of the queue would else be locked while more is loaded, and two transactions
-- that load several sources could wait for each other.
CREATE CONSTRAINT TRIGGER etl_graph_follows AFTER UPDATE OF edges ON topo_source_state
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION etl_graph_follows();
COMMENT ON TRIGGER etl_graph_follows ON topo_source_state IS 'The graph follows a load of topology';
CREATE CONSTRAINT TRIGGER etl_graph_follows AFTER UPDATE OF graph_structure ON dim_tenant
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.graph_structure IS DISTINCT FROM NEW.graph_structure)
    EXECUTE FUNCTION etl_graph_follows();
COMMENT ON TRIGGER etl_graph_follows ON dim_tenant IS 'The graph follows the wish to have topology in it, or not';
