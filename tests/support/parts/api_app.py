# SPDX-License-Identifier: Apache-2.0
"""The application that uWSGI runs: it hands each request to whoever started it (api.py), and answers as that says.

On the socket, per request: a line of JSON, then the body; back comes a line with the status and more headers. Each thread has a connection
of its own.
"""

import json
import os
import socket
import threading

_local = threading.local()


def _recorder():
    if not hasattr(_local, 'stream'):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(os.environ['CELADON_RECORDER'])
        _local.stream = connection.makefile('rwb')
    return _local.stream


def application(environ, start_response):
    body = environ['wsgi.input'].read(int(environ.get('CONTENT_LENGTH') or 0))
    headers = {name[5:].replace('_', '-').lower(): value for name, value in environ.items() if name.startswith('HTTP_')}
    headers['content-type'] = environ.get('CONTENT_TYPE', '')
    request = {'method': environ['REQUEST_METHOD'], 'path': environ['REQUEST_URI'], 'headers': headers, 'bytes': len(body)}

    stream = _recorder()
    stream.write(json.dumps(request).encode() + b'\n' + body)
    stream.flush()
    status, more = json.loads(stream.readline())

    answer = b'' if status in (204, 205) else b'{"status": %d}\n' % status
    start_response(f'{status} As Told', [('Content-Type', 'application/json'), ('Content-Length', str(len(answer))),
                                         ('Location', '/elsewhere'), *more.items()])
    return [answer]


_recorder().write(b'{"started": true}\n')
_recorder().flush()
