"""How much stack has who loads models: enough for all that an inspection lets through, however the shell is set."""

import resource
import subprocess
import sys
import threading

import pytest

from seatrial.server.runtimes import stacks

SCRIPT = """
import threading
from seatrial.contracts.manifest import InputSpec, Manifest, OutputSpec
from seatrial.server.runtimes import onnx, stacks
from tests.fakes.onnx_models import chain

stacks.make_room()
inputs = (InputSpec(name="x", dtype="float32", shape=(4,)),)
output, digest = OutputSpec(name="y"), "sha256:" + "0" * 64
manifest = Manifest(name="deep", task="regression", inputs=inputs, output=output, digest=digest)
content = chain(5000).SerializeToString()

def load():
    onnx.load(content, manifest)
    print("loaded", flush=True)

thread = threading.Thread(target=load)
thread.start()
thread.join()
load()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems set bounds to what a shell may ask for")
@pytest.mark.parametrize("limit", ["1024", "8192", "unlimited"])
def test_every_thread_has_room_for_a_deep_tree(limit: str) -> None:
    """The main one as well: four times as deep as the deepest tree that an inspection lets through."""
    shell = f'ulimit -S -s {limit} && exec "$0" -c "$1"'
    done = subprocess.run(["/bin/sh", "-c", shell, sys.executable, SCRIPT], capture_output=True, check=False)

    assert (done.returncode, done.stdout.split()) == (0, [b"loaded", b"loaded"])


@pytest.mark.parametrize("limit", [stacks.STACK_BYTES // 2, 2 * stacks.STACK_BYTES])
def test_a_limit_that_is_lower_is_raised(limit: int) -> None:
    """One that is higher stays."""
    limits, size = resource.getrlimit(resource.RLIMIT_STACK), threading.stack_size()
    try:
        resource.setrlimit(resource.RLIMIT_STACK, (limit, limits[1]))
        stacks.make_room()
        found = resource.getrlimit(resource.RLIMIT_STACK)
    finally:
        resource.setrlimit(resource.RLIMIT_STACK, limits)
        threading.stack_size(size)

    assert found == (max(limit, stacks.STACK_BYTES), limits[1])
