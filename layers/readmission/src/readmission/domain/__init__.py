"""The vocabulary of the project: the data contract, features, diagnosis codes, splits and payloads."""
