"""`app dev`: everything this app needs, as child processes of one command."""


class CannotStart(Exception):
    """Development cannot start here; the message has the remedy."""
