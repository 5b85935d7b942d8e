"""Jobs: submitted, claimed, run, ended once."""
