"""The first look: `/` says what this is, `/docs` shows and tries it, `/openapi.json` is for tools.

All three are bytes that are made once. Swagger UI comes from a package, not from the internet.
"""

import base64
import hashlib
import html
import mimetypes
from string import Template

from fastapi import FastAPI
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from app.settings import Settings

FIRST = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>$name</title>
<h1>$name</h1>
<p>$description</p>
<ul>
<li><a href="docs">docs</a>: every endpoint, to read and to try
<li><a href="openapi.json">openapi.json</a>: the same for tools
<li><a href="ready">ready</a>: whether it can serve now
<li><code>v1</code>: the base URL for clients of OpenAI. Their API key is in <code>$key</code>.
</ul>
""")

DOCS = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>$name</title>
<link rel="icon" href="docs/assets/favicon-32x32.png">
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
<div id="docs"></div>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script>$script</script>
""")
"""Its URLs are relative, so that it works below any path."""

SCRIPT = """SwaggerUIBundle({
  dom_id: "#docs", url: "openapi.json", deepLinking: true, tryItOutEnabled: true, validatorUrl: null
})"""


def add_docs(app: FastAPI, openapi: bytes, settings: Settings) -> None:
    """Add the three to the app."""
    pages = {
        "/": _first(app, settings),
        "/docs": _page(DOCS, name=html.escape(settings.service_name), script=SCRIPT),
        "/openapi.json": Response(openapi, media_type="application/json"),
    }
    app.router.routes.extend(Route(path, page, methods=["GET"]) for path, page in pages.items())
    mimetypes.init()  # else the first file reads the system's tables on the event loop
    app.mount("/docs/assets", StaticFiles(packages=[("fastapi_swagger", "resources")]))


def _first(app: FastAPI, settings: Settings) -> Response:
    said = {"name": settings.service_name, "description": settings.service_description}
    if settings.production:
        places = {"documentation": "/docs", "openapi": "/openapi.json", "base_url": "/v1"}
        return JSONResponse(said | {name: app.root_path + path for name, path in places.items()})
    key = settings.data_dir / "development.key"
    return _page(FIRST, key=html.escape(str(key)), **{k: html.escape(v) for k, v in said.items()})


def _page(template: Template, **values: str) -> Response:
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return HTMLResponse(template.substitute(values), headers={"content-security-policy": policy})
