"""The doctor, a linter of FastAPI apps: shows where code runs, and finds the lines that hurt.

It reads an app and its source. It imports nothing of this app, so it works on any.
"""
