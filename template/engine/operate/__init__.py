"""The `app` command and `app dev`."""
