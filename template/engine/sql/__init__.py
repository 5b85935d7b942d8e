"""The database: transactions, its clock, the tables, pagination."""
