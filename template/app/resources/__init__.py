"""PROCESS SCOPE: made once, shared by all requests, closed last."""
