"""Distillation: a small network of one's own learns to see as pretrained ones do, on images without labels."""
