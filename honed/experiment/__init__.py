"""experiment: Cases measured in turns, in short processes, until a question is answered.

`draw` measures one process, `blocks` keeps the processes block by block, `turns` decides which
sides are measured next and when to stop, `policy` holds the constants, `sentinel` watches the
machine's speed. The room knows no engine and no model: it asks a Lab to measure Cases.
"""
