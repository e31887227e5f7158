"""Fine-tuning and evaluation of networks in torch, on one thread and reproducible bit for bit."""
