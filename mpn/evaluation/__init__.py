"""A labelled test set in, figures and files out.

labelled_set     test videos with their labels; every figure of them (`judge`)
figures          the figures of score columns by protocol, metrics.json, its table
matrix           every score under every protocol, matrix.json
set_scoring      a test set through a detector; baselines: through none
places           where: pixel and region figures of what was found
score_files      anyone's scores in (score_csv: tables of any make)
comparison       is one system better than another (comparison_files: which, and their labels)
"""
