"""What server and trials share: the shapes of problems, manifests and golden answers. Imports nothing of ours."""
