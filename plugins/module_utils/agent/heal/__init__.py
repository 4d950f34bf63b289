"""The pool looks after itself: evidence of this machine, rules with patience, one careful act at a time."""
