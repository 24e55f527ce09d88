"""Other programs' shapes around qbg's core, for scripts that were written for them."""
