"""What the embedded server is told: its settings, who may connect, and how the cluster is made."""

from __future__ import annotations

SUPERUSER = "ledgerctl"
DATABASE = "ledgerctl"

# Written into the cluster, so that the reasons stand where an operator looks for them.
SETTINGS = """\
# Written by ledgerctl when the cluster was made. To change something, add a line to the end of postgresql.conf.
# The socket, the port and "no TCP" are given on the command line: nothing here can change them.

# An acknowledged transfer has reached the disk, whatever happens next.
fsync = on
synchronous_commit = on
full_page_writes = on

# A ledger writes little to many pages, and after a checkpoint each goes into the log whole: few checkpoints, and small.
wal_compression = on
checkpoint_timeout = 15min
max_wal_size = 2GB

shared_buffers = 128MB

# Hot accounts make queues: a wait worth telling is told, a deadlock is broken early.
deadlock_timeout = 500ms
log_lock_waits = on

# A killed command must not keep its locks until its statement has ended.
client_connection_check_interval = 1s

# Parameters are names, memos and amounts; they have no business in a log.
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0

timezone = 'UTC'
log_timezone = 'UTC'
cluster_name = 'ledgerctl'
"""

# Later lines win. For demonstrations and tests: a crash of the server may lose what was just committed, a crash of the
# machine everything.
EPHEMERAL = """
cluster_name = 'ledgerctl-ephemeral'
ledgerctl.ephemeral = on        # else such a server is refused
fsync = off
synchronous_commit = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
max_wal_size = 256MB
shared_buffers = 32MB
io_method = sync                # no worker processes
"""

HBA = f"""\
# Only the socket, only the role of the program, only the system users that pg_ident.conf names. "all" leaves out what
# pg_basebackup needs.
local  all,replication  {SUPERUSER}  peer  map={SUPERUSER}
"""

INCLUDE = """
include 'ledgerctl.conf'
# Settings added below win over those of ledgerctl.
"""

# libc's C: the names of its other locales differ from machine to machine, and a broken one stops initdb. Comparing,
# sorting and case are PostgreSQL's own C.UTF-8, the same everywhere and for good.
INITDB = [
    f"--username={SUPERUSER}",
    "--auth=peer",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--data-checksums",
    "--no-instructions",
    "--no-sync",  # everything is synced in one go when it is complete
]


def settings(ephemeral: bool) -> str:
    """The text of ledgerctl.conf."""
    return SETTINGS + EPHEMERAL if ephemeral else SETTINGS


def ident(*system_users: str) -> str:
    """The text of pg_ident.conf: the system users who are the program's role."""
    return "".join(f'{SUPERUSER}  "{name}"  {SUPERUSER}\n' for name in system_users)
