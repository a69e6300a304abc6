-- A version can be tried on live requests before it serves: shadowed (asked beside the version in Production), canaried
-- (answers a share of the patients), and withdrawn (asked no more).
ALTER TABLE promotion_ledger
    DROP CONSTRAINT promotion_ledger_decision_check,
    ADD CONSTRAINT promotion_ledger_decision_check
        CHECK (decision IN ('promoted', 'refused', 'rolled back', 'shadowed', 'canaried', 'withdrawn'));
