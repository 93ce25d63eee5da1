"""Fixtures: a server for a file's tests, servers for one test, and a deadline on each.

A file that sets `EACH_SHAPE` has all its tests run against one thread of each kind, and against several.
"""

import asyncio
import inspect
import resource

import pytest
from harness import Server
from harness.server import merged

DEADLINE_S = 20
SHAPES = {
    "single": {"WebSocketServer": {"ThreadPoolSize": 1, "IoThreads": 1}},
    "several": {"WebSocketServer": {"ThreadPoolSize": 3, "IoThreads": 2}},
}

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def pytest_configure(config):
    config.addinivalue_line("markers", f"deadline(seconds): the longest a test may take, {DEADLINE_S} by default")


def pytest_generate_tests(metafunc):
    if getattr(metafunc.module, "EACH_SHAPE", False) and "shape" in metafunc.fixturenames:
        metafunc.parametrize("shape", SHAPES.values(), ids=SHAPES, scope="module", indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Runs `async def` tests, each against its deadline."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    mark = pyfuncitem.get_closest_marker("deadline")
    seconds = mark.args[0] if mark else DEADLINE_S
    names = pyfuncitem._fixtureinfo.argnames

    async def run():
        async with asyncio.timeout(seconds):
            await pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})

    asyncio.run(run())
    return True


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for server in Server.running:
            lines = server.log().splitlines()
            report.sections.append((f"log of {server.url}, last of {len(lines)} lines", "\n".join(lines[-60:])))


@pytest.fixture(scope="module")
def shape(request):
    """The threads of the servers under test, as a part of their configuration."""
    return getattr(request, "param", {})


@pytest.fixture(scope="module")
def names():
    """Topics, and other names, that no other test uses."""
    numbers = iter(range(100_000))
    return lambda: f"t{next(numbers)}"


@pytest.fixture(scope="module")
def server(request, shape):
    """One server for the file, with the file's CONFIG over the default one."""
    server = Server(merged(getattr(request.module, "CONFIG", None) or {}, shape))
    server.admin
    server.start()
    yield server
    try:
        server.check_sound()
        assert server.stop() == 0, "the exit code after SIGTERM"
    finally:
        server.remove()


@pytest.fixture
def start(shape):
    """Starts servers for one test; at its end each must be sound and stop by itself."""
    servers = []

    def start(config=None, keys=None, **kwargs):
        server = Server(merged(config or {}, shape), **kwargs)
        servers.append(server)
        server.admin
        for name, permits in (keys or {}).items():
            server.key(name, *permits)
        return server.start()

    yield start
    try:
        for server in servers:
            if server.process and server.process.poll() is None:
                server.check_sound()
                assert server.stop() == 0, "the exit code after SIGTERM"
    finally:
        for server in servers:
            server.remove()
