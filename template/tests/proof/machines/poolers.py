"""PgBouncer before a PostgreSQL server of the tests. It must be installed."""

import os
import shutil
import socket
from pathlib import Path
from string import Template

import pytest
from sqlalchemy import make_url

from tests.isolation import own_server
from tests.servers import Server
from tests.service import free_port

CONFIG = Template("""
[databases]
* = host=127.0.0.1 port=$server user=app

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
max_client_conn = 100
""")


class PgBouncer(Server):
    """Gives each transaction another of three sessions."""

    def __init__(self, folder: Path, postgres_url: str) -> None:
        binary = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        if not binary:
            pytest.fail("PgBouncer is not installed: `apt-get install pgbouncer` brings it")
        self._port = free_port()
        server = str(make_url(postgres_url).port)
        config = folder / "pgbouncer.ini"
        config.write_text(CONFIG.substitute(port=self._port, server=server))
        user = "nobody" if os.geteuid() == 0 else None  # it refuses to run as root
        super().__init__([binary, str(config)], folder / "pgbouncer.log", user)
        self.url = postgres_url.replace(server, str(self._port))
        own_server(self._port)

    def ready(self) -> bool:
        """Whether it takes connections."""
        with socket.socket() as connection:
            return connection.connect_ex(("127.0.0.1", self._port)) == 0
