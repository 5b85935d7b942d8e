"""THE DOCTOR: reads a FastAPI app and its source, and says where it runs and what will hurt.

It knows nothing of this app and imports nothing of it, so it works on any.
"""
