-- Every decision on what serves, in order; written once, never changed.
CREATE TABLE promotion_ledger (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    decided_at timestamptz NOT NULL DEFAULT now(),
    model_name text NOT NULL,
    version text NOT NULL,                        -- what was decided on
    previous_version text,                        -- what was in Production before
    decision text NOT NULL CHECK (decision IN ('promoted', 'refused', 'rolled back')),
    reason text NOT NULL,
    metrics jsonb NOT NULL,                       -- the comparison, with its intervals
    data_kind text NOT NULL,
    data_hash text NOT NULL,                      -- of the rows that the version learned from
    code_version text NOT NULL,                   -- of the package that trained it
    execution text                                -- of the state machine; none for a rollback
);
-- A step that runs twice decides once.
CREATE UNIQUE INDEX promotion_ledger_execution ON promotion_ledger (model_name, execution);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the promotion ledger is append-only';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON promotion_ledger
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
