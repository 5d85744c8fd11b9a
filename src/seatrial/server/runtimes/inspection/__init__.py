"""What happens to a file that nobody trusts: all of it in a process of its own, of which `__main__` is the program.

The server imports `content`, `limits` and `messages` from here, and nothing else: the rest reads files.
"""
