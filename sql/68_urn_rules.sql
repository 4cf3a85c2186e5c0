-- =====================================================================================================================
-- What things are called: rules for URNs, and the other names under which declared things are known (docs/urns.md).
--
-- Rules are compiled in the engine. A row is checked before it is stored, so that no rule can make a window fail.
-- =====================================================================================================================

CREATE TABLE urn_rule (
    rule             text        PRIMARY KEY CHECK (rule <> ''),
    priority         integer     NOT NULL DEFAULT 100,
    tenant_id        bigint      REFERENCES dim_tenant ON DELETE CASCADE,
    applies_to       text        NOT NULL CHECK (applies_to IN ('telemetry', 'inferred', 'topology')),
    requires         jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(requires) = 'object'),
    template         text        NOT NULL,
    type             text,
    name_attribute   text,
    only_unambiguous boolean     NOT NULL DEFAULT false,
    enabled          boolean     NOT NULL DEFAULT true,
    shipped          boolean     NOT NULL DEFAULT false,
    comment          text
);
COMMENT ON TABLE  urn_rule            IS 'What things are called in dim_resource: the first rule that matches; without one a thing keeps the URN it came with';
COMMENT ON COLUMN urn_rule.rule       IS 'The rule''s name';
COMMENT ON COLUMN urn_rule.priority   IS 'Rules are tried in ascending order; of equal ones those of a tenant come first, then by name';
COMMENT ON COLUMN urn_rule.tenant_id  IS 'The tenant whose things the rule names; NULL: all tenants';
COMMENT ON COLUMN urn_rule.applies_to IS
    'telemetry: what sends logs, metrics and spans; inferred: databases and queues that spans call; topology: what files and APIs declare';
COMMENT ON COLUMN urn_rule.requires IS
    'Attributes that the thing must have, and what their values look like: {"k8s.namespace.name": "prod-*"}; * stands for anything, at either end';
COMMENT ON COLUMN urn_rule.template IS
    'The URN, with {attribute} for its percent-encoded value and {attribute:label} for the first label of a DNS name; all of them are required';
COMMENT ON COLUMN urn_rule.type             IS 'dim_resource.type; NULL: told by the URN';
COMMENT ON COLUMN urn_rule.name_attribute   IS 'The attribute that becomes dim_resource.name; NULL: told by the URN';
COMMENT ON COLUMN urn_rule.only_unambiguous IS
    'The rule holds while only one thing of the tenant gets this URN by it; when there is a second, both keep their own. For topology only';
COMMENT ON COLUMN urn_rule.shipped          IS 'The rule came with the extension: it can be disabled and changed, not removed';
COMMENT ON COLUMN urn_rule.comment          IS 'What the rule is for';

CREATE FUNCTION urn_rule_guard() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    PERFORM urn_rule_check(NEW.applies_to, NEW.requires, NEW.template, NEW.type, NEW.name_attribute, NEW.only_unambiguous);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION urn_rule_guard() IS 'Trigger: refuses a rule that cannot be compiled';

CREATE FUNCTION urn_rule_keep() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    -- A restore first creates the extension, with all that is shipped: a row that is not there could not say so. In a
    -- trigger of a trigger a restored row takes the place of the shipped one.
    IF pg_trigger_depth() < 2 THEN
        RAISE EXCEPTION '%', CASE TG_OP WHEN 'TRUNCATE' THEN 'urn_rule cannot be truncated'
                                        ELSE format('rule "%s" came with the extension and stays', OLD.rule) END
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL  = 'Rules that came with the extension would be back after a dump and a restore.',
                  HINT    = CASE TG_OP WHEN 'TRUNCATE' THEN 'Delete the rules that are not shipped, and disable the others: UPDATE urn_rule SET enabled = false WHERE shipped.'
                                       ELSE format('Disable it: UPDATE urn_rule SET enabled = false WHERE rule = %L.', OLD.rule) END;
    END IF;
    RETURN CASE TG_OP WHEN 'UPDATE' THEN NEW ELSE OLD END;
END
$$;
COMMENT ON FUNCTION urn_rule_keep() IS 'Trigger: rules that came with the extension are disabled, not removed or renamed';

CREATE FUNCTION urn_rules_changed() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    PERFORM urn_rules_forget();
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION urn_rules_changed() IS 'Trigger: all processes read the rules again when the change commits';

-- Also for a rule of the user's that took the name of a shipped one.
CREATE TRIGGER etl_config_replace BEFORE INSERT ON urn_rule
    FOR EACH ROW EXECUTE FUNCTION etl_config_replace();
CREATE TRIGGER urn_rule_guard BEFORE INSERT OR UPDATE ON urn_rule
    FOR EACH ROW EXECUTE FUNCTION urn_rule_guard();
CREATE TRIGGER urn_rule_keep BEFORE DELETE ON urn_rule
    FOR EACH ROW WHEN (OLD.shipped) EXECUTE FUNCTION urn_rule_keep();
CREATE TRIGGER urn_rule_keep_name BEFORE UPDATE ON urn_rule
    FOR EACH ROW WHEN (OLD.shipped AND (NEW.rule <> OLD.rule OR NOT NEW.shipped)) EXECUTE FUNCTION urn_rule_keep();
CREATE TRIGGER urn_rule_keep_all BEFORE TRUNCATE ON urn_rule
    FOR EACH STATEMENT EXECUTE FUNCTION urn_rule_keep();
CREATE TRIGGER urn_rules_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON urn_rule
    FOR EACH STATEMENT EXECUTE FUNCTION urn_rules_changed();
COMMENT ON TRIGGER etl_config_replace ON urn_rule IS 'A restored row replaces the shipped one';
COMMENT ON TRIGGER urn_rule_guard     ON urn_rule IS 'No rule is stored that cannot be compiled';
COMMENT ON TRIGGER urn_rule_keep      ON urn_rule IS 'Shipped rules are not deleted';
COMMENT ON TRIGGER urn_rule_keep_name ON urn_rule IS 'Shipped rules are not renamed';
COMMENT ON TRIGGER urn_rule_keep_all  ON urn_rule IS 'Shipped rules are not truncated';
COMMENT ON TRIGGER urn_rules_changed  ON urn_rule IS 'Changes reach all processes';

INSERT INTO urn_rule (rule, priority, applies_to, requires, template, only_unambiguous, shipped, comment) VALUES
    ('service', 1000, 'telemetry', '{}', 'urn:svc:{service.name}', false, true,
     'A record belongs to its service. The name is the same in logs, metrics and spans, other attributes are not'),
    ('host', 1000, 'telemetry', '{}', 'urn:host:{host.name}', false, true,
     'A record without a service belongs to its host'),
    ('rds-endpoint', 1000, 'inferred', '{"db.cluster": "*.rds.amazonaws.com"}', 'urn:db:{db.system}:{db.cluster:label}/{db.name}', false, true,
     'The first label of an RDS address is the instance''s or cluster''s identifier, which Terraform and AWS name'),
    ('cluster-local-database', 1000, 'inferred', '{"db.cluster": "*.svc.cluster.local"}', 'urn:svc:{db.cluster:label}', false, true,
     'A database at the DNS name of a Kubernetes Service is that Service'),
    ('aliyun-endpoint', 1000, 'inferred', '{"db.cluster": "*.rds.aliyuncs.com"}', 'urn:db:{db.system}:{db.cluster:label}/{db.name}', false, true,
     'The first label of an RDS address of Aliyun is the instance''s identifier'),
    ('azure-endpoint', 1000, 'inferred', '{"db.cluster": "*.database.azure.com"}', 'urn:db:{db.system}:{db.cluster:label}/{db.name}', false, true,
     'The first label of the address is the server''s name, which Terraform names'),
    ('azure-sql-endpoint', 1000, 'inferred', '{"db.cluster": "*.database.windows.net"}', 'urn:db:{db.system}:{db.cluster:label}/{db.name}', false, true,
     'The first label of the address is the server''s name, which Terraform names'),
    -- Connection strings of inventories name the same addresses.
    ('rds-endpoint-declared', 1000, 'topology', '{"db.cluster": "*.rds.amazonaws.com"}', 'urn:db:{db.system}:{db.cluster:label}/{db.name}', false, true,
     'As rds-endpoint, for connection strings'),
    ('aliyun-endpoint-declared', 1000, 'topology', '{"db.cluster": "*.rds.aliyuncs.com"}', 'urn:db:{db.system}:{db.cluster:label}/{db.name}', false, true,
     'As aliyun-endpoint, for connection strings'),
    ('azure-endpoint-declared', 1000, 'topology', '{"db.cluster": "*.database.azure.com"}', 'urn:db:{db.system}:{db.cluster:label}/{db.name}', false, true,
     'As azure-endpoint, for connection strings'),
    ('azure-sql-endpoint-declared', 1000, 'topology', '{"db.cluster": "*.database.windows.net"}', 'urn:db:{db.system}:{db.cluster:label}/{db.name}', false, true,
     'As azure-sql-endpoint, for connection strings'),
    ('kubernetes-service', 1000, 'topology', '{"k8s.namespace.name": "*"}', 'urn:svc:{k8s.service.name}', true, true,
     'A declared Kubernetes Service is the service of that name in telemetry, as long as one namespace only has it');

-- ---------------------------------------------------------------------------------------------------------------------
-- Other names
-- ---------------------------------------------------------------------------------------------------------------------

CREATE TABLE urn_alias (
    tenant_id  bigint      NOT NULL,
    urn        text        NOT NULL,
    stands_for text        NOT NULL,
    exclusive  boolean     NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, urn)
);
CREATE INDEX urn_alias_stands_for ON urn_alias (tenant_id, stands_for);
COMMENT ON TABLE  urn_alias            IS 'Names that loads of topology used for things that a rule gives another URN. What was seen once stays, whatever the order of loads';
COMMENT ON COLUMN urn_alias.urn        IS 'The URN by which a source declared it';
COMMENT ON COLUMN urn_alias.stands_for IS 'The URN that the rule gives';
COMMENT ON COLUMN urn_alias.exclusive  IS 'The rule is only_unambiguous: if several urn stand for one, each keeps its own';
COMMENT ON COLUMN urn_alias.first_seen IS 'When a load used the name for the first time';

CREATE FUNCTION urn_resolve(tenant_id bigint, urn text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT coalesce((
        SELECT a.stands_for FROM urn_alias a
        WHERE a.tenant_id = urn_resolve.tenant_id AND a.urn = urn_resolve.urn
          AND NOT (a.exclusive AND EXISTS (SELECT FROM urn_alias o
                                           WHERE o.tenant_id = a.tenant_id AND o.stands_for = a.stands_for AND o.urn <> a.urn))
    ), urn_resolve.urn)
$$;
COMMENT ON FUNCTION urn_resolve(bigint, text) IS 'The URN under which dim_resource has a thing that a source declared by this one';

CREATE FUNCTION urn_naming(tenant_id bigint) RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT topo_digest(jsonb_build_array(
        (SELECT jsonb_agg(jsonb_build_array(r.rule, r.priority, r.requires, r.template, r.type, r.name_attribute, r.only_unambiguous)
                          ORDER BY r.rule COLLATE "C")
         FROM urn_rule r
         WHERE r.enabled AND r.applies_to = 'topology' AND (r.tenant_id IS NULL OR r.tenant_id = urn_naming.tenant_id)),
        (SELECT jsonb_agg(s.stands_for ORDER BY s.stands_for COLLATE "C")
         FROM (SELECT a.stands_for FROM urn_alias a WHERE a.tenant_id = urn_naming.tenant_id
               GROUP BY 1 HAVING count(*) > 1 AND bool_or(a.exclusive)) AS s)))
$$;
COMMENT ON FUNCTION urn_naming(bigint) IS 'A hash of all that decides what a tenant''s declared things are called';

CREATE FUNCTION urn_enter(tenant_id bigint, urns text[], OUT known_as text[], OUT types text[], OUT names text[])
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
SET jit = off
SET work_mem = '64MB'
AS $$
#variable_conflict use_variable
DECLARE
    exclusives boolean[];
    new_urns   text[];
    new_names  text[];
    new_excl   boolean[];
BEGIN
    SELECT c.candidates, c.types, c.names, c.exclusives INTO known_as, types, names, exclusives FROM urn_candidates(tenant_id, urns) AS c;
    SELECT array_agg(c.urn), array_agg(c.candidate), array_agg(c.exclusive) INTO new_urns, new_names, new_excl
    FROM unnest(urns, known_as, exclusives) AS c (urn, candidate, exclusive)
    LEFT JOIN urn_alias a ON a.tenant_id = urn_enter.tenant_id AND a.urn = c.urn
    WHERE c.candidate <> c.urn AND a.urn IS NULL OR a.stands_for <> c.candidate OR a.exclusive <> c.exclusive;
    IF new_urns IS NOT NULL THEN
        -- What the rules do not say any more.
        DELETE FROM urn_alias a WHERE a.tenant_id = urn_enter.tenant_id AND a.urn = ANY (new_urns);
        INSERT INTO urn_alias AS a (tenant_id, urn, stands_for, exclusive)
        SELECT DISTINCT ON (c.urn COLLATE "C") tenant_id, c.urn, c.candidate, c.exclusive
        FROM unnest(new_urns, new_names, new_excl) AS c (urn, candidate, exclusive)
        WHERE c.candidate <> c.urn
        -- By bytes: two loads that enter the same names in different orders would wait for each other.
        ORDER BY c.urn COLLATE "C"
        ON CONFLICT DO NOTHING;
    END IF;

    -- Most tenants have no ambiguous name.
    IF true = ANY (exclusives) AND EXISTS (
        SELECT FROM urn_alias a WHERE a.tenant_id = urn_enter.tenant_id GROUP BY a.stands_for HAVING count(*) > 1
    ) THEN
        SELECT array_agg(CASE WHEN k.keeps THEN k.urn ELSE k.candidate END ORDER BY k.n),
               array_agg(CASE WHEN k.keeps THEN topo_urn_type(k.urn) ELSE k.type END ORDER BY k.n),
               array_agg(CASE WHEN k.keeps THEN topo_urn_name(k.urn) ELSE k.name END ORDER BY k.n)
        INTO known_as, types, names
        FROM (SELECT c.*, c.exclusive AND EXISTS (
                         SELECT FROM urn_alias o WHERE o.tenant_id = urn_enter.tenant_id AND o.stands_for = c.candidate AND o.urn <> c.urn) AS keeps
              FROM unnest(urns, known_as, types, names, exclusives) WITH ORDINALITY AS c (urn, candidate, type, name, exclusive, n)) AS k;
    END IF;
END
$$;
COMMENT ON FUNCTION urn_enter(bigint, text[]) IS
    'What the things of a load are called, each beside its URN; keeps the other names in urn_alias';
