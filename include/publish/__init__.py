"""Freeze a close, publish it as a whole, and put right what a crash left behind."""
