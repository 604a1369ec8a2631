"""What mypy, and thus an editor, knows of ``kernel.`` in a user's own workload."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

RIGHT = '''
from collections.abc import Generator
from typing import Any

import pmsim


@pmsim.workload("log_rotation")
class LogRotation:
    """Buffers are filled, protected and handed on."""

    size: str = "64KiB"

    def run(self, kernel: pmsim.KernelHandle, cpu: pmsim.Cpu) -> Generator[Any, Any, None]:
        """Rotate."""
        area = yield from kernel.vmalloc(self.size)
        if area is None:
            cpu.report_failure("vmalloc", "no address space left")
            return
        status = yield from kernel.set_memory_ro(area.address, area.pages)
        reveal_type(status)
        yield from cpu.compute("20us")
        yield from kernel.vfree(area)
        pool = yield from kernel.pmalloc_create_pool("4KiB", mode="wr")
        reveal_type(pool)
        yield from kernel.wr_ptr((yield from kernel.pmalloc(pool, 24)))
'''

WRONG = '''
from collections.abc import Generator
from typing import Any

import pmsim


@pmsim.workload("careless")
class Careless:
    """Everything is wrong."""

    def run(self, kernel: pmsim.KernelHandle, cpu: pmsim.Cpu) -> Generator[Any, Any, None]:
        """Fail."""
        yield from kernel.vmaloc("4KiB")
        area = yield from kernel.vmalloc("4KiB")
        yield from kernel.set_memory_ro(area.address, area.pages)
        yield from kernel.set_memory_ro(0)
        yield from kernel.pmalloc(area, 24)
        yield from kernel.pmalloc_create_pool(mode="rw")
        yield from kernel.vfree(kernel.vmalloc(4096))
'''


@pytest.mark.slow
def test_mypy_checks_a_workload_against_the_calls_of_the_kernel(tmp_path: Path) -> None:
    for name, text in (("right", RIGHT), ("wrong", WRONG)):
        (tmp_path / f"{name}.py").write_text(text)
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")]
    files = [str(tmp_path / name) for name in ("right.py", "wrong.py")]
    done = subprocess.run(
        [*command, "--no-pretty", *files], cwd=ROOT, capture_output=True, text=True, check=False
    )
    said = re.findall(r"(\w+)\.py:(\d+): \w+: (.*)", done.stdout)
    right = [text for name, _, text in said if name == "right"]
    assert right == [
        'Revealed type is "int"',
        'Revealed type is "pmsim.kernel.pmalloc.pools.Pool"',
    ]
    wrong = {
        int(line): re.findall(r"\[([\w-]+)\]", text) for name, line, text in said if name == "wrong"
    }
    assert wrong == {
        14: ["attr-defined"],
        16: ["union-attr"],  # vmalloc may return NULL
        17: ["call-arg"],
        18: ["arg-type"],
        19: ["arg-type"],  # there is no such mode
        20: ["arg-type"],  # a `yield from` is missing
    }
