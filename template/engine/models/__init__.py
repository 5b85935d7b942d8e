"""The language model behind the API: one protocol and its providers."""
