"""A local Earth Engine: synthetic scenes, an expression interpreter, and the REST surface over them.

Nothing here imports the rest of `eezarr`, and nothing but `eezarr demo`, `eezarr emulator` and the tests
imports this: an emulator that shared code with the client would agree with the client's mistakes.
"""
