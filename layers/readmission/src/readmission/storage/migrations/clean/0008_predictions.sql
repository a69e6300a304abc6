-- The forecasts that were answered, if PredictionLog is on: one row per encounter of a request. Who the patient is
-- stays with the caller: `patient_key` is a keyed hash of site and patient number.
CREATE TABLE prediction (
    log_id text COLLATE "C" NOT NULL,             -- new for every request
    request_id text COLLATE "C" NOT NULL,         -- clients may choose it, also twice
    position integer NOT NULL CHECK (position >= 0), -- of the encounter in a batch; 0 for a single request
    answered_at timestamptz NOT NULL,
    route text NOT NULL,
    model_name text NOT NULL,
    model_version text NOT NULL,                  -- the version that answered
    data_kind text NOT NULL CHECK (data_kind IN ('real', 'synthetic')), -- of that version
    answered_by text NOT NULL DEFAULT 'production' CHECK (answered_by IN ('production', 'canary')),
    site text NOT NULL,
    encounter_id bigint,                          -- the caller's; NULL if not given, as below
    patient_key text COLLATE "C",
    history text CHECK (history IN ('found', 'not found', 'unavailable')), -- NULL if it was not looked up
    inputs jsonb NOT NULL,                        -- as the model saw them, by name
    p_early float8 NOT NULL,                      -- of '<30'
    p_late float8 NOT NULL,                       -- of '>30'
    p_none float8 NOT NULL,                       -- of 'NO'
    other_version text,                           -- the version that was asked too, and did not answer
    other_p_early float8,                         -- NULL if that version failed
    other_p_late float8,
    other_p_none float8,
    other_error text,                             -- the name of its error
    other_seconds float8,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (log_id, position)
);
CREATE INDEX prediction_age ON prediction (answered_at);
CREATE INDEX prediction_request ON prediction (request_id);
CREATE INDEX prediction_answered ON prediction (model_name, model_version, answered_at);
CREATE INDEX prediction_encounter ON prediction (site, encounter_id) WHERE encounter_id IS NOT NULL;
CREATE INDEX prediction_patient ON prediction (patient_key) WHERE patient_key IS NOT NULL;

-- Labels that came by `POST /outcomes`. The newest of an encounter counts, also against the label of a delivery.
CREATE TABLE outcome (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site text NOT NULL,
    encounter_id bigint NOT NULL,
    readmitted text NOT NULL CHECK (readmitted IN ('NO', '>30', '<30')),
    discharge_date date,
    reported_at timestamptz NOT NULL,
    reported_by text,                             -- who sent it, as an actor
    request_id text COLLATE "C" NOT NULL,
    position integer NOT NULL CHECK (position >= 0),
    UNIQUE (request_id, position)
);
CREATE INDEX outcome_encounter ON outcome (site, encounter_id, reported_at);
