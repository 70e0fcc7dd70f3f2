# SPDX-License-Identifier: Apache-2.0
"""The parts that tests put around the bridge keep their own promises. The broker here is a small script."""
import pathlib

import pytest

from parts import RabbitMQ, TookTooLong, process, rabbitmq

STARTS = 'echo "  completed with 3 plugins."\n'
# What erl does with an expression; `slow` gets its answer together with the next one.
SHELL = r'''while read -r line; do
    answer=$(echo "$line" | sed 's/.*~n=== \(.*\)~0tp~n.*\[catch \(.*\)\]).*/=== \1\2/')
    case $line in *slow*) kept=$answer; continue ;; esac
    [ -z "$kept" ] || echo "$kept"
    kept=
    echo "$answer"
done
'''
# A helper outlives the broker, and when it sees that the broker is gone, it still has much to say.
HELPER = 'mkfifo "$HOME/gone"; setsid sh -c \'cat <"$HOME/gone"; seq -f "(node@localhost)%.0f>" 20000\' & exec 3>"$HOME/gone"\n'


@pytest.fixture
def broker(monkeypatch):
    """A function that gives a broker whose program is this script."""
    brokers = []

    def make(script):
        program = pathlib.Path(process.make_folder(), 'broker')
        program.write_text(f'#!/bin/sh\n{script}')
        program.chmod(0o755)
        monkeypatch.setattr(rabbitmq, 'SERVER', str(program))
        brokers.append(RabbitMQ())
        return brokers[-1]

    yield make
    for one in brokers:
        one.close()


def test_a_broker_that_was_killed_can_be_started_while_its_helpers_still_write(broker):
    one = broker('rm -f "$HOME/gone"\n' + HELPER + STARTS + SHELL).start()
    for _ in range(3):
        one.kill()
        assert one.start().evaluate('node') == 'node'


def test_a_broker_that_does_not_start_is_ended_and_its_output_is_told(broker):
    one = broker('echo "no memory"; exec >&- 2>&-; read -r line\n')
    with pytest.raises(RuntimeError, match='does not start:\nno memory'):
        one.start()
    assert not one.is_running()


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one(broker, monkeypatch):
    one = broker(STARTS + SHELL).start()
    with monkeypatch.context() as patch:
        patch.setattr(rabbitmq, 'PATIENCE_S', 0.1)
        with pytest.raises(TookTooLong):
            one.evaluate('slow')
    assert one.evaluate('quick') == 'quick'
