"""The HTTP server: `qbg serve` (extra qbg[serve]). Starlette and uvicorn carry it; the core does the work.

A request's way: `guard` (keys, counts, log), `routes` (its address), `desk` (a place in the queue), `asks`
and `wishes` (what came, what is wanted), `work` (a worker, a picture), and back. `app` puts them together.
The rest of the package doesn't import it, but for `qbg.cli.serve`.
"""
