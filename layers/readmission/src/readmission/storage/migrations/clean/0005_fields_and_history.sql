-- What the models see beside the 14 features. Rows cleaned before lack it: a run from `clean` makes them again from raw.
TRUNCATE diabetes_clean;

ALTER TABLE diabetes_clean
    ADD COLUMN admission_type_id smallint NOT NULL,
    ADD COLUMN discharge_disposition_id smallint NOT NULL,
    ADD COLUMN admission_source_id smallint NOT NULL,
    ADD COLUMN payer_code text NOT NULL,          -- '?' where unknown, here and in the texts below
    ADD COLUMN medical_specialty text NOT NULL,
    ADD COLUMN weight text NOT NULL,
    ADD COLUMN diag_1_category text NOT NULL,
    ADD COLUMN diag_1_group text NOT NULL,
    ADD COLUMN diag_2_category text NOT NULL,
    ADD COLUMN diag_2_group text NOT NULL,
    ADD COLUMN diag_3_category text NOT NULL,
    ADD COLUMN diag_3_group text NOT NULL,
    ADD COLUMN insulin text NOT NULL,
    ADD COLUMN metformin text NOT NULL,
    ADD COLUMN glipizide text NOT NULL,
    ADD COLUMN glyburide text NOT NULL,
    ADD COLUMN pioglitazone text NOT NULL,
    ADD COLUMN rosiglitazone text NOT NULL,
    ADD COLUMN glimepiride text NOT NULL,
    ADD COLUMN repaglinide text NOT NULL,
    ADD COLUMN num_doses_up smallint NOT NULL,
    ADD COLUMN num_doses_down smallint NOT NULL,
    ADD COLUMN has_heart_failure smallint,        -- NULL where no diagnosis is known, here and below
    ADD COLUMN has_ischemic_heart_disease smallint,
    ADD COLUMN has_stroke smallint,
    ADD COLUMN has_kidney_disease smallint,
    ADD COLUMN has_chronic_lung_disease smallint,
    ADD COLUMN has_cancer smallint,
    ADD COLUMN has_liver_disease smallint,
    ADD COLUMN has_mental_disorder smallint,
    ADD COLUMN has_complicated_diabetes smallint,
    ADD COLUMN has_anemia smallint,
    ADD COLUMN has_fluid_disorder smallint;

CREATE INDEX diabetes_clean_patient ON diabetes_clean (data_kind, patient_nbr, encounter_id);

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
    stays AS (PARTITION BY data_kind, patient_nbr ORDER BY encounter_id),
    earlier AS (PARTITION BY data_kind, patient_nbr ORDER BY encounter_id ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW);
