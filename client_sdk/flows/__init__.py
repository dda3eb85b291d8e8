"""What a wallet does, step by step, over its book."""
