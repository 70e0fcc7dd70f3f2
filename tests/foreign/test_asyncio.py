# SPDX-License-Identifier: Apache-2.0
"""Python's asyncio drives a runtime: coroutines and tasks run on one thread and answer each other."""
import asyncio
import ctypes
import itertools
import os
from pathlib import Path

BUILD = Path(os.environ.get('CELADON_BUILD', Path(__file__).resolve().parents[2] / 'build'))
ANSWER = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_int, ctypes.c_int)
SECONDS_MAX = 60  # of a test that hangs


def load():
    lib = ctypes.CDLL(BUILD / 'tests/asyncio_agent.so')
    lib.agent_begin.restype = ctypes.c_void_p
    lib.agent_begin.argtypes = [ANSWER]
    for name in 'agent_fd', 'agent_step', 'agent_stop', 'agent_end':
        getattr(lib, name).argtypes = [ctypes.c_void_p]
    lib.agent_ask.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_char_p]
    return lib


class Agent:
    """asyncio's side: `async with Agent() as agent`, `await agent.ask(21)`."""

    def __init__(self):
        self.lib = load()
        self.answers = {}  # number: future
        self.numbers = itertools.count()
        self.served = None

    async def __aenter__(self):
        self.loop = asyncio.get_running_loop()
        self.ended = self.loop.create_future()
        self.callback = ANSWER(self.on_answer)  # must live as long as the agent
        self.agent = self.lib.agent_begin(self.callback)
        self.fd = self.lib.agent_fd(self.agent)
        self.loop.add_reader(self.fd, self.step)
        self.step()
        return self

    def step(self):
        if self.lib.agent_step(self.agent) == 0:
            self.loop.remove_reader(self.fd)
            self.served = self.lib.agent_end(self.agent)
            self.ended.set_result(None)

    def on_answer(self, number, status, value):
        answer = self.answers.pop(number)
        if status < 0:
            answer.set_exception(RuntimeError(f'status {status}'))
        else:
            answer.set_result(value)

    def expect(self):
        number = next(self.numbers)
        self.answers[number] = self.loop.create_future()
        return number, self.answers[number]

    async def ask(self, value, path=''):
        number, answer = self.expect()
        assert self.lib.agent_ask(self.agent, number, value, str(path).encode()) == 0
        return await answer

    async def ask_from_thread(self, value):
        """The same from another thread; the loop sleeps meanwhile."""
        number, answer = self.expect()
        assert await self.loop.run_in_executor(None, self.lib.agent_ask, self.agent, number, value, b'') == 0
        return await answer

    async def __aexit__(self, *error):
        self.lib.agent_stop(self.agent)
        await self.ended


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, SECONDS_MAX))


def test_coroutines_await_what_tasks_answer_while_both_go_on():
    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        async with Agent() as agent:
            ticker = asyncio.create_task(tick())
            for _ in range(5):
                answers = await asyncio.gather(*(agent.ask(i) for i in range(100)))
                assert answers == [2 * i for i in range(100)]
            ticker.cancel()
        assert ticks > 0
        assert agent.served == 500

    run(main())


def test_threads_of_python_reach_tasks_while_asyncio_waits():
    async def main():
        async with Agent() as agent:
            assert await asyncio.gather(*(agent.ask_from_thread(i) for i in range(50))) == [2 * i for i in range(50)]

    run(main())


def test_a_task_is_a_client_of_a_server_that_asyncio_runs_on_the_same_thread(tmp_path):
    async def serve(reader, writer):
        number = int(await reader.readline())
        await asyncio.sleep(0.001)
        writer.write(b'%d\n' % (number * number))
        await writer.drain()
        writer.close()

    async def main():
        server = await asyncio.start_unix_server(serve, tmp_path / 'socket')
        async with Agent() as agent:
            answers = await asyncio.gather(*(agent.ask(i, tmp_path / 'socket') for i in range(50)))
        assert answers == [i * i for i in range(50)]
        server.close()

    run(main())
