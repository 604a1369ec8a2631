"""Kinds of workload: the base that each kind builds on, and the register of all kinds.

A kind is a class whose annotated attributes are its keys in a scenario file. The decorator
`workload` makes a frozen pydantic model of it and enters it here::

    @workload("guarded_table")
    class GuardedTable:
        entries: int = 1000

        def run(self, kernel, cpu):
            pool = yield from kernel.pmalloc_create_pool(refill="4KiB", align_order=3)
            ...

pmsim's own kinds are the modules of `pmsim.workloads.kinds`; those of other packages are found
through the entry-point group ``pmsim.workloads``, whose entries name a decorated class or a module
of them.
"""

from __future__ import annotations

import importlib
import pkgutil
import types
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeVar, get_type_hints

from pydantic import Field

from pmsim.errors import Fault
from pmsim.quantities import Keys
from pmsim.steps import Steps
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keys import Count, CpuNumber
from pmsim.workloads.task import MachineInfo, TaskSpec, role_of
from pmsim.workloads.validation import KeyFault, cpu_faults
from pmsim.workloads.waiting import forgotten_call

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle

ENTRY_POINT_GROUP = "pmsim.workloads"

_Class = TypeVar("_Class", bound=type)


class Workload(Keys):
    """A program for the simulated machine, of any number of tasks.

    Subclass it for a kind with several tasks; a kind with one task on one CPU is a `CpuWorkload`.

    Attributes
    ----------
    revokes
        Whether it has the kernel take away permissions, or reuse pages, that other CPUs may hold
        translations of. A kind that says no runs where a flush promises less than that needs.
    """

    revokes: ClassVar[bool] = True

    kind: str = Field(default="", description="The kind of workload.")
    name: str = Field(
        default="",
        description="Name in the tables, and of its random streams. Without one it is called by its"
        " kind: trace, trace-2, ...",
    )

    @abstractmethod
    def tasks(self, machine: MachineInfo) -> list[TaskSpec]:
        """Return the tasks to run, in the order in which they queue at time 0 on each CPU."""

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return what is wrong with the keys on this machine: ranges, files, program rows."""
        return ()

    def claims(self, machine: MachineInfo) -> frozenset[int]:
        """Return the CPUs that are this workload's own, which ``others`` leaves to it."""
        return frozenset(task.cpu for task in self.tasks(machine))

    @property
    def endless(self) -> bool:
        """Whether it never ends by itself, so that a run until done does not wait for it."""
        return False

    def inputs(self) -> tuple[str, ...]:
        """Return the names of the files that this workload reads."""
        return ()


class CpuWorkload(Workload):
    """A workload of one task on one CPU: its subclass says what it does in ``run``."""

    cpu: CpuNumber = Field(default=0, description="The CPU on which its task runs.")
    working_set: Count = Field(
        default=0, description="TLB entries that its task refills after a full flush."
    )

    @abstractmethod
    def run(self, kernel: KernelHandle, cpu: Cpu) -> Steps:
        """Yield the steps of the task; every call of the kernel is used with ``yield from``."""

    def tasks(self, machine: MachineInfo) -> list[TaskSpec]:
        """Return the one task."""
        role = role_of(self.endless)
        return [TaskSpec(self.cpu, self.run, working_set=self.working_set, role=role)]

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault if the machine does not have the CPU."""
        return cpu_faults(("cpu",), self.cpu, machine)


class Registry:
    """The kinds of workload that are known, by name.

    Parameters
    ----------
    *sources
        Called once, when the kinds are first asked for: they import what registers more of them.
    """

    def __init__(self, *sources: Callable[[], None]) -> None:
        self._kinds: dict[str, type[Workload]] = {}
        self._sources = list(sources)

    def kinds(self) -> Mapping[str, type[Workload]]:
        """Return the class of every kind, by its name, in alphabetical order."""
        while self._sources:
            self._sources.pop(0)()
        return types.MappingProxyType(dict(sorted(self._kinds.items())))

    def add(self, kind: str, model: type[Workload]) -> None:
        """Enter a kind; the same class again (a notebook cell run twice) replaces itself.

        Raises
        ------
        ValueError
            If another class has the name.
        """
        known = self._kinds.get(kind)
        if known is not None and _origin(known) != _origin(model):
            raise ValueError(f"the workload kind '{kind}' is already {'.'.join(_origin(known))}")
        self._kinds[kind] = model

    @contextmanager
    def scoped(self) -> Iterator[Registry]:
        """Let the kinds that are registered within a block end with it."""
        before = dict(self.kinds())
        try:
            yield self
        finally:
            self._kinds = before

    def workload(self, kind: str) -> Callable[[_Class], _Class]:
        """Register a class as a kind of workload.

        Parameters
        ----------
        kind
            The name that stands behind ``kind:`` in a scenario file.

        Returns
        -------
        Callable
            A decorator. It returns a frozen pydantic model whose keys are the annotated attributes
            of the class, with ``kind`` and ``name`` (and for a plain class ``cpu`` and
            ``working_set``) added; a key it does not have is refused.

        Raises
        ------
        TypeError
            When applied to anything but a class with ``run`` or ``tasks``, or if ``run`` makes a
            call and does not wait for it.
        ValueError
            If the name is taken by another class, or is no name at all.
        """
        if not isinstance(kind, str):
            raise TypeError('a workload is registered by a name: @pmsim.workload("my_workload")')
        if not kind.isidentifier():
            raise ValueError(f"'{kind}' cannot name a kind of workload: letters, digits and _ only")

        def register(cls: _Class) -> _Class:
            if not isinstance(cls, type):
                raise TypeError(f"a workload is a class with a method run, not {cls!r}")
            model = _with_kind(cls, kind) if issubclass(cls, Workload) else _model_of(cls, kind)
            if model.__abstractmethods__:
                missing = " and ".join(sorted(model.__abstractmethods__))
                raise TypeError(f"the workload {cls.__qualname__} does not define {missing}")
            call = forgotten_call(cls.run) if hasattr(cls, "run") else None
            if call is not None:
                raise TypeError(call)
            self.add(kind, model)
            return model  # type: ignore[return-value]

        return register


def _origin(model: type) -> tuple[str, str]:
    return (model.__module__, model.__qualname__)


def import_own_kinds() -> None:
    """Import every kind of pmsim."""
    package = importlib.import_module("pmsim.workloads.kinds")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


def import_entry_points() -> None:
    """Import what other packages name as their kinds."""
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            entry.load()
        except Exception as error:
            # Another package's fault must not take away the kinds that work.
            warnings.warn(
                f"workload '{entry.name}' of {entry.value} cannot be loaded: {error}", stacklevel=2
            )


KINDS: Final = Registry(import_own_kinds, import_entry_points)
"""The kinds that scenarios know: pmsim's own, those of installed packages, and the user's."""

workload = KINDS.workload
workload_kinds = KINDS.kinds


def _kind_key(kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the annotation and the value by which a model accepts its own kind only."""
    return {"kind": Literal[kind]}, {"kind": Field(default=kind, description="The kind.")}


def _with_kind(cls: type[Workload], kind: str) -> type[Workload]:
    annotations, values = _kind_key(kind)
    return _new_model(cls, (cls,), {"__annotations__": annotations, **values})


def _model_of(cls: type, kind: str) -> type[Workload]:
    """Make a model of a plain class: its namespace again, under the base of the models."""
    annotations, values = _kind_key(kind)
    namespace = {k: v for k, v in vars(cls).items() if k not in ("__dict__", "__weakref__")}
    # Evaluated here, where the class's own module is at hand, so that keys may be quoted.
    hints = get_type_hints(cls, include_extras=True)
    namespace |= values | {"__annotations__": hints | annotations}
    bases = tuple(base for base in cls.__bases__ if base is not object)
    base = Workload if hasattr(cls, "tasks") and not hasattr(cls, "run") else CpuWorkload
    with warnings.catch_warnings():
        # A key of a plain base class is meant to be a key here, not hidden by mistake.
        warnings.filterwarnings("ignore", "Field name .* shadows an attribute in parent")
        model = _new_model(cls, (*bases, base), namespace)
    _repoint_super(cls, model)
    return model


def _new_model(cls: type, bases: tuple[type, ...], namespace: Mapping[str, Any]) -> type[Workload]:
    """Make a model that goes by the name of ``cls``, so that its instances can be pickled."""
    identity = {name: getattr(cls, name) for name in ("__module__", "__qualname__", "__doc__")}
    model: type[Workload] = types.new_class(
        cls.__name__, bases, exec_body=lambda body: body.update({**identity, **namespace})
    )
    return model


def _repoint_super(old: type, new: type) -> None:
    """Let ``super()`` in the methods of the old class mean the new one, which took them over."""
    for member in vars(old).values():
        for cell in getattr(member, "__closure__", None) or ():
            if cell.cell_contents is old:
                cell.cell_contents = new
