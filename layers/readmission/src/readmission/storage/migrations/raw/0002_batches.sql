-- A row belongs to every batch that delivered it: to the one that brought it first by its `batch_id`, which never
-- changes from now on, and to each other one by a line of `shared_row`.
CREATE TABLE batch (
    batch_id text COLLATE "C" PRIMARY KEY,
    first_row integer NOT NULL,                   -- `row_number` of its first row
    rows integer NOT NULL,                        -- as delivered
    distinct_rows integer NOT NULL,               -- without those that repeat an earlier row of the batch
    earlier_id text,                              -- in the release before; NULL for a batch loaded since
    loaded_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE shared_row (
    batch_id text COLLATE "C" NOT NULL,
    row_hash text COLLATE "C" NOT NULL,
    place integer NOT NULL,                       -- in the batch, from 0
    PRIMARY KEY (batch_id, row_hash)
);

ALTER TABLE diabetes_raw
    ADD COLUMN site text NOT NULL DEFAULT 'default', -- the institution; encounters and patients are its own
    ADD COLUMN discharge_date text;               -- as delivered; NULL if the delivery has no such column

-- Until now, a row moved to the newest batch that held it, so a batch may lack rows and mix those of several deliveries.
-- Such batches get ids of their own: what is delivered under the old id is loaded again, in full.
ALTER TABLE batch ADD COLUMN data_kind text, ADD COLUMN delivered_at timestamptz;
INSERT INTO batch (batch_id, first_row, rows, distinct_rows, earlier_id, data_kind, delivered_at)
SELECT
    'earlier-' || left(md5(concat_ws(' ', data_kind, extract(epoch FROM delivered_at), batch_id)), 16),
    0, count(*), count(*), batch_id, data_kind, delivered_at
FROM diabetes_raw GROUP BY data_kind, delivered_at, batch_id;
UPDATE diabetes_raw SET batch_id = batch.batch_id FROM batch
WHERE batch.earlier_id = diabetes_raw.batch_id AND batch.data_kind = diabetes_raw.data_kind
AND batch.delivered_at = diabetes_raw.delivered_at;
ALTER TABLE batch DROP COLUMN data_kind, DROP COLUMN delivered_at;
