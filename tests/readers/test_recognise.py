from __future__ import annotations

import gzip
from pathlib import Path

import pytest

import pmsim
from pmsim.errors import ScenarioError
from pmsim.readers.formats import Format
from pmsim.readers.recognise import recognised
from tests.readers.test_trace import FTRACE, PERF, TRACE_CMD

INTERRUPTS = """\
           CPU0       CPU1
  0:         36          0   IO-APIC   2-edge      timer
CAL:       1200        340   Function call interrupts
TLB:        700        120   TLB shootdowns
"""
VMALLOCINFO = """\
0xffffc90000000000-0xffffc90000005000   20480 irq_init_percpu_irqstack+0x114/0x1b0 vmap
0xffffc90000005000-0xffffc90000007000    8192 acpi_os_map_iomem+0x1b3/0x1f0 phys=0x7fe000 ioremap
"""
LSCPU = """\
Architecture:            x86_64
CPU(s):                  8
Thread(s) per core:      2
Core(s) per socket:      4
Socket(s):               1
"""
LSCPU_JSON = """{
   "lscpu": [
      {"field": "Architecture:", "data": "x86_64"},
      {"field": "CPU(s):", "data": "8"}
   ]
}
"""
PERF_STAT = """
 Performance counter stats for 'system wide':

         1,234,567      tlb:tlb_flush

      10.002345678 seconds time elapsed
"""


@pytest.mark.parametrize(
    ("text", "format_"),
    [
        (FTRACE, Format.FTRACE),
        (TRACE_CMD, Format.TRACE_CMD),
        (PERF, Format.PERF_SCRIPT),
        (INTERRUPTS, Format.INTERRUPTS),
        (VMALLOCINFO, Format.VMALLOCINFO),
        (LSCPU, Format.LSCPU),
        (LSCPU_JSON, Format.LSCPU_JSON),
        (PERF_STAT, Format.PERF_STAT),
    ],
)
def test_a_file_is_recognised_by_its_content_packed_or_not(
    tmp_path: Path, text: str, format_: Format
) -> None:
    plain, packed = tmp_path / "some.yaml", tmp_path / "other.txt"
    plain.write_text(text)
    packed.write_bytes(gzip.compress(text.encode()))
    assert recognised(plain) is recognised(packed) is format_


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x17\x08\x44tracing\x00", "trace-cmd report"),
        (b"PERFILE2\x00\x00", "perf script -i"),
        (b"pmsim: 1\nmachine: x\n", "pmsim run"),
        (b"hello\nworld\n", "/proc/interrupts"),
        (b"", "the file is empty"),
        (b"\x00\x01", "binary"),
    ],
)
def test_what_is_none_of_them_is_told_what_would_be(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "what"
    path.write_bytes(content)
    with pytest.raises(ScenarioError) as caught:
        recognised(path)
    assert said in str(caught.value)


def test_a_directory_is_a_machine_where_it_has_cpus(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="cpu0/topology"):
        recognised(tmp_path)
    (tmp_path / "cpu0" / "topology").mkdir(parents=True)
    assert recognised(tmp_path) is Format.SYSFS


def test_a_trace_in_place_of_a_scenario_is_pointed_to_import_whatever_its_size(
    tmp_path: Path,
) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_bytes(gzip.compress(FTRACE.encode() * 20_000))
    with pytest.raises(ScenarioError, match="pmsim import reads it"):
        pmsim.load(path)
    path.write_text(FTRACE * 20_000)
    with pytest.raises(ScenarioError, match="pmsim import reads it"):
        pmsim.load(path)


def test_a_trace_in_place_of_a_file_of_steps_is_pointed_to_import(tmp_path: Path) -> None:
    (tmp_path / "steps.csv").write_text(FTRACE)
    (tmp_path / "scenario.yaml").write_text(
        "pmsim: 1\nmachine: skylake-sp-2s\nkernel: linux-6.1-x86_64\nuntil: done\n"
        "workloads: [{kind: trace, file: steps.csv}]\n"
    )
    with pytest.raises(ScenarioError, match="pmsim import reads it"):
        pmsim.load(tmp_path / "scenario.yaml").resolve()
