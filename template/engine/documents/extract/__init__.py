"""The child that reads one document: it imports nothing of the engine but this package."""
