"""The frozen language model: forward passes in the open, the tokenizer, and the adapters as an argument."""
