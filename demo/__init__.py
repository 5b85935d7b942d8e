"""The template's demo: a rendered project, started and talked to."""
