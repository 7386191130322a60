"""Code shared by layers that receive the cluster id of each image."""
