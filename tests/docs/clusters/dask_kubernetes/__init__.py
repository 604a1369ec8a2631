"""Stands for dask-kubernetes where there is no Kubernetes."""
