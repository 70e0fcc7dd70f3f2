# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests, made with the openssl command."""

import os
import subprocess


class Certificates:
    """A certificate authority, and certificates that it has signed: `ca`, `server(name)` and `client(name)`."""

    def __init__(self, folder):
        self._folder = folder
        self._made = {}
        self.ca = os.path.join(folder, 'ca.crt')
        self._ca_key = os.path.join(folder, 'ca.key')
        self._openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=Celadon test CA',
                      '-keyout', self._ca_key, '-out', self.ca)

    def server(self, name, days=2):
        """A certificate for the host `name` and no other: returns (certificate file, key file). With days=-1 it has expired."""
        return self._make('server' if days > 0 else 'expired', name, days, f'subjectAltName=DNS:{name}\nextendedKeyUsage=serverAuth\n')

    def client(self, name):
        """A certificate by which a client proves that it is `name`: returns (certificate file, key file)."""
        return self._make('client', name, 2, 'extendedKeyUsage=clientAuth\n')

    def _make(self, kind, name, days, extensions):
        """Each is made once: who uses it already would not like another one in its files."""
        base = os.path.join(self._folder, f'{kind}-{name}')
        if base not in self._made:
            with open(base + '.ext', 'w', encoding='utf-8') as file:
                file.write(extensions)
            self._openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', f'/CN={name}',
                          '-keyout', base + '.key', '-out', base + '.csr')
            self._openssl('x509', '-req', '-days', str(days), '-in', base + '.csr', '-CA', self.ca, '-CAkey', self._ca_key,
                          '-CAcreateserial', '-extfile', base + '.ext', '-out', base + '.crt')
            self._made[base] = base + '.crt', base + '.key'
        return self._made[base]

    @staticmethod
    def _openssl(*arguments):
        subprocess.run(['openssl', *arguments], check=True, capture_output=True)
