"""Fine-tuning: handed over to the provider, followed as a job, its model adopted for one caller."""
