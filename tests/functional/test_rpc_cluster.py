# SPDX-License-Identifier: Apache-2.0
"""A cluster of three nodes, under a load of calls, confirmed casts and notifications: nodes are killed and suspended,
connections closed. No call hangs past its timeout, what was confirmed is there, and all is well again soon."""

import json
import re
import threading
import time

import pytest

from parts import PATIENCE_S, CCaller, CServer
from parts.cluster import Cluster

TIMEOUT_MS = 4000
LATE_MS = 1000  # how much later than its timeout a call may end, while other programs use both processors
RECOVERY_S = 3
PERIOD_S = 0.02
SETTLED = 25  # of each kind have gone well: queues are not new any more


@pytest.fixture(scope='module')
def cluster():
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster_bus(cluster):
    cluster.mend()  # after a test that failed
    bus = cluster.vhost()
    yield bus
    cluster.mend()
    bus.delete()


def port_of(purpose, line):
    """If this line of a log is about a connection for that purpose that is up, where it goes to."""
    match = re.search(f':{purpose}: connected to .* port (\\d+)', line)
    return match and int(match[1])


class Load:
    """A caller in C that does one thing after the other, without waiting for the answers."""

    KINDS = {'call': ('echo', {'msg': 0}), 'cast': ('note', {}), 'unsafe': ('note', {}), 'notify': ('some.event', {})}

    def __init__(self, bus, topic, **options):
        self._bus = bus
        self._server = CServer(bus, topic, 's1', **options)
        self._caller = CCaller(bus, topic, **options)
        self._begun = {}  # order: (kind, number, when)
        self._ended = {}
        self._changed = threading.Condition()
        self._done = threading.Event()
        self._collector = threading.Thread(target=self._collect, daemon=True)
        self._feeder = threading.Thread(target=self._feed, daemon=True)

    def __enter__(self):
        assert self._caller.call('echo', {'msg': 1}).result == 1
        self._collector.start()
        self._feeder.start()
        with self._changed:  # RabbitMQ 3.10's quorum queues never get a leader again if they lose it when they are quite new
            assert self._changed.wait_for(lambda: min(self._done_of(kind) for kind in self.KINDS) >= SETTLED, PATIENCE_S)
        return self

    def __exit__(self, *failure):
        self._done.set()
        self._feeder.join()
        try:
            if not failure[0]:
                self._judge()
        finally:
            self._caller.close()
            self._server.close()
            for what in self._caller, self._server:
                print('\n'.join(what.log.items()[-60:]))

    def await_call(self, since, seconds, error=None):
        """Wait for the end of a call that was begun after `since`, without an error or with this one; returns when it
        ended, in seconds after that."""
        def found():
            return [ended for order, (ended, answer) in self._ended.items()
                    if self._begun[order][0] == 'call' and self._begun[order][2] > since
                    and answer.get('error', {}).get('code') == error]

        with self._changed:
            assert self._changed.wait_for(found, seconds), f'no call with {error} within {seconds} s'
            return min(found()) - since

    def _done_of(self, kind):
        return sum(self._begun[order][0] == kind and 'error' not in answer for order, (_, answer) in self._ended.items())

    def port(self, purpose):
        """The port that the caller's connection for this purpose goes to."""
        return [*filter(None, (port_of(purpose, line) for line in self._caller.log.items()))][-1]

    def await_port(self, purpose, is_wanted):
        def found(line):
            port = port_of(purpose, line)
            return port and is_wanted(port)

        self._caller.log.first(found, what='another node')

    def _feed(self):
        number = 0
        while not self._done.wait(PERIOD_S):
            number += 1
            kind = list(self.KINDS)[number % len(self.KINDS)]
            method, args = self.KINDS[kind]
            text = f'{kind} {number}'
            options = {'call': {'timeout_ms': TIMEOUT_MS}, 'unsafe': {'retry': -2}}.get(kind, {})
            with self._changed:  # before its answer
                order = self._caller.begin(method, {**args, 'text': text}, do=kind.replace('unsafe', 'cast'), **options)
                self._begun[order] = kind, text, time.monotonic()

    def _collect(self):
        position = 1  # the first answer was to __enter__()
        while True:
            try:
                answer = self._caller.answers.get(position, 3600)
            except AssertionError:
                return
            position += 1
            with self._changed:
                self._ended[answer['id']] = time.monotonic(), answer
                self._changed.notify_all()

    def _judge(self):
        """Every order has ended as it may."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._ended) == len(self._begun), 30)
            endless = [self._begun[order][:2] for order in self._begun.keys() - self._ended.keys()]
            assert not endless, f'of {len(self._begun)}'
        outcomes = {kind: {} for kind in self.KINDS}
        for order, (kind, text, _) in self._begun.items():
            answer = self._ended[order][1]
            outcomes[kind][text] = answer.get('error', {}).get('code')
            assert kind != 'call' or answer['ms'] < TIMEOUT_MS + LATE_MS, answer
        self.counts = {kind: {error: list(of.values()).count(error) for error in set(of.values())}
                       for kind, of in outcomes.items()}
        print(self.counts)
        assert set(outcomes['call'].values()) <= {None, 'CEL_ETIMEDOUT'}
        assert set(outcomes['cast'].values()) == set(outcomes['notify'].values()) == {None}
        assert set(outcomes['unsafe'].values()) <= {None, 'CEL_EUNKNOWN', 'CEL_ECONNECT'}
        confirmed = [text for kind in ('cast', 'unsafe') for text, error in outcomes[kind].items() if error is None]
        self._server.notes.wait_for_each(confirmed, lambda note: note)
        there = {json.loads(json.loads(message.body)['oslo.message'])['payload']['text']
                 for message in self._bus.take('notifications.info', self._bus.count('notifications.info'))}
        assert there >= outcomes['notify'].keys()
        unsent = {text for text, error in outcomes['unsafe'].items() if error == 'CEL_ECONNECT'}
        assert not unsent & set(self._server.notes.items())


def kill_one(cluster, load, node, note):
    for each in cluster.nodes:
        each.sync()
    node.kill()
    killed = time.monotonic()
    lost_s = load.await_call(killed, PATIENCE_S)  # for how long the quorum has no leader is the cluster's matter
    node.start()
    note(f'calls work {lost_s:.2f} s after the kill, {load.await_call(node.started_at, RECOVERY_S):.2f} s after the return')


def test_the_node_in_use_is_killed(cluster, cluster_bus, note):
    with Load(cluster_bus, 't') as load:
        kill_one(cluster, load, cluster.on_port(load.port('publish')), note)
    note(load.counts)


def test_the_leader_of_the_quorum_is_killed(cluster, cluster_bus, note):
    with Load(cluster_bus, 't') as load:
        kill_one(cluster, load, cluster_bus.leader('t'), note)
    note(load.counts)


def test_all_nodes_are_killed_and_come_back(cluster, cluster_bus, note):
    with Load(cluster_bus, 't') as load:
        for node in cluster.nodes:
            node.sync()
        for node in cluster.nodes:
            node.kill()
        load.await_call(time.monotonic(), TIMEOUT_MS / 1000 + RECOVERY_S, 'CEL_ETIMEDOUT')
        cluster.mend()
        _, back, _ = sorted(node.started_at for node in cluster.nodes)  # a majority is
        note(f'calls work {load.await_call(back, RECOVERY_S):.2f} s after the return')
    note(load.counts)


def test_all_connections_are_closed_by_rabbitmqctl(cluster, cluster_bus, note):
    with Load(cluster_bus, 't') as load:
        for _ in range(2):
            cluster.ctl('close_all_connections', '--global', 'by a test')
            note(f'calls work {load.await_call(time.monotonic(), RECOVERY_S):.2f} s later')
    note(load.counts)


def test_a_suspended_node_is_left_when_its_heartbeats_stay_away(cluster, cluster_bus, note):
    with Load(cluster_bus, 't', heartbeat_timeout_threshold=2) as load:
        port = load.port('publish')
        suspended = time.monotonic()
        cluster.on_port(port).suspend()
        try:
            load.await_port('publish', lambda now: now != port)
            note(f'another node is in use {time.monotonic() - suspended:.2f} s after one is suspended')
        finally:
            cluster.on_port(port).resume()
        note(f'calls work {load.await_call(time.monotonic(), RECOVERY_S):.2f} s after it goes on')
    note(load.counts)


def test_the_node_in_use_is_suspended_and_resumed(cluster, cluster_bus, note):
    with Load(cluster_bus, 't') as load:
        node = cluster.on_port(load.port('publish'))
        node.suspend()
        try:
            load.await_call(time.monotonic(), TIMEOUT_MS / 1000 + RECOVERY_S, 'CEL_ETIMEDOUT')
        finally:
            node.resume()
        note(f'calls work {load.await_call(time.monotonic(), RECOVERY_S):.2f} s after it goes on')
    note(load.counts)
