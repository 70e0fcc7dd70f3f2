# SPDX-License-Identifier: Apache-2.0
"""For gdb: see the tasks of a Celadon program that runs or has left a core file.

    (gdb) source tools/celadon-gdb.py
    (gdb) cel tasks                 all tasks: address, loop, name, request id, what each waits for
    (gdb) cel bt reader             the stack of the tasks of that name
    (gdb) cel bt 0x55555557a2c0     the stack of the task at that address

Nothing is called in the program, so it works wherever the program has stopped. A waiting task's registers lie on
its stack. With a live process gdb is made to believe for a moment that the thread stands there, and unwinds as
usual; with a core file the frame pointers are followed. (The core files that gdb itself writes lack the stacks: gdb gives
up at the guards between them. The kernel's have them.)"""
import time

import gdb

# Words from the saved stack pointer to the frame pointer and the return address, as in lib/rt/switch_*.S.
SAVED = {'i386:x86-64': (5, 6), 'aarch64': (10, 11)}
FRAMES_MAX = 64
TIME_NEVER = 2**63 - 1


def nodes(head):
    """The nodes of a cel__list."""
    node = head['next']
    while node != head.address:
        yield node
        node = node['next']


def container(node, type_name, member):
    kind = gdb.lookup_type(type_name)
    offset = next(f.bitpos // 8 for f in kind.fields() if f.name == member)
    return gdb.Value(int(node) - offset).cast(kind.pointer()).dereference()


def tasks():
    """(loop, task) for all tasks of all runtimes."""
    head = gdb.parse_and_eval('cel__runtimes')
    for node in nodes(head):
        runtime = container(node, 'struct cel_runtime', 'node')
        for i in range(int(runtime['loops_n'])):
            loop = runtime['loops'][i]
            for roll_node in nodes(loop['roll']):
                task = container(roll_node, 'struct cel__roll', 'node')['task']
                if task:  # not the mark of a dump under way
                    yield loop, task.dereference()


def text(pointer):
    return pointer.string(errors='replace') if pointer else ''


def is_live():
    return gdb.selected_inferior().pid != 0 and gdb.selected_inferior().connection.type == 'native'


def waited(loop, task):
    """' for 1.234 s', where that can be known: the program's clock is the system's, and goes on."""
    clock = loop['runtime']['clock']
    if not is_live() or clock['manual']:
        return ''
    return f' for {(time.monotonic_ns() - int(task["parked_ns"])) / 1e9:.3f} s'


def state(loop, task):
    word = str(task['state'])
    if word.endswith('PARKED'):
        wait = task['ctx']['wait']
        return f'waiting for "{text(wait["where"])}"{waited(loop, task)}' if wait else 'waiting'
    return word.rpartition('_')[2].lower()


def line(loop, task):
    request_id = text(task['ctx']['request_id'])
    return (f'{int(task.address):#x}  loop {int(loop["number"])}  "{text(task["ctx"]["name"])}"'
            f'{" of request " + request_id if request_id else ""}  {state(loop, task)}')


def word_at(address):
    pointer = gdb.lookup_type('unsigned long').pointer()
    return int(gdb.Value(address).cast(pointer).dereference())


def saved_frames(task):
    """The addresses that a waiting task's frame pointers lead to."""
    fiber = task['fiber']
    low, high = int(fiber['sp']), int(fiber['stack_lo']) + int(fiber['stack_bytes'])
    fp_word, pc_word = SAVED[gdb.selected_inferior().architecture().name()]
    fp = word_at(low + 8 * fp_word)
    yield word_at(low + 8 * pc_word)
    while low < fp <= high - 16:
        pc = word_at(fp + 8)
        if not pc:
            return
        yield pc
        low, fp = fp, word_at(fp)


def print_frames(task):
    for number, pc in zip(range(FRAMES_MAX), saved_frames(task)):
        place = gdb.find_pc_line(pc - 1)  # the call, not what comes after it
        where = f' at {place.symtab.filename}:{place.line}' if place.symtab else ''
        name = gdb.execute(f'with print demangle off -- info symbol {pc:#x}', to_string=True).split(' in section')[0].strip()
        print(f'#{number:<2} {pc:#018x} in {name}{where}')


def print_backtrace(task):
    """As print_frames(), by gdb's own unwinder."""
    gdb.newest_frame().select()
    here = {register: int(gdb.parse_and_eval(f'${register}')) for register in ('sp', 'pc')}
    resume = int(gdb.parse_and_eval('(long)&cel__switch_resume'))
    try:
        gdb.execute(f'set $sp = {int(task["fiber"]["sp"])}')
        gdb.execute(f'set $pc = {resume}')
        gdb.execute(f'bt {FRAMES_MAX}')
    finally:
        for register, value in here.items():
            gdb.execute(f'set ${register} = {value}')


class Cel(gdb.Command):
    """Look into a Celadon program: "cel tasks", "cel bt NAME" or "cel bt ADDRESS"."""

    def __init__(self):
        super().__init__('cel', gdb.COMMAND_STATUS, prefix=True)


class CelTasks(gdb.Command):
    """List all tasks: address, loop, name, request id, and what each waits for."""

    def __init__(self):
        super().__init__('cel tasks', gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        n = 0
        for n, (loop, task) in enumerate(tasks(), 1):
            print(line(loop, task))
        print(f'{n} tasks')


class CelBt(gdb.Command):
    """Print the stack of the tasks that have this name, or of the one at this address: "cel bt reader"."""

    def __init__(self):
        super().__init__('cel bt', gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        wanted = argument.strip().strip('"')
        found = [(loop, task) for loop, task in tasks()
                 if wanted in (text(task['ctx']['name']), hex(int(task.address)))]
        if not found:
            raise gdb.GdbError(f'No task is called "{wanted}" or lies at that address: "cel tasks" lists them.')
        for loop, task in found:
            print(line(loop, task))
            if str(task['state']).endswith('RUNNING'):
                print('It runs: look at its thread, "info threads".')
            elif is_live():
                print_backtrace(task)
            else:
                print_frames(task)


Cel()
CelTasks()
CelBt()
