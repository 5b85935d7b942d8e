"""ZONE 1, the request path: accept, answer or hand over."""
