# SPDX-License-Identifier: Apache-2.0
"""The real parts that a test, or the demo, puts around the bridge.

    RabbitMQ    Debian's broker, under its own node name, ports and folders; `broker.vhost()` is a fresh, empty bus
    Publisher   oslo.messaging's own notifier
    Api         nginx in front of uWSGI in front of a small application; keeps what it gets, answers as it is told
    Bridge      `celadon bridge`, its configuration, its log and its exit status
    Cluster     three nodes of it, in a module of its own
    AmqpProxy   stands before a broker and cuts connections at chosen frames, in a module of its own (proxy)
    CServer, PythonServer, CCaller, PythonCaller    RPC, of both kinds
    CListener, PythonListener, c_notify, python_notify    notifications, of both kinds

Everything listens on 127.0.0.1, and ends when it is closed or when the program that started it ends, however that happens.
Nothing sleeps: whoever has to wait waits for the event, with a deadline.
"""

from . import process
from .api import Api, Gate, SlammedDoor
from .bridge import Bridge, bridge_config, check_config, program, route, run_program
from .certs import Certificates
from .events import random_event
from .notify import PRIORITIES, CListener, PythonListener, c_notify, python_notify
from .publisher import Publisher
from .rabbitmq import USER, RabbitMQ
from .rpc import CCaller, CServer, Outcome, PythonCaller, PythonServer
from .waiting import PATIENCE_S, Feed, TookTooLong

__all__ = ['Api', 'Bridge', 'CCaller', 'CListener', 'CServer', 'Certificates', 'Feed', 'Gate', 'Outcome',
           'PATIENCE_S', 'PRIORITIES', 'Publisher', 'PythonCaller', 'PythonListener', 'PythonServer', 'RabbitMQ',
           'SlammedDoor', 'TookTooLong', 'USER', 'bridge_config', 'c_notify', 'check_config', 'process', 'program',
           'python_notify', 'random_event', 'route', 'run_program']
