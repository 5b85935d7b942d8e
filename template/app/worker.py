"""The worker process: the app's resources, and jobs instead of requests. See `engine/worker/`."""

from app.resources.lifespan import open_resources
from app.settings import Settings
from engine.slots.redis_semaphore import Priority
from engine.worker import process


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT; a second signal gives the work in flight back at once."""
    await process.run_worker(settings, open_resources(settings, Priority.BATCH))
