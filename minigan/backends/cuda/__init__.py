"""`--backend cupy --kernels cuda`: operations as CUDA kernels, and a training step as one CUDA graph."""
