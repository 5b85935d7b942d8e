"""Reasons why a document is not read, as its owner is told."""


class Unreadable(Exception):
    """The document is broken, locked, empty or too large when unpacked."""


class Unsupported(Exception):
    """The file is of a kind that is not read."""
