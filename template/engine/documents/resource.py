"""What one process shares for vector stores."""

from typing import cast

from engine.documents.pages import PageCache
from engine.documents.space import Space, space_of
from engine.resources import Resources
from engine.settings import Settings
from engine.settings.documents import OptionSettings

SOURCE_TOKENS = 8000


def document_settings(settings: Settings) -> OptionSettings:
    """Return the settings as those of this option, which they are where a project has it."""
    return cast("OptionSettings", settings)


class Documents:
    """The settings of the option, the space of new stores, and the pages in memory."""

    def __init__(self, settings: Settings) -> None:
        own = document_settings(settings)
        self.settings = own
        self.space: Space = space_of(own, settings.model_provider)
        self.source_tokens = own.file_search_tokens or (
            settings.local_context // 2 if settings.model_provider == "local" else SOURCE_TOKENS
        )
        """Most tokens of sources before the model."""
        self.pages = PageCache(own.search_cache_bytes)


def documents_of(resources: Resources) -> Documents:
    """Return what this process shares for vector stores."""
    return cast("Documents", resources.options["documents"])
