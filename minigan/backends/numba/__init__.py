"""`--kernels numba`: operations as compiled loops, and a training step as a program that several threads replay."""
