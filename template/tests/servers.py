"""Redis, PostgreSQL and nginx for the tests: they may be killed, frozen and started again."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import TypeVar

import pytest
from redis import Redis

from engine.operate.dev import valkey
from tests.isolation import own_server
from tests.service import PROJECT, answers, eventually, free_port

NGINX_CONF = PROJECT / "docs" / "nginx.conf"
AROUND_SERVER = Template("""
pid $folder/nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    $server
}
""")
POSTGRES_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


class Server:
    """A server as a process; its log goes on where an earlier run ended."""

    url: str

    def __init__(self, command: Sequence[str], log: Path, user: str | None = None) -> None:
        self.log = log
        self._command = command
        self._user = user

    def ready(self) -> bool:
        """Whether the server answers."""
        raise NotImplementedError

    def start(self) -> None:
        """Return once the server answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, user=self._user, stdout=log, stderr=log)
        eventually(self.ready)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the server with a signal, also a frozen one."""
        self._process.send_signal(number)
        self.thaw()
        self._process.wait(30)

    def freeze(self) -> None:
        """Let the server accept connections and never answer."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._process.send_signal(signal.SIGCONT)


class EmbeddedRedis(Server):
    """The server of `app dev`, on a socket. It forgets everything when it ends."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "redis.sock"
        command = valkey.command(valkey.find_server(), folder, self._socket)
        super().__init__([*command, "--appendonly", "no"], folder / "redis.log")
        self.url = f"unix://{self._socket}"

    def ready(self) -> bool:
        """Whether it answers."""
        with Redis(unix_socket_path=str(self._socket)) as redis:
            return answers(redis)


class InstalledRedis(Server):
    """A server of the system, on a port. It must be installed."""

    def __init__(self, folder: Path) -> None:
        binary = shutil.which("redis-server") or shutil.which("valkey-server")
        if not binary:
            pytest.fail("Redis is not installed: `apt-get install redis-server` brings it")
        self._port = free_port()
        options = ["--port", str(self._port), "--bind", "127.0.0.1", "--dir", str(folder)]
        super().__init__([str(binary), *options], folder / "redis.log")
        self.url = f"redis://127.0.0.1:{self._port}"

    def ready(self) -> bool:
        """Whether it answers."""
        with Redis(port=self._port) as redis:
            return answers(redis)


class Postgres(Server):
    """A server of the system with an empty database. PostgreSQL must be installed.

    Its user must get into `folder`, which rules out the folders of pytest.
    """

    def __init__(self, folder: Path) -> None:
        on_path = shutil.which("initdb")
        found = [*POSTGRES_FOLDERS, *([Path(on_path).parent] if on_path else [])]
        if not found:
            pytest.fail("PostgreSQL is not installed: `apt-get install postgresql` brings it")
        self._binaries, data, self._port = found[0], folder / "data", free_port()
        user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
        if user:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        initdb = [str(self._binaries / "initdb"), "-D", str(data), "-U", "app", "-A", "trust"]
        initdb += ["--no-sync"]
        subprocess.run(initdb, check=True, capture_output=True, user=user)
        command = [str(self._binaries / "postgres"), "-D", str(data), "-p", str(self._port)]
        options = ["-c", f"unix_socket_directories={folder}", "-c", "listen_addresses=127.0.0.1"]
        options += ["-c", "fsync=off"]  # a killed server has lost nothing: only a power cut would
        super().__init__([*command, *options], folder / "postgres.log", user)
        self.url = f"postgresql://app@127.0.0.1:{self._port}/postgres"
        own_server(self._port)

    def stop(self, number: int = signal.SIGINT) -> None:
        """End it, fast: SIGTERM would wait for its last client."""
        super().stop(number)

    def ready(self) -> bool:
        """Whether it takes connections."""
        ask = [str(self._binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self._port)]
        return subprocess.run(ask, check=False).returncode == 0


class Nginx(Server):
    """A proxy as in docs/nginx.conf, before two of our processes. It must be installed."""

    def __init__(self, folder: Path, first: str, second: str) -> None:
        binary = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        if not binary:
            pytest.fail("nginx is not installed: `apt-get install nginx-light` brings it")
        listen = f"127.0.0.1:{free_port()}"
        server = NGINX_CONF.read_text().replace("listen 80", f"listen {listen}")
        for documented, real in (("127.0.0.1:8000", first), ("127.0.0.1:8001", second)):
            server = server.replace(documented, real.removeprefix("http://"))
        config = folder / "nginx.conf"
        config.write_text(AROUND_SERVER.substitute(folder=folder, server=server))
        options = ["-p", str(folder), "-c", str(config), "-e", "stderr", "-g", "daemon off;"]
        super().__init__([str(binary), *options], folder / "nginx.log")
        self.url = f"http://{listen}"

    def ready(self) -> bool:
        """Whether it takes connections."""
        with socket.socket() as connection:
            host, port = self.url.removeprefix("http://").split(":")
            return connection.connect_ex((host, int(port))) == 0


AnyServer = TypeVar("AnyServer", bound=Server)


@contextmanager
def running(server: AnyServer) -> Iterator[AnyServer]:
    """Start the server and end it at the end."""
    server.start()
    try:
        yield server
    finally:
        server.stop()
