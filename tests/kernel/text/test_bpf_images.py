"""Places for the code of BPF programs."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.text.bpf_images import CHUNK, Image, PackedImages
from pmsim.units import PAGE_SIZE
from tests.kernel.booted import Booted

Calls = Generator[Any, Any, Any]


def images_of(booted: Booted) -> PackedImages:
    images = booted.kernel.bpf._images
    assert isinstance(images, PackedImages)
    return images


def assert_apart(images: list[Image]) -> None:
    """No two images share a byte, and each lies in its area."""
    for low, high in itertools.pairwise(sorted(images, key=lambda image: image.address)):
        assert low.address + low.size <= high.address
    for image in images:
        area = image.area if image.pack is None else image.pack.area
        assert area is not None
        assert area.address <= image.address
        assert image.address + image.size <= area.address + area.pages * PAGE_SIZE


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 700_000) | st.integers(-20, -1), max_size=40))
def test_images_in_packs_never_overlap_and_all_of_a_pack_comes_back(steps: list[int]) -> None:
    booted = Booted(profile="linux-6.12-x86_64", bpf_boot_program=False)
    images = images_of(booted)
    live: list[Image] = []

    def program(kernel: KernelHandle) -> Calls:
        for step in steps:
            if step > 0:
                image = yield from images.allocate(kernel.task, step)
                assert image is not None
                live.append(image)
            elif live:
                yield from images.free(kernel.task, live.pop(step % len(live)))
            assert_apart(live)
        while live:
            yield from images.free(kernel.task, live.pop())

    booted.run(program)
    assert images.packs == []
    assert len(booted.kernel.vmalloc.areas) == 0


@pytest.mark.parametrize(("code", "chunks"), [(1, 1), (40, 1), (41, 2), (1000, 16)])
def test_an_image_takes_whole_chunks_for_code_header_and_what_is_to_spare(
    code: int, chunks: int
) -> None:
    booted = Booted(profile="linux-6.1-x86_64")

    def program(kernel: KernelHandle) -> Calls:
        # 8 bytes of header and 16 to spare.
        image = yield from images_of(booted).allocate(kernel.task, code)
        assert image is not None
        assert image.size == chunks * CHUNK

    booted.run(program)


@pytest.mark.parametrize(("code", "pages"), [(1, 1), (3960, 1), (3961, 2), (8192, 3)])
def test_an_image_of_its_own_takes_whole_pages_with_128_bytes_to_spare(
    code: int, pages: int
) -> None:
    booted = Booted(profile="linux-5.15-x86_64")

    def program(kernel: KernelHandle) -> Calls:
        loaded = yield from kernel.bpf_prog_load(code)
        assert loaded.image.area.pages == pages

    booted.run(program)
