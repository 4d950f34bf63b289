"""What runs before and after every job, as the job's own account: record it, link models, clean up."""
