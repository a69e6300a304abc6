-- How each batch kept to the data contract when it was last cleaned.
CREATE TABLE batch_report (
    batch_id text COLLATE "C" PRIMARY KEY,
    report jsonb NOT NULL,                        -- counts: rows, rules broken, missing values, classes, splits
    reported_at timestamptz NOT NULL DEFAULT now()
);
-- Which batches the rows are from; none is told of rows that were cleaned before.
ALTER TABLE diabetes_clean ADD COLUMN batch_id text COLLATE "C" NOT NULL DEFAULT '';
