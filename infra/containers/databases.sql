-- Postgres runs this once, in a new data folder. `make demo` creates the tables.
CREATE DATABASE raw;
CREATE DATABASE clean;
CREATE DATABASE mlflow;
