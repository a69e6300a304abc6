-- By which mapping a delivery's rows were made of the columns of its source.
ALTER TABLE delivery
    ADD COLUMN mapping_hash text,                 -- of the mapping's text; NULL: the source has the contract's columns
    ADD COLUMN mapping text;                      -- the YAML file
