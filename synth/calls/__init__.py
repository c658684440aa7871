"""What stands between a step and a chat: whose turn it is, patience with pools, accounts."""
