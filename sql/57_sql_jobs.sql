-- =====================================================================================================================
-- SQL jobs: any function f(tenant_id, window_from, window_to) that returns a number, as a job. Their definition, and the
-- guard that says whether one has come far enough. src/jobs/sql.rs runs them.
-- =====================================================================================================================

-- ---------------------------------------------------------------------------------------------------------------------
-- Commands
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION etl_command_statement(command text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT CASE WHEN command ~ '^("([^"]|"")+"|[[:alpha:]_][[:alnum:]_$]*)(\.("([^"]|"")+"|[[:alpha:]_][[:alnum:]_$]*))?$'
                THEN 'SELECT ' || command || '($1, $2, $3)'
                ELSE command END
$$;
COMMENT ON FUNCTION etl_command_statement(text) IS
    'The statement that etl_job.command stands for: the call of the function it names, or what it says';

CREATE FUNCTION etl_command_resolve(command text, path name[]) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    wanted    CONSTANT oid[] := ARRAY['bigint', 'timestamptz', 'timestamptz']::regtype[]::oid[];
    numbers   CONSTANT oid[] := ARRAY['bigint', 'integer', 'smallint', 'numeric']::regtype[]::oid[];
    shape     CONSTANT text  := '(bigint, timestamptz, timestamptz)';
    named     text[] := regexp_match(command, '^\s*((?:"(?:[^"]|"")+"|[[:alpha:]_][[:alnum:]_$]*)(?:\s*\.\s*(?:"(?:[^"]|"")+"|[[:alpha:]_][[:alnum:]_$]*))*)\s*(?:\(([^()]*)\))?\s*$');
    parts     text[];
    schemas   name[];
    columns   oid[];
    candidate record;
    others    text;
BEGIN
    IF command IS NULL OR command !~ '\S' THEN
        RAISE EXCEPTION 'a SQL job needs a command'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT    = 'Name a function f' || shape || ' that returns bigint, or write SELECT f($1, $2, $3).';
    END IF;

    IF named IS NULL THEN
        columns := etl_statement_types(command, wanted, path, false);
        IF cardinality(columns) <> 1 OR columns[1] <> ALL (numbers) THEN
            RAISE EXCEPTION 'the command must return one number'
                USING ERRCODE = 'datatype_mismatch',
                      DETAIL  = format('It returns (%s).', (SELECT string_agg(format_type(t, NULL), ', ') FROM unnest(columns) AS t)),
                      HINT    = 'The number is how many rows it wrote, e.g. SELECT f($1, $2, $3) of a function that returns bigint.';
        END IF;
        RETURN btrim(command, E' \t\r\n;');
    END IF;

    parts := parse_ident(named[1]);
    IF cardinality(parts) = 3 AND parts[1] = current_database() THEN
        parts := parts[2:];
    END IF;
    IF cardinality(parts) > 2 THEN
        RAISE EXCEPTION '"%" is not the name of a function', command
            USING ERRCODE = 'invalid_name', HINT = 'Write function, schema.function, or a SELECT.';
    END IF;
    -- An array that is written out has any bounds; positions below are counted from 1.
    schemas := CASE cardinality(parts) WHEN 2 THEN ARRAY[parts[1]]::name[] ELSE ARRAY['pg_catalog'::name] || path END;
    IF named[2] IS NOT NULL
       AND ARRAY(SELECT to_regtype(btrim(t))::oid FROM unnest(string_to_array(named[2], ',')) WITH ORDINALITY AS a (t, n) ORDER BY n) IS DISTINCT FROM wanted
    THEN
        RAISE EXCEPTION 'the function of a SQL job takes %, not (%)', shape, named[2]
            USING ERRCODE = 'datatype_mismatch',
                  DETAIL  = 'These are the tenant, the start and the end of the window.',
                  HINT    = 'Any other call can be written as SELECT, e.g. SELECT f($2, $3).';
    END IF;

    SELECT p.oid, p.prorettype, p.proretset, p.prokind, p.proname, n.nspname INTO candidate
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE p.proname = parts[cardinality(parts)] AND n.nspname = ANY (schemas) AND string_to_array(p.proargtypes::text, ' ')::oid[] = wanted
    ORDER BY array_position(schemas, n.nspname) LIMIT 1;
    IF NOT FOUND THEN
        SELECT string_agg(format('%s returns %s', p.oid::regprocedure, format_type(p.prorettype, NULL)), '; ' ORDER BY p.oid) INTO others
        FROM (SELECT p.* FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
              WHERE p.proname = parts[cardinality(parts)] AND n.nspname = ANY (schemas) ORDER BY p.oid LIMIT 10) p;
        RAISE EXCEPTION 'there is no function %', named[1] || shape
            USING ERRCODE = 'undefined_function',
                  DETAIL  = coalesce('There is: ' || others || '.',
                                     format('There is no function of that name in: %s.', array_to_string(schemas, ', '))),
                  HINT    = 'Create it before the job, name its schema, or write a SELECT that takes $1 (tenant_id), $2 (window_from) and $3 (window_to).';
    END IF;
    IF candidate.prokind <> 'f' OR candidate.proretset OR candidate.prorettype <> ALL (ARRAY['bigint', 'integer']::regtype[]::oid[]) THEN
        RAISE EXCEPTION 'the function of a SQL job returns bigint, but % does not', candidate.oid::regprocedure
            USING ERRCODE = 'datatype_mismatch',
                  DETAIL  = CASE candidate.prokind WHEN 'f' THEN format('It returns %s%s.', CASE WHEN candidate.proretset THEN 'setof ' END, format_type(candidate.prorettype, NULL))
                                                   WHEN 'p' THEN 'It is a procedure.' ELSE 'It is an aggregate or window function.' END,
                  HINT    = 'The number is how many rows it wrote; it is shown as stats.rows of the run.';
    END IF;
    IF NOT has_function_privilege(candidate.oid, 'EXECUTE') THEN
        RAISE EXCEPTION 'permission denied for function %', candidate.oid::regprocedure
            USING ERRCODE = 'insufficient_privilege', HINT = format('The job runs as "%s": grant EXECUTE to that role.', current_user);
    END IF;
    RETURN quote_ident(candidate.nspname) || '.' || quote_ident(candidate.proname);
END
$$;
COMMENT ON FUNCTION etl_command_resolve(text, name[]) IS
    'The command of a SQL job with the function''s schema, or an error that says what is wrong with it';

-- ---------------------------------------------------------------------------------------------------------------------
-- Definition
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION etl_job_check(j etl_job) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    setting record;
    unknown text;
BEGIN
    FOR setting IN
        SELECT * FROM (VALUES ('run_interval', j.run_interval), ('align', j.align), ('delay', j.delay), ('lookback', j.lookback)) AS s (name, value)
    LOOP
        IF setting.value IS NULL OR NOT isfinite(setting.value) OR setting.value < '0' THEN
            RAISE EXCEPTION '% must be a finite interval that is not negative, not %', setting.name, coalesce(setting.value::text, 'NULL')
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Give e.g. ''1 hour''.';
        END IF;
        IF extract(year FROM setting.value) <> 0 OR extract(month FROM setting.value) <> 0 THEN
            RAISE EXCEPTION '% must not have months: %', setting.name, setting.value
                USING ERRCODE = 'invalid_parameter_value',
                      DETAIL  = 'Windows are counted from the epoch in UTC, so they need a fixed length.',
                      HINT    = 'Use days, e.g. ''30 days''. A backfill may go by calendar months: see etl_backfill.';
        END IF;
    END LOOP;
    IF j.align < '1 s' THEN
        RAISE EXCEPTION 'align must be at least one second, not %', j.align
            USING ERRCODE = 'invalid_parameter_value',
                  HINT    = 'A job with run_interval 0 needs align, the length of its windows; else it is run_interval by default.';
    END IF;
    IF extract(epoch FROM j.run_interval) % extract(epoch FROM j.align) <> 0 THEN
        RAISE EXCEPTION 'run_interval % is not a multiple of align %', j.run_interval, j.align
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL  = 'align is the length of a window, run_interval how often windows are enqueued.',
                  HINT    = 'Make them equal to run one window at a time, or run_interval a multiple.';
    END IF;
    IF j.max_attempts IS NULL OR j.max_attempts NOT BETWEEN 1 AND 100 OR j.concurrency IS NULL OR j.concurrency NOT BETWEEN 1 AND 64 THEN
        RAISE EXCEPTION 'max_attempts goes from 1 to 100 and concurrency from 1 to 64'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL  = format('max_attempts = %s, concurrency = %s.', coalesce(j.max_attempts::text, 'NULL'), coalesce(j.concurrency::text, 'NULL')),
                  HINT    = 'concurrency above 1 needs a function that may run twice at once, for different windows.';
    END IF;
    IF j.timeout IS NULL OR NOT isfinite(j.timeout) OR j.timeout <= '0' THEN
        RAISE EXCEPTION 'timeout must be a finite interval above zero, not %', coalesce(j.timeout::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give e.g. ''10 min''.';
    END IF;
    IF j.lock_key = 0 THEN
        RAISE EXCEPTION 'lock_key 0 stands for no lock'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Choose any other key, or leave lock_key out.';
    END IF;
    IF j.after IS NULL OR array_position(j.after, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'after must be an array of names of jobs without NULL'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'Use ''{}'' for a job that waits for no other.';
    END IF;
    -- Itself is a cycle, about which the trigger complains.
    SELECT string_agg('"' || a.name || '"', ', ') INTO unknown
    FROM unnest(j.after) AS a (name) WHERE a.name <> j.name AND NOT EXISTS (SELECT FROM etl_job k WHERE k.name = a.name);
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION 'job "%" would come after jobs that do not exist: %', j.name, unknown
            USING ERRCODE = 'undefined_object', HINT = 'Create them first. Jobs are the rows of etl_job.';
    END IF;
END
$$;
COMMENT ON FUNCTION etl_job_check(etl_job) IS 'Raises when the settings of a job do not go together';

CREATE FUNCTION etl_source_range_check(source_range text, path name[]) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    columns oid[] := etl_statement_types(source_range, ARRAY['bigint']::regtype[]::oid[], path, true);
BEGIN
    IF columns IS DISTINCT FROM ARRAY['timestamptz', 'timestamptz']::regtype[]::oid[] THEN
        RAISE EXCEPTION 'source_range must give two columns of type timestamptz'
            USING ERRCODE = 'datatype_mismatch',
                  DETAIL  = format('It gives (%s).', (SELECT string_agg(format_type(t, NULL), ', ') FROM unnest(columns) AS t)),
                  HINT    = 'The first and the last event, e.g. SELECT min(at), max(at) FROM events WHERE tenant_id = $1.';
    END IF;
END
$$;
COMMENT ON FUNCTION etl_source_range_check(text, name[]) IS 'Raises when a text cannot be the source_range of a job';

CREATE FUNCTION etl_path(path name[]) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    -- Without temporary schemas: those of whoever runs the job are not those of its owner.
    SELECT coalesce(string_agg(quote_ident(s.name), ', ' ORDER BY s.n), '')
    FROM unnest(path) WITH ORDINALITY AS s (name, n) WHERE s.name !~ '^pg_(toast_)?temp(_|$)'
$$;
COMMENT ON FUNCTION etl_path(name[]) IS 'Schemas as the text of a search_path, without temporary ones';

CREATE FUNCTION etl_job_create(
    name text, command text, run_interval interval, align interval DEFAULT NULL, delay interval DEFAULT '0',
    lookback interval DEFAULT '0', after text[] DEFAULT '{}', source_range text DEFAULT NULL, lock_key bigint DEFAULT NULL,
    concurrency integer DEFAULT 1, max_attempts integer DEFAULT 4, timeout interval DEFAULT '10 min', enabled boolean DEFAULT true,
    -- The defaults of a call are computed where it is made: these are the caller's schemas, not those pinned below.
    search_path name[] DEFAULT current_schemas(false)
) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    j etl_job;
BEGIN
    IF name IS NULL OR name = '' THEN
        RAISE EXCEPTION 'a job needs a name' USING ERRCODE = 'invalid_parameter_value', HINT = 'Any text that is not empty.';
    END IF;
    IF EXISTS (SELECT FROM etl_job k WHERE k.name = etl_job_create.name) THEN
        RAISE EXCEPTION 'job "%" exists already', name
            USING ERRCODE = 'duplicate_object', HINT = 'Change it with etl_job_alter, or remove it with etl_job_drop.';
    END IF;
    j.name         := name;
    j.kind         := 'sql';
    j.run_interval := run_interval;
    j.align        := coalesce(align, run_interval);
    j.delay        := delay;
    j.lookback     := lookback;
    j.after        := after;
    j.lock_key     := lock_key;
    j.concurrency  := concurrency;
    j.max_attempts := max_attempts;
    j.timeout      := timeout;
    PERFORM etl_job_check(j);
    j.source_range := nullif(source_range, '');
    IF j.source_range IS NOT NULL THEN
        PERFORM etl_source_range_check(j.source_range, search_path);
    END IF;
    j.command := etl_command_resolve(command, search_path);

    INSERT INTO etl_job (name, kind, run_interval, align, delay, lookback, after, concurrency, max_attempts, timeout, enabled,
                         command, search_path, source_range, lock_key)
    VALUES (j.name, j.kind, j.run_interval, j.align, j.delay, j.lookback, j.after, j.concurrency, j.max_attempts, j.timeout,
            coalesce(etl_job_create.enabled, true), j.command, etl_path(etl_job_create.search_path), j.source_range, j.lock_key);
    PERFORM etl_wake();
END
$$;
COMMENT ON FUNCTION etl_job_create(text, text, interval, interval, interval, interval, text[], text, bigint, integer, integer, interval, boolean, name[]) IS
    'Makes a job of a function f(tenant_id bigint, window_from timestamptz, window_to timestamptz) RETURNS bigint, or of a statement with $1, $2, $3; it runs as the current role, with the schemas that are on search_path now';

CREATE FUNCTION etl_job_alter(
    name text, command text DEFAULT NULL, run_interval interval DEFAULT NULL, align interval DEFAULT NULL, delay interval DEFAULT NULL,
    lookback interval DEFAULT NULL, after text[] DEFAULT NULL, source_range text DEFAULT NULL, lock_key bigint DEFAULT NULL,
    concurrency integer DEFAULT NULL, max_attempts integer DEFAULT NULL, timeout interval DEFAULT NULL, enabled boolean DEFAULT NULL,
    search_path name[] DEFAULT current_schemas(false)
) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    j etl_job := etl_job_require(name);
BEGIN
    IF j.kind <> 'sql' AND (command IS NOT NULL OR source_range IS NOT NULL OR lock_key IS NOT NULL) THEN
        RAISE EXCEPTION 'job "%" is built in', name
            USING ERRCODE = 'wrong_object_type',
                  DETAIL  = 'It has no command, source_range or lock_key.',
                  HINT    = 'Its times, limits and "after" may be changed.';
    END IF;
    j.run_interval := coalesce(run_interval, j.run_interval);
    j.align        := coalesce(align, j.align);
    j.delay        := coalesce(delay, j.delay);
    j.lookback     := coalesce(lookback, j.lookback);
    j.after        := coalesce(after, j.after);
    j.concurrency  := coalesce(concurrency, j.concurrency);
    j.max_attempts := coalesce(max_attempts, j.max_attempts);
    j.timeout      := coalesce(timeout, j.timeout);
    j.enabled      := coalesce(enabled, j.enabled);
    PERFORM etl_job_check(j);
    UPDATE etl_job k
    SET run_interval = j.run_interval, align = j.align, delay = j.delay, lookback = j.lookback, after = j.after,
        concurrency = j.concurrency, max_attempts = j.max_attempts, timeout = j.timeout, enabled = j.enabled
    WHERE k.name = j.name;

    -- By itself, for it needs the rights of the owner.
    IF command IS NOT NULL OR source_range IS NOT NULL OR lock_key IS NOT NULL THEN
        IF command IS NOT NULL OR source_range <> '' THEN
            -- Both have one search_path, so what stays must work with the new one too.
            j.command      := etl_command_resolve(coalesce(command, j.command), search_path);
            j.source_range := coalesce(source_range, j.source_range);
            j.search_path  := etl_path(search_path);
        END IF;
        j.source_range := CASE WHEN source_range = '' THEN NULL ELSE j.source_range END;
        IF j.source_range IS NOT NULL AND (command IS NOT NULL OR source_range IS NOT NULL) THEN
            PERFORM etl_source_range_check(j.source_range, search_path);
        END IF;
        UPDATE etl_job k
        SET command = j.command, source_range = j.source_range, search_path = j.search_path,
            lock_key = CASE WHEN etl_job_alter.lock_key IS NULL THEN k.lock_key ELSE nullif(etl_job_alter.lock_key, 0) END
        WHERE k.name = j.name;
    END IF;
    PERFORM etl_wake();
END
$$;
COMMENT ON FUNCTION etl_job_alter(text, text, interval, interval, interval, interval, text[], text, bigint, integer, integer, interval, boolean, name[]) IS
    'Changes a job; NULL leaves a setting as it is. source_range '''', lock_key 0 and after ''{}'' take them away';

CREATE FUNCTION etl_job_drop(name text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    j etl_job := etl_job_require(name);
BEGIN
    IF j.kind <> 'sql' THEN
        RAISE EXCEPTION 'job "%" is built in and cannot be dropped', name
            USING ERRCODE = 'wrong_object_type', HINT = 'etl_pause(job) stops it.';
    END IF;
    -- The trigger does the rest.
    DELETE FROM etl_job k WHERE k.name = j.name;
END
$$;
COMMENT ON FUNCTION etl_job_drop(text) IS
    'Removes a SQL job with its windows, cursor, coverage and backfills; refused while one runs or other jobs come after it. What it wrote stays';

-- Deletes in the name of the extension's owner what the one who may delete the job may not touch row by row.
CREATE FUNCTION etl_job_dropped() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    followers text := (SELECT string_agg('"' || k.name || '"', ', ' ORDER BY k.name) FROM etl_job k WHERE OLD.name = ANY (k.after));
BEGIN
    IF followers IS NOT NULL THEN
        RAISE EXCEPTION 'jobs come after job "%": %', OLD.name, followers
            USING ERRCODE = 'dependent_objects_still_exist', HINT = 'Drop them first, or change them with etl_job_alter(name, after => ..).';
    END IF;
    -- A tick that plans at this moment would leave windows of a job that is gone.
    LOCK TABLE etl_cursor IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM etl_job_run r WHERE r.job = OLD.name AND r.status <> 'running';
    IF EXISTS (SELECT FROM etl_job_run r WHERE r.job = OLD.name) THEN
        RAISE EXCEPTION 'job "%" has running windows', OLD.name
            USING ERRCODE = 'object_in_use', HINT = 'etl_pause it, wait until etl_status shows none running, then drop it.';
    END IF;
    DELETE FROM etl_cursor c       WHERE c.job = OLD.name;
    DELETE FROM etl_turn t         WHERE t.job = OLD.name;
    DELETE FROM etl_job_circuit c  WHERE c.job = OLD.name;
    DELETE FROM etl_coverage c     WHERE c.job = OLD.name;
    DELETE FROM etl_invalidation i WHERE i.job = OLD.name;
    DELETE FROM etl_backfill b     WHERE b.job = OLD.name;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION etl_job_dropped() IS 'Trigger: what belongs to a SQL job goes with it';

CREATE TRIGGER etl_job_dropped AFTER DELETE ON etl_job
    FOR EACH ROW WHEN (OLD.kind = 'sql') EXECUTE FUNCTION etl_job_dropped();
COMMENT ON TRIGGER etl_job_dropped ON etl_job IS 'What belongs to a SQL job goes with it';

-- ---------------------------------------------------------------------------------------------------------------------
-- Guard
-- ---------------------------------------------------------------------------------------------------------------------

CREATE FUNCTION etl_standing(of_job text, of_tenant bigint, min_event timestamptz, max_event timestamptz, max_lag interval,
                             OUT upto timestamptz, OUT starts timestamptz, OUT watermark timestamptz, OUT up_to_date boolean)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
AS $$
BEGIN
    IF max_lag IS NULL OR max_lag < '0' THEN
        RAISE EXCEPTION 'max_lag must not be %', coalesce(max_lag::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give an interval that is not negative, e.g. ''1 hour''.';
    END IF;
    upto      := etl_upper(of_job, of_tenant);
    starts    := etl_floor(min_event, (etl_job_require(of_job)).align);
    watermark := etl_prefix(of_job, of_tenant, starts);
    -- What is not due cannot be demanded; a first window that has not succeeded is not covered, however young it is.
    up_to_date := coalesce(starts >= upto OR watermark >= upto, false)
        OR coalesce(coalesce(max_event, upto) - watermark <= max_lag AND (starts IS NULL OR watermark > starts), false);
END
$$;
COMMENT ON FUNCTION etl_standing(text, bigint, timestamptz, timestamptz, interval) IS
    'Where a job stands against the events of its source, or without them against what is due: whether its windows have succeeded from the first event on, up to max_lag before the last';

CREATE FUNCTION etl_guard(job text, tenant text, max_lag interval DEFAULT '1 hour') RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
AS $$
DECLARE
    j         etl_job := etl_job_require(job);
    of_tenant bigint  := etl_tenant_require(tenant);
    events    record;
    standing  record;
BEGIN
    IF j.source_range IS NULL THEN
        SELECT NULL::timestamptz AS min_event, NULL::timestamptz AS max_event INTO events;
    ELSE
        SELECT r.min_event, r.max_event INTO events FROM etl_source_range(job, tenant) r;
        IF events.min_event IS NULL THEN
            RETURN;
        END IF;
    END IF;
    SELECT s.* INTO standing FROM etl_standing(j.name, of_tenant, events.min_event, events.max_event, max_lag) s;
    IF standing.up_to_date THEN
        RETURN;
    END IF;
    RAISE EXCEPTION 'job "%" of tenant "%" trails its source', job, tenant
        USING ERRCODE = 'object_not_in_prerequisite_state',
              DETAIL  = format('watermark %s, %s, lag %s, allowed %s.',
                               CASE WHEN standing.watermark IS NULL THEN 'none'
                                    WHEN standing.watermark = standing.starts THEN 'none: the window of the first event has not succeeded'
                                    ELSE standing.watermark::text END,
                               CASE WHEN events.min_event IS NULL THEN format('windows are due up to %s', standing.upto)
                                    ELSE format('first event %s, last event %s', events.min_event, events.max_event) END,
                               coalesce((coalesce(events.max_event, standing.upto) - standing.watermark)::text, 'unknown'), max_lag),
              HINT    = format('CALL etl_ensure_current(%L, %L) brings it up to date here and now, SELECT etl_backfill(%L, %L) in the background.',
                               job, tenant, job, tenant);
END
$$;
COMMENT ON FUNCTION etl_guard(text, text, interval) IS
    'Raises when a job has not processed the history of its source, or trails the last event by more than max_lag while windows are due; passes on an empty source. Without source_range the windows that are due stand for the source';

CREATE FUNCTION etl_stamp(job text, tenant_id bigint, "from" timestamptz, "to" timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
    j etl_job := etl_job_require(job);
BEGIN
    -- An empty source: from where all was done before, so that no hole stays behind.
    PERFORM etl_coverage_change(j.name, tenant_id, tstzmultirange(tstzrange(
        coalesce("from", least(etl_prefix(j.name, tenant_id, NULL), "to" - j.align)), "to")));
    -- The schedule goes on where this ends. Where it has begun already it stays as it is, except that it need not go
    -- through a history that has nothing in it.
    IF j.run_interval > '0' THEN
        INSERT INTO etl_cursor AS c (job, tenant_id, next_from) VALUES (j.name, etl_stamp.tenant_id, "to")
        ON CONFLICT (job, tenant_id) DO UPDATE SET next_from = greatest(c.next_from, excluded.next_from)
        WHERE etl_stamp."from" IS NULL;
    END IF;
END
$$;
COMMENT ON FUNCTION etl_stamp(text, bigint, timestamptz, timestamptz) IS
    'Notes that every window of a range is done; without a start, that there is nothing to do before its end';

CREATE FUNCTION etl_months("from" timestamptz, "to" timestamptz, align interval) RETURNS TABLE (slice_from timestamptz, slice_to timestamptz)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, @extschema@, pg_temp
SET "TimeZone" = 'UTC'
AS $$
    -- A window that lies across the first of a month belongs to the month in which it begins.
    SELECT c.starts, c.ends
    FROM generate_series(date_trunc('month', "from", 'UTC'), "to", interval '1 month') AS m (starts)
    CROSS JOIN LATERAL (SELECT greatest(etl_ceil(m.starts, align), "from") AS starts,
                               least(etl_ceil(m.starts + interval '1 month', align), "to") AS ends) c
    WHERE c.starts < c.ends
    ORDER BY c.starts
$$;
COMMENT ON FUNCTION etl_months(timestamptz, timestamptz, interval) IS
    'A range of whole windows cut at the calendar months of UTC';
