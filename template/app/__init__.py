"""An LLM API: three execution zones, two processes, one set of resources."""
