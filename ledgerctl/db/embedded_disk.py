"""What the directory of an embedded cluster stands on: how much room there is, and on which kind of file system."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

FORGETFUL = frozenset({"tmpfs", "ramfs", "overlay", "aufs"})
"""Gone after a restart, or with the container."""
REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "fuse.glusterfs", "fuse.sshfs"})
"""Where locks and fsync are not surely what the server takes them for."""


class Disk(NamedTuple):
    free_bytes: int
    kind: str
    """As the kernel calls it; empty where it does not tell."""


def under(directory: Path) -> Disk:
    """Of a cluster that is there."""
    place = (directory / "pgdata").resolve()
    room = os.statvfs(place)
    # Of what is free, some is kept for root, and the server never runs as root.
    return Disk(room.f_bavail * room.f_frsize, _kind(place))


def _kind(place: Path) -> str:
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
    depth, kind = -1, ""
    for line in mounts.splitlines():
        mount, _, about = line.partition(" - ")
        at = Path(re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), mount.split()[4]))
        if place.is_relative_to(at) and len(at.parts) >= depth:  # the last of those at one place hides the others
            depth, kind = len(at.parts), about.split()[0]
    return kind
