# SPDX-License-Identifier: Apache-2.0
"""What the documentation shows is what is there."""
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_listener_in_the_readme_is_the_example():
    example = (ROOT / 'examples/notifications.c').read_text()
    body = re.split(r'^#include .*\n', example, flags=re.MULTILINE)[-1].lstrip('\n')
    listing, = re.findall(r'^```c\n(.*?)^```$', (ROOT / 'README.md').read_text(), re.MULTILINE | re.DOTALL)
    assert listing == body
