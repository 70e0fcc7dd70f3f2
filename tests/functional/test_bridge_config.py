# SPDX-License-Identifier: Apache-2.0
"""The configuration is checked before anything is touched: `file:line:column: what is wrong, what would be right`."""

import re

import pytest

from parts import check_config, run_program

EX_USAGE, EX_CONFIG = 64, 78

GOOD = """\
transport: rabbit://guest:very-secret@127.0.0.1:5672/
drain: 30s
routes:
  - name: instances
    from:
      notifications: {exchange: nova, topics: [notifications], priorities: [info, error], pool: celadon}
    match: {event_type: "compute.instance.*"}
    to: {url: "http://127.0.0.1:8080/events", timeout: 30s}
    concurrency: 16
    max_attempts: 12
    backoff: {base: 1s, cap: 60s}
    max_message: 16MiB
    dead_letter: {queue: celadon.dead.instances}
"""


@pytest.mark.sanitized
def test_check_prints_nothing_about_a_good_file():
    status, printed, _ = check_config(GOOD)
    assert (status, printed) == (0, '')


# old text, new text, line and column of the error (None: not to be told in advance), what it must mention
BAD = {
    'an-unknown-key': ('    concurrency: 16', '    concurency: 16', (9, 5), ['concurency', 'concurrency']),
    'an-unknown-key-at-the-top': ('drain:', 'dran:', (2, 1), ['dran', 'drain']),
    'an-unknown-key-inside': ('pool: celadon', 'pol: celadon', (6, 91), ['pol']),
    'a-duration-without-a-unit': ('drain: 30s', 'drain: 30', (2, 8), ['30']),
    'a-number-that-is-none': ('concurrency: 16', 'concurrency: many', (9, 18), ['many']),
    'a-number-that-is-too-small': ('max_attempts: 12', 'max_attempts: 0', (10, 19), ['0']),
    'an-unknown-size': ('16MiB', '16XB', (12, 18), ['16XB']),
    'an-unknown-priority': ('[info, error]', '[info, eror]', (6, 83), ['eror']),
    'a-url-that-is-none': ('"http://127.0.0.1:8080/events"', 'nowhere', (8, 15), ['url']),
    'a-text-where-a-map-belongs': ('{base: 1s, cap: 60s}', '1s', (11, 14), ['backoff']),
    'a-transport-that-is-no-url': ('rabbit://guest:very-secret@127.0.0.1:5672/', 'rabbit', (1, 12), ['transport']),
    'a-transport-of-another-kind': ('rabbit://', 'rabit://', (1, 12), ['rabit', 'rabbit://']),
    'a-transport-with-a-bad-port': (':5672/', ':notaport/', (1, 12), ['port']),
    'a-transport-with-an-unknown-option': (':5672/', ':5672/?ssll=true', (1, 12), ['ssll', 'ssl']),
    'a-ca-file-that-is-missing': ('timeout: 30s', 'ca_file: /no/such.pem', (8, 56), ['/no/such.pem']),
    'a-header-of-http-itself': ('timeout: 30s', 'headers: {Expect: 100-continue}', (8, 57), ['Expect']),
    'a-missing-key': ('  - name: instances\n    from:', '  - from:', (4, 5), ['name']),
    'no-routes': (GOOD[GOOD.index('routes:'):], 'routes: []\n', (3, 9), ['route']),
    'broken-yaml': ('[info, error]', '[info, error', None, []),
    'a-tab': ('    concurrency', '\tconcurrency', None, []),
    'nothing-at-all': (GOOD, '', None, []),
}


@pytest.mark.sanitized
@pytest.mark.parametrize('case', BAD)
def test_check_says_where_an_error_is_what_is_wrong_and_what_would_be_right(case):
    old, new, place, words = BAD[case]
    assert GOOD.count(old) == 1
    status, printed, path = check_config(GOOD.replace(old, new))

    assert status == EX_CONFIG
    line, = printed.splitlines()
    found = re.fullmatch(re.escape(path) + r':(\d+):(\d+): (\S.*, \S.*)', line)
    assert found, line
    if place:
        assert (int(found[1]), int(found[2])) == place, line
    for word in words:
        assert word in found[3]
    assert 'very-secret' not in printed


@pytest.mark.sanitized
def test_check_reports_all_errors_at_once_in_the_order_of_the_file():
    status, printed, path = check_config(
        GOOD.replace('drain: 30s', 'drain: soon').replace('16MiB', 'much').replace('max_attempts', 'attempts'))
    assert status == EX_CONFIG
    assert [line.removeprefix(path + ':').split(':')[0] for line in printed.splitlines()] == ['2', '10', '12']


@pytest.mark.sanitized
def test_a_bad_file_stops_the_bridge_before_it_connects(bus, api, start_bridge):
    bridge = start_bridge(GOOD.replace('rabbit://guest:very-secret@127.0.0.1:5672/', bus.url())
                          .replace('concurrency: 16', 'concurency: 16'))
    assert bridge.wait_exit() == EX_CONFIG
    about_it = [line.raw for line in bridge.log.items() if 'concurency' in line.raw]
    assert len(about_it) == 1 and f'{bridge.config_path}:9:5: ' in about_it[0]
    assert bus.queues() == {}


def test_a_file_that_is_missing_is_one_line():
    done = run_program('bridge', '--check', '/nonexistent/bridge.yaml')
    assert done.returncode == EX_CONFIG
    line, = (done.stdout + done.stderr).splitlines()
    assert '/nonexistent/bridge.yaml' in line


@pytest.mark.parametrize('arguments', [['bridge'], ['bridge', '--check'], ['bridge', '--chek', 'x.yaml'],
                                       ['bridge', 'one.yaml', 'two.yaml'], []])
def test_wrong_usage_is_told(arguments):
    done = run_program(*arguments)
    assert done.returncode == EX_USAGE
    assert 'bridge' in done.stderr
