"""The end of a command's process."""

import subprocess
import sys

import pytest

BEGIN = """
import atexit, sys, threading, time
from codec.cli import main
atexit.register(lambda: print("registered"))
sys.argv = ["codec", *sys.argv[1:]]
"""
THREAD = "threading.Thread(target=lambda: (time.sleep(0.3), print('thread'))).start()\n"


@pytest.mark.parametrize("thread", [False, True])
@pytest.mark.parametrize("words, status", [(["models"], 0), (["info", "no such file"], 1)])
def test_output_status_and_registered_functions_are_those_of_a_usual_end(thread, words, status):
    script = BEGIN + THREAD * thread + "main()"
    ended = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=False)
    assert ended.returncode == status and bool(ended.stderr) == bool(status)
    last = ["thread"] * thread + ["registered"]
    assert ended.stdout.split()[-len(last) :] == last
