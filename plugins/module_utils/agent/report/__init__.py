"""Reports for people: a host's status on a screen, and weeks of jobs as a page."""
