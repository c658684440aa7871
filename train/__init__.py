"""The student's side: fine-tuning, evaluation and the report.

Importing this package, `train.config` or `train.students` loads no torch and no Ray.
"""
