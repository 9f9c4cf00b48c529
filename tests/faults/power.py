"""Power cuts: a cluster on a small disk image, and copies of the image as they are at one moment, brought up again.

The server's processes stand still while the image is copied, so nothing is written in between; what they had written
and not synced is in the machine's memory, and so not in the copy, as after a real cut. Needs root and loop devices.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.faults.servers import Server

SIZE_MB = 320
_MEMORY = Path("/dev/shm")
_JOURNAL_S = 300
"""So rarely does the file system commit its journal unasked: longer than a run. The kernel writes data back earlier."""


def impossible() -> str:
    """Why no disk image can be mounted here; empty when it can."""
    if os.geteuid() != 0:
        return "mounting a disk image needs root"
    for tool in ("mkfs.ext4", "mount", "losetup"):
        if shutil.which(tool) is None:
            return f"there is no {tool}"
    try:
        with disk():
            return ""
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no disk image can be mounted: {error}"


class Disk:
    """A mounted image; `cut` gives a copy of it as a disk of its own."""

    def __init__(self, image: Path, mounted: Path) -> None:
        self.image = image
        self.mounted = mounted

    @property
    def cluster(self) -> Path:
        return self.mounted / "server"

    def sync(self) -> None:
        _run("sync", "-f", str(self.mounted))

    @contextmanager
    def cut(self, server: Server) -> Iterator[tuple[Disk, int]]:
        """The disk as the power left it, and the time on the clock of histories before which all is to be on it."""
        with _image() as copy:
            with _stopped(server):
                at = time.monotonic_ns()
                _run("cp", "--sparse=always", str(self.image), str(copy))
            with _mounted(copy) as place:
                yield Disk(copy, place), at


@contextmanager
def disk(size_mb: int = SIZE_MB) -> Iterator[Disk]:
    """A new disk, in memory, gone at the end."""
    with _image() as image:
        _run("truncate", "-s", f"{size_mb}M", str(image))
        _run("mkfs.ext4", "-q", str(image))
        with _mounted(image) as place:
            yield Disk(image, place)


@contextmanager
def _stopped(server: Server) -> Iterator[None]:
    """None of its processes runs, one that has just been born included."""
    stopped: set[int] = set()
    try:
        while new := set(server.everything()) - stopped:
            stopped |= new
            for pid in new:
                _signal(pid, signal.SIGSTOP)
            while not all(map(_stands, new)):
                time.sleep(0.001)
        yield
    finally:
        for pid in stopped:
            _signal(pid, signal.SIGCONT)


def _stands(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "TtZX"


@contextmanager
def _image() -> Iterator[Path]:
    handle, name = tempfile.mkstemp(prefix="ledgerctl-disk-", dir=_MEMORY if _MEMORY.is_dir() else None)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink()


@contextmanager
def _mounted(image: Path) -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="ledgerctl-mount-"))
    _run("mount", "-o", f"loop,commit={_JOURNAL_S}", str(image), str(place))
    try:
        place.chmod(0o711)  # the server's own user passes through
        yield place
    finally:
        _unmount(place)
        place.rmdir()


def _unmount(place: Path) -> None:
    """Also when the last process of a server that died is still letting go of it."""
    for _ in range(100):
        if subprocess.run(["umount", str(place)], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.1)
    _run("umount", "--lazy", str(place))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
