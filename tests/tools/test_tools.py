"""Each tool says yes to a sound tree and no to a broken one, and names what is broken."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

MAP = '''
| folder | what lives there | may include |
|---|---|---|
| `include/celadon` | the API | `jansson.h` |
| `lib/low` | low | `include/celadon` |
| `lib/high` | high | `include/celadon` `lib/low` `ssl/` |
| `lib/low/special.c` | an exception | `lib/low` `uv.h` |
| `tests` | tests | `cmocka.h` |
'''
FILES = {
    'docs/ARCHITECTURE.md': MAP,
    'include/celadon/api.h': '#include <celadon/other.h>\n#include <jansson.h>\n#include <stddef.h>\n',
    'include/celadon/other.h': 'int other(void);\n',
    'lib/low/low.h': '#include <celadon/api.h>\n',
    'lib/low/low.c': '#include "low/low.h"\n#include <sys/epoll.h>\n',
    'lib/low/low_test.c': '#include "low/low.h"\n#include "test.h"\n',
    'lib/low/special.c': '#include "low.h"\n#include <uv.h>\n',
    'lib/high/high.c': '#include "low/low.h"\n#include <ssl/tls.h>\n',
    'tests/support/test.h': '#include <cmocka.h>\n',
}


class Tree:
    """A small project of its own with a copy of the tools."""

    def __init__(self, root):
        self.root = root
        shutil.copytree(ROOT / 'tools', root / 'tools', ignore=shutil.ignore_patterns('__pycache__'))
        self.write('tools/size-exceptions', '')
        for name, text in FILES.items():
            self.write(name, text)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(self, tool, *arguments, **env):
        return subprocess.run([self.root / 'tools' / tool, *arguments], env=os.environ | env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def complaint(self, tool, *arguments, **env):
        result = self.run(tool, *arguments, **env)
        assert result.returncode == 1, result.stdout
        return result.stdout


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def test_layers_accepts_what_the_table_allows(tree):
    result = tree.run('check-layers')
    assert (result.returncode, result.stdout) == (0, '')


@pytest.mark.parametrize('file, text, complaint', [
    ('lib/low/low.c', '\n#include "high/high.h"\n', 'lib/low/low.c:2: lib/low -> lib/high/high.h'),
    ('lib/low/low.c', '# include <uv.h>\n', 'lib/low/low.c:1: lib/low -> uv.h'),
    ('lib/low/low.c', '#include "test.h"\n', 'lib/low/low.c:1: lib/low -> tests/support/test.h'),
    ('lib/low/low.c', '#include "nowhere.h"\n', '"nowhere.h" is no file of ours'),
    ('lib/low/low.c', '#include MACRO\n', 'must name its file'),
    ('lib/low/low_test.c', '#include "high/high.h"\n', 'lib/low -> lib/high/high.h'),
    ('lib/low/special.c', '#include <celadon/api.h>\n', 'lib/low/special.c -> include/celadon/api.h'),
    ('include/celadon/api.h', '#include "low/low.h"\n', 'include/celadon -> lib/low/low.h'),
    ('lib/new/new.c', '', 'lib/new has C files but no row'),
    ('docs/ARCHITECTURE.md', MAP + '| `lib/gone` | gone | `lib/low` |\n', 'there is no lib/gone'),
    ('docs/ARCHITECTURE.md', MAP.replace('`ssl/`', '`ssl/` `lib/lwo`'), 'lib/high may include lib/lwo, which is neither'),
    ('docs/ARCHITECTURE.md', 'a map without a table\n', 'no table found'),
])
def test_layers_names_the_arrow_that_is_not_in_the_table(tree, file, text, complaint):
    tree.write('lib/high/high.h', '')
    tree.write(file, text)
    assert complaint in tree.complaint('check-layers')


def function(lines, signature='static int f(int a,\n             int b)'):
    return f'{signature}\n{{\n' + '        a++;\n' * (lines - 2 - len(signature.splitlines())) + '}\n'


def test_size_counts_from_the_signature_to_the_closing_brace(tree):
    tree.write('lib/low/low.c', function(70))
    assert tree.run('check-size').returncode == 0
    tree.write('lib/low/low.c', 'int a;\n\n' + function(71))
    assert 'lib/low/low.c:3: f has 71 lines' in tree.complaint('check-size')
    tree.write('lib/low/low.c', 'int a;\n' + function(71, 'TEST(it_works)'))
    assert 'lib/low/low.c:2: it_works has 71 lines' in tree.complaint('check-size')


def test_size_counts_the_lines_of_a_file(tree):
    tree.write('lib/low/low.c', '\n' * 1000)
    assert tree.run('check-size').returncode == 0
    tree.write('lib/low/low.c', '\n' * 1001)
    assert 'lib/low/low.c: 1001 lines' in tree.complaint('check-size')


def test_size_takes_an_exception_only_with_a_reason_and_while_it_is_needed(tree):
    tree.write('lib/low/low.c', function(71))
    tree.write('tools/size-exceptions', '# why\nlib/low/low.c:f  one long table\n')
    assert tree.run('check-size').returncode == 0
    tree.write('tools/size-exceptions', 'lib/low/low.c:f\n')
    assert 'size-exceptions:1: lib/low/low.c:f has no reason' in tree.complaint('check-size')
    tree.write('tools/size-exceptions', 'lib/low/low.c:f  one long table\n')
    tree.write('lib/low/low.c', function(70))
    assert 'delete the line' in tree.complaint('check-size')


def test_headers_must_compile_alone_in_both_languages(tree):
    tree.write('include/celadon/api.h', 'struct x { int a; };\n')
    assert tree.run('check-headers').returncode == 0
    tree.write('include/celadon/api.h', 'size_t f(void);\n')
    assert 'api.h' in tree.complaint('check-headers')
    tree.write('include/celadon/api.h', 'struct x { int class; };\n')
    assert 'api.h' in tree.complaint('check-headers')


def test_format_names_the_files_that_are_laid_out_otherwise(tree):
    shutil.copy(ROOT / '.clang-format', tree.root)
    assert tree.run('check-format').returncode == 0
    tree.write('lib/low/low.c', 'int  a;\nint  b;\n')
    output = tree.complaint('check-format')
    assert output.startswith('lib/low/low.c:1:') and len(output.splitlines()) == 1
    tree.write('.clang-format', 'nonsense')
    assert 'clang-format' in tree.complaint('check-format')


PROJECT = '''project('toy', 'c')
assert(get_option('tests'))
test('toy', find_program('toy_test'), protocol: 'tap', suite: 'rt')
'''


@pytest.fixture
def toy(tree):
    """A project whose only unit test prints what toy_test holds."""
    tree.write('meson.build', PROJECT)
    tree.write('meson_options.txt', "option('tests', type: 'boolean', value: false)\n")
    tree.write('toy_test', '#!/bin/sh\necho 1..2\necho ok 1 - one\necho ok 2 - two\n')
    (tree.root / 'toy_test').chmod(0o755)
    return tree


def last_line(output):
    return output.splitlines()[-1]


def test_run_tests_counts_each_tap_result_in_three_builds_and_once_more_under_valgrind(toy):
    result = toy.run('run-tests', 'unit')
    assert (result.returncode, last_line(result.stdout)) == (0, '8 passed, 0 failed')


@pytest.mark.parametrize('script, line, words', [
    ('echo 1..2; echo ok 1 - one; echo "not ok 2 - two"; exit 1', '4 passed, 4 failed', 'failed: unit, plain: toy: two'),
    ('echo 1..3; echo ok 1 - one; echo last words >&2; kill -ABRT $$', '4 passed, 4 failed', 'last words'),
    ('echo 1..1; echo ok 1 - one; echo "leaked 8 bytes" >&2; exit 1', '4 passed, 4 failed', 'leaked 8 bytes'),
    ('echo 1..0', '0 passed, 0 failed', ''),
])
def test_run_tests_fails_with_the_output_of_what_failed(toy, script, line, words):
    toy.write('toy_test', f'#!/bin/sh\n{script}\n')
    output = toy.complaint('run-tests', 'unit')
    assert last_line(output) == line
    assert words in output


def test_run_tests_fails_when_the_build_does(toy):
    toy.write('broken.c', 'int f(void) { return }\n')
    toy.write('meson.build', PROJECT + "static_library('broken', 'broken.c')\n")
    output = toy.complaint('run-tests', 'unit')
    assert last_line(output) == '0 passed, 3 failed'
    assert 'broken.c:1' in output
    toy.write('meson.build', PROJECT + 'nonsense(\n')
    assert last_line(toy.complaint('run-tests', 'unit')) == '0 passed, 3 failed'


def test_run_tests_counts_functional_tests_and_runs_marked_ones_again(toy):
    toy.write('tests/tools/test_none.py', '')
    toy.write('tests/functional/test_toy.py', '''
import os, pytest
def test_good(): assert os.environ['CELADON_BUILD'].endswith('/build')
@pytest.mark.sanitized
def test_twice(): assert os.path.isdir(os.environ['CELADON_BUILD'])
@pytest.mark.skip
def test_not(): pass
''')
    result = toy.run('run-tests', 'functional')
    assert (result.returncode, last_line(result.stdout)) == (0, '3 passed, 0 failed')
    toy.write('tests/functional/test_toy.py', 'import nowhere\n')
    output = toy.complaint('run-tests', 'functional')
    assert last_line(output) == '0 passed, 2 failed'


@pytest.fixture
def ci(tree):
    """A function that runs what CI runs, with these scripts as tools/setup and tools/run-tests."""
    shutil.copy(ROOT / 'Makefile', tree.root)
    shutil.copytree(ROOT / '.ci', tree.root / '.ci')

    def run(setup, run_tests='exit 1'):
        tree.write('tools/setup', f'#!/bin/sh\n{setup}\n')
        tree.write('tools/run-tests', f'#!/bin/sh\n{run_tests}\n')
        return tree.run('../.ci/run')

    return run


def test_ci_ends_with_the_count_of_the_tests(ci):
    result = ci('exit 0', 'echo 3 passed, 0 failed')
    assert (result.returncode, result.stdout) == (0, '3 passed, 0 failed\n')
    result = ci('exit 0', 'echo 3 passed, 1 failed; exit 1')
    assert (result.returncode != 0, result.stdout) == (True, '3 passed, 1 failed\n')


@pytest.mark.parametrize('setup, run_tests', [('echo no network >&2; exit 1', ''), ('exit 1', ''), ('exit 0', 'kill -9 $$')])
def test_ci_counts_one_failure_when_there_is_no_count(ci, setup, run_tests):
    result = ci(setup, run_tests)
    assert (result.returncode != 0, last_line(result.stdout)) == (True, '0 passed, 1 failed')
    assert ('no network' in result.stdout) == ('no network' in setup)


@pytest.fixture
def machine(tree):
    """A Debian where commands are ours: nothing installed, no root, no sudo; `tools/setup` runs with it as PATH."""
    tree.write('bin/id', '#!/bin/sh\necho 1000\n')
    tree.write('bin/apt-get', '#!/bin/sh\necho apt-get must not run\nexit 1\n')
    tree.write('bin/dpkg-query', '#!/bin/sh\nexit 1\n')
    for name in 'id', 'apt-get', 'dpkg-query':
        (tree.root / 'bin' / name).chmod(0o755)
    return tree


def test_setup_is_silent_when_nothing_is_missing(machine):
    machine.write('bin/dpkg-query', '#!/bin/sh\nshift 3\nfor p; do echo installed $p; done\n')
    result = machine.run('setup', 'build', 'test', 'demo', 'bench', 'fuzz', PATH=str(machine.root / 'bin'))
    assert (result.returncode, result.stdout) == (0, '')


def test_setup_says_what_to_do_without_root_and_sudo(machine):
    output = machine.complaint('setup', 'fuzz', PATH=str(machine.root / 'bin'))
    assert 'there is no sudo' in output and 'libclang-rt-14-dev' in output


def test_setup_says_what_to_do_when_sudo_fails(machine):
    machine.write('bin/sudo', '#!/bin/sh\nexit 1\n')
    (machine.root / 'bin/sudo').chmod(0o755)
    assert 'still missing' in machine.complaint('setup', 'fuzz', PATH=str(machine.root / 'bin'))


def test_setup_knows_its_groups(machine):
    assert "no group is called 'tset'" in machine.complaint('setup', 'tset')


def test_setup_leaves_other_systems_alone(machine):
    (machine.root / 'bin/apt-get').unlink()
    result = machine.run('setup', 'fuzz', PATH=str(machine.root / 'bin'))
    assert result.returncode == 0 and 'not Debian' in result.stdout


GUIDE = '''# Guide

[01_one.c](../examples/programming/01_one.c), with `cel_run()`:

```c
int main(void)
{
```

```text
1
```

```sh
anything
```
'''
GUIDE_START = GUIDE[:GUIDE.index('```c')]


# The other documents that are compared with the code.
OSLO = 'Uses `cel_run()`, `cel_way.fast`, `CEL_EODD` and `ssl`: `way_test:a_way_is_short`, `test_way:test_way`\n'
VERDICTS = 'BRIDGE_STATUS(200, 299, OK, 0, 0, "done")\nBRIDGE_TRANSPORT(LATE, "late", RETRY, 0, "no answer")\nBRIDGE_PROFILE("p", 404, 404, OK, "gone")\n'
BRIDGE = '''
| status | verdict | |
|---|---|---|
| 200 to 299 | OK | done |

| without an answer | verdict | |
|---|---|---|
| `late` | RETRY | no answer |

| profile | status | verdict | |
|---|---|---|---|
| `p` | 404 | OK | gone |

'''


@pytest.fixture
def guide(tree):
    """A tree with a guide that shows one program, and the other documents."""
    tree.write('docs/OSLO.md', OSLO)
    tree.write('lib/driver/options.c', 'static const option table[] = {\n        {"ssl", OPTION_BOOL},\n};\n')
    tree.write('include/celadon/way.h', '/* cel_said is not there. */\ntypedef struct cel_way {\n        int fast; /* or slow */\n} cel_way;\n'
                                        '#define CEL_ERRORS(X) X(EODD, -1, "odd")\n')
    tree.write('lib/low/way_test.c', 'TEST(a_way_is_short)\n{\n}\n')
    tree.write('tests/functional/test_way.py', 'def test_way():\n    pass\n')
    tree.write('docs/BRIDGE.md', BRIDGE)
    tree.write('bridge/verdicts.def', VERDICTS)
    tree.write('docs/PROGRAMMING.md', GUIDE)
    tree.write('include/celadon/run.h', 'int cel_run(void);\n')
    tree.write('examples/programming/01_one.c', '#include <x.h>\n\nint main(void)\n{\n        return cel_run();\n}\n')
    tree.write('examples/programming/01_one.out', '1\n')
    tree.write('examples/programming/meson.build', "foreach name : ['01_one']\nendforeach\n")
    return tree


def test_docs_accepts_excerpts_and_output_as_they_are(guide):
    result = guide.run('check-docs')
    assert (result.returncode, result.stdout) == (0, '')


@pytest.mark.parametrize('file, text, complaint', [
    ('docs/PROGRAMMING.md', GUIDE.replace('int main', 'int  main'), 'PROGRAMMING.md:5: this is not in examples/programming/01_one.c'),
    ('docs/PROGRAMMING.md', GUIDE.replace('int main', 'main'), 'PROGRAMMING.md:5: this is not in'),
    ('docs/PROGRAMMING.md', GUIDE_START + '```c\n```\n', 'PROGRAMMING.md:5: this is not in'),
    ('docs/PROGRAMMING.md', GUIDE.replace('](', '] ('), 'PROGRAMMING.md:5: no C file is linked to'),
    ('docs/PROGRAMMING.md', GUIDE.replace('/01_one.c)', '/02_two.c)'), 'there is no examples/programming/02_two.c'),
    ('docs/PROGRAMMING.md', GUIDE.replace('\n1\n', '\n2\n'), 'PROGRAMMING.md:10: examples/programming/01_one.out says something else'),
    ('docs/PROGRAMMING.md', GUIDE + '```c\nint', 'PROGRAMMING.md:17: this block has no end'),
    ('docs/PROGRAMMING.md', GUIDE.replace('cel_run', 'cel_walk'), 'PROGRAMMING.md:3: no header knows cel_walk'),
    ('docs/PROGRAMMING.md', GUIDE + '```sh\n\ncel_walk\n```\n', 'PROGRAMMING.md:19: no header knows cel_walk'),
    ('docs/PROGRAMMING.md', GUIDE_START, '01_one.c: docs/PROGRAMMING.md does not show it'),
    ('examples/programming/02_two.c', '', '02_two.c: there is no 02_two.out'),
    ('examples/programming/meson.build', "['01']", '01_one.c: examples/programming/meson.build does not build'),
    ('docs/OSLO.md', OSLO.replace('cel_run', 'cel_walk'), 'OSLO.md:1: no header knows cel_walk'),
    ('docs/OSLO.md', OSLO.replace('cel_run', 'cel_said'), 'OSLO.md:1: no header knows cel_said'),
    ('docs/OSLO.md', OSLO.replace('EODD', 'EEVEN'), 'OSLO.md:1: no header knows CEL_EEVEN'),
    ('docs/OSLO.md', OSLO.replace('.fast', '.slow'), 'OSLO.md:1: cel_way has no member slow'),
    ('docs/OSLO.md', OSLO.replace('is_short', 'is_long'), 'OSLO.md:1: there is no test a_way_is_long in way_test'),
    ('docs/OSLO.md', OSLO.replace(':test_way', ':test_road'), 'OSLO.md:1: there is no test test_road in test_way'),
    ('docs/OSLO.md', OSLO.replace('`ssl`', 'ssl'), 'OSLO.md: option ssl of lib/driver/options.c is not in it'),
    ('lib/driver/options.c', '', 'options.c: no option is found in it'),
    ('docs/BRIDGE.md', BRIDGE.replace('| OK | done', '| RETRY | done'), 'BRIDGE.md: the table "| status | verdict | |" is not that of'),
])
def test_docs_names_what_differs_from_programs_and_code(guide, file, text, complaint):
    guide.write(file, text)
    assert complaint in guide.complaint('check-docs')


def test_output_must_be_as_written_and_the_program_succeed(tree):
    tree.write('program', '#!/bin/sh\necho one\necho two\n')
    program, expected = tree.root / 'program', tree.root / 'expected'
    program.chmod(0o755)
    tree.write('expected', 'one\ntwo\n')
    assert (tree.run('check-output', program, expected).returncode, tree.run('check-output').returncode) == (0, 1)
    tree.write('expected', 'one\nthree\n')
    output = tree.complaint('check-output', program, expected)
    assert '-three' in output and '+two' in output
    tree.write('expected', 'one\ntwo')  # the end of the line counts
    tree.complaint('check-output', program, expected)
    tree.write('expected', 'one\ntwo\n')
    tree.write('program', '#!/bin/sh\necho one\necho two\nkill -ABRT $$\n')
    assert 'ended with status -6' in tree.complaint('check-output', program, expected)
