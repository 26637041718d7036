"""Algorithms from other distributions, changeable at run time: entry points of `plumbline.algorithms`.

A plugin is a factory `(config: TagConfig, context: Context) -> Algorithm`. Its distribution names it:

    [project.entry-points."plumbline.algorithms"]
    dated = "acme_ids.dated:Dated"

It must be importable from a directory of sys.path (an editable install is not), and may import whatever is
there. What it makes must never repeat over processes: build it on the context's worker id and clock.
"""
