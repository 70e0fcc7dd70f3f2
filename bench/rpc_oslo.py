#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""RPC by Debian's oslo.messaging, both sides; bench/rpc runs it.

    rpc_oslo.py server EXECUTOR URL TOPIC
    rpc_oslo.py client EXECUTOR URL TOPIC IN_FLIGHT SECONDS BYTES    says what rpc_load.h says
"""
import sys

if sys.argv[2] == 'eventlet':
    import eventlet
    eventlet.monkey_patch()

import os
import threading
import time

import oslo_messaging
from oslo_config import cfg

WARM_UP_PART = 5
CONNECTIONS = 64  # more than its own default: it publishes on as many at once


class Endpoint:
    def echo(self, ctxt, msg):
        return msg


def transport(url):
    conf = cfg.CONF  # its metrics look there only
    conf([])
    made = oslo_messaging.get_rpc_transport(conf, url=url)
    conf.set_override('rpc_conn_pool_size', CONNECTIONS, group='oslo_messaging_rabbit')
    return made


def serve(executor, url, topic):
    server = oslo_messaging.get_rpc_server(transport(url), oslo_messaging.Target(topic=topic, server='bench'), [Endpoint()],
                                           executor=executor)
    server.start()
    print('ready', flush=True)
    while True:
        time.sleep(3600)


def call(url, topic, in_flight, seconds, size):
    client = oslo_messaging.get_rpc_client(transport(url), oslo_messaging.Target(topic=topic))
    text = 'x' * size
    client.call({}, 'echo', msg=text)
    begun_at = []  # one time, once it is said: this thread may get its turn late
    samples = []
    done, looked = threading.Semaphore(0), threading.Event()

    def call_on():
        while True:
            begun = time.monotonic()
            if client.call({}, 'echo', msg=text) != text:
                raise RuntimeError('the echo is not what was sent')
            now = time.monotonic()
            if not begun_at:
                continue
            if now >= begun_at[0] + seconds:
                done.release()
                looked.wait()  # what a thread has used is forgotten when it ends
                return
            samples.append(now - begun)

    threads = [threading.Thread(target=call_on) for _ in range(in_flight)]
    for thread in threads:
        thread.start()
    time.sleep(seconds / WARM_UP_PART)
    print('begin', flush=True)
    begun_at.append(time.monotonic())
    for _ in threads:
        done.acquire()
    print('end', flush=True)
    samples.sort()
    n = len(samples)
    print(f'{n} {seconds} {samples[n // 2] * 1e6:.0f} {samples[n * 99 // 100] * 1e6:.0f}', flush=True)
    sys.stdin.read()
    os._exit(0)  # its own way to end may hang


if sys.argv[1] == 'server':
    serve(*sys.argv[2:])
else:
    _, _, _, url, topic, in_flight, seconds, size = sys.argv
    call(url, topic, int(in_flight), float(seconds), int(size))
