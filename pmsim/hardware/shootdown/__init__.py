"""How other CPUs are made to drop what their TLBs hold: one file per protocol."""
