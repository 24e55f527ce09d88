"""Many machines: `qbg cluster run` (extra qbg[ray]). Ray carries the work around; each node runs one Remover.

`places` names inputs and outputs wherever they lie, `journal` keeps what is done, `worker` does a chunk on
its node, `fleet` hands chunks out and takes lost ones back, `run` puts them together. The rest of the package
doesn't import it, but for `qbg.cli.cluster`; `qbg.ray` is the stage for a pipeline of one's own.
"""
