"""The keys of a kernel's profile, by subject; `pmsim.kernel.profile` puts them together."""
