-- What the models learn from: one typed row an encounter, of its newest valid delivery.
CREATE TABLE diabetes_clean (
    data_kind text NOT NULL CHECK (data_kind IN ('real', 'synthetic')),
    encounter_id bigint NOT NULL,
    patient_nbr bigint NOT NULL,
    split text NOT NULL CHECK (split IN ('train', 'validation', 'test')),
    row_hash text COLLATE "C" NOT NULL,           -- of the raw row it came from
    delivered_at timestamptz NOT NULL,
    row_number integer NOT NULL,
    cleaned_at timestamptz NOT NULL DEFAULT now(),

    -- no features: they tell how the models do for whom
    race text NOT NULL,
    gender text NOT NULL,

    age_numeric smallint NOT NULL,
    time_in_hospital smallint NOT NULL,
    num_lab_procedures smallint NOT NULL,
    num_procedures smallint NOT NULL,
    num_medications smallint NOT NULL,
    number_outpatient smallint NOT NULL,
    number_emergency smallint NOT NULL,
    number_inpatient smallint NOT NULL,
    number_diagnoses smallint NOT NULL,
    max_glu_serum_encoded smallint NOT NULL,
    a1cresult_encoded smallint NOT NULL,
    change_encoded smallint NOT NULL,
    diabetesmed_encoded smallint NOT NULL,
    num_diabetes_meds smallint NOT NULL,
    readmitted text NOT NULL CHECK (readmitted IN ('NO', '>30', '<30')),
    PRIMARY KEY (data_kind, encounter_id)
);

-- Raw rows that are readable but break a rule of the data contract, with every rule they break.
CREATE TABLE quarantine (
    row_hash text COLLATE "C" PRIMARY KEY,
    batch_id text COLLATE "C" NOT NULL,
    data_kind text NOT NULL,
    encounter_id bigint NOT NULL,
    row_number integer NOT NULL,
    reason text NOT NULL,
    quarantined_at timestamptz NOT NULL DEFAULT now()
);
