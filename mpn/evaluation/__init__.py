"""The evaluation of a model, or of anyone's scores, on a labelled test set.

run              the whole of it: `run_evaluation`
result           what it gives, typed; metrics.json and matrix.json are written from it
test_set         test videos with their labels
frame_metrics    the frame metrics of score columns by protocol, and their table
protocol_matrix  every score under every normalisation and smoothing
run_detector     a test set through a detector; baselines: through none
localisation     where: pixel and region metrics of what was found
alarms           what an operator gets at thresholds from normal footage
score_files      anyone's scores (score_csv: tables of any make)
comparison       is one system better than another? (comparison_inputs: which, and their labels)
few_shot         how well a model adapts to a new camera (few_shot_summary: its table)
"""
