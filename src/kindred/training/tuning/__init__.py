"""Fine-tuning: a backbone learns to describe one's own images, from classes, listed pairs or the images alone."""
