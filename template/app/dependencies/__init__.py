"""REQUEST SCOPE: made for one request, gone with it."""
