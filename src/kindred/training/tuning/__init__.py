"""Fine-tuning: a backbone is trained to describe one's own images, from classes, listed pairs or images alone."""
