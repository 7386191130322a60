"""What layers share that know the cluster of each image by its id."""
