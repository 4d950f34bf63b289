"""What a person sees of a host: the status on one screen, and the report of a month as one page."""
