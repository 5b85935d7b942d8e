"""`app model`: the slots of the model's providers, and the pauses of models."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from engine.errors import AppError
from engine.operate.cli.columns import show_columns
from engine.operate.cli.settings import read_settings

if TYPE_CHECKING:
    from engine.slots.pools import ProviderPool
    from engine.slots.redis_semaphore import RedisSemaphore, State

T = TypeVar("T")

COUNTS = ("slots", "allowed", "online", "batch")

app = typer.Typer(help="See the slots of the model, and end pauses.", no_args_is_help=True)


@app.command()
def status(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False
) -> None:
    """Show the slots of each provider, its paused models and its open circuits."""
    found = [_told(pool, state) for pool, state in _in_each_pool(lambda shared: shared.look())]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        _show(found)


@app.command()
def resume(
    model: Annotated[str | None, typer.Argument(help="Only this model. Unset: all.")] = None,
) -> None:
    """Lift the pauses that providers asked for; an open circuit tries again by itself."""
    lifted = _in_each_pool(lambda shared: shared.resume(model))
    for pool, models in lifted:
        for name in models:
            typer.echo(f"{pool.name} is asked for {name!r} again.")
    if not any(models for _, models in lifted):
        typer.echo("No model is paused.")


def _in_each_pool(
    use: "Callable[[RedisSemaphore], Awaitable[T]]",
) -> "list[tuple[ProviderPool, T]]":
    """Return each provider with the result of `use` for its semaphore in Redis."""
    from redis.exceptions import RedisError

    from engine.process.redis import open_redis
    from engine.settings import NO_REDIS
    from engine.slots.pools import provider_pools, redis_semaphore_of
    from engine.slots.redis_semaphore import Priority

    settings = read_settings()
    if settings.redis_url == NO_REDIS:
        raise AppError(
            "REDIS_URL is none: a pause is in its process alone. Restart that process to end it."
        )
    pools = {pool.name: pool for each in Priority for pool in provider_pools(settings, each)}

    async def run() -> "list[tuple[ProviderPool, T]]":
        async with open_redis(settings) as redis:
            slug, found = settings.service_slug, []
            for name, pool in pools.items():
                shared = redis_semaphore_of(redis, slug, name, pool.limits, Priority.ONLINE)
                found.append((pool, await use(shared)))
            return found

    try:
        return asyncio.run(run())
    except (RedisError, OSError) as error:
        raise AppError(f"Redis cannot be used: {error}. Is it running?") from error


def _told(pool: "ProviderPool", state: "State") -> dict[str, Any]:
    from engine.slots.redis_semaphore import Pause, Priority, Reason

    def left(reason: Reason, model: str) -> float | None:
        return state.pauses.get(Pause(reason, model))

    return {
        "provider": pool.name,
        "slots": pool.limits.slots,
        "allowed": pool.limits.slots if state.cap is None else state.cap,
        "online": state.used[Priority.ONLINE],
        "batch": state.used[Priority.BATCH],
        "models": [
            {
                "model": model,
                "paused_for": left(Reason.ASKED, model),
                "circuit": "closed" if left(Reason.CIRCUIT, model) is None else "open",
                "circuit_open_for": left(Reason.CIRCUIT, model),
            }
            for model in sorted({pause.model for pause in state.pauses})
        ],
    }


def _show(found: list[dict[str, Any]]) -> None:
    show_columns(
        ("PROVIDER", *map(str.upper, COUNTS)),
        [(each["provider"], *(str(each[count]) for count in COUNTS)) for each in found],
    )
    rows = [
        (
            each["provider"],
            model["model"],
            _seconds(model["paused_for"]),
            _seconds(model["circuit_open_for"]),
        )
        for each in found
        for model in each["models"]
    ]
    typer.echo()
    if rows:
        show_columns(("PROVIDER", "MODEL", "PAUSED FOR", "CIRCUIT OPEN FOR"), rows)
    else:
        typer.echo("No model is paused, no circuit is open.")


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.0f} s"
