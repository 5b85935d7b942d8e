"""YOURS: the settings that this service adds to those of the engine.

A field here is read from the environment, `.env` and `settings.toml` like every setting:
`app settings` shows it, `app settings --env-example` documents it.
"""

from engine import settings


class Settings(settings.Settings):
    """Every setting of both processes."""
