"""Stands for `dask_kubernetes.operator`: pods are processes of this computer."""

from __future__ import annotations

from distributed import LocalCluster


class KubeCluster(LocalCluster):
    """Takes those keywords of dask-kubernetes 2026.3 that the page uses, and no others."""

    def __init__(self, *, name: str, image: str, n_workers: int, worker_command: list[str]) -> None:
        assert image
        assert worker_command[:2] == ["dask", "worker"]
        super().__init__(
            name=name,
            n_workers=min(2, n_workers),
            threads_per_worker=1,
            dashboard_address=None,
        )
