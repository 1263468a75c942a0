# SPDX-License-Identifier: AGPL-3.0-or-later
"""The service's HTTP door: vehicles, sorties, orders, alerts, health, metrics. Thin: everything is asked of the Desk.

Every route but /health needs the token (see `auth`). Refusals are one line in `detail`; a plan that cannot be
read answers 422, one that does not pass preflight ends its sortie as failed, with findings.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response

from dronectl import __version__
from dronectl.api import schemas
from dronectl.api.auth import Doorkeeper
from dronectl.api.live import serve_live
from dronectl.errors import BadInputError, UnavailableError
from dronectl.operations.desk import Desk, UnknownIdError
from dronectl.operations.http_counts import HttpCounts
from dronectl.store import StoreError

MAX_BODY_BYTES = 4 * 1024 * 1024
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
VehicleId = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
AnyId = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": schemas.ErrorOut, "description": "the request cannot be read"},
    401: {"model": schemas.ErrorOut, "description": "no valid token"},
    404: {"model": schemas.ErrorOut, "description": "there is no such thing"},
    413: {"model": schemas.ErrorOut, "description": "the body is too large"},
    422: {"model": schemas.ErrorOut, "description": "the request cannot be used; `detail` says why"},
}


class BodyLimit:
    """ASGI middleware that refuses bodies over MAX_BODY_BYTES, also those that do not announce their length."""

    def __init__(self, app: Any, counts: HttpCounts) -> None:
        self._app = app
        self._counts = counts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seen = 0
        chunks: list[Any] = []
        while True:
            message = await receive()
            chunks.append(message)
            if message["type"] != "http.request":
                break
            seen += len(message.get("body", b""))
            if seen > MAX_BODY_BYTES:
                self._counts.too_large += 1
                detail = f"a body of more than {MAX_BODY_BYTES // 2**20} MiB is refused"
                await JSONResponse({"detail": detail}, 413)(scope, receive, send)
                return
            if not message.get("more_body", False):
                break
        queue = iter(chunks)

        async def replay() -> Any:
            return next(queue, None) or await receive()

        await self._app(scope, replay, send)


def create_app(desk: Desk, token: str, counts: HttpCounts) -> FastAPI:
    """Build the application around one Desk. `counts` takes what is turned away."""
    app = FastAPI(title="dronectl", version=__version__, openapi_url="/openapi.json", redoc_url=None, docs_url=None)
    app.add_middleware(BodyLimit, counts=counts)
    app.add_middleware(Doorkeeper, token=token, hosts=LOOPBACK_HOSTS, counts=counts)  # the last added is outermost
    _add_errors(app)
    _add_reading(app, desk)
    _add_ordering(app, desk)

    @app.websocket("/api/v1/live")
    async def live(websocket: WebSocket) -> None:
        await serve_live(websocket, desk)

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, routes=app.routes)
            schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
            schemes["token"] = {"type": "http", "scheme": "bearer"}
            document["security"] = [{"token": []}]
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
    return app


def _refuse(text: str, status: int) -> JSONResponse:
    """One line. What it quotes may hold half a surrogate pair, which JSON can say and UTF-8 cannot."""
    return JSONResponse({"detail": text.encode("utf-8", "replace").decode("utf-8")}, status)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(UnknownIdError)
    async def unknown(_request: Request, error: UnknownIdError) -> JSONResponse:
        return _refuse(str(error), 404)

    @app.exception_handler(BadInputError)
    async def bad_input(_request: Request, error: BadInputError) -> JSONResponse:
        return _refuse(str(error), 422)

    @app.exception_handler(UnavailableError)
    async def unavailable(_request: Request, error: UnavailableError) -> JSONResponse:
        return _refuse(str(error), 503)

    @app.exception_handler(StoreError)
    async def stuck(_request: Request, error: StoreError) -> JSONResponse:
        return _refuse(str(error), 503)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        lines = [f"{'.'.join(str(step) for step in e['loc'])}: {e['msg']}" for e in error.errors()[:8]]
        return _refuse("; ".join(lines), 422)


def _add_reading(app: FastAPI, desk: Desk) -> None:
    @app.get("/health", response_model=schemas.HealthOut)
    async def health() -> Any:
        return desk.health()

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        return PlainTextResponse(desk.metrics(), media_type="text/plain; version=0.0.4")

    @app.get("/api/v1/vehicles", response_model=list[schemas.VehicleOut])
    async def vehicles() -> Any:
        return desk.vehicles()

    @app.get("/api/v1/vehicles/{vehicle_id}", response_model=schemas.VehicleOut, responses=_REFUSALS)
    async def vehicle(vehicle_id: VehicleId) -> Any:
        return desk.vehicle(vehicle_id)

    @app.get("/api/v1/sorties", response_model=list[schemas.SortieOut])
    async def sorties() -> Any:
        return desk.sorties()

    @app.get("/api/v1/sorties/{sortie_id}", response_model=schemas.SortieOut, responses=_REFUSALS)
    async def sortie(sortie_id: AnyId) -> Any:
        return desk.sortie(sortie_id)

    @app.get("/api/v1/sorties/{sortie_id}/track", response_model=list[schemas.PlaceOut], responses=_REFUSALS)
    async def track(sortie_id: AnyId, after_s: Annotated[float, Query(ge=0.0)] = 0.0) -> Any:
        """Where it really was in the air, later than after_s; kept until the vehicle's next sortie begins."""
        return desk.track(sortie_id, after_s)

    @app.get("/api/v1/missions", response_model=list[schemas.MissionOut])
    async def missions(limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Any:
        return await desk.missions(limit)

    @app.get("/api/v1/alerts", response_model=list[schemas.AlertOut])
    async def alerts(limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Any:
        return await desk.alerts(limit)

    @app.get("/api/v1/alerts/{alert_id}", response_model=schemas.AlertOut, responses=_REFUSALS)
    async def alert(alert_id: AnyId) -> Any:
        return await desk.alert(alert_id)

    @app.get("/api/v1/coverage_gaps", response_model=list[schemas.CoverageGapOut])
    async def coverage_gaps() -> Any:
        return desk.coverage_gaps()

    @app.get("/api/v1/evidence/{name:path}", responses=_REFUSALS)
    async def evidence(name: Annotated[str, Path(max_length=200)]) -> FileResponse:
        return FileResponse(await desk.evidence(name, "operator"))


def _add_ordering(app: FastAPI, desk: Desk) -> None:
    @app.post("/api/v1/vehicles/{vehicle_id}/commands", response_model=schemas.CommandOut, responses=_REFUSALS)
    async def command(vehicle_id: VehicleId, order: schemas.CommandIn) -> Any:
        return (await desk.command(order.kind, vehicle_id, "operator", order.reason, order.expires_in_s))[0]

    @app.post("/api/v1/commands", response_model=list[schemas.CommandOut], responses=_REFUSALS)
    async def command_all(order: schemas.CommandIn) -> Any:
        return await desk.command(order.kind, None, "operator", order.reason, order.expires_in_s)

    @app.post("/api/v1/preflight", response_model=list[schemas.FindingOut], responses=_REFUSALS)
    async def preflight(request: schemas.FlyIn) -> Any:
        return await desk.preflight(request.vehicle_id, request.plan)

    @app.post("/api/v1/sorties", response_model=schemas.FlyOut, status_code=202, responses=_REFUSALS)
    async def fly(request: schemas.FlyIn) -> Any:
        override = request.override
        codes = tuple(override.codes) if override else ()
        reason = override.reason if override else ""
        return await desk.fly(request.vehicle_id, request.plan, "operator", request.reason, codes, reason)

    @app.post("/api/v1/sorties/{sortie_id}/abandon", response_model=schemas.SortieOut, responses=_REFUSALS)
    async def abandon(sortie_id: AnyId, request: schemas.AbandonIn) -> Any:
        """Close a sortie whose vehicle is not heard of any more. Nothing is sent to the vehicle."""
        return await desk.abandon(sortie_id, "operator", request.reason)
