# SPDX-License-Identifier: Apache-2.0
"""Processes, folders and ports that do not outlive the run."""

import atexit
import os
import pathlib
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading

_guard = None
_guard_lock = threading.Lock()
_folder = None  # all others are in it
_ports_given = set()


def _tell_guard(line):
    """The guard is a process of its own (guard.py): it ends the others when this process is gone."""
    global _guard
    with _guard_lock:
        if _guard is None:
            script = pathlib.Path(__file__).with_name('guard.py')
            _guard = subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE, text=True,
                                      start_new_session=True)
            atexit.register(_dismiss_guard)
        _guard.stdin.write(line + '\n')
        _guard.stdin.flush()


def _dismiss_guard():
    _guard.stdin.close()
    _guard.wait()


def make_folder(owner=None):
    """A temporary folder, which any user may enter. It is removed when this process ends."""
    global _folder
    if _folder is None:
        _folder = tempfile.mkdtemp(prefix='celadon-')
        os.chmod(_folder, 0o755)
        _tell_guard(f'folder {_folder}')
    path = tempfile.mkdtemp(dir=_folder)
    os.chmod(path, 0o755)
    give_to(owner, path)
    return path


def give_to(owner, *paths):
    """Give files to another user, when we are root and there is a choice."""
    if owner and os.geteuid() == 0:
        for path in paths:
            shutil.chown(path, owner, owner)


def spawn(argv, owner=None, **options):
    """Start a process in a process group of its own. If we are root, it runs as the user `owner`."""
    if owner and os.geteuid() == 0:
        options.update(user=owner, group=owner, extra_groups=[])
    process = subprocess.Popen(argv, start_new_session=True, **options)
    _tell_guard(f'start {process.pid}')
    return process


def wait_end(process, seconds):
    """Wait until a process has ended; returns whether it has. It remains to be reaped by process.wait()."""
    if process.returncode is not None:
        return True
    descriptor = os.pidfd_open(process.pid)
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def end(process, signal_first=None, seconds=20):
    """End a process that spawn() started, and its whole group. With `signal_first` it has `seconds` to end by itself."""
    if process.returncode is None:  # not reaped: until then, nobody else can get its number
        if signal_first:
            os.kill(process.pid, signal_first)
            wait_end(process, seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdin:
        try:
            process.stdin.close()
        except BrokenPipeError:
            pass  # something was left to be written
    _tell_guard(f'ended {process.pid}')


def follow(stream, take):
    """Call `take(line)` for each line of `stream`, and `take(None)` at its end, in a thread."""
    def run():
        with stream:
            for line in stream:
                take(line.rstrip('\n'))
        take(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def free_port():
    """A port that nobody uses. It lies below the range from which the kernel takes ports for outgoing connections: so
    nobody grabs it while its server is being restarted."""
    for port in random.SystemRandom().sample(range(20000, 32000), 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(('127.0.0.1', port))
            except OSError:
                continue
        if port not in _ports_given:
            _ports_given.add(port)
            return port
    raise RuntimeError('no free port between 20000 and 32000')
