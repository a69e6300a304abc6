-- The diagnoses as delivered, and the version of ICD in which they were read. NULL in rows cleaned before: a run from
-- `clean` makes them again from raw. The version is also NULL where no diagnosis is known.
ALTER TABLE diabetes_clean
    ADD COLUMN diag_1 text,
    ADD COLUMN diag_2 text,
    ADD COLUMN diag_3 text,
    ADD COLUMN diag_version text CHECK (diag_version IN ('icd9', 'icd10'));
ALTER TABLE clean_row
    ADD COLUMN diag_1 text,
    ADD COLUMN diag_2 text,
    ADD COLUMN diag_3 text,
    ADD COLUMN diag_version text CHECK (diag_version IN ('icd9', 'icd10'));
