"""What /proc, lscpu, /sys and perf stat say: texts in their formats, with their arithmetic."""

from __future__ import annotations

from pathlib import Path

import pytest

import pmsim
from pmsim.errors import ScenarioError
from pmsim.imports.found import Imported
from pmsim.imports.importer import Wishes, import_files
from pmsim.readers.machine import SeenMachine, read_lscpu, read_lscpu_json, read_sysfs
from pmsim.scenario.nearest import nearest
from pmsim.scenario.platform import platform_names
from pmsim.units import US, S

X86 = """\
            CPU0       CPU1       CPU2
   0:         36          0          0   IO-APIC   2-edge      timer
 LOC:       5000       5100       5200   Local timer interrupts
 RES:         10         20         30   Rescheduling interrupts
 CAL:        {calls}        340         50   Function call interrupts
 TLB:        700        120          9   TLB shootdowns
 ERR:          0
"""
ARM = """\
           CPU0       CPU1
 11:       5000       4000     GICv3  27 Level     arch_timer
IPI0:        55         66       Rescheduling interrupts
IPI1:       700        800       Function call interrupts
IPI2:         0          0       CPU stop interrupts
Err:          0
"""
VMALLOCINFO = """\
0xffffc90000000000-0xffffc90000005000   20480 irq_init_percpu_irqstack+0x114/0x1b0 vmap
0xffffc90000005000-0xffffc90000007000    8192 acpi_os_map_iomem+0x1b3/0x1f0 phys=0x7fe000 ioremap
0xffffc90000008000-0xffffc9000000d000   20480 dup_task_struct+0x5b/0x180 pages=4 vmalloc N0=4
0xffffc90000010000-0xffffc90000015000   20480 unpurged vm_area
0xffffc90000018000-0xffffc9000001d000   20480 dup_task_struct+0x5b/0x180 pages=4 vmalloc N0=4
"""
LARGE_PAGES = """\
0xffff800080000000-0xffff800080030000  196608 unpurged vm_area
0xffff800080040000-0xffff800080060000  131072 dup_task_struct+0x5b/0x180 pages=1 vmalloc N0=1
0xffff800080080000-0xffff800080120000  655360 bpf_prog_alloc+0x5b/0x180 pages=9 vmalloc N0=9
"""
LSCPU = """\
Architecture:                    x86_64
CPU(s):                          96
On-line CPU(s) list:             0-95
Vendor ID:                       GenuineIntel
Model name:                      Intel(R) Xeon(R) Platinum 8275CL CPU @ 3.00GHz
CPU family:                      6
Model:                           85
Thread(s) per core:              2
Core(s) per socket:              24
Socket(s):                       2
L3 cache:                        71.5 MiB (2 instances)
"""
NESTED = """{"lscpu": [
  {"field": "Architecture:", "data": "aarch64", "children": [
     {"field": "CPU op-mode(s):", "data": "32-bit, 64-bit"}]},
  {"field": "CPU(s):", "data": "128", "children": [
     {"field": "On-line CPU(s) list:", "data": "0-127"}]},
  {"field": "Vendor ID:", "data": "HiSilicon", "children": [
     {"field": "Model name:", "data": "Kunpeng-920", "children": [
        {"field": "Thread(s) per core:", "data": "1"},
        {"field": "Core(s) per socket:", "data": "64"},
        {"field": "Socket(s):", "data": "2"}]}]},
  {"field": "Caches (sum of all):", "data": null, "children": [
     {"field": "L3:", "data": "128 MiB (4 instances)"}]}
]}
"""
PERF_STAT = """
 Performance counter stats for 'system wide':

         1,200,000      tlb:tlb_flush                    #    0.012 M/sec
             3,000      csd:csd_queue_cpu
     <not counted>      cycles

      10.000000000 seconds time elapsed
"""


def imported(tmp_path: Path, *texts: str, isolated: frozenset[int] = frozenset(),
             between: int | None = None) -> Imported:  # fmt: skip
    paths = [tmp_path / f"file{number}" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return import_files(paths, Wishes(isolated, US, between))


def numbers(found: Imported, title: str) -> dict[str, list[float | None]]:
    table = next(one for one in found.tables if one.title == title)
    return {row[0].text: [cell.number for cell in row[1:]] for row in table.rows}


def test_interrupts_are_counted_by_what_they_are_for(tmp_path: Path) -> None:
    found = imported(tmp_path, X86.format(calls=1200))
    assert numbers(found, "interrupts by CPU") == {
        "0": [700, 1200, 10],
        "1": [120, 340, 20],
        "2": [9, 50, 30],
    }
    assert found.words[0] == "829 interrupts for TLB shootdowns since the machine started."
    assert any("CPU 0 got 10.9 times the mean" in one for one in found.words)  # 700 to 64.5


def test_two_readings_give_rates_and_isolated_cpus_apart(tmp_path: Path) -> None:
    before, after = X86.format(calls=1200), X86.format(calls=1300)
    found = imported(tmp_path, before, after, isolated=frozenset({0}), between=10 * S)
    table = numbers(found, "interrupts by CPU")
    assert table["0 (isolated)"] == [0, 0, 100, 10, 0, 0]
    assert "100 interrupts for function calls between the two readings (10/s)." in found.words
    assert "Isolated CPUs got 100 for function calls." in found.words
    with pytest.raises(ScenarioError, match="the earlier first"):
        imported(tmp_path, after, before)


def test_arm_counts_no_shootdowns_and_that_is_said(tmp_path: Path) -> None:
    found = imported(tmp_path, ARM)
    assert numbers(found, "interrupts by CPU") == {"0": [700, 55], "1": [800, 66]}
    assert any("does not count TLB shootdowns" in one for one in found.words)


def test_areas_are_counted_by_caller_and_kind_with_holes(tmp_path: Path) -> None:
    found = imported(tmp_path, VMALLOCINFO)
    assert numbers(found, "areas by caller")["dup_task_struct"] == [2, 40960, 20480]
    assert numbers(found, "areas by kind")["lazily freed"] == [1, 5]
    # Before 8000 one page, before 10000 three, before 18000 three.
    assert "3 holes between areas, the largest of 12 KiB, together 28 KiB." in found.words


def test_areas_are_the_initial_state_of_a_scenario_whose_next_purge_flushes(
    tmp_path: Path,
) -> None:
    for name, write in imported(tmp_path, VMALLOCINFO).files.items():
        write(tmp_path / name)
    result = pmsim.run(pmsim.load(tmp_path / "scenario.yaml"))
    (purge,) = result.crosscalls.itertuples()
    assert purge.cause == "purge"
    assert purge.pages == 5  # the one area that is lazily freed, with its guard
    assert list(result.operations["kind"]).count("vmalloc") == 5


def test_a_kernel_of_64_kib_pages_is_known_by_the_pages_that_an_area_says_it_has(
    tmp_path: Path,
) -> None:
    found = imported(tmp_path, LARGE_PAGES)
    assert "Its pages have 64 KiB, as those of arm64 may." in found.words
    assert numbers(found, "areas by kind") == {"lazily freed": [1, 3], "vmalloc": [2, 2 + 10]}
    for name, write in found.files.items():
        write(tmp_path / name)
    result = pmsim.run(pmsim.load(tmp_path / "scenario.yaml"))
    assert result.page_size == 64 * 1024
    (purge,) = result.crosscalls.itertuples()
    assert (purge.cause, purge.pages) == ("purge", 3)


def test_hashed_addresses_tell_no_holes(tmp_path: Path) -> None:
    hashed = VMALLOCINFO.replace("0xffffc90000000000-", "0x000000007a8771ac-")
    assert any("addresses are hashed" in one for one in imported(tmp_path, hashed).words)


def test_lscpu_gives_topology_and_the_nearest_platform(tmp_path: Path) -> None:
    path = tmp_path / "lscpu"
    path.write_text(LSCPU)
    seen = read_lscpu(path)
    assert (seen.packages, seen.dies, seen.cores, seen.threads, seen.cpus) == (2, 1, 24, 2, 96)
    assert nearest(seen) == "skylake-sp-2s"
    path.write_text(NESTED)
    seen = read_lscpu_json(path)
    assert (seen.packages, seen.dies, seen.cores, seen.threads, seen.cpus) == (2, 2, 32, 1, 128)
    assert nearest(seen) == "kunpeng-920-2s"


def test_the_scenario_of_a_machine_is_valid_and_has_its_cpus(tmp_path: Path) -> None:
    found = imported(tmp_path, LSCPU)
    piece = tmp_path / "machine.yaml"
    found.files["machine.yaml"](piece)
    scenario = pmsim.load(piece).resolve()
    assert scenario.machine.topology.n_cpus == 96
    assert scenario.machine.topology.cores == 24
    assert "skylake-sp-2s, the nearest" in " ".join(found.words)
    assert "nothing was measured on this machine" in piece.read_text()


def fake_sysfs(root: Path, cpus: int, half: int) -> None:
    """Two packages of ``half / 2`` cores; threads of a core are ``half`` apart, as Linux has it."""
    for cpu in range(cpus):
        core, sibling = cpu % half, (cpu + half) % cpus
        package = core // (half // 2)
        topology = root / f"cpu{cpu}" / "topology"
        cache = root / f"cpu{cpu}" / "cache" / "index3"
        topology.mkdir(parents=True)
        cache.mkdir(parents=True)
        pair = sorted((cpu, sibling))
        (topology / "physical_package_id").write_text(f"{package}\n")
        (topology / "core_id").write_text(f"{core}\n")
        (topology / "thread_siblings_list").write_text(f"{pair[0]},{pair[1]}\n")
        first = package * (half // 2)
        shared = f"{first}-{first + half // 2 - 1},{first + half}-{first + half + half // 2 - 1}"
        (cache / "shared_cpu_list").write_text(f"{shared}\n")
    (root / "modalias").write_text("cpu:type:x86,ven0000fam0006mod0055:feature:,0000,0001\n")
    (root / "isolated").write_text("2-3,10-11\n")


def test_sysfs_gives_order_and_isolated_cpus_as_they_are_numbered_here(tmp_path: Path) -> None:
    fake_sysfs(tmp_path, cpus=16, half=8)
    seen = read_sysfs(tmp_path)
    assert (seen.packages, seen.dies, seen.cores, seen.threads) == (2, 1, 4, 2)
    assert seen.order[:8] == (0, 8, 1, 9, 2, 10, 3, 11)
    found = import_files([tmp_path], Wishes(frozenset(), US))
    found.files["machine.yaml"](tmp_path / "machine.yaml")
    assert pmsim.load(tmp_path / "machine.yaml").resolve().machine.isolated == (4, 5, 6, 7)
    assert any("CPU 1 here is CPU 8 there" in one for one in found.words)


def test_every_nearest_platform_is_one_that_is_shipped() -> None:
    def machine(arch: str, vendor: str = "", model: str = "", **more: int) -> SeenMachine:
        cpus, packages = more.get("cpus", 8), more.get("packages", 1)
        return SeenMachine(
            arch, vendor, model, more.get("family", 6), 0, "", packages, 1, 4, 2, cpus
        )

    expected = {
        "epyc-turin": machine("x86_64", "AuthenticAMD", family=26),
        "epyc-milan": machine("x86_64", "AuthenticAMD", family=25),
        "skylake-sp-8s": machine("x86_64", "GenuineIntel", packages=8, cpus=448),
        "skylake-sp-2s": machine("x86_64", "GenuineIntel"),
        "altra-max": machine("aarch64", "ARM", "Neoverse-N1", cpus=80),
        "snapdragon-888": machine("aarch64", "ARM", "Cortex-A78"),
        "thunderx2-2s": machine("aarch64", "Cavium", "ThunderX2 99xx"),
        "cortex-a15": machine("armv7l"),
        "sg2042": machine("riscv64"),
    }
    assert {name: nearest(seen) for name, seen in expected.items()} == {n: n for n in expected}
    assert {*expected} <= {*platform_names()}


@pytest.mark.parametrize(
    ("platform", "arch", "vendor", "family", "model"),
    [
        ("ice-lake-sp-2s", "x86_64", "GenuineIntel", 6, "Intel(R) Xeon(R) Platinum 8375C CPU"),
        ("ice-lake-sp-2s", "x86_64", "GenuineIntel", 6, "Intel(R) Xeon(R) Silver 4310 CPU"),
        ("skylake-sp-2s", "x86_64", "GenuineIntel", 6, "Intel(R) Xeon(R) Gold 6348H CPU"),
        ("skylake-sp-2s", "x86_64", "GenuineIntel", 6, "Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz"),
        ("skylake-sp-2s", "x86_64", "GenuineIntel", 6, "Intel(R) Xeon(R) CPU E5-2690 v4 @ 2.60GHz"),
        ("sapphire-rapids-2s", "x86_64", "GenuineIntel", 6, "Intel(R) Xeon(R) Platinum 8480+"),
        ("sapphire-rapids-2s", "x86_64", "GenuineIntel", 6, "INTEL(R) XEON(R) PLATINUM 8592+"),
        ("core-i9-9900k", "x86_64", "GenuineIntel", 6, "Intel(R) Core(TM) i9-9900K CPU @ 3.60GHz"),
        ("core-i9-9900k", "x86_64", "GenuineIntel", 6, "13th Gen Intel(R) Core(TM) i7-13700K"),
        ("core-i9-9900k", "x86_64", "GenuineIntel", 6, "Intel(R) Xeon(R) E-2288G CPU @ 3.70GHz"),
        ("ryzen-9-5950x", "x86_64", "AuthenticAMD", 25, "AMD Ryzen 9 5950X 16-Core Processor"),
        ("ryzen-9-5950x", "x86_64", "AuthenticAMD", 26, "AMD Ryzen 9 9950X 16-Core Processor"),
        ("epyc-milan", "x86_64", "AuthenticAMD", 25, "AMD Ryzen Threadripper PRO 5995WX 64-Cores"),
        ("ampereone-192", "aarch64", "Ampere", 0, "Ampere-1a"),
        ("grace-2s", "aarch64", "ARM", 0, "Neoverse-V2"),
        ("tensor-g4", "aarch64", "ARM", 0, "Cortex-A520"),
        ("hifive-unmatched", "riscv64", "0x489", 0, "sifive,u74-mc"),
        ("xeon-2003", "i686", "GenuineIntel", 15, "Intel(R) Xeon(TM) CPU 2.80GHz"),
        ("xeon-2006", "i686", "GenuineIntel", 6, "Intel(R) Xeon(R) CPU 5160 @ 3.00GHz"),
    ],
)  # fmt: skip
def test_a_model_name_tells_the_nearest_platform_and_the_scenario_of_it_is_valid(
    tmp_path: Path, platform: str, arch: str, vendor: str, family: int, model: str
) -> None:
    text = (
        f"Architecture: {arch}\nCPU(s): 4\nVendor ID: {vendor}\nModel name: {model}\n"
        f"CPU family: {family}\nThread(s) per core: 1\nCore(s) per socket: 4\nSocket(s): 1\n"
    )
    imported(tmp_path, text).files["machine.yaml"](tmp_path / "machine.yaml")
    assert f"platform: {platform}\n" in (tmp_path / "machine.yaml").read_text()
    assert pmsim.load(tmp_path / "machine.yaml").resolve().machine.topology.n_cpus == 4


KINDS = """\
Architecture:             aarch64
CPU(s):                   8
  On-line CPU(s) list:    0-7
Vendor ID:                ARM
  Model name:             Cortex-A55
    Thread(s) per core:   1
    Core(s) per socket:   4
    Socket(s):            1
  Model name:             Cortex-A76
    Thread(s) per core:   1
    Core(s) per socket:   2
    Socket(s):            2
"""


def test_kinds_of_cores_that_lscpu_tells_apart_are_one_package(tmp_path: Path) -> None:
    """A RK3588: four small cores and two clusters of two large ones, which it calls sockets."""
    found = imported(tmp_path, KINDS)
    assert found.words[0] == "8 CPUs: 1 package x 1 die x 8 cores x 1 thread."
    (table,) = found.tables
    assert ("processor", "Cortex-A55 + Cortex-A76") in {
        (row[0].text, row[1].text) for row in table.rows
    }


def test_cores_with_fewer_threads_are_said(tmp_path: Path) -> None:
    """A Core i9-12900 has eight cores of two threads and eight of one; lscpu says 16 of 2."""
    text = KINDS.split("Vendor ID")[0].replace("8", "24").replace("0-7", "0-23")
    text += "Thread(s) per core: 2\nCore(s) per socket: 16\nSocket(s): 1\n"
    assert "fewer CPUs than these 32" in " ".join(imported(tmp_path, text).words)


@pytest.mark.parametrize(
    ("family", "model", "said"),
    [(26, 2, "is Zen 5"), (25, 17, "is Zen 4"), (25, 1, ""), (23, 49, "is Zen or Zen 2")],
)
def test_a_guest_s_processor_is_named_by_family_and_model(
    tmp_path: Path, family: int, model: int, said: str
) -> None:
    """EPYC 9005 is family 26; 9004 family 25, model 17; 7003 model 1; 7002 family 23, model 49."""
    text = (
        "Architecture: x86_64\nCPU(s): 4\nVendor ID: AuthenticAMD\nModel name: AMD EPYC\n"
        f"CPU family: {family}\nModel: {model}\nThread(s) per core: 1\nCore(s) per socket: 4\n"
        "Socket(s): 1\nHypervisor vendor: KVM\n"
    )
    words = " ".join(imported(tmp_path, text).words)
    assert said in words
    assert ("one of Zen 3" in words) is bool(said)


def test_perf_stat_gives_counts_and_rates(tmp_path: Path) -> None:
    found = imported(tmp_path, PERF_STAT)
    assert numbers(found, "events") == {
        "tlb:tlb_flush": [None, 1_200_000, 120_000],
        "csd:csd_queue_cpu": [None, 3000, 300],
    }
    assert found.words[0] == "The event tlb:tlb_flush came 1,200,000 times (120,000/s)."


FIELDS = """\
# started on Mon Nov 30 07:20:15 2026

     0.201839627;CPU0;96;;tlb:tlb_flush;202063185;100.00;475.107;/sec
     0.201839627;CPU1;85;;tlb:tlb_flush;202065739;100.00;420.661;/sec
     0.201839627;CPU0;202.06;msec;cpu-clock;202060230;100.00;1.010;CPUs utilized
     0.500000000;CPU0;70;;tlb:tlb_flush;200755656;100.00;348.682;/sec
     0.500000000;CPU1;<not counted>;;csd:csd_queue_cpu;0;100.00;;
"""
OBJECTS = """\
{"counter-value" : "268.000000", "unit" : "", "event" : "tlb:tlb_flush", "event-runtime" : 61, "pcnt-running" : 100.00}
{"counter-value" : "610.13", "unit" : "msec", "event" : "cpu-clock", "event-runtime" : 61, "pcnt-running" : 100.00}
"""  # noqa: E501
INTERVALS = """\
#           time             counts unit events
     1.001083216              1,402      tlb:tlb_flush        #  372.893 /sec
     1.001083216             201.13 msec cpu-clock            #    2.011 CPUs utilized
     2.000000000                 98      tlb:tlb_flush
"""
BY_CPU = """\
 Performance counter stats for 'system wide':

CPU0                       70      tlb:tlb_flush
CPU1                       61      tlb:tlb_flush
CPU0                500000000 ns   duration_time

       0.500000000 seconds time elapsed
"""


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        (FIELDS, {0: (96 + 70, 332), 1: (85, 170)}),
        (OBJECTS, {None: (268, None)}),
        (INTERVALS, {None: (1500, 750)}),
        (BY_CPU, {0: (70, 140), 1: (61, 122)}),
        ("S0,2,225,,tlb:tlb_flush,403786987,100.00,,\n", {None: (225, None)}),
        ("225,,tlb:tlb_flush,0.35%,403786987,100.00,,\n", {None: (225, None)}),
    ],
)
def test_perf_stat_is_read_as_fields_objects_intervals_and_by_cpu(
    tmp_path: Path, text: str, counts: dict[int | None, tuple[int, int | None]]
) -> None:
    """Fields and objects are as perf 6.1 prints them; rates are counts by the seconds they tell."""
    found = imported(tmp_path, text)
    (table,) = found.tables
    rows = {None if row[1].text == "all" else int(row[1].text): row for row in table.rows}
    assert {cpu: (row[2].number, row[3].number) for cpu, row in rows.items()} == counts
    words = " ".join(found.words)
    assert ("--between" in words) is any(per_s is None for _, per_s in counts.values())
    assert ("did not count csd:csd_queue_cpu: not counted" in words) is (text is FIELDS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("CPU0\n 1: 5 x\n", "no line about calls"),
        (VMALLOCINFO + "what is this\n", "this is no area"),
        ("Architecture: x86_64\nCPU(s): 2\n", "Core"),
        ('{"lscpu": 5}', "lscpu -J"),
    ],
)
def test_a_file_that_lacks_what_it_should_have_is_told_so(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ScenarioError, match=said):
        imported(tmp_path, text)


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="one more of the same"):
        imported(tmp_path, ARM, VMALLOCINFO)
    with pytest.raises(ScenarioError, match="imported alone"):
        imported(tmp_path, VMALLOCINFO, VMALLOCINFO)
