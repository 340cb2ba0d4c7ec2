"""Training: the only place that needs PyTorch (`pip install 'kindred[train]'`)."""
