-- Patients whose data were erased. A later delivery of their rows brings nothing back: *plan* leaves out the rows of a
-- patient whose digest is here. Only this database knows the salt, so that a digest alone names nobody.
CREATE TABLE erasure_salt (
    salt text NOT NULL,
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one)
);
INSERT INTO erasure_salt (salt) VALUES (concat(gen_random_uuid(), gen_random_uuid()));

CREATE TABLE erasure (
    digest text COLLATE "C" PRIMARY KEY,          -- of salt, site and patient number
    site text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    requested_by text NOT NULL,
    reason text NOT NULL,
    completed_at timestamptz,                     -- NULL: it broke off, and must be run again
    report jsonb NOT NULL                         -- what each request found, without the patient's data: counts, versions
);
CREATE INDEX erasure_site ON erasure (site);
