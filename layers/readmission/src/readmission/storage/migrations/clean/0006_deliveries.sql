-- A delivery is the source of one run. Nothing is learned from it before its check has accepted it, nor after somebody
-- has withdrawn it: `diabetes_clean` is made from the accepted deliveries.
CREATE TABLE delivery (
    delivery_id text COLLATE "C" PRIMARY KEY,     -- the name of the execution that brought it
    data_kind text NOT NULL CHECK (data_kind IN ('real', 'synthetic')),
    site text NOT NULL,
    source text NOT NULL,
    delivered_at timestamptz NOT NULL,            -- start of the execution
    taken_on date,                                -- when it was taken from the site's records; NULL: not known
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'accepted', 'refused', 'withdrawn')),
    reason text NOT NULL DEFAULT '',              -- of the status
    decided_at timestamptz,
    comparison jsonb                              -- with the deliveries before it
);
CREATE TABLE delivery_batch (
    delivery_id text COLLATE "C" NOT NULL REFERENCES delivery ON DELETE CASCADE,
    number integer NOT NULL,                      -- in the delivery, from 1
    batch_id text COLLATE "C" NOT NULL,
    first_row integer NOT NULL,                   -- number of its first row in the delivery
    rows integer NOT NULL,
    PRIMARY KEY (delivery_id, number)
);
CREATE INDEX delivery_batch_id ON delivery_batch (batch_id);

DROP VIEW encounters;
ALTER TABLE diabetes_clean
    ADD COLUMN site text NOT NULL DEFAULT 'default', -- the institution; encounters and patients are its own
    ADD COLUMN discharge_date date,               -- NULL where the delivery has no dates
    ADD COLUMN label_due boolean NOT NULL DEFAULT true, -- whether `readmitted` can be known; only such rows are learned from
    DROP CONSTRAINT diabetes_clean_pkey,
    ADD PRIMARY KEY (data_kind, site, encounter_id);
DROP INDEX diabetes_clean_patient;
CREATE INDEX diabetes_clean_patient ON diabetes_clean (data_kind, site, patient_nbr, encounter_id);
CREATE INDEX diabetes_clean_batch ON diabetes_clean (batch_id);

-- The valid rows of every batch, in the columns of `diabetes_clean`. They stay when a later row of the encounter, or a
-- withdrawal, takes them out of that table.
CREATE TABLE clean_row (LIKE diabetes_clean);
ALTER TABLE clean_row
    DROP COLUMN delivered_at, DROP COLUMN row_number, DROP COLUMN cleaned_at, DROP COLUMN label_due,
    ADD COLUMN place integer NOT NULL,            -- in the batch, from 0
    ADD PRIMARY KEY (batch_id, place);
CREATE INDEX clean_row_encounter ON clean_row (data_kind, site, encounter_id);

-- A row can be valid in one batch and not in another, which repeats its encounter.
ALTER TABLE quarantine
    ADD COLUMN site text NOT NULL DEFAULT 'default',
    ADD COLUMN place integer NOT NULL DEFAULT 0,  -- in the batch, from 0
    DROP CONSTRAINT quarantine_pkey,
    ADD PRIMARY KEY (batch_id, row_hash);
CREATE INDEX quarantine_encounter ON quarantine (data_kind, site, encounter_id);

-- Every encounter with what was known of its patient before it: a later encounter changes nothing of an earlier one.
-- The numbers of encounters are taken for their order in time, which UCI's file says nothing else about.
-- Whether the last stay was followed by a readmission within 30 days is known by then; a later one, or none, is not.
CREATE VIEW encounters AS
SELECT
    diabetes_clean.*,
    count(*) OVER earlier AS prior_encounters,
    count(*) FILTER (WHERE readmitted = '<30') OVER earlier AS prior_early_readmissions,
    coalesce(sum(time_in_hospital) OVER earlier, 0) AS prior_days_in_hospital,
    lag(time_in_hospital) OVER stays AS last_time_in_hospital,
    lag(num_lab_procedures) OVER stays AS last_num_lab_procedures,
    lag(num_medications) OVER stays AS last_num_medications,
    lag(number_outpatient) OVER stays AS last_number_outpatient,
    lag(number_emergency) OVER stays AS last_number_emergency,
    lag(number_inpatient) OVER stays AS last_number_inpatient,
    lag(number_diagnoses) OVER stays AS last_number_diagnoses,
    lag((readmitted = '<30')::int) OVER stays AS last_early_readmission,
    lag(discharge_disposition_id::text, 1, '?') OVER stays AS last_discharge_disposition_id,
    lag(diag_1_group, 1, '?') OVER stays AS last_diag_1_group,
    (count(*) FILTER (WHERE readmitted = '<30') OVER earlier)::float8 / nullif(count(*) OVER earlier, 0)
        AS prior_early_share,
    num_medications - lag(num_medications) OVER stays AS change_in_num_medications,
    number_outpatient - lag(number_outpatient) OVER stays AS change_in_number_outpatient,
    number_emergency - lag(number_emergency) OVER stays AS change_in_number_emergency,
    number_inpatient - lag(number_inpatient) OVER stays AS change_in_number_inpatient,
    number_diagnoses - lag(number_diagnoses) OVER stays AS change_in_number_diagnoses,
    coalesce(lag(discharge_disposition_id) OVER stays || ' ' || discharge_disposition_id, '?')
        AS discharge_after_discharge,
    CASE WHEN '?' NOT IN (diag_1_category, lag(diag_1_category) OVER stays)
        THEN (diag_1_category = lag(diag_1_category) OVER stays)::int
    END AS same_diag_1_category
FROM diabetes_clean
WINDOW
    stays AS (PARTITION BY data_kind, site, patient_nbr ORDER BY encounter_id),
    earlier AS (PARTITION BY data_kind, site, patient_nbr ORDER BY encounter_id ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW);
