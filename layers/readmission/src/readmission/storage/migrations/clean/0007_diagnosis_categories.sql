-- The normal form of a diagnosis has no leading zeros: rows that were cleaned before have the category of the row as it
-- was delivered. UCI's rows have none to remove.
UPDATE diabetes_clean SET
    diag_1_category = regexp_replace(diag_1_category, '^0+(?=\d)', ''),
    diag_2_category = regexp_replace(diag_2_category, '^0+(?=\d)', ''),
    diag_3_category = regexp_replace(diag_3_category, '^0+(?=\d)', '')
WHERE concat_ws(' ', diag_1_category, diag_2_category, diag_3_category) ~ '\m0\d';

UPDATE clean_row SET
    diag_1_category = regexp_replace(diag_1_category, '^0+(?=\d)', ''),
    diag_2_category = regexp_replace(diag_2_category, '^0+(?=\d)', ''),
    diag_3_category = regexp_replace(diag_3_category, '^0+(?=\d)', '')
WHERE concat_ws(' ', diag_1_category, diag_2_category, diag_3_category) ~ '\m0\d';
