"""max_batch: the largest batch size that fits under a limit of memory, by trying.

`search` measures Cases through a Lab, each in a process of its own under a ceiling; `predict` asks
plan where to start; `lab` is the Lab that answers `workload=max_batch` with a search.
"""
