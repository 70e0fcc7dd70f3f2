# SPDX-License-Identifier: Apache-2.0
"""Debian's RabbitMQ, and a virtual host of it.

Design notes. The broker runs with an Erlang shell on its standard input, and what a test wants to know or do beyond AMQP is
one expression in that shell: it takes less than a millisecond, where rabbitmqctl takes a second and a half. The broker also
ends when that input ends. It gets an epmd (Erlang's port mapper) of its own, or else it would start one that stays.

Each process of the broker has an output of its own: helpers of a process that was killed may still write for a while, which
must not be taken for the output of the next one.
"""

import base64
import contextlib
import itertools
import json
import os
import signal
import subprocess
import threading
import time
import urllib.parse
from collections import namedtuple

import amqp

from . import process
from .certs import Certificates
from .waiting import PATIENCE_S, Feed, TookTooLong

SERVER = '/usr/lib/rabbitmq/bin/rabbitmq-server'  # the one in /usr/sbin is for the system's own instance
OWNER = 'rabbitmq'
USER, PASSWORD = 'celadon', 'correct-horse'

# What a queue holds: messages that wait, messages that a consumer has and has not acknowledged; and who consumes.
QueueState = namedtuple('QueueState', 'ready unacked consumers durable')

START_S = max(60, PATIENCE_S)  # it takes 5 to 15

Message = namedtuple('Message', 'body headers properties routing_key')


class _Node:
    """One process of the broker: its output, and the shell on its input."""

    def __init__(self, **options):
        self.output = Feed('RabbitMQ')
        self.started_at = None
        self._answers = Feed("RabbitMQ's shell")
        self._numbers = itertools.count(1)
        self._process = process.spawn([SERVER], owner=OWNER, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True, errors='replace', **options)
        self._reader = process.follow(self._process.stdout, self._take_line)

    def is_running(self):
        return self._process.returncode is None

    def wait_started(self):
        """Wait until it serves. If it does not, it is ended."""
        try:
            self.output.first(lambda line: self.started_at, 0, START_S, 'its start')
        except TookTooLong:
            self.end()
            raise RuntimeError('RabbitMQ does not start:\n' + '\n'.join(self.output.items())) from None

    def evaluate(self, expression):
        number, begun = next(self._numbers), len(self._answers)
        self._process.stdin.write(f'io:format("~n=== {number} ~0tp~n", [catch {expression}]).\n')
        self._process.stdin.flush()
        mark = f'{number} '  # one that came too late for whoever asked is not the answer to the next question
        return self._answers.first(lambda line: line.startswith(mark), begun, PATIENCE_S, expression).removeprefix(mark)

    def signal_all(self, number):
        os.killpg(self._process.pid, number)

    def end(self, *how):
        """End it; when this returns, all that it ever printed is in its output."""
        process.end(self._process, *how)
        self._reader.join(PATIENCE_S)
        if self._reader.is_alive():
            raise TookTooLong(f'RabbitMQ has ended, but its output has not within {PATIENCE_S} s')

    def _take_line(self, line):
        if line is None:
            self.output.close()
            self._answers.close()
            return
        if 'completed with' in line:
            self.started_at = time.monotonic()
        self.output.append(line)
        if line.startswith('=== '):
            self._answers.append(line[4:])


class Realm:
    """What the nodes of a cluster share: where they find each other, and the cookie in their home."""

    def __init__(self, settings=''):
        self.settings = settings  # lines of rabbitmq.conf
        self.epmd_port = process.free_port()
        self.home = process.make_folder(OWNER)
        self._epmd = None

    def start(self):
        if not self._epmd:
            self._epmd = process.spawn(['epmd', '-port', str(self.epmd_port), '-address', '127.0.0.1'], owner=OWNER,
                                       cwd=self.home, env={'PATH': '/usr/bin:/bin'})

    def close(self):
        if self._epmd:
            process.end(self._epmd)
        self._epmd = None


class RabbitMQ:
    _numbers = itertools.count(1)

    @classmethod
    def new_name(cls):
        return f'celadon-{os.getpid()}-{next(cls._numbers)}@localhost'

    def __init__(self, name=None, realm=None):
        self._folder = process.make_folder(OWNER)
        self._node = None
        self._shell_lock = threading.Lock()
        self._vhosts = itertools.count(1)
        self.name = name or self.new_name()
        self._realm = realm or Realm()
        self._dist_port = process.free_port()
        self.port = process.free_port()
        self.tls_port = process.free_port()
        self.certificates = Certificates(self._folder)
        self._write_files()

    def __enter__(self):
        return self.start()

    def __exit__(self, *unused):
        self.close()

    def start(self):
        """Start it, for the first time or again on the same data, and wait until it serves."""
        self.begin_start()
        self.wait_started()
        return self

    def begin_start(self):
        self._realm.start()
        self._node = _Node(cwd=self._folder, env=self.environment())

    def wait_started(self):
        self._node.wait_started()

    def is_running(self):
        return self._node is not None and self._node.is_running()

    @property
    def started_at(self):
        """When it began to serve, in time.monotonic()'s time."""
        return self._node.started_at

    def stop(self):
        """Stop it as an administrator does: clients are told."""
        self._node.end(signal.SIGTERM, 60)

    def kill(self):
        """kill -9."""
        self._node.end()

    def sync(self):
        """Have the names of its quorum queues written down. It does so after half a second or more; who is killed before
        that starts them anew, empty and without a leader."""
        self.evaluate('[dets:sync(Table) || Table <- dets:all()]')

    def suspend(self):
        """SIGSTOP: it is there, and does not answer, until resume()."""
        self._node.signal_all(signal.SIGSTOP)

    def resume(self):
        self._node.signal_all(signal.SIGCONT)

    def close(self):
        if self._node:
            self._node.end()
        self._realm.close()
        self._node = None

    def vhost(self):
        """A fresh, empty virtual host."""
        name = f'test-{next(self._vhosts)}'
        self.evaluate(f'rabbit_vhost:add(<<"{name}">>, <<"test">>)')
        self.evaluate(f'rabbit_auth_backend_internal:set_permissions(<<"{USER}">>, <<"{name}">>, '
                      '<<".*">>, <<".*">>, <<".*">>, <<"test">>)')
        return Vhost(self, name)

    def add_tls_port(self, name='localhost', asks_clients=False, days=2):
        """One more TLS port, whose certificate is for this host name, and this long. If it `asks_clients`, who has no certificate of the
        test's own authority stays out; who has one may log in as its common name (EXTERNAL)."""
        certificate, key = self.certificates.server(name, days)
        process.give_to(OWNER, certificate, key)
        port = process.free_port()
        options = f'{{certfile, "{certificate}"}}, {{keyfile, "{key}"}}'
        if asks_clients:
            options += f', {{cacertfile, "{self.certificates.ca}"}}, {{verify, verify_peer}}, {{fail_if_no_peer_cert, true}}'
        answer = self.evaluate(f'rabbit_networking:start_ssl_listener({{"127.0.0.1", {port}, auto}}, [{options}], 1)')
        if answer != 'ok':
            raise RuntimeError(f'RabbitMQ refuses the TLS port: {answer}')
        return port

    def evaluate(self, expression):
        """Evaluate an Erlang expression in the broker; returns the value as text."""
        with self._shell_lock:
            return self._node.evaluate(expression)

    def evaluate_json(self, expression):
        """The same for a value that JSON can carry (Erlang's binaries are strings); returns it as a Python value."""
        text = self.evaluate(f'base64:encode(iolist_to_binary(rabbit_json:encode({expression})))')
        if not text.startswith('<<"'):
            raise RuntimeError(f'RabbitMQ: {expression} gave {text}')
        return json.loads(base64.b64decode(text[3:-3]))

    def events(self, key):
        """The broker's own events from now on, such as `queue.created` or `consumer.created`. To be used in a `with`: gives
        a function that waits for the next event about the given queue."""
        return _listen(connect(self.port, '/'), 'amq.rabbitmq.event', key, f'{key} of',
                       lambda message: (message.headers.get('queue'), message.headers.get('name')))

    def environment(self):
        within = lambda name: os.path.join(self._folder, name)
        return {
            'PATH': '/usr/bin:/bin:/usr/sbin:/sbin',
            'LANG': 'C.UTF-8',
            'HOME': self._realm.home,
            'ERL_EPMD_PORT': str(self._realm.epmd_port),
            'ERL_EPMD_ADDRESS': '127.0.0.1',
            'RABBITMQ_ALLOW_INPUT': '1',
            'RABBITMQ_NODENAME': self.name,
            'RABBITMQ_NODE_IP_ADDRESS': '127.0.0.1',
            'RABBITMQ_NODE_PORT': str(self.port),
            'RABBITMQ_DIST_PORT': str(self._dist_port),
            'RABBITMQ_MNESIA_BASE': within('data'),
            'RABBITMQ_LOG_BASE': within('log'),
            'RABBITMQ_CONF_ENV_FILE': '/dev/null',
            'RABBITMQ_CONFIG_FILE': within('rabbitmq.conf'),
            'RABBITMQ_GENERATED_CONFIG_DIR': within('generated'),
            'RABBITMQ_FEATURE_FLAGS_FILE': within('feature_flags'),
            'RABBITMQ_ENABLED_PLUGINS_FILE': within('plugins'),
            'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS': '-kernel inet_dist_use_interface {127,0,0,1}',
        }

    def _write_files(self):
        certificate, key = self.certificates.server('localhost')
        files = {
            'plugins': '[rabbitmq_auth_mechanism_ssl, rabbitmq_event_exchange].\n',
            'rabbitmq.conf': f'default_user = {USER}\n'
                             f'default_pass = {PASSWORD}\n'
                             f'listeners.ssl.1 = 127.0.0.1:{self.tls_port}\n'
                             f'ssl_options.certfile = {certificate}\n'
                             f'ssl_options.keyfile = {key}\n'
                             f'ssl_options.cacertfile = {self.certificates.ca}\n'
                             'ssl_options.verify = verify_peer\n'  # or else EXTERNAL is refused, on any port
                             'ssl_options.fail_if_no_peer_cert = false\n'
                             'auth_mechanisms.1 = PLAIN\n'
                             'auth_mechanisms.2 = AMQPLAIN\n'
                             'auth_mechanisms.3 = EXTERNAL\n'
                             'ssl_cert_login_from = common_name\n'
                             'log.console = false\n'
                             + self._realm.settings,
        }
        for name, text in files.items():
            with open(os.path.join(self._folder, name), 'w', encoding='utf-8') as file:
                file.write(text)
            process.give_to(OWNER, file.name)
        process.give_to(OWNER, certificate, key, self.certificates.ca)


def connect(port, vhost):
    connection = amqp.Connection(host=f'127.0.0.1:{port}', userid=USER, password=PASSWORD, virtual_host=vhost,
                                 confirm_publish=True)
    connection.connect()
    return connection


@contextlib.contextmanager
def _listen(connection, exchange, key, what, names):
    """Consume from an exchange: yields a function that waits for the next message one of whose `names` is the given one."""
    channel = connection.channel()
    queue_name, _, _ = channel.queue_declare(exclusive=True)
    channel.queue_bind(queue_name, exchange, key)
    seen = []
    channel.basic_consume(queue_name, no_ack=True, callback=seen.append)

    def wait_for(name, seconds=PATIENCE_S):
        until = time.monotonic() + seconds
        while True:
            while seen:
                if name in names(seen.pop(0)):
                    return
            try:
                connection.drain_events(timeout=max(0.001, until - time.monotonic()))
            except OSError:
                raise TookTooLong(f'RabbitMQ: no {what} {name} within {seconds} s') from None

    try:
        yield wait_for
    finally:
        connection.close()


class Vhost:
    """A virtual host of a broker: all that a test sees of the bus."""

    def __init__(self, broker, name):
        self.broker = broker
        self.name = name

    def url(self, user=USER, password=PASSWORD, host='127.0.0.1', port=None, **options):
        """The transport URL; `options` become its query."""
        query = '?' + urllib.parse.urlencode(options) if options else ''
        return f'rabbit://{user}:{password}@{host}:{port or self.broker.port}/{self.name}{query}'

    def tls_url(self, host='localhost', port=None, **options):
        """The same over TLS, verified against the test's own certificate authority."""
        return self.url(host=host, port=port or self.broker.tls_port,
                        **{'ssl': 'true', 'ssl_ca_file': self.broker.certificates.ca,
                           'ssl_enforce_hostname_verification': 'true', **options})

    def external_url(self, certificate=None, key=None):
        """The same on a port that asks for a certificate, for a login with this one (EXTERNAL)."""
        files = {'ssl_cert_file': certificate, 'ssl_key_file': key} if certificate else {}
        return self.tls_url(port=self.broker.add_tls_port(asks_clients=True), rabbit_login_method='EXTERNAL', **files)

    def add_user(self):
        """A user without a password, who may do everything here; returns the name."""
        name = f'{self.name}-user'
        for step in (f'rabbit_auth_backend_internal:add_user(<<"{name}">>, <<"unknown">>, <<"test">>)',
                     f'rabbit_auth_backend_internal:clear_password(<<"{name}">>, <<"test">>)',
                     f'rabbit_auth_backend_internal:set_permissions(<<"{name}">>, <<"{self.name}">>, '
                     '<<".*">>, <<".*">>, <<".*">>, <<"test">>)'):
            answer = self.broker.evaluate(step)
            if answer != 'ok':
                raise RuntimeError(f'RabbitMQ: {step} gave {answer}')
        return name

    @contextlib.contextmanager
    def channel(self):
        connection = connect(self.broker.port, self.name)
        try:
            yield connection.channel()
        finally:
            connection.close()

    def bind_queue(self, queue_name, exchange='nova', keys=('notifications.info', 'notifications.error'), durable=False):
        """Declare a queue and bind it to a notification exchange, with the arguments that oslo.messaging uses."""
        with self.channel() as channel:
            channel.exchange_declare(exchange, 'topic', durable=durable, auto_delete=False)
            channel.queue_declare(queue_name, durable=durable, auto_delete=False)
            for key in keys:
                channel.queue_bind(queue_name, exchange, key)

    def publish(self, *bodies, exchange='nova', key='notifications.info', properties=None, **headers):
        """Publish messages as they are; returns when the broker has confirmed them. `headers` are the messages' own."""
        properties = {'content_type': 'application/json', 'content_encoding': 'utf-8', 'delivery_mode': 2, **(properties or {})}
        with self.channel() as channel:
            for body in bodies:
                channel.basic_publish_confirm(
                    amqp.Message(body, application_headers=headers, **properties), exchange=exchange, routing_key=key)

    def take(self, queue_name, count=None, seconds=PATIENCE_S):
        """Take `count` messages off a queue, as soon as they are there; without a count, those that are there."""
        if count is None:
            count = self.queue(queue_name).ready
        taken = []
        with self.channel() as channel:
            def on_message(message):
                if len(taken) == count:
                    return
                taken.append(Message(bytes(message.body or b''), message.headers, message.properties,
                                     message.delivery_info['routing_key']))
                channel.basic_ack(message.delivery_tag)

            channel.auto_decode = False  # bodies stay bytes
            channel.basic_qos(0, min(count, 500), False)
            channel.basic_consume(queue_name, callback=on_message)
            until = time.monotonic() + seconds
            while len(taken) < count:
                try:
                    channel.connection.drain_events(timeout=max(0.001, until - time.monotonic()))
                except OSError:
                    raise TookTooLong(f'{queue_name}: {len(taken)} of {count} messages within {seconds} s') from None
        return taken

    def queue(self, queue_name):
        """The state of a queue, or None."""
        return self.queues().get(queue_name)

    def queues(self):
        rows = self.broker.evaluate_json(
            '[[element(4, N), R, U, C, D] || [{_, N}, {_, R}, {_, U}, {_, C}, {_, D}] <- '
            f'rabbit_amqqueue:info_all(<<"{self.name}">>, '
            '[name, messages_ready, messages_unacknowledged, consumers, durable])]')
        return {name: QueueState(*state) for name, *state in rows}

    def delete_queue(self, queue_name):
        with self.channel() as channel:
            channel.queue_delete(queue_name)

    def refuse_publishes(self, queue_name, refuse=True):
        """Let a queue refuse (basic.nack) every message; or let it accept them again."""
        if refuse:
            self.broker.evaluate(
                f'rabbit_policy:set(<<"{self.name}">>, <<"refuse">>, <<"^{queue_name}$">>, [{{<<"max-length">>, 0}}, '
                '{<<"overflow">>, <<"reject-publish">>}], 0, <<"queues">>, <<"test">>)')
        else:
            self.broker.evaluate(f'rabbit_policy:delete(<<"{self.name}">>, <<"refuse">>, <<"test">>)')

    def publishes(self):
        """Whatever is published from now on. To be used in a `with`: gives a function that waits until the next message is
        published to the given queue, accepted or not."""
        self.broker.evaluate(f'rabbit_trace:start(<<"{self.name}">>)')
        return _listen(connect(self.broker.port, self.name), 'amq.rabbitmq.trace', 'publish.#', 'message for',
                       lambda message: message.headers['routing_keys'])

    def connections(self):
        """The connections to this virtual host, by what their programs call them."""
        rows = self.broker.evaluate_json(
            '[[V, N] || [{_, V}, {_, P}] <- rabbit_networking:connection_info_all([vhost, client_properties]), '
            '{<<"connection_name">>, _, N} <- P]')
        return [name for vhost, name in rows if vhost == self.name]

    def close_connections(self):
        """Close all connections to this virtual host, as an administrator may."""
        self.broker.evaluate(f'rabbit_connection_tracking:close_connections('
                             f'rabbit_connection_tracking:list(<<"{self.name}">>), "by a test", 0)')

    def delete(self):
        self.broker.evaluate(f'rabbit_vhost:delete(<<"{self.name}">>, <<"test">>)')
