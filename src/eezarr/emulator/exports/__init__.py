"""Batch exports: what is asked for, the life of an operation, and the files or the asset that it makes.

`request` reads, `operation` is a record, `office` schedules, `source` computes, and each of `geotiffs`, `tfrecords` and
`assets` writes. A writer is a generator of steps: each step does a block of pixels and yields how many it did, so
that progress is real, memory is a block, and a cancelled export stops between two blocks and leaves nothing.
"""
