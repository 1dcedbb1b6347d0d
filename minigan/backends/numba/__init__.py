"""`--kernels numba`: operations as compiled loops, and a training step as a recorded program that several threads execute."""
