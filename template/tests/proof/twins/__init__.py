"""Twins for guards at run time: bugs to catch, and good code to leave alone."""
