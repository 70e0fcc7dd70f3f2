#!/usr/bin/python3
"""Which C files are the project's own; run as a program, it prints them.

Build folders, hidden folders and Node.js packages are left out."""
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def c_files():
    """Paths of all .c and .h files, relative to ROOT, sorted."""
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [f for f in folders if not f.startswith(('.', 'build')) and f != 'node_modules']
        found += [Path(folder, f).relative_to(ROOT) for f in files if f.endswith(('.c', '.h'))]
    return sorted(found)


if __name__ == '__main__':
    print(*c_files(), sep='\n')
