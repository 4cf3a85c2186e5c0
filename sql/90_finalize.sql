-- =====================================================================================================================
-- Rights, dumps, and the first setup.
-- =====================================================================================================================

-- ---------------------------------------------------------------------------------------------------------------------
-- Nothing here is for PUBLIC. Operators configure, enqueue and run; owners of SQL jobs and sources are guarded by triggers.
-- ---------------------------------------------------------------------------------------------------------------------

DO $$
DECLARE
    -- Whoever owns functions of the other files grants them there.
    functions CONSTANT text[] := '{
        etl_config_replace, etl_owner_guard, etl_job_after_check, etl_job_require, etl_tenant_require,
        etl_fact_tables, etl_fact_indexes, etl_extension_schema, etl_adopt_check, etl_fact_shape_check, etl_facts_create,
        etl_partitions_ensure, etl_partitions_drop,
        etl_restoring, etl_absent, etl_members, etl_members_detach, etl_in_extension_script, etl_setup_facts, etl_setup_timescaledb,
        etl_setup_age, etl_setup_vector, etl_setup_pg_trgm, etl_setup_pg_cron, etl_setup_pg_stat_statements, observe_bridge_setup,
        etl_floor, etl_due, etl_tick, etl_enqueue, etl_run_lock, etl_retry, etl_cancel, etl_pause, etl_resume,
        etl_backoff, etl_turn_take, etl_claimable, etl_claim, etl_claim_next, etl_dependents, etl_finish_success,
        etl_finish_failure, etl_rescue, etl_chunks_drop, etl_retention_run, etl_tenant_drop, etl_source_add, etl_source_drop}';
    -- Called by operators, directly or through CALL etl_run().
    for_operator CONSTANT text[] := '{
        etl_job_require, etl_tenant_require, observe_bridge_setup, etl_tick, etl_enqueue, etl_retry, etl_cancel, etl_pause,
        etl_resume, etl_claimable, etl_claim, etl_claim_next, etl_finish_success, etl_finish_failure, etl_rescue,
        etl_retention_run, etl_partitions_ensure, etl_source_add, etl_source_drop}';
    fn record;
BEGIN
    FOR fn IN
        SELECT p.oid::regprocedure AS signature, p.proname = ANY (for_operator) AS granted
        FROM pg_catalog.pg_proc p
        WHERE p.proname = ANY (functions) AND p.pronamespace = '@extschema@'::regnamespace
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', fn.signature);
        IF fn.granted THEN
            EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO observe_bridge_operator', fn.signature);
        END IF;
    END LOOP;
END
$$;

GRANT SELECT ON
    dim_tenant, etl_job, etl_job_tenant, etl_source, etl_retention,
    etl_job_run, etl_cursor, etl_turn, etl_job_circuit, etl_partial_1m, etl_reject,
    etl_job_effective, etl_status
TO observe_bridge_reader, observe_bridge_operator, pg_monitor;

-- pg_dump reads the sequences of dumped tables.
GRANT SELECT ON SEQUENCE dim_tenant_tenant_id_seq, etl_source_source_id_seq, etl_job_run_run_id_seq, etl_reject_reject_id_seq, etl_claim_seq
TO observe_bridge_reader, observe_bridge_operator, pg_monitor;

GRANT INSERT, UPDATE         ON dim_tenant                              TO observe_bridge_operator;
GRANT INSERT, UPDATE, DELETE ON etl_job, etl_job_tenant, etl_source     TO observe_bridge_operator;
GRANT UPDATE                 ON etl_retention                           TO observe_bridge_operator;
GRANT USAGE ON FOREIGN DATA WRAPPER observe_bridge                      TO observe_bridge_operator;

-- ---------------------------------------------------------------------------------------------------------------------
-- Dumps hold the configuration and what is not finished: cursors and open windows, so that a restored database goes on
-- without a gap. History, turns, circuits and partials are not worth it.
-- ---------------------------------------------------------------------------------------------------------------------

SELECT pg_catalog.pg_extension_config_dump('dim_tenant',               '');
SELECT pg_catalog.pg_extension_config_dump('dim_tenant_tenant_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('etl_job',                  '');
SELECT pg_catalog.pg_extension_config_dump('etl_job_tenant',           '');
SELECT pg_catalog.pg_extension_config_dump('etl_source',               '');
SELECT pg_catalog.pg_extension_config_dump('etl_source_source_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('etl_retention',            '');
SELECT pg_catalog.pg_extension_config_dump('etl_cursor',               '');
SELECT pg_catalog.pg_extension_config_dump('etl_job_run',              $$WHERE status IN ('queued', 'running', 'failed')$$);
SELECT pg_catalog.pg_extension_config_dump('etl_job_run_run_id_seq',   '');

SELECT observe_bridge_setup();
