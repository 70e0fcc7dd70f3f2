# SPDX-License-Identifier: Apache-2.0
"""gdb lists the tasks of a program and prints the stack of one that waits, in a live process and in a core file."""
import os
import re
import resource
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get('CELADON_BUILD', ROOT / 'build')) / 'tests/parked'


def gdb(*commands, core=None, **options):
    """What gdb prints when it has stopped in both_wait(), or with the core file, and is given `commands`."""
    stop = [] if core else ['break both_wait', 'run', 'up']
    commands = ['set debuginfod enabled off', f'source {ROOT / "tools/celadon-gdb.py"}', *stop, *commands]
    arguments = [a for command in commands for a in ('-ex', command)]
    result = subprocess.run(['gdb', '-nx', '-batch', *arguments, PROGRAM, *([core] if core else [])],
                            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, **options)
    assert 'Traceback' not in result.stderr
    return result.stdout + result.stderr


def functions(output):
    """The functions of a backtrace, innermost first."""
    return re.findall(r'^#\d+ .*?(?:in )?(\w+)(?: \+ \d+)?(?: \(| at|$)', output, re.MULTILINE)


def allow_core():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@pytest.fixture(scope='module')
def core(tmp_path_factory):
    """A core file by the kernel."""
    pattern = Path('/proc/sys/kernel/core_pattern').read_text().strip()
    if pattern.startswith(('/', '|')):
        pytest.skip(f'core files of this machine go to {pattern}')
    folder = tmp_path_factory.mktemp('gdb')
    output = gdb('signal SIGABRT', cwd=folder, preexec_fn=allow_core)
    files = list(folder.iterdir())
    assert len(files) == 1, output
    return files[0]


@pytest.mark.parametrize('live', [True, False], ids=['live', 'core'])
def test_tasks_are_listed_with_what_they_wait_for(live, core):
    output = gdb('cel tasks', core=None if live else core)
    assert re.search(r'^0x\w+  loop 0  "main"  running$', output, re.MULTILINE), output
    assert re.search(r'^0x\w+  loop 0  "reader" of request req-1  waiting for "channel receive"', output, re.MULTILINE), output
    assert re.search(r'^0x\w+  loop 0  "sleeper"  waiting for "sleep"' + (r' for \d+\.\d{3} s$' if live else '$'),
                     output, re.MULTILINE), output
    assert '\n3 tasks\n' in output


@pytest.mark.parametrize('live', [True, False], ids=['live', 'core'])
def test_the_stack_of_a_waiting_task_is_printed_by_its_name(live, core):
    output = gdb('cel bt reader', core=None if live else core).partition('"reader"')[2]
    names = functions(output)
    assert 'cel_channel_receive' in names and 'read_on_request' in names and 'task_main' in names, output
    assert 'wait_for_both' not in names and 'doze' not in names, output
    assert 'tests/tools/parked.c:' in output


def test_the_stack_of_a_waiting_task_is_printed_by_its_address():
    output = gdb('python sleeper = next(t for _, t in tasks() if text(t["ctx"]["name"]) == "sleeper")',
                 'python gdb.execute(f"cel bt {int(sleeper.address):#x}")')
    assert 'doze' in functions(output.partition('"sleeper"')[2]), output


def test_the_program_goes_on_as_if_nothing_had_happened():
    output = gdb('cel bt reader', 'cel bt sleeper', 'continue')
    assert 'exited normally' in output


def test_a_name_that_no_task_has_is_an_error_that_says_what_to_do():
    assert 'No task is called "nobody"' in gdb('cel bt nobody')


def test_a_running_task_is_looked_at_through_its_thread():
    assert 'It runs: look at its thread' in gdb('cel bt main')
