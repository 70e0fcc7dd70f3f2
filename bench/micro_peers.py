#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The peers of bench/micro in Python: greenlet, asyncio, eventlet. `PEER MEASURE` prints nanoseconds per operation, `PEER
echo` serves until it is killed and prints its port first."""
import asyncio
import os
import random
import sys
import threading
import time

import eventlet
import eventlet.hubs
import eventlet.queue
import greenlet

TASKS = 100
TIMERS = 100_000
TIMER_FIRST_S, TIMER_RANGE_S = 100, 100  # late enough that none is due while we measure
ITEMS_MAX = 1024
ENOUGH_NS = 200_000_000
OPERATIONS_FIRST = 1000
SAMPLES_MAX = 2000
PAUSE_S = 0.0002
ECHO_BYTES = 2048
CORES = sorted(os.sched_getaffinity(0))
FIRST, OTHER = 0, min(1, len(CORES) - 1)

now_ns = time.perf_counter_ns  # between threads
cpu_ns = time.process_time_ns  # on one thread, so that other processes do not count


def pin(number):
    """Have the calling thread run on that core only."""
    os.sched_setaffinity(0, {CORES[number]})


def some_seconds():
    return TIMER_FIRST_S + random.random() * TIMER_RANGE_S


def pause():
    until = time.perf_counter() + PAUSE_S
    while time.perf_counter() < until:
        pass


# --- greenlet ------------------------------------------------------------------------------------

def greenlet_switch(n):
    def bounce():
        while True:
            here.switch()
    here = greenlet.getcurrent()
    there = greenlet.greenlet(bounce)
    there.switch()
    start = cpu_ns()
    for _ in range(n // 2):
        there.switch()
    return cpu_ns() - start


def greenlet_spawn(n):
    def nothing():
        pass
    start = cpu_ns()
    for _ in range(n):
        greenlet.greenlet(nothing).switch()
    return cpu_ns() - start


# --- asyncio -------------------------------------------------------------------------------------

def in_asyncio(function):
    return lambda n: asyncio.run(function(n))


async def asyncio_yield(n):
    async def often():
        for _ in range(n // TASKS):
            await asyncio.sleep(0)
    start = cpu_ns()
    async with asyncio.TaskGroup() as group:
        for _ in range(TASKS):
            group.create_task(often())
    return cpu_ns() - start


async def asyncio_spawn(n):
    async def nothing():
        pass
    start = cpu_ns()
    for _ in range(n // TASKS):
        async with asyncio.TaskGroup() as group:
            for _ in range(TASKS):
                group.create_task(nothing())
    return cpu_ns() - start


async def asyncio_timer(n):
    def never():
        raise AssertionError
    loop = asyncio.get_running_loop()
    armed = [loop.call_later(some_seconds(), never) for _ in range(TIMERS)]
    times = [some_seconds() for _ in range(n)]
    start = cpu_ns()
    for i, seconds in enumerate(times):
        loop.call_later(seconds, never).cancel()
        if i % TASKS == 0:
            await asyncio.sleep(0)  # the loop sweeps out what was cancelled
    ns = cpu_ns() - start
    for timer in armed:
        timer.cancel()
    return ns


async def asyncio_channel(n):
    queue = asyncio.Queue(1)

    async def receive():
        for _ in range(n):
            await queue.get()
    start = cpu_ns()
    async with asyncio.TaskGroup() as group:
        group.create_task(receive())
        for i in range(n):
            await queue.put(i)
    return cpu_ns() - start


async def asyncio_post_latency(n):
    loop = asyncio.get_running_loop()
    samples, answer = [], []

    def post():
        pin(OTHER)
        for _ in range(min(n, SAMPLES_MAX)):
            pause()
            answer.clear()
            start = now_ns()
            loop.call_soon_threadsafe(lambda: answer.append(now_ns()))
            while not answer:
                time.sleep(0)  # hands the interpreter's lock over
            samples.append(answer[0] - start)
    pin(FIRST)
    await asyncio.to_thread(post)
    return sorted(samples)[len(samples) // 2] * n


async def asyncio_post(n):
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    count = 0

    def on_post():
        nonlocal count
        count += 1
        if count == n:
            done.set()

    def post():
        pin(OTHER)
        for _ in range(n):
            loop.call_soon_threadsafe(on_post)
    pin(FIRST)
    start = now_ns()
    thread = threading.Thread(target=post)
    thread.start()
    await done.wait()
    ns = now_ns() - start
    thread.join()
    return ns


async def asyncio_echo():
    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(data)
    server = await asyncio.get_running_loop().create_server(Echo, '127.0.0.1', 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


# --- eventlet ------------------------------------------------------------------------------------

def eventlet_yield(n):
    def often():
        for _ in range(n // TASKS):
            eventlet.sleep(0)
    start = cpu_ns()
    for task in [eventlet.spawn(often) for _ in range(TASKS)]:
        task.wait()
    return cpu_ns() - start


def eventlet_spawn(n):
    def nothing():
        pass
    start = cpu_ns()
    for _ in range(n // TASKS):
        for task in [eventlet.spawn(nothing) for _ in range(TASKS)]:
            task.wait()
    return cpu_ns() - start


def eventlet_timer(n):
    def never():
        raise AssertionError
    hub = eventlet.hubs.get_hub()
    armed = [hub.schedule_call_global(some_seconds(), never) for _ in range(TIMERS)]
    times = [some_seconds() for _ in range(n)]
    start = cpu_ns()
    for i, seconds in enumerate(times):
        hub.schedule_call_global(seconds, never).cancel()
        if i % TASKS == 0:
            eventlet.sleep(0)  # the hub sweeps out what was cancelled
    ns = cpu_ns() - start
    for timer in armed:
        timer.cancel()
    return ns


def eventlet_channel(n):
    queue = eventlet.queue.Queue(0)

    def receive():
        for _ in range(n):
            queue.get()
    receiver = eventlet.spawn(receive)
    start = cpu_ns()
    for i in range(n):
        queue.put(i)
    receiver.wait()
    return cpu_ns() - start


def eventlet_echo():
    def serve(sock, _address):
        while data := sock.recv(ECHO_BYTES):
            sock.sendall(data)
    listener = eventlet.listen(('127.0.0.1', 0))
    print(listener.getsockname()[1], flush=True)
    eventlet.serve(listener, serve)


MEASURES = {
    'greenlet-switch': greenlet_switch,
    'greenlet-spawn': greenlet_spawn,
    'asyncio-yield': in_asyncio(asyncio_yield),
    'asyncio-spawn': in_asyncio(asyncio_spawn),
    'asyncio-timer': in_asyncio(asyncio_timer),
    'asyncio-channel': in_asyncio(asyncio_channel),
    'asyncio-post-latency': in_asyncio(asyncio_post_latency),
    'asyncio-post': in_asyncio(asyncio_post),
    'eventlet-yield': eventlet_yield,
    'eventlet-spawn': eventlet_spawn,
    'eventlet-timer': eventlet_timer,
    'eventlet-channel': eventlet_channel,
}


def main():
    name = sys.argv[1]
    if name == 'asyncio-echo':
        asyncio.run(asyncio_echo())
    elif name == 'eventlet-echo':
        eventlet_echo()
    measure, n = MEASURES[name], OPERATIONS_FIRST
    ns = measure(n)
    while ns < ENOUGH_NS:
        n = int(n * min(10, max(2, 1.2 * ENOUGH_NS / ns)))
        ns = measure(n)
    print(ns / n)


main()
