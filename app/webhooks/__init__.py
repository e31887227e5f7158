"""Messages about the end of a job, sent to addresses that its owner named (Standard Webhooks)."""
