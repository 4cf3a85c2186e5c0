-- =====================================================================================================================
-- Masks and ignored words of tenants: what is a variable in their log lines beyond what the built-in rules see.
--
-- They are compiled in the engine, to one automaton a tenant: time is linear in the line whatever the mask. A row is
-- checked before it is stored. The masks of a tenant are part of its fingerprints, whatever worker computes them.
-- =====================================================================================================================

CREATE TABLE log_mask (
    tenant_id   bigint  REFERENCES dim_tenant ON DELETE CASCADE,
    name        text    NOT NULL CHECK (name <> ''),
    kind        text    NOT NULL DEFAULT 'mask' CHECK (kind IN ('mask', 'ignore')),
    pattern     text    NOT NULL,
    replacement text,
    priority    integer NOT NULL DEFAULT 100,
    enabled     boolean NOT NULL DEFAULT true,
    comment     text,
    UNIQUE NULLS NOT DISTINCT (tenant_id, name)
);
COMMENT ON TABLE  log_mask             IS 'What is a variable in log lines beyond what the built-in rules see. A change holds from the next window on';
COMMENT ON COLUMN log_mask.tenant_id   IS 'The tenant whose lines are masked; NULL: all tenants';
COMMENT ON COLUMN log_mask.name        IS 'The mask''s name; not part of fingerprints';
COMMENT ON COLUMN log_mask.kind        IS 'mask: pattern is a regular expression (the syntax of Rust''s regex crate); ignore: a word, masked where it stands as a whole word';
COMMENT ON COLUMN log_mask.pattern     IS 'The expression or the word; case counts, unless the expression begins with (?i)';
COMMENT ON COLUMN log_mask.replacement IS 'What templates show: order for <order>; NULL: <*>. Small letters and _';
COMMENT ON COLUMN log_mask.priority    IS 'Of masks that match at one place the lowest wins; then kind ignore, then by pattern';
COMMENT ON COLUMN log_mask.comment     IS 'What the mask is for';

CREATE TABLE log_mask_state (
    tenant_id  bigint      PRIMARY KEY REFERENCES dim_tenant ON DELETE CASCADE,
    version    bigint      NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE  log_mask_state            IS 'By which masks the patterns of a tenant were last bridged, see log_patterns_remask()';
COMMENT ON COLUMN log_mask_state.version    IS 'A hash of the masks, the built-in ones included';
COMMENT ON COLUMN log_mask_state.changed_at IS 'Since when';

CREATE FUNCTION log_mask_guard() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    PERFORM log_mask_check(NEW.kind, NEW.pattern, NEW.replacement);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION log_mask_guard() IS 'Trigger: refuses a mask that cannot be compiled';

CREATE FUNCTION log_masks_changed() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    -- Masks for all tenants join those of each.
    PERFORM log_masks_check(t.tenant_id)
    FROM (SELECT c.tenant_id FROM changed c
          UNION
          SELECT m.tenant_id FROM log_mask m WHERE EXISTS (SELECT FROM changed c WHERE c.tenant_id IS NULL)) AS t;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION log_masks_changed() IS 'Trigger: refuses masks that are too many or too large together';

CREATE TRIGGER log_mask_guard BEFORE INSERT OR UPDATE ON log_mask
    FOR EACH ROW EXECUTE FUNCTION log_mask_guard();
CREATE TRIGGER log_masks_inserted AFTER INSERT ON log_mask
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION log_masks_changed();
CREATE TRIGGER log_masks_updated AFTER UPDATE ON log_mask
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION log_masks_changed();
COMMENT ON TRIGGER log_mask_guard     ON log_mask IS 'No mask is stored that cannot be compiled';
COMMENT ON TRIGGER log_masks_inserted ON log_mask IS 'Nor masks that cannot be compiled together';
COMMENT ON TRIGGER log_masks_updated  ON log_mask IS 'Nor masks that cannot be compiled together';
