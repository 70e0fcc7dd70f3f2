# SPDX-License-Identifier: Apache-2.0
"""Ends what a test run has started, however the run itself ends (kill -9 included).

It is told on its standard input what there is; when that input ends, so has the run, and whatever is left is ended:
    start GROUP   a process group has been started
    ended GROUP   it has ended by itself
    folder PATH   a temporary folder has been made, which is removed
"""

import os
import shutil
import signal
import sys


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    groups = set()
    folders = []
    for line in sys.stdin:
        verb, value = line.rstrip('\n').split(' ', 1)
        if verb == 'start':
            groups.add(int(value))
        elif verb == 'ended':
            groups.discard(int(value))
        elif verb == 'folder':
            folders.append(value)

    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == '__main__':
    main()
