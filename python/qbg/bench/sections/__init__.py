"""The parts of a bench's report: each makes a section from a record. Pure; must not run or draw anything."""
