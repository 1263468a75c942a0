# SPDX-License-Identifier: AGPL-3.0-or-later
"""`python -m dronectl.bus.exec_with_parent PARENT_PID COMMAND...`: become COMMAND, and end when the parent ends.

A broker does not watch who started it. The kernel does: PR_SET_PDEATHSIG is kept over exec, so the wrapper asks for
a signal at its parent's death, makes sure that the parent has not died meanwhile, and turns into the command.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_EXIT_ORPHAN: Final = 0
_EXIT_CANNOT: Final = 126


def end_with_parent(parent_pid: int) -> None:
    """Ask the kernel to send SIGTERM when the parent dies; ends this process when it is dead already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent_pid:
        sys.exit(_EXIT_ORPHAN)


def main() -> None:
    end_with_parent(int(sys.argv[1]))
    command = sys.argv[2:]
    try:
        os.execvp(command[0], command)  # noqa: S606  # to become the command is the purpose
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        sys.exit(_EXIT_CANNOT)


if __name__ == "__main__":
    main()
