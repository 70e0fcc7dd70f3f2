# SPDX-License-Identifier: Apache-2.0
"""What the functional tests share: one broker for all, and for each a virtual host, an API and bridges of its own."""

import os
import random

import pytest

from parts import Api, Bridge, RabbitMQ, program

SEED = int(os.environ.setdefault('CELADON_SEED', str(random.SystemRandom().randrange(2**32))))  # also of workers


def pytest_report_header(config):
    try:
        return f'celadon: {program()}'
    except FileNotFoundError as problem:
        pytest.exit(str(problem), returncode=4)


def pytest_terminal_summary(terminalreporter):
    reports = [report for some in terminalreporter.stats.values() for report in some if getattr(report, 'when', '') == 'teardown']
    notes = dict.fromkeys(text for report in reports for name, text in report.user_properties if name == 'note')
    if notes:
        terminalreporter.section('notes')
        for text in notes:
            terminalreporter.write_line(text)


def _add_note(request, text):
    """In the test's report, which also comes from another process."""
    request.node.user_properties.append(('note', text))


@pytest.fixture
def note(request):
    """A function that puts a text into the summary at the end of the run."""
    return lambda text: _add_note(request, f'{request.node.name}: {text}')


@pytest.fixture
def rng(request):
    """Random numbers of the test's own; the same again for the same seed."""
    text = f'repeat the random tests with CELADON_SEED={SEED}'
    print(text)
    _add_note(request, text)
    return random.Random(f'{SEED} {request.node.name}')


@pytest.fixture(scope='session')
def broker():
    with RabbitMQ() as broker:
        yield broker


@pytest.fixture(scope='session')
def second_broker():
    with RabbitMQ() as broker:
        yield broker


@pytest.fixture
def restartable_broker(second_broker):
    """A broker that a test may stop and kill."""
    if not second_broker.is_running():  # left so by a test that failed
        second_broker.start()
    return second_broker


@pytest.fixture
def bus(broker):
    vhost = broker.vhost()
    yield vhost
    vhost.delete()


@pytest.fixture
def api():
    with Api() as api:
        yield api


@pytest.fixture
def start_bridge():
    """A function that starts a bridge. Its log is shown when the test fails."""
    bridges = []

    def start(config):
        bridge = Bridge(config)
        bridges.append(bridge)
        return bridge

    yield start
    for number, bridge in enumerate(bridges, 1):
        bridge.close()
        print(f'--- log of bridge {number} ---')
        for line in bridge.log.items()[-200:]:
            print(line)
