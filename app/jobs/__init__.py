"""Export jobs: the API puts one into the queue, a worker process draws its IDs and stores them as a file.

`queue.py` is the table, `export.py` what one job does, `store.py` where files are kept, `worker.py` the
worker's loop; `__main__.py` wires a worker process.
"""
