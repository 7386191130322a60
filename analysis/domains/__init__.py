"""How far apart the domains are, in activations, features and images."""
