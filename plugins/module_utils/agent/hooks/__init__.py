"""The hooks before and after every job, which run as the job's account."""
