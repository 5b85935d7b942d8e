"""What one process shares for vector stores."""

from typing import cast

from engine.documents.pages import PageCache
from engine.documents.space import Space, space_of
from engine.resources import Resources
from engine.settings import Settings
from engine.settings.documents import OptionSettings


class Documents:
    """The settings of the option, the space of new stores, and the pages in memory."""

    def __init__(self, settings: Settings) -> None:
        own = cast("OptionSettings", settings)  # which it is in a project that has the option
        self.settings: OptionSettings = own
        self.space: Space = space_of(own, settings.model_provider)
        self.pages = PageCache(own.search_cache_bytes)


def documents_of(resources: Resources) -> Documents:
    """Return what this process shares for vector stores."""
    return cast("Documents", resources.options["documents"])
