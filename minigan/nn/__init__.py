"""Networks and their training: layers, losses, penalties, optimisers, and the step that reads as the chain rule."""
