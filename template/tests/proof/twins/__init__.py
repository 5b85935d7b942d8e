"""Twins for guards at run time: what each must catch, and what it must leave alone."""
