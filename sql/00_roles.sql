-- =====================================================================================================================
-- Roles. They are cluster-wide: created if absent, shared by all databases, never dropped with the extension.
--   observe_bridge_reader    SELECT on facts, configuration and ledger
--   observe_bridge_operator  the above, and everything that configures, enqueues or runs jobs
-- =====================================================================================================================

DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN
        SELECT * FROM (VALUES
            ('observe_bridge_reader',   'observe_bridge: may read facts, configuration and the job ledger'),
            ('observe_bridge_operator', 'observe_bridge: may configure, enqueue and run jobs')
        ) AS r (name, remark)
    LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted.name) THEN
            BEGIN
                EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', wanted.name);
                EXECUTE pg_catalog.format('COMMENT ON ROLE %I IS %L', wanted.name, wanted.remark);
            EXCEPTION
                -- Another database of the cluster created it at the same moment.
                WHEN duplicate_object OR unique_violation THEN NULL;
            END;
        END IF;
    END LOOP;
    IF NOT pg_catalog.pg_has_role('observe_bridge_operator', 'observe_bridge_reader', 'MEMBER') THEN
        GRANT observe_bridge_reader TO observe_bridge_operator;
    END IF;
END
$$;

-- Records are UTF-8; in any other encoding they would be stored broken, or refused one by one.
DO $$
BEGIN
    IF pg_catalog.getdatabaseencoding() <> 'UTF8' THEN
        RAISE EXCEPTION 'observe_bridge needs a database with encoding UTF8, not %', pg_catalog.getdatabaseencoding()
            USING ERRCODE = 'feature_not_supported',
                  HINT    = 'CREATE DATABASE .. ENCODING ''UTF8'' TEMPLATE template0.';
    END IF;
END
$$;
