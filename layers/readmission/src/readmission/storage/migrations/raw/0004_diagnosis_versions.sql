-- The version of ICD of a row's diagnoses, as delivered; NULL if the delivery says nothing of it.
ALTER TABLE diabetes_raw ADD COLUMN diag_version text;
