"""A short campaign of accidents: `make soak` has the long one."""

import subprocess
import sys

from tests import toy


def test_a_short_campaign_finds_nothing():
    command = [sys.executable, str(toy.CHECKOUT / "tests" / "soak.py"), "--short"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "| store: damaged, read alone | 200 | 0 | 0 | 0 | 0 | 0 |" in done.stdout
    assert "| 1 | 1 | 1 | 0 | 0 | 0 |" in done.stdout
