# SPDX-License-Identifier: Apache-2.0
"""The AMQP connection against RabbitMQ, through the program `probe`: what it does is in probe.c."""

import contextlib
import os
import signal
import subprocess

import pytest

from oracle import notification
from parts import PATIENCE_S, Certificates, Publisher, process, program
from parts.rabbitmq import USER
from parts.waiting import Feed

HEARTBEAT_S = 2


def command(verb, *arguments):
    return [os.path.join(os.path.dirname(program()), 'tests', 'probe'), verb, *map(str, arguments)]


def probe(verb, *arguments, status=0):
    """Run the probe to its end; returns its lines on standard output and its log."""
    done = subprocess.run(command(verb, *arguments), capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout.splitlines(), done.stderr


@contextlib.contextmanager
def listening(bus, handler_ms=0, **options):
    """A listener in a process of its own: yields its lines of output and of its log."""
    lines, log = Feed('probe'), Feed("probe's log")
    listener = process.spawn(command('listen', bus.url(**options), handler_ms), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for stream, feed in (listener.stdout, lines), (listener.stderr, log):
        process.follow(stream, lambda line, feed=feed: feed.close() if line is None else feed.append(line))
    try:
        lines.first(lambda line: line == 'CEL_OK ')
        yield lines, log
        listener.stdin.write('end\n')
        listener.stdin.close()
        assert listener.wait(PATIENCE_S) == 0
    finally:
        process.end(listener)


def allow(bus, configure='.*', write='.*'):
    """What the user may configure and write in this virtual host from now on."""
    assert bus.broker.evaluate(f'rabbit_auth_backend_internal:set_permissions(<<"{USER}">>, <<"{bus.name}">>, '
                               f'<<"{configure}">>, <<"{write}">>, <<".*">>, <<"test">>)') == 'ok'


def consumers(bus):
    """Each consumer's queue and channel, as text."""
    return bus.broker.evaluate(f'[[element(4, proplists:get_value(queue_name, C)), proplists:get_value(channel_pid, C)] '
                               f'|| C <- rabbit_amqqueue:consumers_all(<<"{bus.name}">>)]')


@pytest.fixture
def queue(bus):
    bus.bind_queue('probe')
    return 'probe'


def test_heartbeats_go_on_while_a_handler_holds_the_loop_for_three_periods(bus):
    with bus.broker.events('connection.closed'):
        lines, log = probe('hold', bus.url(heartbeat_timeout_threshold=HEARTBEAT_S), 3 * HEARTBEAT_S * 1000)
    assert lines == ['CEL_OK ']
    assert 'TRANSPORT-DOWN' not in log  # one connection, from beginning to end
    assert log.count('TRANSPORT-UP') == 1


def test_heartbeats_go_on_while_a_message_waits_for_a_loop_that_is_held(bus):
    """The message had its turn, but did not leave: the guardian sends it."""
    lines, log = probe('unsent', bus.url(heartbeat_timeout_threshold=HEARTBEAT_S), 4 * HEARTBEAT_S * 1000)
    assert lines == ['CEL_OK ']
    assert 'TRANSPORT-DOWN' not in log


@pytest.mark.sanitized
def test_pipelined_publishes_are_all_confirmed(bus, queue):
    assert probe('burst', bus.url(), queue, 20000)[0] == ['CEL_OK=20000 ']
    assert bus.queue(queue).ready == 20000


@pytest.mark.sanitized
def test_any_thread_may_publish(bus, queue):
    assert probe('threads', bus.url(), queue, 1000)[0] == ['CEL_OK=4000 ']
    assert bus.queue(queue).ready == 4000


@pytest.mark.sanitized
def test_a_returned_message_is_matched_to_its_own_publish(bus, queue):
    """Half of 4,000 equal messages go nowhere: just these publishes fail."""
    assert probe('unroutable', bus.url(), queue, 4000)[0] == ['CEL_OK=2000 CEL_EUNROUTABLE=2000 ']
    assert bus.queue(queue).ready == 2000


def test_a_missing_exchange_fails_its_publish_and_the_channel_is_opened_again(bus, queue):
    missing, after = probe('exchange', bus.url(), queue)[0]
    assert missing.startswith("CEL_ENOTFOUND NOT_FOUND - no exchange 'celadon.probe.missing'")
    assert after == 'CEL_OK '


def test_a_message_that_the_broker_refuses_fails_with_the_brokers_words(bus, queue):
    allow(bus, write='^nova$')
    default_exchange, expiration = probe('refused', bus.url(), queue)[0]
    assert default_exchange.startswith("CEL_EACCESS ACCESS_REFUSED - ") and "'amq.default'" in default_exchange
    assert expiration.startswith("CEL_ECONFLICT PRECONDITION_FAILED - invalid expiration 'soon'")


def test_a_queue_with_other_settings_is_an_error_with_the_brokers_words(bus, queue):
    conflict, after = probe('conflict', bus.url(), queue)[0]
    assert conflict.startswith('CEL_ECONFLICT queue "probe": PRECONDITION_FAILED - inequivalent arg \'durable\'')
    assert after == 'CEL_OK '


def test_a_name_that_amqp_has_no_room_for_is_an_error_and_harms_nobody_else(bus):
    lines, log = probe('conflict', bus.url(), 256 * 'x')
    assert [line.split()[0] for line in lines] == ['CEL_EINVAL', 'CEL_EINVAL']
    assert 'TRANSPORT-DOWN' not in log


@pytest.mark.parametrize('method', ['PLAIN', 'AMQPLAIN'])
def test_each_password_mechanism_logs_in(bus, method):
    assert probe('ready', bus.url(rabbit_login_method=method), 10000)[0] == ['CEL_OK ']


def test_a_wrong_password_is_final(bus):
    line, = probe('ready', bus.url(password='wrong'), 10000)[0]
    assert line.startswith('CEL_EAUTH ') and 'ACCESS_REFUSED' in line and 'wrong' not in line


def test_an_unknown_virtual_host_is_final(bus):
    line, = probe('ready', bus.url() + '-missing', 10000)[0]
    assert line.startswith('CEL_EACCESS ') and 'not found' in line


def test_an_external_login_that_the_broker_does_not_offer_is_final(bus):
    """RabbitMQ offers it over TLS only."""
    line, = probe('ready', bus.url(rabbit_login_method='EXTERNAL'), 10000)[0]
    assert line.startswith('CEL_EAUTH ') and 'the broker offers no EXTERNAL login, but ' in line


@pytest.mark.sanitized
def test_an_external_login_is_the_certificates_user(bus):
    """And not the one in the URL."""
    user = bus.add_user()
    with bus.broker.events('user.authentication.success') as wait_for:
        assert probe('ready', bus.external_url(*bus.broker.certificates.client(user)), 10000)[0] == ['CEL_OK ']
        wait_for(user)


@pytest.mark.sanitized
def test_an_external_login_as_an_unknown_user_is_final(bus):
    line, = probe('ready', bus.external_url(*bus.broker.certificates.client('nobody')), 10000)[0]
    assert line.startswith('CEL_EAUTH ') and 'ACCESS_REFUSED' in line and 'EXTERNAL' in line


@pytest.mark.sanitized
def test_an_external_login_without_a_certificate_where_none_is_required_is_final(bus):
    line, = probe('ready', bus.tls_url(rabbit_login_method='EXTERNAL'), 10000)[0]
    assert line.startswith('CEL_EAUTH ') and 'ACCESS_REFUSED' in line and 'EXTERNAL' in line


@pytest.mark.sanitized
def test_an_external_login_without_a_certificate_is_a_clear_error(bus):
    line, = probe('ready', bus.external_url(), 10000)[0]
    assert line.startswith('CEL_ETLS ') and 'TLS with localhost failed: ' in line and 'certificate' in line


@pytest.mark.sanitized
def test_an_external_login_with_a_certificate_of_another_authority_is_a_clear_error(bus, tmp_path):
    certificate = Certificates(tmp_path).client(bus.add_user())
    line, = probe('ready', bus.external_url(*certificate), 10000)[0]
    assert line.startswith('CEL_ETLS ') and 'TLS with localhost failed: ' in line and 'unknown ca' in line


@pytest.mark.sanitized
def test_tls_connects_to_the_name_that_the_certificate_proves(bus):
    assert probe('ready', bus.tls_url(), 10000)[0] == ['CEL_OK ']


def test_tls_refuses_a_certificate_for_another_name(bus):
    port = bus.broker.add_tls_port('elsewhere.example')
    line, = probe('ready', bus.tls_url(port=port), 10000)[0]
    assert line.startswith('CEL_ETLS ') and 'the certificate of localhost is refused: hostname mismatch' in line


def test_tls_refuses_a_certificate_of_an_unknown_authority(bus):
    line, = probe('ready', bus.url(host='localhost', port=bus.broker.tls_port, ssl='true'), 10000)[0]
    assert line.startswith('CEL_ETLS ') and 'the certificate of localhost is refused: ' in line


def test_tls_against_a_plain_port_is_a_clear_error(bus):
    line, = probe('ready', bus.tls_url(port=bus.broker.port), 10000)[0]
    assert line.startswith('CEL_ETLS ') and 'TLS with localhost failed: ' in line


def test_a_host_that_is_down_is_passed_over(bus):
    url = bus.url().replace('@127.0.0.1:', '@127.0.0.1:1,celadon:correct-horse@127.0.0.1:')
    for _ in range(4):  # the hosts are shuffled each time
        assert probe('ready', url, 10000)[0] == ['CEL_OK ']


def test_a_broker_that_is_down_is_named_when_the_deadline_passes(bus):
    assert probe('ready', bus.url(port=1), 300)[0] == [
        'CEL_ETIMEDOUT not connected in time: 127.0.0.1 port 1: Connection refused']


def test_a_blocked_connection_waits_and_publishes_nothing(bus, queue):
    """A memory alarm makes RabbitMQ stop reading from connections that publish."""
    bus.broker.evaluate('rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []})')
    try:
        lines, log = probe('blocked', bus.url(), queue, 1500)
    finally:
        bus.broker.evaluate('rabbit_alarm:clear_alarm({resource_limit, memory, node()})')
    assert lines[0].startswith('CEL_ETIMEDOUT')
    assert 'TRANSPORT-BLOCKED' in log
    assert probe('blocked', bus.url(), queue, 10000)[0] == ['CEL_OK ']


def test_an_unknown_option_is_an_error_with_a_suggestion(bus):
    line, = probe('ready', bus.url(sssl='true'), 1000)[0]
    assert line == 'CEL_EINVAL transport URL: unknown option "sssl"; did you mean "ssl"?'


@pytest.mark.sanitized
def test_a_transport_may_be_freed_while_a_listener_is_being_opened():
    assert probe('freed', 'rabbit://127.0.0.1:1/')[0] == ['CEL_ECLOSED the transport is closed']


def test_a_transport_that_ends_under_an_open_listener_is_a_mistake_that_is_named(bus):
    log = probe('outlived', bus.url(), status=-signal.SIGABRT)[1]
    assert 'a transport was closed or freed while a listener on it was open: close the listener first' in log


# --- Listeners ---


@pytest.mark.sanitized
def test_listeners_may_come_and_go_without_end(bus):
    """600 listeners on two queues each: more than the 1,024 channels that a connection has."""
    assert probe('reopen', bus.url(), 600)[0] == ['CEL_OK ']


@pytest.mark.sanitized
def test_queues_may_be_declared_and_forgotten_without_end(bus):
    assert probe('forget', bus.url(), 1100)[0] == ['CEL_OK ']


def test_a_broker_that_allows_few_channels_is_an_error_for_who_wants_one_more(bus):
    """One channel declares; each listener has one for each of its two queues."""
    bus.broker.evaluate('application:set_env(rabbit, channel_max, 4)')
    try:
        lines, log = probe('listeners', bus.url(), 3)
    finally:
        bus.broker.evaluate('application:set_env(rabbit, channel_max, 2047)')
    assert lines == ['CEL_OK ', 'CEL_EFULL queue "notifications.error": the broker allows 4 channels for each connection']
    assert 'TRANSPORT-DOWN' not in log


def test_a_queue_is_declared_while_the_broker_takes_no_messages(bus, queue):
    bus.broker.evaluate('rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []})')
    try:
        lines, log = probe('declare', bus.url(), queue, 10000)
    finally:
        bus.broker.evaluate('rabbit_alarm:clear_alarm({resource_limit, memory, node()})')
    assert [line.split()[0] for line in lines] == ['CEL_ETIMEDOUT', 'CEL_OK']
    assert 'TRANSPORT-DOWN' not in log


def test_a_queue_that_is_not_restored_costs_the_others_nothing(bus):
    with listening(bus, handler_ms=5000) as (lines, log):
        bus.publish(notification(1, _unique_id='1'))
        assert lines.get(1) == 'begins id-1'
        allow(bus, '^(nova|notifications.info)$')
        bus.close_connections()
        log.first(lambda line: 'TRANSPORT-NOT-RESTORED' in line and '"notifications.error"' in line)
        before = consumers(bus)
        assert lines.get(2) == 'ends id-1 CEL_OK'  # by then it has tried again, more than once
        assert consumers(bus) == before and 'notifications.info' in before and 'notifications.error' not in before
        allow(bus)
        bus.publish(notification(2), key='notifications.error')
        assert lines.get(3) == 'begins id-2'
    assert lines.items(1) == ['begins id-1', 'ends id-1 CEL_OK', 'begins id-2', 'ends id-2 CEL_OK', 'CEL_OK ']
    assert bus.queue('notifications.info')[:3] == bus.queue('notifications.error')[:3] == (0, 0, 0)


QUORUM = {'rabbit_quorum_queue': 'true', 'rabbit_quorum_delivery_limit': '3'}


@pytest.mark.parametrize('first', ['listener', 'sender'])
def test_quorum_queues_are_those_of_oslo_messaging(bus, first):
    """Each declares exchange and queues; the broker refuses the second one if it does not do as the first."""
    if first == 'sender':
        with Publisher(bus, **QUORUM) as publisher:
            publisher.notify('compute.instance.create.end', {'number': 1})
    with listening(bus, **QUORUM) as (lines, _):
        if first == 'listener':
            with Publisher(bus, **QUORUM) as publisher:
                publisher.notify('compute.instance.create.end', {'number': 1})
        lines.first(lambda line: line.startswith('begins '))
    assert bus.queue('notifications.info') == (0, 0, 0, True)
    assert bus.broker.evaluate(f"[amqqueue:get_type(Q) || Q <- rabbit_amqqueue:list(<<\"{bus.name}\">>)]") == (
        '[rabbit_quorum_queue,rabbit_quorum_queue]')


def test_a_queue_that_is_not_durable_is_listened_to_with_a_warning(bus):
    """As current versions of oslo.messaging do."""
    with Publisher(bus) as publisher:
        publisher.notify('compute.instance.create.end', {'number': 1})
        with listening(bus, amqp_durable_queues='true') as (lines, log):
            lines.first(lambda line: line.startswith('begins '))
            log.first(lambda line: 'TRANSPORT-NOT-DURABLE' in line and '"notifications.info"' in line)
    assert bus.queue('notifications.info') == (0, 0, 0, False)
