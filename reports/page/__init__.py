"""A report's page: as data, and in each markup."""
