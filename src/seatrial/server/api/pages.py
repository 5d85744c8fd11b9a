"""`/docs` and `/redoc`, from files of our own: nothing is fetched from elsewhere."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from seatrial.server.api.guard import ANYBODY

STATIC = Path(__file__).parent / "static"
ASSETS = "/docs/assets"

_POLICY = (
    "default-src 'none'; object-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " font-src 'self'; connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'self';"
    " frame-ancestors 'none'"
)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" type="image/svg+xml" href="{assets}/seatrial.svg">
{head}
</head>
<body>
{body}
</body>
</html>
"""

_SWAGGER = _PAGE.format(
    title="Seatrial API",
    assets=ASSETS,
    head=f'<link rel="stylesheet" href="{ASSETS}/swagger-ui/swagger-ui.css">',
    body=(
        f'<div id="swagger-ui"></div>\n<script src="{ASSETS}/swagger-ui/swagger-ui-bundle.js"></script>\n'
        f'<script src="{ASSETS}/docs.js"></script>'
    ),
)
_REDOC = _PAGE.format(
    title="Seatrial API reference",
    assets=ASSETS,
    head=f'<link rel="stylesheet" href="{ASSETS}/redoc.css">',
    body=f'<redoc spec-url="/openapi.json"></redoc>\n<script src="{ASSETS}/redoc/redoc.standalone.js"></script>',
)


def page_routes() -> APIRouter:
    """`GET /docs`, `/redoc` and the files they need."""
    router = APIRouter(include_in_schema=False)
    headers = {"Content-Security-Policy": _POLICY}

    @router.get("/docs", dependencies=ANYBODY)
    async def docs() -> HTMLResponse:
        """Try the API in the browser (Swagger UI)."""
        return HTMLResponse(_SWAGGER, headers=headers)

    @router.get("/redoc", dependencies=ANYBODY)
    async def redoc() -> HTMLResponse:
        """Read about the API (Redoc)."""
        return HTMLResponse(_REDOC, headers=headers)

    router.mount(ASSETS, StaticFiles(directory=STATIC))
    return router
