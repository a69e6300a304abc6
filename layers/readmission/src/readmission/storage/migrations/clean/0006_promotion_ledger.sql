-- Who asked for a rollback, by the name in the request; NULL for decisions of the pipeline and of earlier releases.
-- Whether the rollback overrode an objection. The code of the reason; empty for lines of earlier releases.
ALTER TABLE promotion_ledger
    ADD COLUMN decided_by text,
    ADD COLUMN forced boolean NOT NULL DEFAULT false,
    ADD COLUMN reason_code text NOT NULL DEFAULT '';
