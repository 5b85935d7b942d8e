"""ZONE 2, in this process: small, bounded, may be lost."""
