"""`docs/compatibility.md` names every endpoint, and none that is not there."""

import re

from tests.endpoints import endpoints
from tests.service import PROJECT


def test_the_page_names_every_endpoint() -> None:
    page = (PROJECT / "docs" / "compatibility.md").read_text()
    named = set(re.findall(r"`(GET|POST|DELETE) (/\S+)`", page))
    assert named == {(method, path.replace(":path", "")) for method, path in endpoints()}
