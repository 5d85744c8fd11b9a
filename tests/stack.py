"""The topology of `deploy/compose.yaml` as processes of this machine, each part of which can be broken on purpose.

Two replicas behind the balancer of `deploy/haproxy`, over PostgreSQL and Redis; in front of those two stands a proxy
each, which can fail as a network does. As root on Linux both can also stand at the other end of a wire, under a
name, and the files lie on a small disk. Everything ends with the stack, whatever state it is in.
"""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
from tests.fakes.names import NAME, NameServer, asking
from tests.fakes.postgres import Postgres, postgres_server
from tests.fakes.proxy import FaultProxy
from tests.fakes.redis import RedisServer, redis_server
from tests.fakes.wire import Wire, wired
from tests.live import PATIENCE, PYTHON, ServerProcess, environment, free_port, operator_token, until

ROOT = Path(__file__).resolve().parents[1]
HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
CONFIGURATION = ROOT / "deploy" / "haproxy" / "haproxy.cfg"
DRAIN_S = 3
DISK_MB = 64
POSTGRES_PORT, REDIS_PORT = 5432, 6379
"""At the other end of a wire."""
NAMES = ("api-1", "api-2")


class Balancer:
    """HAProxy as it is deployed, in front of two ports."""

    def __init__(self, folder: Path, replicas: tuple[int, int], log_name: str = "haproxy.log") -> None:
        self.port, stats = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.stats = f"127.0.0.1:{stats}"
        """Where it says how it is: a page at `/`, metrics at `/metrics`."""
        self._log = folder / log_name
        places = {name: f"127.0.0.1:{port}" for name, port in zip(("API_1", "API_2"), replicas, strict=True)}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(HAPROXY), "-db", "-f", str(CONFIGURATION)],
                env=environment(folder, LISTEN=f"127.0.0.1:{self.port}", STATS=self.stats, **places),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def up(self) -> set[str]:
        """The replicas that get requests now."""
        try:
            text = httpx2.get(f"http://{self.stats}/;csv").text
        except httpx2.ConnectError:
            assert self._process.poll() is None, self.log()
            return set()
        fields, *rows = (line.split(",") for line in text.removeprefix("# ").splitlines() if line)
        table = [dict(zip(fields, row, strict=False)) for row in rows]
        return {row["svname"] for row in table if row["svname"] in NAMES and row["status"].startswith("UP")}

    def wait_until_up(self) -> None:
        """Until it sends to both."""
        until(lambda: self.up() == set(NAMES), "both replicas get requests")

    def log(self) -> str:
        """What it said."""
        return self._log.read_text(encoding="utf-8")

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(PATIENCE)


class Stack:
    """See the module; made by `running_stack`."""

    def __init__(self, folder: Path, postgres: Postgres, redis: RedisServer, exits: ExitStack) -> None:
        self.folder = folder
        self.postgres = postgres
        self.redis = redis
        self.database_url = postgres.new_database()
        name = self.database_url.partition("?")[0].rpartition("/")[2]
        self.database = exits.enter_context(FaultProxy(postgres_socket(postgres)))
        self.cache = exits.enter_context(FaultProxy(redis.socket))
        self.wire: Wire | None = None
        self.names: NameServer | None = None
        self._before: tuple[str, ...] = ()
        self._variables = {
            "SEATRIAL_DATA_DIR": str(self.data),
            "SEATRIAL_DATABASE_URL": f"postgresql://postgres@127.0.0.1:{self.database.port}/{name}",
            "SEATRIAL_REDIS_URL": f"redis://127.0.0.1:{self.cache.port}/0",
            "SEATRIAL_ANONYMOUS_SCOPES": "predict,read",
            "SEATRIAL_ANONYMOUS_RATE_LIMIT": "",
            "SEATRIAL_TRUSTED_PROXIES": "127.0.0.1",
            "SEATRIAL_DRAIN_SECONDS": str(DRAIN_S),
        }
        self._ports = (free_port(), free_port())
        self.replicas: list[ServerProcess] = []
        self._exits = exits

    @property
    def data(self) -> Path:
        """The folder that the replicas share."""
        return self.folder / "data"

    def over_a_wire(self, wire: Wire, names: NameServer) -> None:
        """Let the replicas reach PostgreSQL and Redis at the other end of a wire, which they know by a name."""
        self.wire, self.names = wire, names
        self._before = asking(names, self.folder)
        for name, port, proxy in (("DATABASE", POSTGRES_PORT, self.database), ("REDIS", REDIS_PORT, self.cache)):
            url = self._variables[f"SEATRIAL_{name}_URL"]
            self._variables[f"SEATRIAL_{name}_URL"] = url.replace(f"127.0.0.1:{proxy.port}", f"{NAME}:{port}")

    @property
    def token(self) -> str:
        """The operator's."""
        return operator_token(self.data)

    def begin(self) -> None:
        """Bring the database to our schema, start everything, and wait until it serves."""
        self.command("db", "upgrade")
        self.replicas = [self._replica(number, PYTHON) for number in range(len(NAMES))]
        for replica in self.replicas:
            replica.wait_until_serving()
        self.balancer = Balancer(self.folder, self._ports)
        self._exits.callback(self.balancer.close)
        self.wait_until_whole()

    def wait_until_whole(self) -> None:
        """Until the balancer sends to both replicas."""
        self.balancer.wait_until_up()

    def command(self, *arguments: str, python: tuple[str, ...] = PYTHON) -> str:
        """What a command of the operator prints; it has to succeed."""
        done = subprocess.run(
            [*self._before, *python, *arguments],
            cwd=self.folder, env=environment(self.folder, **self._variables),
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def make_key(self) -> str:
        """A key that predicts and reads, is counted, and never refused."""
        wish = ("--name", "load", "--scopes", "predict,read", "--rate-limit", "1000000/second")
        return self.command("keys", "create", *wish).strip()

    def kill(self, number: int) -> None:
        """End a replica as a crash would."""
        self.replicas[number].send(signal.SIGKILL)
        self.replicas[number].wait()

    def start(self, number: int, python: tuple[str, ...] = PYTHON) -> ServerProcess:
        """Start a replica that has ended, and wait until it serves; the balancer finds it by itself."""
        self.replicas[number].close()
        self.replicas[number] = replica = self._replica(number, python)
        replica.wait_until_serving()
        return replica

    def restart_each(self, python: tuple[str, ...] = PYTHON) -> None:
        """One after the other, as an upgrade does: SIGTERM, its end, a new one, until that gets requests."""
        for number, replica in enumerate(self.replicas):
            assert replica.stop() == 0
            self.start(number, python)
            self.wait_until_whole()

    def _replica(self, number: int, python: tuple[str, ...]) -> ServerProcess:
        folder = self.folder / NAMES[number]
        folder.mkdir(exist_ok=True)
        replica = ServerProcess(
            folder, "--port", str(self._ports[number]), command=(*self._before, *python, "serve"), **self._variables
        )
        self._exits.callback(replica.close)
        return replica

    def logs(self) -> str:
        """What everybody said, for a test that fails."""
        parts = [("balancer", self.balancer.log() if hasattr(self, "balancer") else "")]
        parts += [(name, self.folder.joinpath(name, "stderr.jsonl").read_text("utf-8")) for name in NAMES]
        return "\n".join(f"--- {name}\n{text}" for name, text in parts)


@contextmanager
def running_stack(folder: Path, *, wire: bool = False, disk: bool = False) -> Iterator[Stack]:
    """A stack that serves; all of it ends afterwards, and its logs are on standard output for a test that fails.

    Args:
        folder: for everything.
        wire: whether PostgreSQL and Redis stand at the other end of a wire, under a name (`tests.fakes.wire.possible`).
        disk: whether the files lie on a small disk of their own, which takes the same.
    """
    with ExitStack() as exits:
        postgres, redis = exits.enter_context(postgres_server()), exits.enter_context(redis_server())
        stack = Stack(folder, postgres, redis, exits)
        if disk:
            exits.enter_context(small_disk(stack.data))
        if wire:
            ports = {POSTGRES_PORT: postgres_socket(postgres), REDIS_PORT: redis.socket}
            far = exits.enter_context(wired(ports))
            stack.over_a_wire(far, exits.enter_context(NameServer(far.address)))
        try:
            stack.begin()
            yield stack
        finally:
            print(stack.logs())  # noqa: T201 - pytest shows it where a test fails


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of its own at a folder."""
    folder.mkdir(mode=0o700)
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=700", "st", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["/bin/umount", "--lazy", str(folder)], check=True)


def postgres_socket(postgres: Postgres) -> Path:
    """Where it listens."""
    return Path(postgres.url.rpartition("?host=")[2]) / ".s.PGSQL.5432"
