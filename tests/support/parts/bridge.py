# SPDX-License-Identifier: Apache-2.0
"""`celadon bridge` as a process."""

import os
import pathlib
import re
import signal
import subprocess

import yaml

from . import process
from .waiting import PATIENCE_S, Feed, TookTooLong

# time, level, id, [task] and text
_LINE = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (ERROR|WARN|INFO|DEBUG) ([A-Z][A-Z0-9-]*) (?:\[[^]]*\] )?(.*)')


def program():
    """The program under test: $CELADON_BUILD says in which build folder it is."""
    build = os.environ.get('CELADON_BUILD') or pathlib.Path(__file__).parents[3] / 'build'
    for place in ('celadon', 'cli/celadon'):
        path = pathlib.Path(build, place)
        if path.is_file():
            return str(path)
    raise FileNotFoundError(f'no program `celadon` in {build}: build it first, or set CELADON_BUILD')


def route(url, name='instances', durable=False, priorities=('info', 'error'), pool='celadon', exchange='nova', **settings):
    """One route of a configuration, with all keys there are; a setting that is None is left out. It retries quickly."""
    source = {'exchange': exchange, 'topics': ['notifications'], 'priorities': list(priorities)}
    if pool:
        source['pool'] = pool
    if durable:
        source['durable'] = True
    result = {
        'name': name,
        'from': {'notifications': source},
        'match': {'event_type': 'compute.instance.*'},
        'to': {'url': url, 'timeout': '30s'},
        'concurrency': 16,
        'max_attempts': 12,
        'backoff': {'base': '20ms', 'cap': '100ms'},
        'breaker': {'open': '50ms', 'cap': '200ms'},
        'max_message': '16MiB',
        'dead_letter': {'queue': f'celadon.dead.{name}'},
        **settings,
    }
    return {key: value for key, value in result.items() if value is not None}


class _PlainDumper(yaml.SafeDumper):
    def ignore_aliases(self, data):
        return True  # what occurs twice is written twice


def bridge_config(transport, *routes, drain='30s', **settings):
    """A configuration as YAML text; `settings` are more of its keys."""
    return yaml.dump({'transport': transport, 'drain': drain, **settings, 'routes': list(routes)}, Dumper=_PlainDumper,
                     sort_keys=False)


def run_program(*arguments):
    """Run the program with these arguments to its end; returns what subprocess.run() does."""
    return subprocess.run([program(), *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=PATIENCE_S, check=False)


def check_config(text):
    """Run `celadon bridge --check` on this text: returns (exit status, what it printed, the file's path)."""
    path = _write_config(text)
    done = run_program('bridge', '--check', path)
    return done.returncode, done.stdout + done.stderr, path


def _write_config(text):
    path = os.path.join(process.make_folder(), 'bridge.yaml')
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    return path


class LogLine:
    """One line of the log; `id` is None if it does not look like one."""

    def __init__(self, raw):
        found = _LINE.fullmatch(raw)
        self.raw = raw
        self.level, self.id, self.text = found.groups() if found else (None, None, raw)

    def __repr__(self):
        return self.raw


class Bridge:
    def __init__(self, config):
        self.config_path = _write_config(config)
        self.log = Feed('bridge log')
        self._process = process.spawn([program(), 'bridge', self.config_path], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors='replace')
        self._reader = process.follow(self._process.stderr, self._take_line)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def ready(self):
        """Wait until all routes consume."""
        self.wait_log('BRIDGE-READY')
        return self

    def wait_log(self, log_id, start=0):
        """The first line with this id from position `start` of the log on, as soon as it is there."""
        return self.log.first(lambda line: line.id == log_id, start, what=log_id)

    def lines(self, log_id, start=0):
        return [line for line in self.log.items(start) if line.id == log_id]

    def terminate(self):
        self._process.send_signal(signal.SIGTERM)

    def wait_exit(self):
        """The exit status (negative: the signal that ended it), as soon as it has ended."""
        if not process.wait_end(self._process, PATIENCE_S):
            raise TookTooLong(f'the bridge has not ended within {PATIENCE_S} s')
        self._reader.join()
        return self._process.wait()

    def drain(self):
        """SIGTERM, and the exit status."""
        self.terminate()
        return self.wait_exit()

    def kill(self):
        """kill -9."""
        self._process.kill()
        self._process.wait()

    def close(self):
        """End it if it still runs."""
        process.end(self._process)
        self._reader.join()

    def _take_line(self, line):
        if line is None:
            self.log.close()
        else:
            self.log.append(LogLine(line))
