"""Around every request: plain ASGI, from the outside in."""
