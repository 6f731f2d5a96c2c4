"""Training, distillation and evaluation."""
