"""Training: the only place that needs PyTorch (`pip install torch onnx safetensors`)."""
