-- Every logged forecast with the label of its encounter, NULL where none is known yet.
--
-- The newest label of an encounter counts. A row that a delivery repeats unchanged is as old as when it first came, as
-- in `diabetes_clean`, so that it does not replace an outcome that was reported meanwhile. It confirms its label all the
-- same: `known_at` is when that label last came, for a delivery the day on which it was taken from the records if known.
CREATE VIEW forecast_outcome AS
SELECT
    prediction.*,
    label.readmitted,
    label.known_at,
    -- UCI's rows have no dates, so the day of the forecast stands in.
    coalesce(label.discharge_date, CAST(prediction.answered_at AT TIME ZONE 'UTC' AS date)) AS discharged_on
FROM prediction
LEFT JOIN LATERAL (
    SELECT
        readmitted,
        max(known_at) OVER (PARTITION BY readmitted) AS known_at,
        first_value(discharge_date) OVER (ORDER BY discharge_date IS NULL, since DESC, place DESC) AS discharge_date
    FROM (
        SELECT readmitted, discharge_date, reported_at AS since, reported_at AS known_at, id AS place
        FROM outcome
        WHERE outcome.site = prediction.site AND outcome.encounter_id = prediction.encounter_id
        UNION ALL
        SELECT newest.readmitted, newest.discharge_date, newest.delivered_at, confirmed.at, 0
        FROM diabetes_clean AS newest
        CROSS JOIN LATERAL (
            SELECT coalesce(
                max(coalesce(taken_on::timestamp AT TIME ZONE 'UTC', delivery.delivered_at)), newest.delivered_at
            ) AS at
            FROM clean_row AS line
            JOIN delivery_batch USING (batch_id)
            JOIN delivery USING (delivery_id)
            WHERE line.data_kind = newest.data_kind AND line.site = newest.site
            AND line.encounter_id = newest.encounter_id AND line.row_hash = newest.row_hash
            AND delivery.status = 'accepted'
        ) AS confirmed
        WHERE newest.data_kind = prediction.data_kind AND newest.site = prediction.site
        AND newest.encounter_id = prediction.encounter_id
    ) AS source
    ORDER BY since DESC, place DESC
    LIMIT 1
) AS label ON true;

-- Patients whose data were erased, by the key that the log knows them by. A message that was on its way, or waits to be
-- sent again, brings no forecast back that was answered before.
CREATE TABLE erased_patient (
    patient_key text COLLATE "C" PRIMARY KEY,
    erased_at timestamptz NOT NULL
);
CREATE FUNCTION skip_erased() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM erased_patient WHERE patient_key = NEW.patient_key AND erased_at >= NEW.answered_at
    ) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER skip_erased BEFORE INSERT ON prediction
    FOR EACH ROW WHEN (NEW.patient_key IS NOT NULL) EXECUTE FUNCTION skip_erased();
