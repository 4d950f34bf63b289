"""The documented operations of GitHub's REST API, one function each.

They work on plain state, without HTTP.
"""
