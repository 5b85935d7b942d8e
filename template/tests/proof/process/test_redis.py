"""Redis is reached by TLS, and an address that cannot work is told."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from app.settings import Settings
from engine.errors import OpenError
from engine.process.redis import open_redis
from tests.proof.machines.certificates import certify
from tests.servers import InstalledRedis, running
from tests.service import answers, free_port

pytestmark = pytest.mark.anyio


class WithTls(InstalledRedis):
    """A server that speaks TLS only."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.certificate, key = certify(folder)
        self.tls_port = free_port()
        files = ["--tls-cert-file", str(self.certificate), "--tls-key-file", str(key)]
        port = ["--port", "0", "--tls-port", str(self.tls_port), "--tls-auth-clients", "no"]
        self._command = [*self._command, *port, *files]
        self.url = f"rediss://localhost:{self.tls_port}"

    def ready(self) -> bool:
        with Redis(port=self.tls_port, ssl=True, ssl_cert_reqs="none") as redis:
            return answers(redis)


@pytest.fixture(scope="module")
def tls() -> Iterator[WithTls]:
    with tempfile.TemporaryDirectory() as name, running(WithTls(Path(name))) as server:
        yield server


@pytest.mark.usefixtures("tcp_redis_url")  # where Redis is installed
@pytest.mark.parametrize("parameters", ["ssl_cert_reqs=CERT_NONE", "ssl_ca_certs={}"])
async def test_a_server_is_reached_by_tls(tls: WithTls, parameters: str) -> None:
    url = f"{tls.url}/0?{parameters.format(tls.certificate)}"
    async with open_redis(Settings(_env_file=None, redis_url=url)) as redis:
        assert await redis.ping()


@pytest.mark.parametrize(
    "parameters", ["timeout=5", "socket_timeout=soon", "ssl_cert_reqs=none", "db=first"]
)
async def test_a_parameter_that_nobody_knows_is_told_at_the_start(parameters: str) -> None:
    settings = Settings(_env_file=None, redis_url=f"redis://h?{parameters}")
    name = parameters.partition("=")[0]
    with pytest.raises(OpenError, match=f"REDIS_URL has a parameter .*'{name}'"):
        async with open_redis(settings):
            pass
