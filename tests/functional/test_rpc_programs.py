# SPDX-License-Identifier: Apache-2.0
"""The programs that others build on: `celadon call`, `celadon cast`, and the echo server with each executor."""

import contextlib
import functools
import json
import pathlib
import signal
import subprocess

import pytest

from parts import PATIENCE_S, Feed, PythonServer, TookTooLong, process, program, run_program


@contextlib.contextmanager
def echo_server(bus, *arguments):
    path = pathlib.Path(program()).parent / 'examples' / 'echo-server'
    server = process.spawn([str(path), '--url', bus.url(), '--topic', 'echo', '--server', 's1', *arguments],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    output = Feed('echo server')
    reader = process.follow(server.stdout, lambda line: output.close() if line is None else output.append(line))
    try:
        assert output.get(0) == 'ready'
        yield server
    finally:
        process.end(server)
        reader.join()


def run_verb(verb, bus, *arguments, topic='echo', exchange='openstack'):
    return run_program(verb, '--url', bus.url(), '--topic', topic, '--exchange', exchange, *arguments)


@pytest.mark.parametrize('executor', ['green', 'threads', 'blocking', 'inline'])
def test_echo_server(bus, executor):
    with echo_server(bus, '--executor', executor, '--concurrency', '4', '--rpc-version', '1.7') as server:
        done = run_verb('call', bus, '--server', 's1', 'echo', '{"msg": {"a": [1, 2.5, "ö"]}}')
        assert (done.returncode, json.loads(done.stdout)) == (0, {'a': [1, 2.5, 'ö']})
        done = run_verb('call', bus, '--rpc-version', '1.5', 'version')
        assert (done.returncode, json.loads(done.stdout)) == (0, '1.5')
        done = run_verb('call', bus, 'fail', '{"cls": "NotFound", "module": "nova.exception", "message": "no such thing"}')
        assert (done.returncode, done.stdout) == (1, '')
        assert 'nova.exception.NotFound: no such thing' in done.stderr
        done = run_verb('call', bus, 'wait', '{"seconds": 0.1}')
        if executor == 'inline':
            assert done.returncode == 1 and 'cannot wait' in done.stderr
        else:
            assert (done.returncode, json.loads(done.stdout)) == (0, 0.1)
        server.send_signal(signal.SIGTERM)
        if not process.wait_end(server, PATIENCE_S):
            raise TookTooLong('the echo server does not end')
        assert server.wait() == 0


def test_call_says_how_it_ended(bus):
    server = PythonServer(bus, 'python', 's1')
    try:
        run = functools.partial(run_verb, exchange='x')
        assert run('call', bus, 'echo', '{"msg": null}', topic='python').stdout == 'null\n'
        done = run('call', bus, 'nope', topic='python')
        assert done.returncode == 1 and 'NoSuchMethod' in done.stderr
        done = run('call', bus, '--timeout', '0.5', 'echo', topic='nobody')
        assert done.returncode == 2 and 'topic "nobody"' in done.stderr
        assert run('cast', bus, 'note', '{"text": "from the command line"}', topic='python').returncode == 0
        assert run('cast', bus, '--fanout', 'note', '{"text": "to all"}', topic='python').returncode == 0
        server.notes.wait_for_each(['from the command line', 'to all'], lambda note: note)
    finally:
        server.close()


def test_call_says_that_there_is_no_bus():
    done = run_program('call', '--url', 'rabbit://127.0.0.1:1/', '--topic', 't', '--timeout', '0.5', 'm')
    assert done.returncode == 2 and 'Connection refused' in done.stderr
    done = run_program('call', '--url', 'rabbit://127.0.0.1:1/?nonsense=1', '--topic', 't', 'm')
    assert done.returncode == 3 and 'nonsense' in done.stderr


def test_call_refuses_a_password(bus):
    done = run_program('call', '--url', bus.url(password='wrong'), '--topic', 't', 'm')
    assert done.returncode == 3 and 'wrong' not in done.stderr


@pytest.mark.parametrize('arguments', [
    [], ['--topic', 't', 'm'], ['--url', 'rabbit://'], ['--url', 'rabbit://', '--topic', 't'],
    ['--url', 'rabbit://', '--topic', 't', 'm', '[]'], ['--url', 'rabbit://', '--topic', 't', 'm', '{'],
    ['--url', 'rabbit://', '--topic', 't', 'm', '{}', 'more'], ['--url', 'rabbit://', '--topic', 't', '--timeout', 'x', 'm'],
    ['--url', 'rabbit://', '--topic', 't', '--fanout', 'm'], ['--what'],
])
def test_usage(arguments):
    done = run_program('call', *arguments)
    assert done.returncode == 64 and 'usage: celadon call' in done.stderr and not done.stdout


def test_help():
    for verb in 'call', 'cast', 'notify', 'listen', 'bench':
        done = run_program(verb, '--help')
        assert done.returncode == 0 and f'usage: celadon {verb}' in done.stdout and not done.stderr


def test_bench(bus):
    for executor in 'green', 'threads', 'blocking', 'inline':
        done = run_program('bench', 'rpc', '--url', bus.url(), '--seconds', '0.3', '--concurrency', '8', '--executor', executor)
        result = json.loads(done.stdout)
        assert done.returncode == 0 and result['concurrency'] == 8 and result['calls'] > 0
        assert 0 < result['p50_us'] <= result['p99_us'] and result['cpu_us_per_call'] > 0
    assert run_program('bench', '--url', bus.url()).returncode == 64
