"""The start page at `/`, Swagger UI at `/docs`, and the schema for tools at `/openapi.json`.

Each page is made once, as bytes. Swagger UI comes from a package, not from the internet.
"""

import html
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from importlib.resources import files
from mimetypes import guess_type
from string import Template

from fastapi import FastAPI
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from engine.settings import Settings

FIRST = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>$name</title>
<h1>$name</h1>
<p>$description</p>
<ul>
<li><a href="$root/docs">$root/docs</a>: every endpoint, to read and to try
<li><a href="$root/openapi.json">$root/openapi.json</a>: the same for tools
<li><a href="$root/ready">$root/ready</a>: whether it can serve now
<li><code>$root/v1</code>: for clients of OpenAI. Their API key is in <code>$key</code>.
</ul>
""")

SCRIPT = """SwaggerUIBundle({
  dom_id: "#docs", url: document.currentScript.dataset.url,
  deepLinking: true, tryItOutEnabled: true, validatorUrl: null
})"""

DOCS = Template(f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>$name</title>
<link rel="icon" href="$root/docs/favicon-32x32.png">
<link rel="stylesheet" href="$root/docs/swagger-ui.css">
<div id="docs"></div>
<script src="$root/docs/swagger-ui-bundle.js"></script>
<script data-url="$root/openapi.json">{SCRIPT}</script>
""")

POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; style-src 'self'; script-src "
    f"'self' 'sha256-{b64encode(sha256(SCRIPT.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


ASSETS = ("favicon-32x32.png", "swagger-ui.css", "swagger-ui-bundle.js")


def add_docs(app: FastAPI, openapi: bytes, settings: Settings) -> None:
    """Add the three pages to the app, and the assets of `/docs`."""
    pages = {
        "/": _places(settings) if settings.production else _page(FIRST, settings),
        "/docs": _page(DOCS, settings),
        "/openapi.json": Response(openapi, media_type="application/json"),
        **dict(_assets()),
    }
    app.router.routes.extend(Route(path, page, methods=["GET"]) for path, page in pages.items())


def _assets() -> Iterator[tuple[str, Response]]:
    kept = {"cache-control": "max-age=86400"}  # 2 MB
    for name in ASSETS:
        data = (files("fastapi_swagger") / "resources" / name).read_bytes()
        yield f"/docs/{name}", Response(data, headers=kept, media_type=guess_type(name)[0])


def _places(settings: Settings) -> Response:
    said = {"name": settings.service_name, "description": settings.service_description}
    places = {"documentation": "/docs", "openapi": "/openapi.json", "base_url": "/v1"}
    return JSONResponse(said | {name: settings.root_path + path for name, path in places.items()})


def _page(template: Template, settings: Settings) -> Response:
    values = {
        "name": settings.service_name,
        "description": settings.service_description,
        "key": str(settings.data_dir / "development.key"),
        "root": settings.root_path,
    }
    page = template.substitute({name: html.escape(value) for name, value in values.items()})
    return HTMLResponse(page, headers={"content-security-policy": POLICY})
