"""A package: other folders have a test_likelihood.py and a test_table.py as well."""
