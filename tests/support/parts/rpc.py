# SPDX-License-Identifier: Apache-2.0
"""Callers and servers of both kinds: Python's oslo.messaging, and the C program rpc_probe. Both understand the same words,
so that a test need not know which it talks to.

A caller's `call()` returns Outcome(result=…), or Outcome(error=…), an error being "timeout", "unroutable", "refused" (locally)
or the remote class with its message.
"""

import builtins
import itertools
import json
import os
import pathlib
import signal
import subprocess
import threading
from collections import namedtuple

import oslo_messaging
from oslo_config import cfg
from oslo_messaging.rpc import dispatcher

from . import process
from .bridge import program
from .waiting import PATIENCE_S, Feed, TookTooLong

Outcome = namedtuple('Outcome', 'result error', defaults=(None, None))

EXCHANGE = 'x'


def _probe():
    return str(pathlib.Path(program()).parent / 'tests' / 'rpc_probe')


class Serializer(oslo_messaging.NoOpSerializer):
    """As rpc_probe has one."""

    def serialize_entity(self, ctxt, entity):
        return {'wrapped': entity, 'for': ctxt.get('user')}

    def deserialize_entity(self, ctxt, entity):
        return entity['wrapped'] if isinstance(entity, dict) and 'wrapped' in entity else entity

    def serialize_context(self, ctxt):
        return {**ctxt, 'serialized': True}

    def deserialize_context(self, ctxt):
        return {**ctxt, 'deserialized': True}


class CServer:
    def __init__(self, bus, topic, server, special=False, serves=True, exchange=EXCHANGE, **options):
        """Returns when it serves; without `serves`, at once."""
        self.notes = Feed('notes of a C server')
        self.log = Feed('log of a C server')
        self._process = process.spawn([_probe(), 'server', bus.url(**options), exchange, topic, server] + ['special'] * special,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                      errors='replace')
        self._readers = [process.follow(self._process.stdout, self._take),
                         process.follow(self._process.stderr, lambda line: line is not None and self.log.append(line))]
        if serves:
            self.notes.first(lambda line: line == 'ready', what='ready')

    def kill(self):
        self._process.kill()
        self._process.wait()

    def suspend(self):
        self._process.send_signal(signal.SIGSTOP)

    def resume(self):
        self._process.send_signal(signal.SIGCONT)

    def close(self):
        process.end(self._process)
        for reader in self._readers:
            reader.join()

    def drain(self):
        """SIGTERM, and the exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self):
        """Its exit status, when it ends by itself."""
        if not process.wait_end(self._process, PATIENCE_S):
            raise TookTooLong(f'a C server has not ended within {PATIENCE_S} s')
        return self._process.wait()

    def _take(self, line):
        if line is None:
            self.notes.close()
        else:
            self.notes.append(line.removeprefix('note '))


class _Endpoint:
    def __init__(self, name, notes, **target):
        self.target = oslo_messaging.Target(**target)
        self._name = name
        self._notes = notes

    def echo(self, ctxt, msg=None):
        return msg

    def wait(self, ctxt, seconds):
        threading.Event().wait(seconds)
        return seconds

    def fail(self, ctxt, cls, module, message, kwargs=None):
        if module == 'builtins':
            raise getattr(builtins, cls)(message)
        raise type(cls, (Exception,), {'__module__': module, 'kwargs': kwargs or {}})(message)

    def version(self, ctxt):
        return None  # oslo.messaging does not tell

    def context(self, ctxt):
        return {key: value for key, value in ctxt.items() if key != 'client_timeout'}  # which it adds itself

    def who(self, ctxt):
        return self._name

    def note(self, ctxt, text):
        self._notes.append(text)


class _DynamicEndpoint:
    target = oslo_messaging.Target(namespace='dyn')

    def __getattr__(self, name):
        if not name.startswith(('dyn_', '_dyn')):
            raise AttributeError(name)
        return lambda ctxt, **args: {'method': name, 'args': args}


class _SpecialEndpoint(_Endpoint):
    @oslo_messaging.expose
    def echo(self, ctxt, msg=None):
        return msg

    @oslo_messaging.expose
    def context(self, ctxt):
        return super().context(ctxt)

    @oslo_messaging.expose
    def _hidden(self, ctxt, msg=None):
        return msg


class PythonServer:
    def __init__(self, bus, topic, server, special=False, exchange=EXCHANGE, **options):
        self.notes = Feed('notes of a Python server')
        self._transport = oslo_messaging.get_rpc_transport(cfg.CONF, url=bus.url(**options))
        endpoints = [_Endpoint(server, self.notes, version='1.3'),
                     _Endpoint(server, self.notes, namespace='ns', version='2.0', legacy_namespaces=['old']),
                     _DynamicEndpoint()]
        how = {'access_policy': dispatcher.DefaultRPCAccessPolicy}
        if special:
            endpoints = [_SpecialEndpoint(server, self.notes)]
            how = {'access_policy': dispatcher.ExplicitRPCAccessPolicy, 'serializer': Serializer()}
        cfg.CONF.register_opts(dispatcher._dispatcher_opts)
        cfg.CONF.set_override('rpc_ping_enabled', True)
        self._server = oslo_messaging.get_rpc_server(
            self._transport, oslo_messaging.Target(exchange=exchange, topic=topic, server=server), endpoints,
            executor='threading', **how)
        self._server.start()

    def close(self):
        self._server.stop()
        self._server.wait()
        self._transport.cleanup()


class CCaller:
    """One process for all calls, which it makes at the same time."""

    def __init__(self, bus, topic, **options):
        self.answers = Feed('answers of a C client')
        self.log = Feed('log of a C client')
        self._ids = itertools.count(1)
        self._process = process.spawn([_probe(), 'client', bus.url(**options), EXCHANGE, topic], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors='replace')
        self._readers = [process.follow(self._process.stdout, self._take),
                         process.follow(self._process.stderr, lambda line: line is not None and self.log.append(line))]

    @property
    def pid(self):
        return self._process.pid

    def begin(self, method, args=None, do='call', **options):
        """Begin a call; returns what finish() takes."""
        order = {'id': next(self._ids), 'do': do, 'method': method, 'args': args or {}, **options}
        self._process.stdin.write(json.dumps(order) + '\n')
        self._process.stdin.flush()
        return order['id']

    def finish(self, order):
        answer = self.answers.first(lambda a: a['id'] == order, what=f'the answer to {order}')
        error = answer.get('error')
        if not error:
            return Outcome(result=answer['result'])
        local = {'CEL_ETIMEDOUT': 'timeout', 'CEL_EUNROUTABLE': 'unroutable', 'CEL_EVERSION': 'refused',
                 'CEL_EINVAL': 'refused'}
        if error['code'] in local:
            return Outcome(error=local[error['code']])
        return Outcome(error=(error['class'], error['message']) if 'class' in error else error['code'])

    def raw(self, order):
        return self.answers.first(lambda a: a['id'] == order, what=f'the answer to {order}')

    def call(self, method, args=None, **options):
        return self.finish(self.begin(method, args, **options))

    def cast(self, method, args=None, **options):
        return self.finish(self.begin(method, args, do='cast', **options))

    def kill(self):
        self._process.kill()
        self._process.wait()

    def close(self):
        if self._process.returncode is None:
            self._process.stdin.close()
            process.wait_end(self._process, PATIENCE_S)
        process.end(self._process)
        for reader in self._readers:
            reader.join()

    def _take(self, line):
        if line is None:
            self.answers.close()
        else:
            self.answers.append(json.loads(line))


class PythonCaller:
    def __init__(self, bus, topic, allowed=None, **options):
        target = oslo_messaging.Target(exchange=EXCHANGE, topic=topic)
        self._transport = oslo_messaging.get_rpc_transport(cfg.CONF, url=bus.url(**options), allowed_remote_exmods=allowed)
        self._client = oslo_messaging.get_rpc_client(self._transport, target)
        self._serializing = oslo_messaging.get_rpc_client(self._transport, target, serializer=Serializer())

    def _prepare(self, server=None, exchange=None, topic=None, namespace=None, version=None, cap=None, timeout_ms=None,
                 monitor_s=None, mandatory=None, fanout=None, serializer=False):
        given = {'server': server, 'exchange': exchange, 'topic': topic, 'namespace': namespace, 'version': version,
                 'version_cap': cap, 'timeout': timeout_ms / 1000 if timeout_ms else None, 'call_monitor_timeout': monitor_s,
                 'fanout': fanout, 'transport_options': oslo_messaging.TransportOptions(at_least_once=True) if mandatory else None}
        client = self._serializing if serializer else self._client
        return client.prepare(**{key: value for key, value in given.items() if value is not None})

    def _outcome(self, action):
        try:
            return Outcome(result=action())
        except oslo_messaging.MessagingTimeout:
            return Outcome(error='timeout')
        except oslo_messaging.MessageUndeliverable:
            return Outcome(error='unroutable')
        except (oslo_messaging.RPCVersionCapError, oslo_messaging.InvalidTarget):
            return Outcome(error='refused')
        except oslo_messaging.RemoteError as error:
            return Outcome(error=(error.exc_type, error.value))
        except Exception as error:  # one of Python's own, made again here
            return Outcome(error=(type(error).__name__, str(error.args[0]).split('\n')[0]))

    def call(self, method, args=None, context=None, **options):
        return self._outcome(lambda: self._prepare(**options).call(context or {}, method, **(args or {})))

    def makes_again(self, method, args):
        """Does a remote error come as what it was, and not as a RemoteError?"""
        try:
            self._client.call({}, method, **args)
        except oslo_messaging.RemoteError:
            return False
        except Exception:
            return True
        raise AssertionError('no error came')

    def cast(self, method, args=None, context=None, **options):
        return self._outcome(lambda: self._prepare(**options).cast(context or {}, method, **(args or {})))

    def close(self):
        self._transport.cleanup()
