"""What is mapped: page tables, the direct map, page frames. Almost no time passes here."""
