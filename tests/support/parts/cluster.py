# SPDX-License-Identifier: Apache-2.0
"""A RabbitMQ cluster of three nodes on this machine, and a virtual host of it."""

import itertools
import re
import subprocess

from .rabbitmq import PASSWORD, USER, RabbitMQ, Realm, Vhost
from .waiting import PATIENCE_S

NODES = 3


class Cluster:
    """`nodes` are RabbitMQs. Each can be killed, started, suspended; mend() brings all of them back."""

    def __init__(self):
        names = [RabbitMQ.new_name() for _ in range(NODES)]
        settings = ''.join(f'cluster_formation.classic_config.nodes.{number} = {name}\n'
                           for number, name in enumerate(names, 1))
        self._realm = Realm('cluster_formation.peer_discovery_backend = classic_config\n' + settings)
        self.nodes = [RabbitMQ(name, self._realm) for name in names]
        self._vhosts = itertools.count(1)

    def __enter__(self):
        self.start(self.nodes)
        return self

    def __exit__(self, *unused):
        for node in self.nodes:
            node.close()

    def start(self, nodes):
        """At the same time: after a kill of all, each waits for the others."""
        for node in nodes:
            node.begin_start()
        for node in nodes:
            node.wait_started()

    def mend(self):
        self.start([node for node in self.nodes if not node.is_running()])

    def first_running(self):
        return next(node for node in self.nodes if node.is_running())

    def on_port(self, port):
        return next(node for node in self.nodes if node.port == port)

    def ctl(self, *arguments):
        """The real rabbitmqctl."""
        node = self.first_running()
        done = subprocess.run(['/usr/lib/rabbitmq/bin/rabbitmqctl', '-n', node.name, *arguments], env=node.environment(),
                              capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 0, done.stdout + done.stderr

    def vhost(self):
        number = next(self._vhosts)
        node = self.first_running()
        name = f'cluster-{number}'
        node.evaluate(f'rabbit_vhost:add(<<"{name}">>, <<"test">>)')
        node.evaluate(f'rabbit_auth_backend_internal:set_permissions(<<"{USER}">>, <<"{name}">>, '
                      '<<".*">>, <<".*">>, <<".*">>, <<"test">>)')
        return ClusterVhost(self, name)


class ClusterVhost(Vhost):
    def __init__(self, cluster, name):
        self.name = name
        self._cluster = cluster

    @property
    def broker(self):
        return self._cluster.first_running()

    def url(self, **options):
        """With all nodes in it, and quorum queues."""
        one = super().url(**{'rabbit_quorum_queue': 'true', **options})
        host = re.search('@([^/]*)/', one)[1]
        hosts = f',{USER}:{PASSWORD}@'.join(f'127.0.0.1:{node.port}' for node in self._cluster.nodes)
        return one.replace(host, hosts)

    def count(self, queue_name):
        """How many messages wait in a queue; what queue() says of quorum queues is some seconds old."""
        with self.channel() as channel:
            return channel.queue_declare(queue_name, passive=True).message_count

    def leader(self, queue_name):
        """The node that leads a quorum queue."""
        name = self.broker.evaluate(
            f'begin {{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{self.name}">>, queue, <<"{queue_name}">>)), '
            'element(2, amqqueue:get_pid(Q)) end').strip("'")
        return next(node for node in self._cluster.nodes if node.name == name)
