-- Which kind of model, and which MLflow run: a registry that was emptied numbers its versions from 1 again.
ALTER TABLE promotion_ledger
    ADD COLUMN family text NOT NULL DEFAULT '',
    ADD COLUMN mlflow_run_id text NOT NULL DEFAULT '';
-- What every decision begins with: the newest lines of a model.
CREATE INDEX promotion_ledger_newest ON promotion_ledger (model_name, id);
