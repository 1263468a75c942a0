# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a benchmark starts ends with it, also when it is told to end while it starts a child."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
# The new process signals its parent before it becomes what it is to be: Popen has not returned then.
STARTS = """
import os, sys
sys.path.insert(0, sys.argv[1])
from children import child, end_by_signals
end_by_signals()
signal_parent = lambda: (print(os.getpid(), flush=True), os.kill(os.getppid(), int(sys.argv[2])))
with child([sys.executable, "-c", "import time; time.sleep(60)"], preexec_fn=signal_parent):
    print("started", flush=True)
    __import__("time").sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_child_starts_ends_both(number: signal.Signals) -> None:
    arguments = [sys.executable, "-c", STARTS, str(BENCH), str(int(number))]
    ran = subprocess.run(arguments, capture_output=True, text=True, encoding="utf-8", timeout=50, check=False)
    assert ran.returncode == 128 + number, ran.stderr
    (pid,) = ran.stdout.split()
    assert not Path(f"/proc/{pid}").exists()
