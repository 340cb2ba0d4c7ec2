"""Training of a local head: keypoints and descriptors from the maps of a frozen network."""
