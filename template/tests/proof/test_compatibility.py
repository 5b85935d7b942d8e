"""`docs/compatibility.md` and the guides of features name every endpoint, and no other."""

import re

from tests.endpoints import endpoints
from tests.service import PROJECT

PAGES = ("compatibility", "documents", "fine-tuning")


def test_the_pages_name_every_endpoint() -> None:
    pages = [PROJECT / "docs" / f"{name}.md" for name in PAGES]
    text = "".join(page.read_text() for page in pages if page.exists())
    named = set(re.findall(r"`(GET|POST|DELETE) (/(?:v1/\S+|live|ready|metrics))`", text))
    assert named == {(method, path.replace(":path", "")) for method, path in endpoints()}
