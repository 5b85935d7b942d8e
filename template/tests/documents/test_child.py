"""The child has one file, no environment and its limits, and never outlives its reading."""

import asyncio
import errno
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from sysconfig import get_path
from venv import EnvBuilder

import pytest

from engine.documents import child
from engine.documents.child import ChildLimits, ChildStartError, DocumentError, extract_chunks
from engine.documents.extract.messages import ExtractedChunk
from tests.documents import files
from tests.documents.reading import WHOLE, read, refused, text_of, until

pytestmark = pytest.mark.anyio

SAY = """
import json, os, signal, struct, sys, time
def say(text, kind=0):
    data = text.encode()
    sys.stdout.buffer.write(struct.pack("<BIIII", kind, len(data), 1, 0, 0xFFFFFFFF) + data)
    sys.stdout.buffer.flush()
say('', 5)  # the begin
"""
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this limit")


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> "Program":
    return Program(monkeypatch)


class Program:
    """Lets another program be the child."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def __call__(self, code: str) -> None:
        self.alone(SAY + code)

    def alone(self, code: str) -> None:
        """Let it not even begin."""
        self._patch.setattr(child, "PROGRAM", ("-c", code))


@asynccontextmanager
async def reading(
    limits: ChildLimits | None = None,
) -> AsyncIterator[AsyncIterator[ExtractedChunk]]:
    with tempfile.TemporaryFile() as file:
        async with extract_chunks(file, "a.txt", WHOLE, limits or ChildLimits()) as chunks:
            yield chunks


async def said(limits: ChildLimits | None = None) -> str:
    """Return the first text that the child says."""
    async with reading(limits) as chunks:
        return (await anext(chunks)).text


def is_gone(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return (
            Path(f"/proc/{pid}/stat").exists() and ") Z " in Path(f"/proc/{pid}/stat").read_text()
        )
    return True


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


async def test_it_has_no_environment(program: Program) -> None:
    program("say(json.dumps(sorted(set(os.environ) - {'LC_CTYPE'})))")  # which Python itself sets
    assert await said() == "[]"


async def test_it_needs_no_installed_project(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As where the libraries alone are installed; the worker may have any folder."""
    bare = tmp_path / "bare"
    EnvBuilder(symlinks=True).create(bare)
    packages = get_path("purelib", vars={"base": str(bare)})
    add = f"import sys; sys.path.append({get_path('purelib')!r})"  # without its .pth files
    (Path(packages) / "libraries.pth").write_text(add)
    monkeypatch.setattr(sys, "executable", str(bare / "bin" / "python"))
    monkeypatch.chdir(tmp_path)
    assert text_of(await read(b"Foxes.", "a.txt")).strip() == "Foxes."


async def test_a_library_that_is_missing_is_no_fault_of_the_document(program: Program) -> None:
    program.alone(
        "import sys\n"
        "sys.modules['pypdfium2'] = None\n"
        "from engine.documents.extract.__main__ import main\n"
        "main()"
    )
    with pytest.raises(ChildStartError, match=r"pypdfium2.*`uv sync --group documents`"):
        await read(files.pdf(["Good."]), "good.pdf")


async def test_one_that_cannot_start_is_no_fault_of_the_document(program: Program) -> None:
    program.alone("import no_such_library")
    with pytest.raises(ChildStartError, match="No module named 'no_such_library'"):
        await said()


async def test_one_that_ends_with_an_error_once_it_reads_is_the_documents(program: Program) -> None:
    program("raise BaseException('as a library in Rust does')")
    with pytest.raises(DocumentError, match="could not be read"):
        await said()


async def test_it_has_no_descriptor_but_its_three(program: Program) -> None:
    program("say(' '.join(sorted(os.listdir('/dev/fd'))))")
    with tempfile.TemporaryFile() as other:
        os.set_inheritable(other.fileno(), True)  # as a library may leave one
        found = await said()
    assert set(found.split()) <= {"0", "1", "2", "3"}  # the fourth is the listing's own


async def test_it_has_a_session_of_its_own(program: Program) -> None:
    program("say(str(os.getsid(0) == os.getpid()))")
    assert await said() == "True"


async def test_one_that_hangs_is_killed(program: Program) -> None:
    program("say(str(os.getpid())); time.sleep(600)")
    async with reading(ChildLimits(wall=1.0)) as chunks:
        pid = int((await anext(chunks)).text)
        with pytest.raises(DocumentError, match="could not be read within"):
            await anext(chunks)
    assert is_gone(pid)


async def test_one_that_ignores_signals_is_killed(program: Program) -> None:
    program(
        "for each in (signal.SIGTERM, signal.SIGINT): signal.signal(each, signal.SIG_IGN)\n"
        "say(str(os.getpid())); time.sleep(600)"
    )
    async with reading() as chunks:
        pid = int((await anext(chunks)).text)
    assert is_gone(pid)


async def test_its_own_children_are_killed_with_it(program: Program) -> None:
    program("pid = os.fork() or time.sleep(600)\nsay(str(pid)); time.sleep(600)")
    async with reading() as chunks:
        pid = int((await anext(chunks)).text)
    await until(lambda: is_gone(pid))


async def test_a_cancelled_reader_leaves_no_child(program: Program) -> None:
    program("say(str(os.getpid())); time.sleep(600)")
    pids: list[int] = []

    async def read_on() -> None:
        async with reading() as chunks:
            pids.append(int((await anext(chunks)).text))
            await anext(chunks)

    task = asyncio.create_task(read_on())
    await until(lambda: bool(pids))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert is_gone(pids[0])


async def test_time_in_which_it_waits_for_us_is_not_its_own(program: Program) -> None:
    program("say('one'); time.sleep(5.5); say('two'); time.sleep(0.5); say('', 3)")
    texts = []
    async with reading(ChildLimits(wall=5.0)) as chunks:
        async for chunk in chunks:
            texts.append(chunk.text)
            await asyncio.sleep(0.0 if len(texts) > 1 else 5.0)
    assert texts == ["one", "two"]


@pytest.mark.parametrize(
    "end",
    [
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os.abort()",
        "sys.exit(0)",
        "sys.stdout.buffer.write(b'abc'); sys.exit(0)",
        "sys.stdout.buffer.write(struct.pack('<BIIII', 0, 1 << 31, 0, 0, 0))",
        "say('nonsense', 77)",
    ],
    ids=["killed", "aborted", "no end", "half a message", "an endless message", "no kind"],
)
async def test_one_that_dies_or_talks_nonsense_is_an_error(program: Program, end: str) -> None:
    program(end)
    with pytest.raises(DocumentError, match="could not be read"):
        await said()


async def test_an_error_of_its_own_is_logged_and_not_told(
    program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    program("say('Traceback: secret', 2)")
    with pytest.raises(DocumentError) as caught:
        await said()
    assert "secret" not in caught.value.message
    assert "secret" in caplog.text


async def test_one_that_never_ends_is_ended(program: Program) -> None:
    program("while True: say('more')")
    texts = []
    async with reading(ChildLimits(chunks=10)) as chunks:
        with pytest.raises(DocumentError, match="could not be read"):  # noqa: PT012
            async for chunk in chunks:
                texts.append(chunk.text)  # noqa: PERF401 -- the texts before the error count
    assert len(texts) <= 11


async def test_one_with_more_to_say_ends_with_its_reader(program: Program, tmp_path: Path) -> None:
    full = tmp_path / "full"
    program(
        "say(str(os.getpid()))\n"
        "os.set_blocking(1, False)\n"
        "refused = 0\n"
        "while refused < 100:\n"
        "    try:\n"
        "        os.write(1, bytes(4096))\n"
        "        refused = 0\n"
        "    except BlockingIOError:\n"
        "        refused += 1\n"
        "        time.sleep(0.002)\n"
        f"open({str(full)!r}, 'w').close()\n"
        "time.sleep(600)"
    )
    async with reading() as chunks:
        child_id = int((await anext(chunks)).text)
        await until(full.exists)
    assert is_gone(child_id)


async def test_it_writes_no_file_and_gains_no_rights(program: Program, tmp_path: Path) -> None:
    program(
        "from engine.documents.extract.__main__ import limit_self\n"
        "import resource\n"
        "hard = resource.getrlimit(resource.RLIMIT_CORE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))\n"
        "limit_self(1 << 30, 60)\n"
        "try:\n"
        f"    with open({str(tmp_path / 'written')!r}, 'w') as file: file.write('x')\n"
        "except OSError as error: said = [error.errno]\n"
        "else: said = [0]\n"
        "said += [resource.getrlimit(resource.RLIMIT_CORE)[0]]\n"
        "if sys.platform == 'linux': said += [open('/proc/self/status').read().split("
        "'NoNewPrivs:')[1].split()[0]]\n"
        "say(json.dumps(said))"
    )
    assert json.loads(await said()) == [errno.EFBIG, 0, *(["1"] * (sys.platform == "linux"))]


async def test_it_loads_its_own_package_and_the_tokenizer_alone(program: Program) -> None:
    program(
        "from engine.documents.extract import __main__, docx, html, pdf, text\n"
        "say(json.dumps([each for each in sys.modules if each.startswith(('app', 'engine'))]))"
    )
    others = [each for each in json.loads(await said()) if ".documents" not in each]
    assert {*others} == {"engine", "engine.process", "engine.process.tokenizer"}


@ON_LINUX
async def test_memory_is_limited() -> None:
    least = ChildLimits(memory=128 << 20)
    assert "Good." in text_of(await read(files.pdf(["Good."]), "a.pdf", limits=least))
    found = await refused(files.pdf_bomb(16 << 20), "a.pdf", least)
    assert found.code == "invalid_file"
    assert "128 MiB" in found.message


@ON_LINUX
async def test_too_little_memory_to_begin_is_no_fault_of_the_document() -> None:
    with pytest.raises(ChildStartError, match="DOCUMENT_MEMORY"):
        await read(b"Foxes.", "a.txt", limits=ChildLimits(memory=64 << 20))


async def test_time_of_the_processor_is_limited() -> None:
    limits = ChildLimits(seconds=1)
    found = await refused(files.long_text(30 << 20), "a.txt", limits)
    assert found.message.startswith("It could not be read within 1 s")


@ON_LINUX
async def test_it_can_open_neither_file_nor_socket_once_it_reads(program: Program) -> None:
    program(
        "from engine.documents.extract.__main__ import close_doors\nimport socket\n"
        "def tried(what):\n"
        "    try: what()\n"
        "    except OSError as error: return error.errno\n"
        "close_doors()\n"
        "say(f'{tried(lambda: open(sys.executable))} {tried(socket.socket)}')"
    )
    assert await said() == "24 24"


@ON_LINUX
async def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    """The parent is killed while the child writes nothing: a broken pipe would end it too."""
    limited = "from engine.documents.extract.__main__ import limit_self\nlimit_self(1 << 30, 60)\n"
    program = ("-c", f"{SAY}{limited}say('reading')\ntime.sleep(600)")
    code = (
        "import asyncio, sys\n"
        "from engine.documents import child\n"
        "from engine.documents.child import ChildLimits, extract_chunks\n"
        "from engine.documents.extract.chunks import ChunkStrategy\n"
        f"child.PROGRAM = {program!r}\n"
        "async def main():\n"
        "    with open(sys.argv[1], 'rb') as file:\n"
        "        reading = extract_chunks(file, 'a.txt', ChunkStrategy(), ChildLimits())\n"
        "        async with reading as chunks:\n"
        "            await anext(chunks)\n"
        "            print('reading', flush=True)\n"
        "            await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    path = tmp_path / "any.txt"
    path.write_bytes(b"any")
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout
    await parent.stdout.readline()
    children = children_of(parent.pid)
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    await until(lambda: all(is_gone(int(pid)) for pid in children))
    assert children


async def test_one_that_dies_harms_no_other() -> None:
    bad, good = await asyncio.gather(
        refused(b"%PDF-1.4 garbage", "bad.pdf"), read(files.pdf(["Good."]), "good.pdf")
    )
    assert bad.code == "invalid_file"
    assert "Good." in text_of(good)
