# SPDX-License-Identifier: Apache-2.0
"""An API server: nginx in front of uWSGI in front of a small application.

Design notes. The application asks this process about each request, over a Unix socket. So a request is known here the moment
it arrives, a test decides about each answer in plain Python, and it can let requests wait as long as it likes.
"""

import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import threading
import time

from . import process
from .certs import Certificates
from .waiting import Feed

APPLICATION = os.path.join(os.path.dirname(__file__), 'api_app.py')
THREADS = 64  # requests at once

TLS = """\
listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};"""

NGINX = """\
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 512; }}
http {{
    access_log off;
    keepalive_requests 100;  # connections end now and then, as they do in real life
    client_max_body_size 64m;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        {tls}
        location / {{
            include /etc/nginx/uwsgi_params;
            uwsgi_pass unix:{folder}/uwsgi.sock;
            uwsgi_ignore_client_abort on;  # a request that arrived is handled, even if its sender is gone
            uwsgi_read_timeout 600s;
        }}
    }}
}}
"""


class Request:
    def __init__(self, head, body):
        self.method = head['method']
        self.path = head['path']
        self.headers = head['headers']  # names in lower case
        self.body = body
        self.arrived = time.monotonic()
        self.status = None  # what it was answered

    @property
    def key(self):
        return self.headers.get('idempotency-key')


class Gate:
    """Requests wait here until they are let through."""

    def __init__(self):
        self._answers = queue.Queue()

    def __call__(self, request):
        return self._answers.get()

    def answer(self, *statuses):
        """Answer as many waiting requests, one with each status."""
        for status in statuses:
            self._answers.put(status)


class Listener:
    """Accepts connections in a thread and passes them on."""

    def __init__(self, family, address, on_connection):
        self._socket = socket.socket(family)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(address)
        self._socket.listen(THREADS)
        self._on_connection = on_connection
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)  # wakes up accept()
        self._thread.join()
        self._socket.close()

    def _run(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return  # closed
            self._on_connection(connection)


class Api:
    """`respond(request)` gives the status of each answer, or the status and a dictionary of headers, and may wait; 200 unless
    a test says otherwise."""

    def __init__(self):
        self._folder = process.make_folder()
        self._nginx = self._uwsgi = None
        self._applications_started = Feed('uWSGI')
        self._counting = threading.Lock()
        self._in_flight = 0
        self.in_flight_max = 0
        self.requests = Feed('API requests')  # as they come
        self.answered = Feed('API answers')  # the same, when their status is known
        self.log = Feed('API log')
        self.port = process.free_port()
        self.url = f'http://127.0.0.1:{self.port}'
        self.respond = lambda request: 200
        self._recorder_path = os.path.join(self._folder, 'recorder.sock')
        self._recorder = Listener(socket.AF_UNIX, self._recorder_path, self._on_connection)
        self.certificates = self.https_url = None  # until certify()
        self._write_config()

    def __enter__(self):
        return self.start()

    def __exit__(self, *unused):
        self.close()

    def start(self):
        """Start it, for the first time or again on the same port, and wait until it serves."""
        known = len(self._applications_started)
        begun = len(self.log)
        socket_path = os.path.join(self._folder, 'uwsgi.sock')
        if os.path.exists(socket_path):
            os.unlink(socket_path)
        self._uwsgi = self._spawn(['uwsgi', '--plugin', 'python3', '--wsgi-file', APPLICATION, '--socket', socket_path,
                                   '--chmod-socket=600', '--processes', '1', '--threads', str(THREADS), '--need-app',
                                   '--disable-logging'], CELADON_RECORDER=self._recorder_path)
        self._applications_started.wait_for(known + 1)
        self._nginx = self._spawn(['nginx', '-p', self._folder, '-c', os.path.join(self._folder, 'nginx.conf')])
        self.log.first(lambda line: 'start worker process ' in line, begun, what='nginx to start')
        return self

    def certify(self, name='localhost'):
        """From its next start on it speaks TLS too, at `https_url`, with a certificate for this host name."""
        if not self.certificates:
            self.certificates = Certificates(self._folder)
            self._tls_port = process.free_port()
            self.https_url = f'https://localhost:{self._tls_port}'
        certificate, key = self.certificates.server(name)
        self._write_config(TLS.format(port=self._tls_port, certificate=certificate, key=key))
        return self

    def stop(self):
        """Stop it at once: connections break, requests that wait stay without an answer."""
        if self._nginx:
            process.end(self._nginx, signal.SIGTERM)  # to nginx this means at once; it waits for its worker to be gone
        if self._uwsgi:
            process.end(self._uwsgi)
        self._nginx = self._uwsgi = None

    def close(self):
        self.stop()
        self._recorder.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def hold(self):
        """From now on requests wait until the returned gate answers them."""
        self.respond = Gate()
        return self.respond

    def _write_config(self, tls=''):
        with open(os.path.join(self._folder, 'nginx.conf'), 'w', encoding='utf-8') as file:
            file.write(NGINX.format(folder=self._folder, port=self.port, tls=tls,
                                    user='user root;' if os.geteuid() == 0 else ''))

    def _spawn(self, argv, **environment):
        started = process.spawn(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True, errors='replace',
                                env={'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', **environment})
        process.follow(started.stderr, lambda line: self.log.append(line or ''))
        return started

    def _on_connection(self, connection):
        threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        """One thread of the application: requests come in, answers go out."""
        with connection, connection.makefile('rwb') as stream:
            try:
                self._converse(stream)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the application was stopped

    def _converse(self, stream):
        for line in stream:
            head = json.loads(line)
            if 'started' in head:
                self._applications_started.append(head)
                continue
            request = Request(head, stream.read(head['bytes']))
            self._count(+1)
            self.requests.append(request)
            answer = self.respond(request)
            request.status, more = answer if isinstance(answer, tuple) else (answer, {})
            self._count(-1)
            self.answered.append(request)
            stream.write(json.dumps([request.status, more]).encode() + b'\n')
            stream.flush()

    def _count(self, difference):
        with self._counting:
            self._in_flight += difference
            self.in_flight_max = max(self.in_flight_max, self._in_flight)


class SlammedDoor:
    """Stands in for a stopped server on its port: it accepts connections and closes them at once, and counts them."""

    def __init__(self, port):
        self.connections = Feed('slammed door')
        self._door = Listener(socket.AF_INET, ('127.0.0.1', port), self._on_connection)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._door.close()

    def _on_connection(self, connection):
        connection.close()
        self.connections.append(connection)
