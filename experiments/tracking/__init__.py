"""What trackers are told of a run: TensorBoard and MLflow, each an extra."""
