-- The executions of the pipeline: why each was started, and what its models learn from.
CREATE TABLE pipeline_run (
    execution text COLLATE "C" PRIMARY KEY,
    started_at timestamptz NOT NULL,
    started_by text NOT NULL CHECK (started_by IN ('person', 'schedule', 'new object', 'drift')),
    actor text,                                   -- who answers for it; NULL for a person who did not give a name
    reason text,                                  -- why it was started, if the input says so
    event text COLLATE "C",                       -- id of the event that started it
    skipped text,                                 -- why it does nothing; NULL if it goes on
    model_name text,                              -- of what it trains, as are the columns below; NULL before
    recipe text COLLATE "C",                      -- data, code and settings: the same recipe makes the same models
    trains_since timestamptz
);
-- One event starts one run, however often it is delivered.
CREATE UNIQUE INDEX pipeline_run_event ON pipeline_run (event) WHERE skipped IS NULL;
CREATE INDEX pipeline_run_started ON pipeline_run (started_by, started_at);
CREATE INDEX pipeline_run_recipe ON pipeline_run (model_name, recipe) WHERE recipe IS NOT NULL;
