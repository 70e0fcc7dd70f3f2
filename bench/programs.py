# SPDX-License-Identifier: Apache-2.0
"""Programs that are measured: what they print is heard, what they log is shown when they fail."""
import subprocess
from pathlib import Path

from parts import Feed, TookTooLong, process

HEAR_S = 60


class Program:
    def __init__(self, name, command):
        self.name = name
        self._log = Path(process.make_folder(), 'log')
        with self._log.open('w') as stderr:
            self._process = process.spawn(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True)
        self.pid = self._process.pid
        self._said = Feed(name)
        process.follow(self._process.stdout, lambda line: self._said.close() if line is None else self._said.append(line))

    def hear(self, number, what, seconds=HEAR_S):
        """Line `number` of what it prints."""
        try:
            return self._said.get(number, seconds, what)
        except TookTooLong as error:
            raise RuntimeError(f'{error}\n{self._log.read_text()}') from error

    def answer(self):
        """Send it an empty line."""
        self._process.stdin.write('\n')
        self._process.stdin.flush()

    def finish(self, seconds=HEAR_S):
        """Wait until it has ended by itself, as it should."""
        if not process.wait_end(self._process, seconds) or self._process.wait() != 0:
            raise RuntimeError(f'{self.name} ends with status {self._process.returncode}\n{self._log.read_text()}')

    def cpu_us(self):
        """What all its threads have spent on a core."""
        tasks = Path(f'/proc/{self.pid}/task').iterdir()
        return sum(int((task / 'schedstat').read_text().split()[0]) for task in tasks) / 1000

    def end(self):
        process.end(self._process)
