"""A stay in an EHR, as FHIR R4 resources, read as the fields of a request. Pure functions: nothing is fetched."""
