"""The machine beneath the app. It imports nothing of `app`; read it when you want to know."""
