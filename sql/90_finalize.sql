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
        etl_floor, etl_due, etl_schedule, etl_tick, etl_enqueue, etl_run_lock, etl_retry, etl_cancel, etl_pause, etl_resume,
        etl_backoff, etl_turn_take, etl_claimable, etl_batch_take, etl_claim, etl_claim_range, etl_ledger_forget, etl_dependents, etl_finish_success,
        etl_finish_failure, etl_rescue, etl_chunks_drop, etl_retention_run, etl_tenant_drop, etl_source_add, etl_source_drop,
        etl_server_digest, etl_sources_look,
        etl_ceil, etl_backfill_range, etl_backfill_cut, etl_backfill, etl_stats_rows, etl_backfill_windows, etl_backfill_enqueue,
        etl_backfill_ended, etl_backfill_close, etl_backfill_may_feed, etl_backfill_step, etl_backfill_feed, etl_backfill_require,
        etl_backfill_hold, etl_backfill_pause, etl_backfill_resume, etl_backfill_cancel,
        etl_coverage_change, etl_coverage_advance, etl_upper, etl_prefix, etl_watermark, etl_invalidate, etl_invalidations_apply,
        etl_command_statement, etl_command_resolve, etl_statement_types, etl_job_check, etl_source_range_check, etl_source_range, etl_path,
        etl_job_create, etl_job_alter, etl_job_drop, etl_job_dropped, etl_standing, etl_guard, etl_stamp, etl_months, etl_ensure_current,
        etl_metric_label, etl_metrics, etl_run, etl_wake, etl_source_check, etl_worker_status, oo_replay, observe_bridge_fdw_validator,
        topo_extract, topo_unresolved, topo_urn, topo_urn_type, topo_urn_name, topo_digest, topo_edge_digests, topo_props_join, topo_props, topo_edges_check,
        topo_identities, topo_identities_unpack, topo_identities_apply, topo_joins, topology_joins, topo_join_props,
        topo_edges_unpack, topo_mask_props, topo_mask_end, topo_delta_apply,
        topo_resources_ensure, topo_source_lock, topo_diff_apply, topo_load, topo_instant_require, topo_resource_require, topology_at, topology_diff,
        topo_caller, topo_runs_as, topology_drift, topo_walk, topo_depth_require, blast_radius, topology_path, topology_dot, topo_dot_text,
        urn_of, urn_rule_check, urn_rules_forget, urn_rule_guard, urn_rule_keep, urn_rules_changed, urn_candidates, urn_resolve, urn_naming, urn_enter,
        etl_graph_follow, etl_graph_follows,
        etl_reconcile_due, etl_reconcile_windows, etl_reconcile_record, etl_reconcile_failed, oo_stream, oo_search,
        topo_source_guard, topo_source_load, topo_source_known, topo_source_confirm, topo_sources_forget, topo_load_try, topo_discover,
        log_range, log_patterns, log_pattern_diff,
        log_mask_guard, log_masks_changed, log_mask_check, log_masks_check, log_patterns_remask}';
    -- What claims and finishes runs is not among them: etl_run() does that in the name of the extension's owner.
    for_operator CONSTANT text[] := '{
        etl_job_require, etl_tenant_require, etl_restoring, observe_bridge_setup, etl_tick, etl_enqueue, etl_retry, etl_cancel, etl_pause,
        etl_resume, etl_watermark, etl_invalidate, etl_guard, etl_ensure_current,
        etl_command_resolve, etl_statement_types, etl_job_check, etl_source_range_check, etl_source_range, etl_path,
        etl_job_create, etl_job_alter, etl_job_drop, etl_source_add, etl_source_drop, etl_server_digest,
        etl_backfill, etl_backfill_pause, etl_backfill_resume, etl_backfill_cancel, etl_stats_rows,
        etl_metrics, etl_run, etl_wake, etl_source_check, etl_worker_status, oo_replay, oo_stream, oo_search,
        topo_extract, topo_unresolved, topo_identities, topo_joins, topology_joins, topo_join_props, topo_load, topo_instant_require, topo_resource_require, topology_at, topology_diff, topo_caller,
        topo_runs_as, topology_drift, topo_walk, topo_depth_require, blast_radius, topology_path, topology_dot, topo_dot_text,
        topo_discover,
        log_range, log_patterns, log_pattern_diff,
        log_mask_check, log_masks_check, log_patterns_remask,
        urn_of, urn_rule_check, urn_rules_forget, urn_resolve}';
    -- Reads only.
    for_reader CONSTANT text[] := '{etl_metrics, etl_stats_rows, etl_worker_status, etl_watermark, etl_tenant_require,
        topo_extract, topo_unresolved, topo_identities, topo_joins, topology_joins, topo_join_props, topo_instant_require, topo_resource_require, topology_at, topology_diff, topo_caller, topo_runs_as, topology_drift,
        topo_walk, topo_depth_require, blast_radius, topology_path, topology_dot, topo_dot_text,
        log_range, log_patterns, log_pattern_diff,
        urn_of, urn_resolve}';
    fn record;
BEGIN
    FOR fn IN
        SELECT p.oid::regprocedure AS signature, p.proname = ANY (for_operator) AS granted, p.proname = ANY (for_reader) AS readable
        FROM pg_catalog.pg_proc p
        WHERE p.proname = ANY (functions) AND p.pronamespace = '@extschema@'::regnamespace
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', fn.signature);
        IF fn.granted THEN
            EXECUTE pg_catalog.format('GRANT EXECUTE ON ROUTINE %s TO observe_bridge_operator', fn.signature);
        END IF;
        IF fn.readable THEN
            EXECUTE pg_catalog.format('GRANT EXECUTE ON ROUTINE %s TO observe_bridge_reader, pg_monitor', fn.signature);
        END IF;
    END LOOP;
END
$$;

GRANT SELECT ON
    dim_tenant, etl_job, etl_job_tenant, etl_source, etl_retention,
    etl_job_run, etl_cursor, etl_turn, etl_job_circuit, etl_partial_1m, etl_reject, etl_coverage, etl_invalidation,
    etl_reconcile, etl_late_window,
    etl_job_effective, etl_status,
    etl_backfill, etl_backfill_slice, etl_backfill_progress,
    topo_source_state, log_mask, log_mask_state, urn_rule, urn_alias
TO observe_bridge_reader, observe_bridge_operator, pg_monitor;

-- pg_dump reads the sequences of dumped tables.
GRANT SELECT ON SEQUENCE dim_tenant_tenant_id_seq, etl_source_source_id_seq, etl_job_run_run_id_seq, etl_reject_reject_id_seq, etl_claim_seq,
    etl_backfill_backfill_id_seq
TO observe_bridge_reader, observe_bridge_operator, pg_monitor;

GRANT INSERT, UPDATE         ON dim_tenant                              TO observe_bridge_operator;
GRANT INSERT, UPDATE, DELETE ON etl_job, etl_job_tenant, etl_source, log_mask, urn_rule TO observe_bridge_operator;
GRANT UPDATE                 ON etl_retention                           TO observe_bridge_operator;
GRANT DELETE                 ON urn_alias                               TO observe_bridge_operator;
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
-- What succeeded and is not yet part of the coverage: without it the watermark would never get past it.
SELECT pg_catalog.pg_extension_config_dump('etl_job_run', $$WHERE status IN ('queued', 'running', 'failed', 'cancelled')
    OR status = 'success' AND NOT EXISTS (SELECT FROM @extschema@.etl_coverage c
        WHERE c.job = etl_job_run.job AND c.tenant_id = etl_job_run.tenant_id AND c.covered_from <= window_from AND c.covered_to >= window_to)$$);
SELECT pg_catalog.pg_extension_config_dump('etl_coverage',             '');
SELECT pg_catalog.pg_extension_config_dump('etl_invalidation',         '');
SELECT pg_catalog.pg_extension_config_dump('etl_job_run_run_id_seq',   '');
SELECT pg_catalog.pg_extension_config_dump('etl_backfill',              $$WHERE state IN ('running', 'paused', 'failed')$$);
SELECT pg_catalog.pg_extension_config_dump('etl_backfill_slice',
    $$WHERE backfill_id IN (SELECT b.backfill_id FROM @extschema@.etl_backfill b WHERE b.state IN ('running', 'paused', 'failed'))$$);
SELECT pg_catalog.pg_extension_config_dump('etl_backfill_backfill_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('topo_source_state',        '');
SELECT pg_catalog.pg_extension_config_dump('log_mask',                 '');
SELECT pg_catalog.pg_extension_config_dump('urn_rule',                 '');
SELECT pg_catalog.pg_extension_config_dump('urn_alias',                '');
SELECT pg_catalog.pg_extension_config_dump('etl_reconcile',            '');

-- ---------------------------------------------------------------------------------------------------------------------
-- Comments of the functions that are written in Rust.
-- ---------------------------------------------------------------------------------------------------------------------

COMMENT ON FUNCTION etl_now() IS 'The scheduler''s clock: clock_timestamp(), or the instant of observe_bridge.clock in tests';
COMMENT ON FUNCTION etl_wake() IS 'Wakes the scheduler of this database when the transaction commits; does nothing when the library is not preloaded';
COMMENT ON FUNCTION etl_worker_status() IS 'The background workers of this database, one row; advice says what to do when they do not run';
COMMENT ON FUNCTION etl_source_check(text, text, jsonb) IS 'Raises when the caller could not read from this server with these options; for etl_source_add';
COMMENT ON FUNCTION observe_bridge_fdw_validator(text[], oid) IS 'Checks the options of servers and user mappings';
COMMENT ON FUNCTION oo_stream(text, timestamptz, timestamptz, text[]) IS
    'The records of a tenant in [from, to) from all sources of oo-agg, normalised: kind, time, urn, what the kind has, attrs; secrets in texts are masked, as in everything that is stored. SELECT oo_stream(..) gives rows as they come; FROM oo_stream(..) collects them first';
COMMENT ON FUNCTION oo_search(text, text, text, timestamptz, timestamptz, integer) IS
    'Asks a server of kind openobserve in its SQL, with the USAGE and the user mapping of the role that calls; the hits as they come, at most max_rows, the newest. Nothing is masked';
COMMENT ON FUNCTION oo_replay(bigint, integer, jsonb) IS 'The raw records behind an aggregate: those of a row of oo_locator, to which sample_ref leads, and of them those that contain filter';
COMMENT ON FUNCTION log_template(text) IS 'A log line with <*> for what varies';
COMMENT ON FUNCTION log_fingerprint(text) IS 'Fingerprint of the template of a log line: 64 bits as a signed number, the same for ever';
COMMENT ON FUNCTION log_template(text, text) IS 'As log_template(message), with the masks of a tenant';
COMMENT ON FUNCTION log_fingerprint(text, text) IS 'As log_fingerprint(message), with the masks of a tenant: what log_pattern has for the line';
COMMENT ON FUNCTION log_mask_check(text, text, text) IS 'Raises when a mask with these columns of log_mask cannot be used';
COMMENT ON FUNCTION log_masks_check(bigint) IS 'Raises when the masks of a tenant are too many or too large together; NULL: those for all tenants';
COMMENT ON FUNCTION log_patterns_remask(text) IS
    'Leads fingerprints that other masks made to those that today''s masks make of their samples, by log_pattern_alias; returns how many there are. Workers do it by themselves when a pattern is new';
COMMENT ON FUNCTION etl_statement_types(text, oid[], text[], boolean) IS 'The types of the columns of one statement with these parameters and search_path, without running it';
COMMENT ON FUNCTION etl_source_range(text, text) IS 'The first and the last event of a tenant by the source_range of a job, read as its owner; NULL when there are none';
COMMENT ON FUNCTION topo_extract(text, text) IS 'The edges that a file declares, with their evidence; stores nothing. format ansible: a JSON object of the checkout''s paths and contents';
COMMENT ON FUNCTION topo_unresolved(text, text) IS 'What a file refers to and cannot be known from it alone; stores nothing';
COMMENT ON FUNCTION topo_identities(text, text) IS
    'What the things of a file are known as beside their names: addresses, DNS names, ids of clouds; stores nothing. For the argument identities of topo_load';
COMMENT ON FUNCTION topo_discover(text, text) IS 'What a run of a job of topology would find now, without storing it: a row for each document, and one without a path for each source with what would open and close';
COMMENT ON FUNCTION topo_urn(text, text) IS 'The URN of an end of an edge: itself if it begins with urn:, else a name within its source';
COMMENT ON FUNCTION topo_urn_type(text) IS 'dim_resource.type of a URN';
COMMENT ON FUNCTION topo_urn_name(text) IS 'dim_resource.name of a URN';
COMMENT ON FUNCTION topo_caller(text) IS
    'The URN under which traces know a resource: workloads and Services of Kubernetes by their bare name, services, hosts, databases and queues as they are; NULL for what calls nobody';
COMMENT ON FUNCTION urn_of(jsonb, text, text) IS
    'The URN of what has these attributes, by the rules of urn_rule: to try them. kind: log, metric, span, inferred, topology; tenant NULL: the rules for all';
COMMENT ON FUNCTION urn_rule_check(text, jsonb, text, text, text, boolean) IS 'Raises when a rule with these columns of urn_rule cannot be compiled';
COMMENT ON FUNCTION urn_rules_forget() IS 'All processes read urn_rule again when the transaction commits';
COMMENT ON FUNCTION urn_candidates(bigint, text[]) IS 'What a tenant''s rules for topology call these URNs, each beside it, before ambiguous names are sorted out';
COMMENT ON FUNCTION topo_mask_props(text) IS 'The properties of an edge, a JSON object, without secrets; NULL where they have none, null of JSON where they cannot be read';
COMMENT ON FUNCTION topo_mask_end(text) IS 'An end of an edge without user and password of its URL';
COMMENT ON FUNCTION topo_digest(anyelement) IS 'A hash of the bytes of a value of variable length';
COMMENT ON FUNCTION topo_edge_digests(anyelement) IS 'A hash of the bytes of each element of a jsonb array, NULL for one that is neither object nor array';
COMMENT ON PROCEDURE etl_ensure_current(text, text, interval, interval, text, bigint, bigint, timestamptz, timestamptz, boolean) IS
    'Brings a SQL job up to its source in the calling session, month by month with a commit after each; for migrations. skipped says why there was nothing to do: state_missing, source_empty, within_threshold';
COMMENT ON PROCEDURE etl_run(integer, interval) IS
    'Works the queue in the calling session, with a commit after each step: until it is empty, max_runs are done or the deadline has passed';

SELECT observe_bridge_setup();

-- At commit the launcher starts a scheduler here.
SELECT etl_wake();
