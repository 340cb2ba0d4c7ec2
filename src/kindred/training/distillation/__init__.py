"""Distillation: a small network learns to reproduce the feature maps of pretrained ones, on images without labels."""
