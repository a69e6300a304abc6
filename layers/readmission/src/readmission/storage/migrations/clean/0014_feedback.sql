-- What somebody did about a forecast: by `POST /feedback`, or about a card of CDS Hooks.
CREATE TABLE feedback (
    feedback_id text COLLATE "C" PRIMARY KEY,     -- a hash of the rest: the same feedback twice is one row
    received_at timestamptz NOT NULL,
    route text NOT NULL,
    request_id text COLLATE "C" NOT NULL,         -- of the forecast in `prediction`; a card has it as its uuid
    position integer NOT NULL CHECK (position >= 0),
    outcome text NOT NULL CHECK (outcome IN ('accepted', 'overridden', 'contacted')),
    outcome_at timestamptz NOT NULL,
    reason_code text,
    reason text,
    done_by text
);
CREATE INDEX feedback_forecast ON feedback (request_id, position);
CREATE INDEX feedback_age ON feedback (received_at);
